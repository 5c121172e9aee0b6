//! Stopping a recording. A stop can be repeated: every stop of a recording returns the same response.

use api::{ApiError, Caller, ConfigError, Env, Reason, clock};
use livekit::{Room, RoomName, RoomScope};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::Table;
use store::recording::{Progress, RecordingItem, RecordingStatus};

use crate::deadline::{Deadline, WRITE};
use crate::egress::forgotten;
use crate::fields::{EgressId, ZoneId};
use crate::policy::Policy;
use crate::server::Server;

/// Stops recordings.
#[derive(Debug)]
pub struct Stopper {
    table: Table,
    server: Server,
    scope: RoomScope,
    policy: Policy,
}

/// What to stop.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "StopRecordingRequest")]
pub struct Stop {
    /// The room of the start.
    pub room_name: RoomName,
    /// LiveKit's id of the egress.
    pub egress_id: EgressId,
    /// The zone of the start.
    pub zone_id: ZoneId,
}

/// A stopped recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "StopRecordingResponse")]
pub struct Stopped {
    /// LiveKit's id of the egress.
    pub egress_id: String,
    /// When it was stopped, or ended by itself, in seconds since the Unix epoch.
    #[serde(rename = "timestamp")]
    pub stopped_at: u64,
}

impl Stopper {
    /// Reads the configuration.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self {
            table: Table::load(env)?,
            server: Server::load(env)?,
            scope: RoomScope::load(env)?,
            policy: Policy::load(env)?,
        })
    }

    /// Stops a recording of the caller's organization.
    ///
    /// # Errors
    /// `recording_not_found` if room, zone, organization or id do not match, without saying which; `room_not_found`,
    /// `not_in_room`, `organization_not_allowed`, `livekit_busy`, `livekit_unavailable`, `store_unavailable`.
    pub async fn stop(&self, caller: &Caller, stop: &Stop) -> Result<Stopped, ApiError> {
        let deadline = Deadline::start();
        let room = self.scope.room(caller, &stop.room_name)?;
        let egress_id = stop.egress_id.as_str();
        let (record, authorized) = tokio::join!(
            self.table.recording(egress_id),
            self.policy.authorize(&self.server, &room, caller, deadline)
        );
        let record = record?
            .filter(|record| matches(record, caller, &room, &stop.zone_id, self.policy))
            .ok_or(Reason::RecordingNotFound)?;
        if let Some(stopped_at) = stopped_at(&record) {
            return Ok(Stopped { egress_id: record.egress_id, stopped_at });
        }
        if record.claim.started_by != caller.user_id {
            authorized?;
        }

        let progress = self.end(egress_id, deadline).await?;
        let advance = self.table.advance_recording(egress_id, &progress);
        let free = self.table.free_room(room.as_str(), egress_id);
        let stopped_at = if let Some(ended_at) = progress.ended_at {
            let (advanced, freed) = tokio::join!(advance, free);
            advanced?;
            freed?;
            // It had ended, perhaps because of a concurrent stop: both return what the record says.
            self.table.recording(egress_id).await?.as_ref().and_then(stopped_at).unwrap_or(ended_at)
        } else {
            let note = self.table.note_stop(egress_id, clock::now(), &caller.user_id);
            let (noted, advanced, freed) = tokio::join!(note, advance, free);
            advanced?;
            freed?;
            noted?
        };
        Ok(Stopped { egress_id: record.egress_id, stopped_at })
    }

    /// Ends the egress and returns its progress.
    async fn end(&self, egress_id: &str, deadline: Deadline) -> Result<Progress, ApiError> {
        let egresses = self.server.egresses(deadline)?;
        let egress = match egresses.stop(egress_id, WRITE).await? {
            Some(egress) => Some(egress),
            // It has ended without a webhook reaching us.
            None => egresses.get(egress_id, WRITE).await?,
        };
        Ok(match egress {
            // LiveKit has accepted the stop, even if the status does not show it yet.
            Some(egress) if egress.is_running() => {
                Progress { status: RecordingStatus::Ending, ..egress.progress }
            }
            Some(egress) => egress.progress,
            None => forgotten(),
        })
    }
}

/// Whether the request names this recording, and the caller's organization started it. Users without an organization
/// share none: unless the policy requires presence in the room, such a recording belongs to the user who started it.
fn matches(record: &RecordingItem, caller: &Caller, room: &Room, zone: &ZoneId, policy: Policy) -> bool {
    let claim = &record.claim;
    claim.room == room.as_str()
        && claim.zone_id == zone.as_str()
        && claim.organization_id == caller.organization_id
        && (claim.organization_id.is_some()
            || policy == Policy::Participants
            || claim.started_by == caller.user_id)
}

/// When the recording was stopped or ended by itself; `None` while it can be stopped.
fn stopped_at(record: &RecordingItem) -> Option<u64> {
    record.stopped_at.or(record.ended_at.filter(|_| record.status.is_final()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{caller, claim};

    fn record() -> RecordingItem {
        RecordingItem {
            egress_id: "EG_1".into(),
            claim: claim(),
            status: RecordingStatus::Active,
            stopped_at: None,
            stopped_by: None,
            ended_at: None,
            location: None,
            error: None,
        }
    }

    #[test]
    fn a_recording_is_found_by_room_zone_and_organization() {
        let found = |organization, room: &str, zone: &str| {
            let (room, zone) = (Room::named(room), ZoneId::parse(zone).unwrap());
            matches(&record(), &caller(organization), &room, &zone, Policy::Anyone)
        };
        assert!(found(Some("org_1"), "daily", "1"));
        assert!(!found(Some("org_2"), "daily", "1"));
        assert!(!found(None, "daily", "1"));
        assert!(!found(Some("org_1"), "weekly", "1"));
        assert!(!found(Some("org_1"), "daily", "2"));
    }

    #[test]
    fn without_an_organization_a_recording_belongs_to_its_starter_or_its_room() {
        let mut record = record();
        record.claim.organization_id = None;
        let other = Caller { user_id: "user_2".into(), ..caller(None) };
        let found = |caller: &Caller, policy| {
            matches(&record, caller, &Room::named("daily"), &ZoneId::parse("1").unwrap(), policy)
        };
        assert!(found(&caller(None), Policy::Anyone));
        assert!(!found(&other, Policy::Anyone));
        assert!(found(&other, Policy::Participants));
        assert!(!found(&caller(Some("org_1")), Policy::Anyone));
    }

    #[test]
    fn the_first_stop_decides_the_time() {
        assert_eq!(stopped_at(&record()), None);
        let stopped = RecordingItem { stopped_at: Some(20), status: RecordingStatus::Ending, ..record() };
        assert_eq!(stopped_at(&stopped), Some(20));
        let ended = RecordingItem { ended_at: Some(30), status: RecordingStatus::Ended, ..record() };
        assert_eq!(stopped_at(&ended), Some(30));
        let both = RecordingItem { stopped_at: Some(20), ..ended };
        assert_eq!(stopped_at(&both), Some(20));
    }
}
