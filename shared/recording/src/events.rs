//! LiveKit's webhooks. They come in any order, more than once, or never: each only moves a recording forward.
//!
//! Source: <https://docs.livekit.io/home/server/webhooks/>.

use std::time::Duration;

use api::{ApiError, ConfigError, Env, RawBody, Reason, metrics};
use livekit_api::webhooks::{WebhookError, WebhookReceiver};
use livekit_protocol::{Room, WebhookEvent};
use store::Table;
use store::recording::{Advanced, Confirmation, Phase, Progress, RecordingStatus};

use crate::deadline::Deadline;
use crate::egress::Egress;
use crate::server::Server;

/// The largest webhook that is read. Those about egresses repeat the request, with the object's metadata.
const MAX_BYTES: usize = 256 * 1024;

/// Follows what LiveKit tells.
#[derive(Debug)]
pub struct Events {
    table: Table,
    server: Server,
    receiver: WebhookReceiver,
}

impl Events {
    /// Reads the configuration.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        let server = Server::load(env)?;
        let receiver = WebhookReceiver::new(server.keys.verifier());
        Ok(Self { table: Table::load(env)?, server, receiver })
    }

    /// Takes a webhook in. LiveKit sends it again after a 5xx, and not after a 4xx.
    ///
    /// # Errors
    /// `not_signed_in` where it is not signed by our key or is not the body that was signed; `invalid_json`,
    /// `body_too_large`, `livekit_busy`, `livekit_unavailable`, `store_unavailable`.
    pub async fn receive(&self, webhook: &RawBody) -> Result<(), ApiError> {
        let event = self.verify(webhook)?;
        match (event.event.as_str(), event.egress_info, event.room) {
            ("egress_started" | "egress_updated" | "egress_ended", Some(info), _) => {
                self.egress_moved(&info.into()).await
            }
            ("room_finished", _, Some(room)) => self.room_finished(&room).await,
            _ => Ok(()),
        }
    }

    fn verify(&self, webhook: &RawBody) -> Result<WebhookEvent, ApiError> {
        if webhook.bytes.len() > MAX_BYTES {
            return Err(Reason::BodyTooLarge.into());
        }
        let token = webhook.signature.as_deref().ok_or(Reason::NotSignedIn)?;
        let token = token.strip_prefix("Bearer ").unwrap_or(token);
        let body = str::from_utf8(&webhook.bytes).map_err(|_| Reason::NotSignedIn)?;
        self.receiver.receive(body, token).map_err(|error| match error {
            WebhookError::InvalidData(error) => ApiError::new(Reason::InvalidJson).because(error),
            error => ApiError::new(Reason::NotSignedIn).because(error),
        })
    }

    async fn egress_moved(&self, egress: &Egress) -> Result<(), ApiError> {
        let mut advanced = self.table.advance_recording(&egress.id, &egress.progress).await?;
        if advanced == Advanced::Absent {
            if !self.complete_start(egress).await? {
                return Ok(());
            }
            advanced = self.table.advance_recording(&egress.id, &egress.progress).await?;
        }
        if advanced == Advanced::Moved && egress.progress.status.is_final() {
            report_end(egress);
        }
        // What is ending records nothing any more: the next recording may begin.
        if !egress.runs() {
            self.table.free_room(&egress.room, &egress.id).await?;
        }
        Ok(())
    }

    /// An egress without a record: a start has not written it down yet, or never will. Returns whether the record is
    /// there now.
    async fn complete_start(&self, egress: &Egress) -> Result<bool, ApiError> {
        // Without a token it is none of ours.
        let Some(token) = &egress.token else { return Ok(false) };
        let Some(item) = self.table.room(&egress.room).await? else { return Ok(false) };
        if item.claim.token == *token {
            if matches!(item.phase, Phase::Starting { .. }) {
                let confirmation =
                    Confirmation { egress_id: &egress.id, room_sid: &egress.room_sid, announced_to: None };
                // Where it does not hold, the start was faster and has written the same.
                self.table.confirm_start(&item.claim, confirmation).await?;
            }
            return Ok(true);
        }
        if egress.runs() {
            // LiveKit took so long that another start has the room: this egress is one too many.
            let egresses = self.server.egresses(Deadline::begin())?;
            egresses.stop(&egress.id, Duration::ZERO).await?;
            tracing::warn!(egress_id = egress.id, "a surplus egress was stopped");
        }
        Ok(false)
    }

    /// A room has closed, and its recording ends with it; `egress_ended` will say how.
    async fn room_finished(&self, room: &Room) -> Result<(), ApiError> {
        let Some(egress_id) = self.table.free_closed_room(&room.name, &room.sid).await? else {
            return Ok(());
        };
        let ending =
            Progress { status: RecordingStatus::Ending, ended_at: None, location: None, error: None };
        self.table.advance_recording(&egress_id, &ending).await?;
        Ok(())
    }
}

/// A recording that failed is a file that somebody will miss: it is counted and logged, once.
fn report_end(egress: &Egress) {
    let status = egress.progress.status;
    metrics::count("RecordingEnded", &[("Status", status.name())]);
    if status == RecordingStatus::Failed {
        tracing::warn!(egress_id = egress.id, error = egress.progress.error, "a recording failed");
    }
}
