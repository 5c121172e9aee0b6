//! LiveKit's webhooks. They arrive in any order, repeatedly, or never; each only moves a recording forward.
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

/// Size limit of a webhook. Egress events repeat the request, object metadata included.
const MAX_BYTES: usize = 256 * 1024;

/// Applies LiveKit's events to the table.
#[derive(Debug)]
pub struct Events {
    table: Table,
    server: Server,
    receiver: WebhookReceiver,
}

impl Events {
    /// Reads the configuration.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        let server = Server::load(env)?;
        let receiver = WebhookReceiver::new(server.keys.verifier());
        Ok(Self { table: Table::load(env)?, server, receiver })
    }

    /// Verifies and applies a webhook. LiveKit repeats it after a 5xx, but not after a 4xx.
    ///
    /// # Errors
    /// `not_signed_in` if it is not signed with our key, or the body is not the signed one; `invalid_json`,
    /// `body_too_large`, `livekit_busy`, `livekit_unavailable`, `store_unavailable`.
    pub async fn receive(&self, webhook: &RawBody) -> Result<(), ApiError> {
        let event = self.verify(webhook)?;
        match (event.event.as_str(), event.egress_info, event.room) {
            ("egress_started" | "egress_updated" | "egress_ended", Some(info), _) => {
                self.egress_changed(&info.into()).await
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

    async fn egress_changed(&self, egress: &Egress) -> Result<(), ApiError> {
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
        // An egress that is ending no longer records: the next recording may start.
        if !egress.is_running() {
            self.table.free_room(&egress.room, &egress.id).await?;
        }
        Ok(())
    }

    /// Completes the start of an egress without a record, which is in progress or was interrupted. Returns whether the
    /// record exists now.
    async fn complete_start(&self, egress: &Egress) -> Result<bool, ApiError> {
        // Without a token, the egress is not ours.
        let Some(token) = &egress.token else { return Ok(false) };
        let Some(item) = self.table.room(&egress.room).await? else { return Ok(false) };
        if item.claim.token == *token {
            if matches!(item.phase, Phase::Starting { .. }) {
                let confirmation =
                    Confirmation { egress_id: &egress.id, room_sid: &egress.room_sid, announced_to: None };
                // If this is refused, the start was faster and has written the same.
                self.table.confirm_start(&item.claim, confirmation).await?;
            }
            return Ok(true);
        }
        if egress.is_running() {
            // LiveKit took so long that another start has claimed the room: this egress is surplus.
            let egresses = self.server.egresses(Deadline::start())?;
            egresses.stop(&egress.id, Duration::ZERO).await?;
            tracing::warn!(egress_id = egress.id, "a surplus egress was stopped");
        }
        Ok(false)
    }

    /// Ends the recording of a room that has closed. `egress_ended` reports the outcome later.
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

/// Counts the end of a recording, and logs a failure: its file is missing.
fn report_end(egress: &Egress) {
    let status = egress.progress.status;
    metrics::count("RecordingEnded", &[("Status", status.name())]);
    if status == RecordingStatus::Failed {
        tracing::warn!(egress_id = egress.id, error = egress.progress.error, "a recording failed");
    }
}
