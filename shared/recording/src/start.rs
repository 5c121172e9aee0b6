//! Starting a recording: one per room, whatever fails on the way. The crate's documentation explains the protocol.

use std::time::Duration;

use api::{ApiError, Caller, ConfigError, Env, Reason, clock, random};
use futures_util::future::try_join_all;
use livekit::{RoomName, RoomScope};
use room_service::{Failure, Leftover};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::Table;
use store::recording::{Claim, Claimed, Confirmation, Confirmed, Phase, RecordingStatus, RoomItem, Slot};

use crate::bucket::{Bucket, object_key};
use crate::deadline::{Deadline, WRITE};
use crate::egress::{Egress, forgotten};
use crate::fields::{Participants, Topic, ZoneId};
use crate::policy::Policy;
use crate::retention::Retention;
use crate::server::{Egresses, Server};
use crate::slots;

/// An unconfirmed claim is abandoned after this time: by then, the request that made it has ended.
pub const LEASE_SECONDS: u64 = 9;

/// Reserve after the call that starts an egress: to list the egresses, if it fails, and to write.
const RESERVE: Duration = WRITE.saturating_add(Duration::from_secs(1));

/// How often, and how many times, a start polls for the egress of the start that came before it.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
const POLLS: u32 = 15;

/// Starts recordings.
#[derive(Debug)]
pub struct Recorder {
    table: Table,
    server: Server,
    scope: RoomScope,
    policy: Policy,
    bucket: Bucket,
    retention: Retention,
    slots_per_caller: u64,
}

/// What to record.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "StartRecordingRequest")]
pub struct NewRecording {
    /// The room.
    pub room_name: RoomName,
    /// Topic of the conference.
    #[serde(rename = "conferenceTopic")]
    pub topic: Topic,
    /// Application-defined area, such as a building or a team. The stop must repeat it.
    pub zone_id: ZoneId,
    /// Participants: at most 500 names, separated by commas.
    pub participants: Participants,
}

/// A running recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "StartRecordingResponse")]
pub struct Started {
    /// LiveKit's id of the egress, with which the recording is stopped.
    pub egress_id: String,
    /// Time of the start, in seconds since the Unix epoch.
    #[serde(rename = "timestamp")]
    pub started_at: u64,
}

impl Recorder {
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
            bucket: Bucket::load(env)?,
            retention: Retention::load(env)?,
            slots_per_caller: slots::per_caller(env)?,
        })
    }

    /// Starts recording a room, or completes a start that was interrupted.
    ///
    /// # Errors
    /// `already_recording`, with the egress id if the caller may stop it; `too_many_recordings`, `room_not_found`,
    /// `not_in_room`, `organization_not_allowed`, `livekit_busy`, `livekit_unavailable`, `store_unavailable`,
    /// `deadline_exceeded`.
    pub async fn start(&self, caller: &Caller, new: &NewRecording) -> Result<Started, ApiError> {
        let deadline = Deadline::start();
        let room = self.scope.room(caller, &new.room_name)?;
        let egresses = self.server.egresses(deadline)?;
        let asked_at = clock::now();
        let (authorized, running, held, taken) = tokio::join!(
            self.policy.authorize(&self.server, &room, caller, deadline),
            egresses.in_room(room.as_str(), Duration::ZERO),
            self.table.room(room.as_str()),
            self.table.slots(&caller.user_id),
        );
        authorized?;
        let (running, held, taken) = (running?, held?, taken?);

        let now = clock::now_millis();
        let start = Start { recorder: self, caller, deadline, egresses, asked_at, taken, id: random::id()? };
        let claim = Claim {
            room: room.as_str().to_owned(),
            token: start.id.clone(),
            organization_id: caller.organization_id.clone(),
            zone_id: new.zone_id.as_str().to_owned(),
            topic: new.topic.as_str().to_owned(),
            participants: new.participants.names().to_vec(),
            started_by: caller.user_id.clone(),
            started_at: now / 1000,
            object_key: object_key(
                caller.organization_id.as_deref(),
                new.zone_id.as_str(),
                new.room_name.as_str(),
                now,
            ),
        };
        start.run(claim, held, running).await
    }
}

/// The next step, decided from the room's item and LiveKit's egresses.
#[derive(Debug, PartialEq, Eq)]
pub enum Plan {
    /// Claim the room and start an egress. The claim may replace `abandoned`.
    Begin {
        /// The claim that may be replaced.
        abandoned: Option<RoomItem>,
    },
    /// Confirm the claim of a running egress that is not confirmed, or that no response has carried yet.
    Complete {
        /// The claim.
        claim: Claim,
        /// Its egress.
        egress: Egress,
    },
    /// Claim the room for a running egress that the table does not know.
    Adopt {
        /// The egress.
        egress: Egress,
        /// The claim that may be replaced.
        abandoned: Option<RoomItem>,
    },
    /// Ask LiveKit about the room's egress, which is not in the list.
    Verify {
        /// The room's item.
        item: RoomItem,
        /// LiveKit's id of the egress.
        egress_id: String,
    },
    /// Refuse: the room is being recorded.
    Refuse {
        /// The room's item.
        item: RoomItem,
    },
    /// Wait: another start is in progress.
    Wait {
        /// Shortens a lease that a clock ahead of ours has written.
        cut_to: Option<(RoomItem, u64)>,
    },
}

/// Decides how a start goes on. `running` are the room's egresses, of whatever kind, which were asked for at `asked_at`.
///
/// A lease counts if it had not ended by then: its start may have begun an egress since.
pub fn plan(held: Option<RoomItem>, running: Vec<Egress>, bucket: &str, asked_at: u64, now: u64) -> Plan {
    let Some(item) = held else { return begin_or_adopt(None, running, bucket) };
    match item.phase.clone() {
        Phase::Starting { lease_until } => {
            let own = running.iter().find(|egress| {
                egress.is_running() && egress.token.as_deref() == Some(item.claim.token.as_str())
            });
            match own {
                Some(egress) => Plan::Complete { claim: item.claim, egress: egress.clone() },
                None if lease_until > now + LEASE_SECONDS => {
                    Plan::Wait { cut_to: Some((item, now + LEASE_SECONDS)) }
                }
                None if lease_until > asked_at => Plan::Wait { cut_to: None },
                None => begin_or_adopt(Some(item), running, bucket),
            }
        }
        Phase::Recording { egress_id, announced_to } => {
            match running.iter().find(|egress| egress.id == egress_id) {
                Some(egress) if egress.is_running() && announced_to.is_none() => {
                    Plan::Complete { claim: item.claim, egress: egress.clone() }
                }
                Some(egress) if egress.is_running() => Plan::Refuse { item },
                Some(_) => begin_or_adopt(Some(item), running, bucket),
                None => Plan::Verify { item, egress_id },
            }
        }
    }
}

/// The plan for a room that the table considers free. A running egress that writes the room into our bucket is its
/// recording. Others, such as live streams, do not matter.
pub fn begin_or_adopt(abandoned: Option<RoomItem>, running: Vec<Egress>, bucket: &str) -> Plan {
    let recording =
        running.into_iter().find(|egress| egress.is_running() && egress.bucket.as_deref() == Some(bucket));
    match recording {
        Some(egress) => Plan::Adopt { egress, abandoned },
        None => Plan::Begin { abandoned },
    }
}

/// A start in progress.
struct Start<'a> {
    recorder: &'a Recorder,
    caller: &'a Caller,
    deadline: Deadline,
    egresses: Egresses<'a>,
    /// When the room's egresses were asked for.
    asked_at: u64,
    /// The slots that the caller's recordings take.
    taken: Vec<Slot>,
    /// Unique to this start.
    id: String,
}

impl Start<'_> {
    async fn run(
        &self,
        claim: Claim,
        held: Option<RoomItem>,
        running: Vec<Egress>,
    ) -> Result<Started, ApiError> {
        let bucket = self.recorder.bucket.name();
        let plan = match plan(held, running.clone(), bucket, self.asked_at, clock::now()) {
            Plan::Verify { item, egress_id } => {
                if self.is_running(&egress_id).await? {
                    Plan::Refuse { item }
                } else {
                    begin_or_adopt(Some(item), running, bucket)
                }
            }
            plan => plan,
        };
        match plan {
            Plan::Begin { abandoned } => self.begin(claim, abandoned.as_ref()).await,
            Plan::Complete { claim: earlier, egress } => self.complete(&claim, &earlier, &egress).await,
            Plan::Adopt { egress, abandoned } => self.adopt(claim, egress, abandoned.as_ref()).await,
            Plan::Refuse { item } | Plan::Verify { item, .. } => Err(self.already_recording(&item)),
            Plan::Wait { cut_to } => {
                if let Some((item, to)) = cut_to {
                    self.shorten_lease(&item, to).await?;
                }
                Err(self.wait(&claim.room).await)
            }
        }
    }

    /// The normal case: claim the room, start the egress, confirm the claim.
    async fn begin(&self, claim: Claim, abandoned: Option<&RoomItem>) -> Result<Started, ApiError> {
        self.claim(&claim, abandoned).await?;
        let file = self.recorder.bucket.file(&claim);
        let egress = match self.egresses.start(&claim.room, file, RESERVE).await {
            Ok(egress) => egress,
            Err(failure) => self.recover(&claim, failure).await?,
        };
        self.confirm(&claim, &egress).await
    }

    /// Completes an interrupted start. The record keeps what that start requested, like the object in the bucket. A
    /// caller of the same organization and zone gets the recording. Others are refused, but the start is completed.
    async fn complete(&self, new: &Claim, earlier: &Claim, egress: &Egress) -> Result<Started, ApiError> {
        if (&new.organization_id, &new.zone_id) == (&earlier.organization_id, &earlier.zone_id) {
            return self.confirm(earlier, egress).await;
        }
        let confirmation = self.confirmation(earlier, egress, None);
        self.recorder.table.confirm_start(earlier, confirmation).await?;
        Err(self.already_recording_for(earlier.organization_id.as_deref(), Some(&egress.id)))
    }

    /// Turns an egress that the table does not know into the requested recording.
    async fn adopt(
        &self,
        mut claim: Claim,
        egress: Egress,
        abandoned: Option<&RoomItem>,
    ) -> Result<Started, ApiError> {
        let known = self.recorder.table.recording(&egress.id).await?;
        if known.is_some_and(|record| record.stopped_at.is_some() || record.status >= RecordingStatus::Ending)
        {
            // It has been stopped, and LiveKit's list is out of date.
            return self.begin(claim, abandoned).await;
        }
        // The webhook stops an egress whose token is not the room's.
        claim.token = egress.token.clone().unwrap_or(claim.token);
        claim.object_key = egress.object_key.clone().unwrap_or(claim.object_key);
        self.claim(&claim, abandoned).await?;
        self.confirm(&claim, &egress).await
    }

    /// Claims the room, or returns the error for a start that came second.
    async fn claim(&self, claim: &Claim, abandoned: Option<&RoomItem>) -> Result<(), ApiError> {
        if self.deadline.timeout(RESERVE).is_zero() {
            return Err(Reason::DeadlineExceeded.into());
        }
        let slots = self.recorder.slots_per_caller;
        if u64::try_from(self.taken.len()).unwrap_or(u64::MAX) >= slots {
            self.take_back_slots(abandoned).await?;
        }
        let lease_until = clock::now() + LEASE_SECONDS;
        let claimed = match self.recorder.table.claim_room(claim, lease_until, abandoned, slots).await {
            Ok(claimed) => claimed,
            Err(error) => {
                // It may have succeeded although the response was lost.
                self.release(claim).await;
                return Err(error);
            }
        };
        match claimed {
            Claimed::Won => {
                if let Some(abandoned) = abandoned {
                    self.give_back(&abandoned.claim).await;
                }
                Ok(())
            }
            Claimed::Full => Err(Reason::TooManyRecordings.into()),
            Claimed::Held(item) if item.egress_id().is_some() => Err(self.already_recording(&item)),
            Claimed::Held(_) => Err(self.wait(&claim.room).await),
        }
    }

    /// Makes space among the caller's slots, if some are taken by no recording any more. The slot of the claim that
    /// this start replaces is one of them.
    async fn take_back_slots(&self, abandoned: Option<&RoomItem>) -> Result<(), ApiError> {
        let table = &self.recorder.table;
        let rooms = try_join_all(self.taken.iter().map(|slot| table.room(&slot.room))).await?;
        let replaced = abandoned.map(|item| Slot::of(&item.claim));
        let rooms: Vec<_> = rooms
            .into_iter()
            .map(|room| room.filter(|item| replaced != Some(Slot::of(&item.claim))))
            .collect();
        let leaked = slots::leaked(&self.caller.user_id, &self.taken, &rooms, clock::now());
        if leaked.is_empty() {
            return Err(Reason::TooManyRecordings.into());
        }
        table.give_back(&self.caller.user_id, &leaked).await
    }

    /// Gives the slot of a claim back. If that fails, the sweep or a later start does it.
    async fn give_back(&self, claim: &Claim) {
        let given_back = self.recorder.table.give_back(&claim.started_by, &[Slot::of(claim)]).await;
        if let Err(error) = given_back {
            tracing::warn!(cause = error.cause(), "a slot stays taken until it is swept");
        }
    }

    async fn shorten_lease(&self, item: &RoomItem, to: u64) -> Result<(), ApiError> {
        match item.phase {
            Phase::Starting { lease_until } => {
                self.recorder.table.shorten_lease(&item.claim, lease_until, to).await
            }
            Phase::Recording { .. } => Ok(()),
        }
    }

    fn confirmation<'e>(
        &self,
        claim: &Claim,
        egress: &'e Egress,
        announced_to: Option<&'e str>,
    ) -> Confirmation<'e> {
        Confirmation {
            egress_id: &egress.id,
            room_sid: &egress.room_sid,
            announced_to,
            kept_until: self.recorder.retention.kept_until(claim.started_at),
        }
    }

    async fn confirm(&self, claim: &Claim, egress: &Egress) -> Result<Started, ApiError> {
        let confirmation = self.confirmation(claim, egress, Some(&self.id));
        match self.recorder.table.confirm_start(claim, confirmation).await? {
            Confirmed::Yes => Ok(Started { egress_id: egress.id.clone(), started_at: claim.started_at }),
            Confirmed::Held(item) => {
                if item.claim.token != claim.token {
                    // Our claim expired, and the room has another egress: ours is surplus.
                    self.discard(egress).await;
                    self.give_back(claim).await;
                }
                Err(self.already_recording(&item))
            }
            Confirmed::Ended => Err(ApiError::new(Reason::LivekitUnavailable)
                .because("the recording ended before it was confirmed")),
        }
    }

    /// After a failed call to start an egress: returns the egress if it exists all the same, or cleans up the claim.
    async fn recover(&self, claim: &Claim, failure: Failure) -> Result<Egress, ApiError> {
        let leftover = failure.leftover();
        if leftover != Leftover::Nothing
            && let Ok(running) = self.egresses.in_room(&claim.room, WRITE).await
            && let Some(egress) =
                running.into_iter().find(|egress| egress.token.as_ref() == Some(&claim.token))
        {
            return Ok(egress);
        }
        match leftover {
            Leftover::Nothing | Leftover::Listed => self.release(claim).await,
            Leftover::Pending => kept_until_its_lease(self.recorder.table.end_lease(claim).await),
        }
        Err(failure.into_error(Reason::RoomNotFound))
    }

    /// Gives the room and the slot of a claim back.
    async fn release(&self, claim: &Claim) {
        let (released, ()) = tokio::join!(self.recorder.table.release_room(claim), self.give_back(claim));
        kept_until_its_lease(released);
    }

    async fn discard(&self, egress: &Egress) {
        if let Err(error) = self.egresses.stop(&egress.id, Duration::ZERO).await {
            tracing::warn!(egress_id = egress.id, cause = error.cause(), "a surplus egress was not stopped");
        }
    }

    /// Whether an egress that LiveKit does not list is running. If not, its record is completed.
    async fn is_running(&self, egress_id: &str) -> Result<bool, ApiError> {
        let egress = self.egresses.get(egress_id, RESERVE).await?;
        let progress = match egress {
            Some(egress) if egress.is_running() => return Ok(true),
            Some(egress) => egress.progress,
            None => forgotten(),
        };
        self.recorder.table.advance_recording(egress_id, &progress).await?;
        Ok(false)
    }

    /// Polls for the egress of another start in progress, so that the error can carry its id.
    async fn wait(&self, room: &str) -> ApiError {
        for _ in 0..POLLS {
            if self.deadline.timeout(WRITE).is_zero() {
                break;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
            match self.recorder.table.room(room).await {
                Ok(Some(item)) if item.egress_id().is_some() => return self.already_recording(&item),
                Ok(Some(_)) => {}
                Ok(None) => {
                    return ApiError::new(Reason::LivekitBusy).because("the start that held the room failed");
                }
                Err(error) => return error,
            }
        }
        Reason::AlreadyRecording.into()
    }

    #[track_caller]
    fn already_recording(&self, item: &RoomItem) -> ApiError {
        self.already_recording_for(item.claim.organization_id.as_deref(), item.egress_id())
    }

    /// Only callers who may stop the recording get its id: everyone in the room, or its organization.
    #[track_caller]
    fn already_recording_for(&self, organization: Option<&str>, egress_id: Option<&str>) -> ApiError {
        let error = ApiError::new(Reason::AlreadyRecording);
        match egress_id {
            Some(egress_id)
                if self.recorder.policy == Policy::Participants
                    || self.caller.organization_id.as_deref() == organization =>
            {
                error.egress_id(egress_id)
            }
            _ => error,
        }
    }
}

/// Logs that a claim could not be cleaned up.
fn kept_until_its_lease(cleaned_up: Result<(), ApiError>) {
    if let Err(error) = cleaned_up {
        tracing::warn!(cause = error.cause(), "a claim stays until its lease expires");
    }
}

#[cfg(test)]
mod tests {
    use store::recording::Progress;

    use super::*;
    use crate::fixtures;

    const NOW: u64 = 1_752_486_896;

    fn item(phase: Phase) -> RoomItem {
        RoomItem { claim: fixtures::claim(), phase }
    }

    fn starting(lease_until: u64) -> RoomItem {
        item(Phase::Starting { lease_until })
    }

    fn recording(announced_to: Option<&str>) -> RoomItem {
        item(Phase::Recording { egress_id: "EG_1".into(), announced_to: announced_to.map(str::to_owned) })
    }

    fn egress(id: &str, token: &str, bucket: &str, status: RecordingStatus) -> Egress {
        Egress {
            id: id.into(),
            room: "daily".into(),
            room_sid: "RM_1".into(),
            token: Some(token.into()),
            bucket: Some(bucket.into()),
            object_key: None,
            progress: Progress { status, ended_at: None, location: None, error: None },
        }
    }

    fn ours(status: RecordingStatus) -> Egress {
        egress("EG_1", "t1", "ours", status)
    }

    #[test]
    fn a_free_room_is_claimed() {
        assert_eq!(plan(None, Vec::new(), "ours", NOW, NOW), Plan::Begin { abandoned: None });
    }

    #[test]
    fn live_streams_and_other_buckets_are_ignored() {
        let mut stream = egress("EG_2", "t2", "ours", RecordingStatus::Active);
        stream.bucket = None;
        let foreign = egress("EG_3", "t3", "theirs", RecordingStatus::Active);
        assert_eq!(plan(None, vec![stream, foreign], "ours", NOW, NOW), Plan::Begin { abandoned: None });
    }

    #[test]
    fn an_unknown_recording_is_adopted_unless_it_is_ending() {
        let unknown = ours(RecordingStatus::Active);
        assert_eq!(
            plan(None, vec![unknown.clone()], "ours", NOW, NOW),
            Plan::Adopt { egress: unknown, abandoned: None }
        );
        assert_eq!(
            plan(None, vec![ours(RecordingStatus::Ending)], "ours", NOW, NOW),
            Plan::Begin { abandoned: None }
        );
    }

    #[test]
    fn a_start_in_progress_is_waited_for_until_its_lease_expires() {
        assert_eq!(plan(Some(starting(NOW + 1)), Vec::new(), "ours", NOW, NOW), Plan::Wait { cut_to: None });
        let expired = starting(NOW);
        assert_eq!(
            plan(Some(expired.clone()), Vec::new(), "ours", NOW, NOW),
            Plan::Begin { abandoned: Some(expired) }
        );
    }

    #[test]
    fn a_lease_that_ended_while_the_egresses_were_listed_counts() {
        let plan = |asked_at| plan(Some(starting(NOW)), Vec::new(), "ours", asked_at, NOW);
        assert_eq!(plan(NOW - 1), Plan::Wait { cut_to: None });
        assert_eq!(plan(NOW), Plan::Begin { abandoned: Some(starting(NOW)) });
    }

    #[test]
    fn a_lease_by_a_clock_that_is_ahead_is_cut_to_its_own_length_from_now() {
        let lease = |until| plan(Some(starting(until)), Vec::new(), "ours", NOW, NOW);
        assert_eq!(lease(NOW + LEASE_SECONDS), Plan::Wait { cut_to: None });
        let ahead = NOW + 120 + LEASE_SECONDS;
        assert_eq!(lease(ahead), Plan::Wait { cut_to: Some((starting(ahead), NOW + LEASE_SECONDS)) });
    }

    #[test]
    fn a_start_whose_egress_is_running_is_completed_at_once() {
        for lease in [0, NOW + 9] {
            let running = ours(RecordingStatus::Starting);
            assert_eq!(
                plan(Some(starting(lease)), vec![running.clone()], "ours", NOW, NOW),
                Plan::Complete { claim: starting(lease).claim, egress: running }
            );
        }
    }

    #[test]
    fn a_second_start_is_refused_unless_no_response_carried_the_first_egress() {
        let running = ours(RecordingStatus::Active);
        let item = recording(Some("s1"));
        assert_eq!(plan(Some(item.clone()), vec![running.clone()], "ours", NOW, NOW), Plan::Refuse { item });
        assert_eq!(
            plan(Some(recording(None)), vec![running.clone()], "ours", NOW, NOW),
            Plan::Complete { claim: recording(None).claim, egress: running }
        );
    }

    #[test]
    fn an_egress_that_livekit_does_not_list_is_verified() {
        let item = recording(Some("s1"));
        assert_eq!(
            plan(Some(item.clone()), Vec::new(), "ours", NOW, NOW),
            Plan::Verify { item: item.clone(), egress_id: "EG_1".into() }
        );
        assert_eq!(
            plan(Some(item.clone()), vec![ours(RecordingStatus::Ending)], "ours", NOW, NOW),
            Plan::Begin { abandoned: Some(item) }
        );
    }
}
