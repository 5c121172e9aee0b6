//! Stopping a recording. It can be repeated: whoever stops a stopped recording gets the same answer.

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
    /// The room, as the client names it.
    pub room_name: RoomName,
    /// LiveKit's id of the egress.
    pub egress_id: EgressId,
    /// The place in the application, as it was given at the start.
    pub zone_id: ZoneId,
}

/// A recording that has stopped.
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
    /// `recording_not_found` where room, zone, organization or id do not match, without saying which;
    /// `room_not_found`, `not_in_room`, `organization_not_allowed`, `livekit_busy`, `livekit_unavailable`,
    /// `store_unavailable`.
    pub async fn stop(&self, caller: &Caller, stop: &Stop) -> Result<Stopped, ApiError> {
        let deadline = Deadline::begin();
        let room = self.scope.room(caller, &stop.room_name)?;
        let egress_id = stop.egress_id.as_str();
        let (record, admitted) = tokio::join!(
            self.table.recording(egress_id),
            self.policy.admit(&self.server, &room, caller, deadline)
        );
        let record = record?
            .filter(|record| matches(record, caller, &room, &stop.zone_id, self.policy))
            .ok_or(Reason::RecordingNotFound)?;
        if let Some(stopped_at) = stopped_at(&record) {
            return Ok(Stopped { egress_id: record.egress_id, stopped_at });
        }
        if record.claim.started_by != caller.user_id {
            admitted?;
        }

        let progress = self.end(egress_id, deadline).await?;
        let advance = self.table.advance_recording(egress_id, &progress);
        let free = self.table.free_room(room.as_str(), egress_id);
        let stopped_at = if let Some(ended_at) = progress.ended_at {
            let (advanced, freed) = tokio::join!(advance, free);
            advanced?;
            freed?;
            // It was over already, perhaps by somebody else's stop of this moment: the record has one answer for both.
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

    /// Ends the egress and says where that leaves it.
    async fn end(&self, egress_id: &str, deadline: Deadline) -> Result<Progress, ApiError> {
        let egresses = self.server.egresses(deadline)?;
        let egress = match egresses.stop(egress_id, WRITE).await? {
            Some(egress) => Some(egress),
            // It has ended, and we were not told.
            None => egresses.get(egress_id, WRITE).await?,
        };
        Ok(match egress {
            // LiveKit has accepted the stop, whatever it says of the moment.
            Some(egress) if egress.runs() => Progress { status: RecordingStatus::Ending, ..egress.progress },
            Some(egress) => egress.progress,
            None => forgotten(),
        })
    }
}

/// A recording is found by those who know all of it, and belongs to the organization that started it. People without
/// an organization have nothing in common: where being in the room is not asked for, it belongs to whoever started it.
fn matches(record: &RecordingItem, caller: &Caller, room: &Room, zone: &ZoneId, policy: Policy) -> bool {
    let claim = &record.claim;
    claim.room == room.as_str()
        && claim.zone_id == zone.as_str()
        && claim.organization_id == caller.organization_id
        && (claim.organization_id.is_some()
            || policy == Policy::Participants
            || claim.started_by == caller.user_id)
}

/// When the recording was stopped, or ended by itself; `None` while there is something to stop.
fn stopped_at(record: &RecordingItem) -> Option<u64> {
    record.stopped_at.or(record.ended_at.filter(|_| record.status.is_final()))
}

#[cfg(test)]
mod tests {
    use store::recording::Claim;

    use super::*;

    fn record() -> RecordingItem {
        RecordingItem {
            egress_id: "EG_1".into(),
            claim: Claim {
                room: "daily".into(),
                token: "t1".into(),
                organization_id: Some("org_1".into()),
                zone_id: "1".into(),
                topic: "t".into(),
                participants: Vec::new(),
                started_by: "user_1".into(),
                started_at: 10,
                object_key: "k".into(),
            },
            status: RecordingStatus::Active,
            stopped_at: None,
            stopped_by: None,
            ended_at: None,
            location: None,
            error: None,
        }
    }

    fn caller(organization: Option<&str>) -> Caller {
        Caller {
            user_id: "user_1".into(),
            email: "jane@example.com".into(),
            organization_id: organization.map(str::to_owned),
            role: None,
            permissions: Vec::new(),
            session_id: "session_1".into(),
        }
    }

    #[test]
    fn a_recording_is_found_by_room_zone_and_organization_together() {
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
    fn without_an_organization_a_recording_is_its_starters_or_its_rooms() {
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
    fn a_stop_is_answered_from_the_record_once_there_was_one() {
        assert_eq!(stopped_at(&record()), None);
        let stopped = RecordingItem { stopped_at: Some(20), status: RecordingStatus::Ending, ..record() };
        assert_eq!(stopped_at(&stopped), Some(20));
        let ended = RecordingItem { ended_at: Some(30), status: RecordingStatus::Ended, ..record() };
        assert_eq!(stopped_at(&ended), Some(30));
        let both = RecordingItem { stopped_at: Some(20), ..ended };
        assert_eq!(stopped_at(&both), Some(20));
    }
}
