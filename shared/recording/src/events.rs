//! LiveKit's webhooks. They arrive in any order, repeatedly, or never; each only moves a recording forward.

use std::time::Duration;

use api::{ApiError, ConfigError, Env, metrics};
use livekit_protocol::{Room, WebhookEvent};
use store::Table;
use store::recording::{
    Advanced, Claim, Confirmation, Progress, RecordingItem, RecordingStatus, RoomItem, Slot,
};

use crate::bucket::RECORDING_BUCKET;
use crate::deadline::Deadline;
use crate::egress::Egress;
use crate::retention::Retention;
use crate::server::Server;

/// Applies LiveKit's events to the table.
#[derive(Debug)]
pub struct Events {
    table: Table,
    pub(crate) server: Server,
    bucket: String,
    retention: Retention,
}

/// What the table says about an egress, after an event is applied.
#[derive(Debug, PartialEq, Eq)]
pub enum Applied {
    /// It has a record, or its start is being confirmed.
    Recorded(Box<RecordingItem>),
    /// Another start has its room; it was stopped.
    Surplus,
    /// No claim has its token.
    Unclaimed,
}

/// What to do with an egress that has no record.
#[derive(Debug, PartialEq, Eq)]
pub enum Unrecorded {
    /// Confirm its claim.
    Confirm(Claim),
    /// Stop it: another start has claimed the room.
    Stop,
    /// It is not one of ours, or nothing claims its room.
    Leave,
}

/// Decides about an egress without a record, whose start is in progress or was interrupted.
pub fn unrecorded(egress: &Egress, held: Option<RoomItem>) -> Unrecorded {
    match (&egress.token, held) {
        (Some(token), Some(item)) if item.claim.token == *token => Unrecorded::Confirm(item.claim),
        // LiveKit took so long that another start has claimed the room: this egress is surplus.
        (Some(_), Some(_)) if egress.is_running() => Unrecorded::Stop,
        _ => Unrecorded::Leave,
    }
}

impl Events {
    /// Reads the configuration.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Self::over(Table::load(env)?, room_service::Server::load(env)?, env)
    }

    /// As [`Events::load`], over connections that others use as well.
    ///
    /// # Errors
    /// As [`Events::load`].
    pub fn over(table: Table, server: room_service::Server, env: &Env) -> Result<Self, ConfigError> {
        Ok(Self {
            table,
            server: Server(server),
            bucket: env.required(&RECORDING_BUCKET)?,
            retention: Retention::load(env)?,
        })
    }

    /// Applies an event; those about anything else are ignored.
    ///
    /// # Errors
    /// `livekit_busy`, `livekit_unavailable`, `store_unavailable`.
    pub async fn receive(&self, event: &WebhookEvent) -> Result<(), ApiError> {
        match (event.event.as_str(), &event.egress_info, &event.room) {
            ("egress_started" | "egress_updated" | "egress_ended", Some(info), _) => {
                self.apply(&info.clone().into()).await.map(drop)
            }
            ("room_finished", _, Some(room)) => self.room_finished(room).await,
            _ => Ok(()),
        }
    }

    /// Whether an egress was started by this deployment. Several can share a LiveKit project.
    pub(crate) fn is_ours(&self, egress: &Egress) -> bool {
        egress.token.is_some() && egress.bucket.as_ref() == Some(&self.bucket)
    }

    /// Brings the table up to date with an egress.
    pub(crate) async fn apply(&self, egress: &Egress) -> Result<Applied, ApiError> {
        let mut advanced = self.table.advance_recording(&egress.id, &egress.progress).await?;
        if advanced == Advanced::Absent {
            if let Some(applied) = self.complete_start(egress).await? {
                return Ok(applied);
            }
            advanced = self.table.advance_recording(&egress.id, &egress.progress).await?;
        }
        let (record, moved) = match advanced {
            Advanced::Moved(record) => (record, true),
            Advanced::Stale(record) => (record, false),
            Advanced::Absent => return Ok(Applied::Unclaimed),
        };
        if moved && egress.progress.status.is_final() {
            report_end(egress);
        }
        // An egress that is ending no longer records: the next recording may start.
        if !egress.is_running() {
            let slot = [Slot::of(&record.claim)];
            let (freed, given_back) = tokio::join!(
                self.table.free_room(&egress.room, &egress.id),
                self.table.give_back(&record.claim.started_by, &slot)
            );
            freed.and(given_back)?;
        }
        Ok(Applied::Recorded(record))
    }

    /// Completes the start of an egress without a record. Returns `None` if the record exists now.
    async fn complete_start(&self, egress: &Egress) -> Result<Option<Applied>, ApiError> {
        if !self.is_ours(egress) {
            return Ok(Some(Applied::Unclaimed));
        }
        match unrecorded(egress, self.table.room(&egress.room).await?) {
            Unrecorded::Confirm(claim) => {
                let confirmation = Confirmation {
                    egress_id: &egress.id,
                    room_sid: &egress.room_sid,
                    announced_to: None,
                    kept_until: self.retention.kept_until(claim.started_at),
                };
                // If this is refused, the start was faster and has written the same.
                self.table.confirm_start(&claim, confirmation).await?;
                Ok(None)
            }
            Unrecorded::Stop => {
                let egresses = self.server.egresses(Deadline::start())?;
                egresses.stop(&egress.id, Duration::ZERO).await?;
                tracing::warn!(egress_id = egress.id, "a surplus egress was stopped");
                Ok(Some(Applied::Surplus))
            }
            Unrecorded::Leave => Ok(Some(Applied::Unclaimed)),
        }
    }

    /// Ends the recording of a room that has closed. `egress_ended` reports the outcome later.
    async fn room_finished(&self, room: &Room) -> Result<(), ApiError> {
        let Some(item) = self.table.free_closed_room(&room.name, &room.sid).await? else { return Ok(()) };
        let Some(egress_id) = item.egress_id() else { return Ok(()) };
        let ending =
            Progress { status: RecordingStatus::Ending, ended_at: None, location: None, error: None };
        let slot = [Slot::of(&item.claim)];
        let (advanced, given_back) = tokio::join!(
            self.table.advance_recording(egress_id, &ending),
            self.table.give_back(&item.claim.started_by, &slot)
        );
        advanced.and(given_back)
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
