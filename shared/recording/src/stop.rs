//! Stopping a recording. A stop can be repeated: every stop of a recording returns the same response.

use api::{ApiError, Caller, ConfigError, Env, Reason, clock};
use livekit::{Room, RoomName, RoomScope};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::Table;
use store::recording::{Progress, RecordingItem, RecordingStatus, RoomItem, Slot};

use crate::deadline::{Deadline, WRITE};
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

    /// Stops a recording that the caller may stop: see [`Policy`]. A repeated stop finishes what an earlier one left.
    ///
    /// # Errors
    /// `recording_not_found` if room, zone or id do not match, or the caller has nothing to do with the recording,
    /// without saying which; `room_not_found`, `not_in_room`, `organization_not_allowed`, `livekit_busy`,
    /// `livekit_unavailable`, `store_unavailable`.
    pub async fn stop(&self, caller: &Caller, stop: &Stop) -> Result<Stopped, ApiError> {
        let deadline = Deadline::start();
        let room = self.scope.room(caller, &stop.room_name)?;
        let egress_id = stop.egress_id.as_str();
        let (record, held, presence) = tokio::join!(
            self.table.recording(egress_id),
            self.table.room(room.as_str()),
            self.policy.authorize(&self.server, &room, caller, deadline)
        );
        let record = record?
            .filter(|record| is_named(record, &room, &stop.zone_id))
            .ok_or(Reason::RecordingNotFound)?;
        may_stop(&record, caller, self.policy, presence)?;
        let stopped_at = match stopped_at(&record) {
            Some(stopped_at) => {
                self.finish(&record, unfinished(&record, held?.as_ref())).await?;
                stopped_at
            }
            None => self.end(&record, caller, deadline).await?,
        };
        Ok(Stopped { egress_id: record.egress_id, stopped_at })
    }

    /// Ends the egress, then brings the table up to date. Returns when the recording was stopped.
    async fn end(
        &self,
        record: &RecordingItem,
        caller: &Caller,
        deadline: Deadline,
    ) -> Result<u64, ApiError> {
        let egress_id = record.egress_id.as_str();
        let progress = self.server.egresses(deadline)?.end(egress_id, WRITE).await?;
        let advance = self.table.advance_recording(egress_id, &progress);
        let free = self.free(record, true);
        if let Some(ended_at) = progress.ended_at {
            let (advanced, freed) = tokio::join!(advance, free);
            advanced?;
            freed?;
            // It had ended, perhaps because of a concurrent stop: both return what the record says.
            Ok(self.table.recording(egress_id).await?.as_ref().and_then(stopped_at).unwrap_or(ended_at))
        } else {
            let note = self.table.note_stop(egress_id, clock::now(), &caller.user_id);
            let (noted, advanced, freed) = tokio::join!(note, advance, free);
            advanced?;
            freed?;
            noted
        }
    }

    /// Repeats the writes of an earlier stop that failed.
    async fn finish(&self, record: &RecordingItem, unfinished: Unfinished) -> Result<(), ApiError> {
        let ending =
            Progress { status: RecordingStatus::Ending, ended_at: None, location: None, error: None };
        let advance = async {
            if unfinished.advance {
                self.table.advance_recording(&record.egress_id, &ending).await?;
            }
            Ok(())
        };
        let (advanced, freed) = tokio::join!(advance, self.free(record, unfinished.free));
        advanced.and(freed)
    }

    /// Frees the room, and gives the slot of the user who started the recording back.
    async fn free(&self, record: &RecordingItem, room: bool) -> Result<(), ApiError> {
        let claim = &record.claim;
        let slot = [Slot::of(claim)];
        let free_room =
            async { if room { self.table.free_room(&claim.room, &record.egress_id).await } else { Ok(()) } };
        let (freed, given_back) = tokio::join!(free_room, self.table.give_back(&claim.started_by, &slot));
        freed.and(given_back)
    }
}

/// What an earlier stop has left undone, apart from the slot, which can be given back any number of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// The record still says that it is recording.
    pub advance: bool,
    /// The recording still has the room.
    pub free: bool,
}

/// Decides what a stopped recording still needs. LiveKit has accepted the stop: it is noted only after that.
pub fn unfinished(record: &RecordingItem, held: Option<&RoomItem>) -> Unfinished {
    Unfinished {
        advance: record.status < RecordingStatus::Ending,
        free: held.and_then(RoomItem::egress_id) == Some(&record.egress_id),
    }
}

/// Whether the request names this recording.
fn is_named(record: &RecordingItem, room: &Room, zone: &ZoneId) -> bool {
    record.claim.room == room.as_str() && record.claim.zone_id == zone.as_str()
}

/// Decides who may stop a recording. `presence` is the policy's answer for the room.
///
/// Under `participants`: the person who started it and everybody in the room, from any organization, because a recording
/// concerns the people who are recorded. Under `anyone`: its organization; users without an organization share none, so theirs is their own.
/// Only members of its organization learn that they are not in the room. To others, the recording does not exist.
fn may_stop(
    record: &RecordingItem,
    caller: &Caller,
    policy: Policy,
    presence: Result<(), ApiError>,
) -> Result<(), ApiError> {
    let claim = &record.claim;
    let has_started = claim.started_by == caller.user_id;
    let is_member = claim.organization_id.is_some() && claim.organization_id == caller.organization_id;
    let is_own = claim.organization_id.is_none() && caller.organization_id.is_none() && has_started;
    match policy {
        Policy::Participants if has_started => Ok(()),
        Policy::Participants => presence.map_err(|error| {
            let is_refusal = matches!(error.reason(), Reason::NotInRoom | Reason::RoomNotFound);
            if is_refusal && !is_member { Reason::RecordingNotFound.into() } else { error }
        }),
        Policy::Anyone if is_member || is_own => Ok(()),
        Policy::Anyone => Err(Reason::RecordingNotFound.into()),
    }
}

/// When the recording was stopped or ended by itself; `None` while it can be stopped.
pub fn stopped_at(record: &RecordingItem) -> Option<u64> {
    record.stopped_at.or(record.ended_at.filter(|_| record.status.is_final()))
}

#[cfg(test)]
mod tests {
    use store::recording::Phase;

    use super::*;
    use crate::fixtures::{caller, record};

    #[test]
    fn a_recording_is_named_by_room_and_zone() {
        let named =
            |room: &str, zone: &str| is_named(&record(), &Room::named(room), &ZoneId::parse(zone).unwrap());
        assert!(named("daily", "1"));
        assert!(!named("weekly", "1") && !named("daily", "2"));
    }

    #[test]
    fn the_policy_decides_who_may_stop() {
        use Policy::{Anyone, Participants};
        const IN_ROOM: Result<(), Reason> = Ok(());
        const OUTSIDE: Result<(), Reason> = Err(Reason::NotInRoom);
        let hidden = Err(Reason::RecordingNotFound);
        let starter = |organization| caller(organization);
        let other = |organization| Caller { user_id: "user_2".into(), ..caller(organization) };
        let decide = |of: Option<&str>, caller: Caller, policy, presence: Result<(), Reason>| {
            let mut record = record();
            record.claim.organization_id = of.map(str::to_owned);
            may_stop(&record, &caller, policy, presence.map_err(Into::into)).map_err(|error| error.reason())
        };
        for (of, caller, policy, presence, expected) in [
            (Some("org_1"), other(Some("org_2")), Participants, IN_ROOM, Ok(())),
            (Some("org_1"), other(None), Participants, IN_ROOM, Ok(())),
            (None, other(Some("org_2")), Participants, IN_ROOM, Ok(())),
            (Some("org_1"), other(Some("org_1")), Participants, OUTSIDE, OUTSIDE),
            (Some("org_1"), other(Some("org_2")), Participants, OUTSIDE, hidden),
            (None, other(None), Participants, OUTSIDE, hidden),
            (Some("org_1"), starter(Some("org_2")), Participants, OUTSIDE, Ok(())),
            (
                Some("org_1"),
                other(Some("org_2")),
                Participants,
                Err(Reason::LivekitBusy),
                Err(Reason::LivekitBusy),
            ),
            (Some("org_1"), other(Some("org_1")), Anyone, IN_ROOM, Ok(())),
            (Some("org_1"), other(Some("org_2")), Anyone, IN_ROOM, hidden),
            (Some("org_1"), other(None), Anyone, IN_ROOM, hidden),
            (None, starter(None), Anyone, IN_ROOM, Ok(())),
            (None, other(None), Anyone, IN_ROOM, hidden),
            (None, starter(Some("org_1")), Anyone, IN_ROOM, hidden),
        ] {
            assert_eq!(
                decide(of, caller.clone(), policy, presence),
                expected,
                "{of:?} {caller:?} {policy:?}"
            );
        }
    }

    #[test]
    fn a_repeated_stop_finishes_what_is_unfinished() {
        let stopped = |status| RecordingItem { stopped_at: Some(20), status, ..record() };
        let room = |egress_id: &str| RoomItem {
            claim: record().claim,
            phase: Phase::Recording { egress_id: egress_id.into(), announced_to: None },
        };
        let active = stopped(RecordingStatus::Active);
        assert_eq!(unfinished(&active, Some(&room("EG_1"))), Unfinished { advance: true, free: true });
        let ending = stopped(RecordingStatus::Ending);
        assert_eq!(unfinished(&ending, Some(&room("EG_1"))), Unfinished { advance: false, free: true });
        assert_eq!(unfinished(&ending, Some(&room("EG_2"))), Unfinished { advance: false, free: false });
        assert_eq!(unfinished(&active, None), Unfinished { advance: true, free: false });
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
