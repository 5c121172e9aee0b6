//! Starting a recording: one per room, whatever happens on the way. The crate's documentation has the whole picture.

use std::time::Duration;

use api::{ApiError, Caller, ConfigError, Env, Reason, clock, random};
use livekit::{RoomName, RoomScope};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::Table;
use store::recording::{Claim, Claimed, Confirmation, Confirmed, Phase, RecordingStatus, RoomItem};

use crate::bucket::{Bucket, object_key};
use crate::deadline::{Deadline, WRITE};
use crate::egress::{Egress, forgotten};
use crate::fields::{Participants, Topic, ZoneId};
use crate::policy::Policy;
use crate::server::{Aftermath, Egresses, Failure, Server};

/// A claim that is not confirmed is free after this time: the request that made it has ended by then.
const LEASE_SECONDS: u64 = 9;

/// What is needed after LiveKit was asked to start: to see what runs, and to write.
const RESERVE: Duration = Duration::from_millis(2500);

/// How long, and how often, a start looks at the one that came before it, so that it can answer with the egress.
const WAIT: Duration = Duration::from_millis(200);
const WAITS: u32 = 15;

/// Starts recordings.
#[derive(Debug)]
pub struct Recorder {
    table: Table,
    server: Server,
    scope: RoomScope,
    policy: Policy,
    bucket: Bucket,
}

/// What to record.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "StartRecordingRequest")]
pub struct NewRecording {
    /// The room, as the client names it.
    pub room_name: RoomName,
    /// The place in the application.
    pub zone_id: ZoneId,
    /// The conference's topic.
    #[serde(rename = "conferenceTopic")]
    pub topic: Topic,
    /// Who takes part, as the client says.
    pub participants: Participants,
}

/// A recording that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "StartRecordingResponse")]
pub struct Started {
    /// LiveKit's id of the egress.
    pub egress_id: String,
    /// When it was started, in seconds since the Unix epoch.
    #[serde(rename = "timestamp")]
    pub started_at: u64,
}

impl Recorder {
    /// Reads the configuration.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self {
            table: Table::load(env)?,
            server: Server::load(env)?,
            scope: RoomScope::load(env)?,
            policy: Policy::load(env)?,
            bucket: Bucket::load(env)?,
        })
    }

    /// Starts recording a room, or takes over a start that was not finished.
    ///
    /// # Errors
    /// `already_recording`, with the egress where it belongs to the caller's organization; `room_not_found`,
    /// `not_in_room`, `organization_not_allowed`, `livekit_busy`, `livekit_unavailable`, `store_unavailable`.
    pub async fn start(&self, caller: &Caller, new: &NewRecording) -> Result<Started, ApiError> {
        let deadline = Deadline::begin();
        let room = self.scope.room(caller, &new.room_name)?;
        let egresses = self.server.egresses(deadline)?;
        let (admitted, running, held) = tokio::join!(
            self.policy.admit(&self.server, &room, caller, deadline),
            egresses.of_room(room.as_str(), Duration::ZERO),
            self.table.room(room.as_str()),
        );
        admitted?;
        let (running, held) = (running?, held?);

        let now = clock::now_millis();
        let start = Start { recorder: self, caller, deadline, egresses, id: random_word()? };
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

/// What to do, from what the table and LiveKit say.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    /// Claim the room and start an egress. `over` is the item that may be replaced.
    Begin { over: Option<RoomItem> },
    /// An egress runs whose claim was not confirmed, or which nobody was told of: complete that.
    Complete { claim: Claim, egress: Egress },
    /// An egress runs that the table knows nothing of: claim the room for it.
    Adopt { egress: Egress, over: Option<RoomItem> },
    /// The table says that the room has an egress that LiveKit does not list: ask for it.
    Verify { item: RoomItem, egress_id: String },
    /// The room is being recorded.
    Refuse { item: RoomItem },
    /// Another start is under way.
    Wait,
}

fn plan(held: Option<RoomItem>, running: Vec<Egress>, bucket: &str, now: u64) -> Plan {
    let Some(item) = held else { return take_over(None, running, bucket) };
    match item.phase.clone() {
        Phase::Starting { lease_until } => {
            let own = running
                .iter()
                .find(|egress| egress.runs() && egress.token.as_deref() == Some(item.claim.token.as_str()));
            match own {
                Some(egress) => Plan::Complete { claim: item.claim, egress: egress.clone() },
                None if lease_until > now => Plan::Wait,
                None => take_over(Some(item), running, bucket),
            }
        }
        Phase::Recording { egress_id, announced_to } => {
            match running.iter().find(|egress| egress.id == egress_id) {
                Some(egress) if egress.runs() && announced_to.is_none() => {
                    Plan::Complete { claim: item.claim, egress: egress.clone() }
                }
                Some(egress) if egress.runs() => Plan::Refuse { item },
                Some(_) => take_over(Some(item), running, bucket),
                None => Plan::Verify { item, egress_id },
            }
        }
    }
}

/// The room is free as far as the table goes. An egress that writes the room into our bucket is its recording; any
/// other, such as a live stream, is none of our business.
fn take_over(over: Option<RoomItem>, running: Vec<Egress>, bucket: &str) -> Plan {
    match running.into_iter().find(|egress| egress.runs() && egress.bucket.as_deref() == Some(bucket)) {
        Some(egress) => Plan::Adopt { egress, over },
        None => Plan::Begin { over },
    }
}

/// One start on its way.
struct Start<'a> {
    recorder: &'a Recorder,
    caller: &'a Caller,
    deadline: Deadline,
    egresses: Egresses,
    /// Tells this start from all others.
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
        let plan = match plan(held, running.clone(), bucket, clock::now()) {
            Plan::Verify { item, egress_id } => {
                if self.runs(&egress_id).await? {
                    Plan::Refuse { item }
                } else {
                    take_over(Some(item), running, bucket)
                }
            }
            plan => plan,
        };
        match plan {
            Plan::Begin { over } => self.begin(claim, over.as_ref()).await,
            Plan::Complete { claim: earlier, egress } => self.complete(&claim, &earlier, &egress).await,
            Plan::Adopt { egress, over } => self.adopt(claim, egress, over.as_ref()).await,
            Plan::Refuse { item } | Plan::Verify { item, .. } => Err(self.already(&item)),
            Plan::Wait => Err(self.wait(&claim.room).await),
        }
    }

    /// The usual way: claim, start, confirm.
    async fn begin(&self, claim: Claim, over: Option<&RoomItem>) -> Result<Started, ApiError> {
        self.claim(&claim, over).await?;
        let file = self.recorder.bucket.file(&claim);
        let egress = match self.egresses.start(&claim.room, file, RESERVE).await {
            Ok(egress) => egress,
            Err(failure) => self.settle(&claim, failure).await?,
        };
        self.confirm(&claim, &egress).await
    }

    /// A start whose egress runs and which was not finished. It keeps what its own start said, as the object in the
    /// bucket does. Whoever asks for the same place is answered as if the recording were theirs; others are refused,
    /// and the start is finished all the same.
    async fn complete(&self, new: &Claim, earlier: &Claim, egress: &Egress) -> Result<Started, ApiError> {
        if (&new.organization_id, &new.zone_id) == (&earlier.organization_id, &earlier.zone_id) {
            return self.confirm(earlier, egress).await;
        }
        let confirmation =
            Confirmation { egress_id: &egress.id, room_sid: &egress.room_sid, announced_to: None };
        self.recorder.table.confirm_start(earlier, confirmation).await?;
        Err(self.already_under(earlier.organization_id.as_deref(), Some(&egress.id)))
    }

    /// An egress that the table knows nothing of becomes the recording that was asked for.
    async fn adopt(
        &self,
        mut claim: Claim,
        egress: Egress,
        over: Option<&RoomItem>,
    ) -> Result<Started, ApiError> {
        let known = self.recorder.table.recording(&egress.id).await?;
        if known.is_some_and(|record| record.stopped_at.is_some() || record.status >= RecordingStatus::Ending)
        {
            // It was stopped, and LiveKit is a moment behind.
            return self.begin(claim, over).await;
        }
        // The webhook stops an egress whose token is not the room's.
        claim.token = egress.token.clone().unwrap_or(claim.token);
        claim.object_key = egress.object_key.clone().unwrap_or(claim.object_key);
        self.claim(&claim, over).await?;
        self.confirm(&claim, &egress).await
    }

    /// Claims the room, or is the answer to a start that came second.
    async fn claim(&self, claim: &Claim, over: Option<&RoomItem>) -> Result<(), ApiError> {
        if self.deadline.call(RESERVE).is_zero() {
            return Err(Reason::DeadlineExceeded.into());
        }
        let lease_until = clock::now() + LEASE_SECONDS;
        match self.recorder.table.claim_room(claim, lease_until, over).await? {
            Claimed::Won => Ok(()),
            Claimed::Held(item) if item.egress_id().is_some() => Err(self.already(&item)),
            Claimed::Held(_) => Err(self.wait(&claim.room).await),
        }
    }

    async fn confirm(&self, claim: &Claim, egress: &Egress) -> Result<Started, ApiError> {
        let confirmation =
            Confirmation { egress_id: &egress.id, room_sid: &egress.room_sid, announced_to: Some(&self.id) };
        match self.recorder.table.confirm_start(claim, confirmation).await? {
            Confirmed::Yes => Ok(Started { egress_id: egress.id.clone(), started_at: claim.started_at }),
            Confirmed::Held(item) => {
                if item.claim.token != claim.token {
                    // Our claim ran out and the room has another egress: ours is one too many.
                    self.discard(egress).await;
                }
                Err(self.already(&item))
            }
            Confirmed::Over => Err(ApiError::new(Reason::LivekitUnavailable)
                .because("the recording was over before it was written down")),
        }
    }

    /// A start failed: finds out whether there is an egress all the same, and puts the room in order.
    async fn settle(&self, claim: &Claim, failure: Failure) -> Result<Egress, ApiError> {
        let aftermath = failure.aftermath();
        if aftermath != Aftermath::Nothing
            && let Ok(running) = self.egresses.of_room(&claim.room, WRITE).await
            && let Some(egress) =
                running.into_iter().find(|egress| egress.token.as_ref() == Some(&claim.token))
        {
            return Ok(egress);
        }
        let table = &self.recorder.table;
        let tidied = match aftermath {
            Aftermath::Nothing | Aftermath::Settled => table.release_room(claim).await,
            Aftermath::Open => table.end_lease(claim).await,
        };
        if let Err(error) = tidied {
            tracing::warn!(cause = error.cause(), "a claim waits for its lease to end");
        }
        Err(failure.error(Reason::RoomNotFound))
    }

    async fn discard(&self, egress: &Egress) {
        if let Err(error) = self.egresses.stop(&egress.id, Duration::ZERO).await {
            tracing::warn!(egress_id = egress.id, cause = error.cause(), "a surplus egress was not stopped");
        }
    }

    /// Whether an egress runs that LiveKit does not list; if not, its record is brought to its end.
    async fn runs(&self, egress_id: &str) -> Result<bool, ApiError> {
        let egress = self.egresses.get(egress_id, RESERVE).await?;
        let progress = match egress {
            Some(egress) if egress.runs() => return Ok(true),
            Some(egress) => egress.progress,
            None => forgotten(),
        };
        self.recorder.table.advance_recording(egress_id, &progress).await?;
        Ok(false)
    }

    /// Another start is under way: waits a little for its egress, to answer with it.
    async fn wait(&self, room: &str) -> ApiError {
        for _ in 0..WAITS {
            if self.deadline.call(WRITE).is_zero() {
                break;
            }
            tokio::time::sleep(WAIT).await;
            match self.recorder.table.room(room).await {
                Ok(Some(item)) if item.egress_id().is_some() => return self.already(&item),
                Ok(Some(_)) => {}
                Ok(None) => {
                    return ApiError::new(Reason::LivekitBusy)
                        .because("the start that held the room came to nothing");
                }
                Err(error) => return error,
            }
        }
        Reason::AlreadyRecording.into()
    }

    #[track_caller]
    fn already(&self, item: &RoomItem) -> ApiError {
        self.already_under(item.claim.organization_id.as_deref(), item.egress_id())
    }

    /// The id is of use only to those who may stop the recording.
    #[track_caller]
    fn already_under(&self, organization: Option<&str>, egress_id: Option<&str>) -> ApiError {
        let error = ApiError::new(Reason::AlreadyRecording);
        match egress_id {
            Some(egress_id) if self.caller.organization_id.as_deref() == organization => {
                error.egress_id(egress_id)
            }
            _ => error,
        }
    }
}

/// 128 random bits in hex.
fn random_word() -> Result<String, ApiError> {
    let bytes: [u8; 16] = random::bytes()?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use store::recording::Progress;

    use super::*;

    const NOW: u64 = 1_752_486_896;

    fn item(phase: Phase) -> RoomItem {
        let claim = Claim {
            room: "daily".into(),
            token: "t1".into(),
            organization_id: None,
            zone_id: "1".into(),
            topic: "t".into(),
            participants: Vec::new(),
            started_by: "user_1".into(),
            started_at: NOW,
            object_key: "k".into(),
        };
        RoomItem { claim, phase }
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
        assert_eq!(plan(None, Vec::new(), "ours", NOW), Plan::Begin { over: None });
    }

    #[test]
    fn a_live_stream_or_a_foreign_bucket_does_not_count() {
        let mut stream = egress("EG_2", "t2", "ours", RecordingStatus::Active);
        stream.bucket = None;
        let foreign = egress("EG_3", "t3", "theirs", RecordingStatus::Active);
        assert_eq!(plan(None, vec![stream, foreign], "ours", NOW), Plan::Begin { over: None });
    }

    #[test]
    fn an_unknown_recording_is_adopted_unless_it_is_ending() {
        let unknown = ours(RecordingStatus::Active);
        assert_eq!(
            plan(None, vec![unknown.clone()], "ours", NOW),
            Plan::Adopt { egress: unknown, over: None }
        );
        assert_eq!(plan(None, vec![ours(RecordingStatus::Ending)], "ours", NOW), Plan::Begin { over: None });
    }

    #[test]
    fn a_start_under_way_is_waited_for_until_its_lease_is_over() {
        assert_eq!(plan(Some(starting(NOW + 1)), Vec::new(), "ours", NOW), Plan::Wait);
        let over = starting(NOW);
        assert_eq!(plan(Some(over.clone()), Vec::new(), "ours", NOW), Plan::Begin { over: Some(over) });
    }

    #[test]
    fn a_start_whose_egress_runs_is_completed_at_once() {
        for lease in [0, NOW + 9] {
            let running = ours(RecordingStatus::Starting);
            assert_eq!(
                plan(Some(starting(lease)), vec![running.clone()], "ours", NOW),
                Plan::Complete { claim: starting(lease).claim, egress: running }
            );
        }
    }

    #[test]
    fn a_recorded_room_refuses_and_an_unannounced_recording_is_handed_out() {
        let running = ours(RecordingStatus::Active);
        let item = recording(Some("s1"));
        assert_eq!(plan(Some(item.clone()), vec![running.clone()], "ours", NOW), Plan::Refuse { item });
        assert_eq!(
            plan(Some(recording(None)), vec![running.clone()], "ours", NOW),
            Plan::Complete { claim: recording(None).claim, egress: running }
        );
    }

    #[test]
    fn a_recording_that_livekit_does_not_list_is_asked_for() {
        let item = recording(Some("s1"));
        assert_eq!(
            plan(Some(item.clone()), Vec::new(), "ours", NOW),
            Plan::Verify { item: item.clone(), egress_id: "EG_1".into() }
        );
        assert_eq!(
            plan(Some(item.clone()), vec![ours(RecordingStatus::Ending)], "ours", NOW),
            Plan::Begin { over: Some(item) }
        );
    }

    #[test]
    fn words_are_random() {
        let (one, other) = (random_word().unwrap(), random_word().unwrap());
        assert!(one.len() == 32 && one != other);
    }
}
