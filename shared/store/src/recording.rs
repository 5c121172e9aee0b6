//! Recording items.
//!
//! `room#<room>` says which recording a room has. It is written before LiveKit is asked to record, with everything
//! that the record will say, so that an egress whose start was not written down can be completed by whoever finds it:
//! the next start, or LiveKit's webhook.
//!
//! ```text
//! (none) --claim--> starting --confirm--> recording --free--> (none)
//!                      |  ^ claim, once the lease is over or LiveKit says that the egress is
//!                      +--release--> (none)
//! ```
//!
//! `recording#<egress id>` is the record of one recording. It is created in the same transaction that confirms the
//! start, its status only moves forward, and it has no `expires_at`: it is kept.

use std::time::Duration;

use api::{ApiError, Reason, clock};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    CancellationReason, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};

use crate::attributes::{Item, Reader, number, text, texts};
use crate::table::{Table, if_held, unavailable};

/// A room item that nobody frees goes after this time. It only tidies up: a start checks with LiveKit.
const ROOM_ITEM_SECONDS: u64 = 7 * 24 * 60 * 60;

/// How often a transaction is tried that meets another one.
const CONFLICT_ATTEMPTS: u32 = 5;
const CONFLICT_BACKOFF: Duration = Duration::from_millis(40);

/// Where a recording is in its life. It only moves to a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordingStatus {
    /// LiveKit has accepted it.
    Starting,
    /// It records.
    Active,
    /// It has stopped and the file is being completed.
    Ending,
    /// The file is there.
    Ended,
    /// It came to nothing, or broke.
    Failed,
}

/// The start of a recording: what is claimed, and what its record will say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The room, as LiveKit names it.
    pub room: String,
    /// A random word that the egress carries too: it tells whose egress it is.
    pub token: String,
    /// The organization in which the person acted who started it.
    pub organization_id: Option<String>,
    /// The place in the application.
    pub zone_id: String,
    /// The conference's topic.
    pub topic: String,
    /// Who takes part, as the client says.
    pub participants: Vec<String>,
    /// The user id of whoever started it.
    pub started_by: String,
    /// When, in seconds since the Unix epoch.
    pub started_at: u64,
    /// The key of the file in the bucket.
    pub object_key: String,
}

/// A room's recording, or the attempt to start one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomItem {
    /// Who claimed the room, for what.
    pub claim: Claim,
    /// How far it got.
    pub phase: Phase,
}

/// How far a claim got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// LiveKit was or will be asked. Once `lease_until` (seconds since the Unix epoch) is over, nobody is at it any more.
    Starting {
        /// The end of the claim, unless it is confirmed.
        lease_until: u64,
    },
    /// The room has an egress.
    Recording {
        /// LiveKit's id of it.
        egress_id: String,
        /// The start that answered with it; none where LiveKit told us first.
        announced_to: Option<String>,
    },
}

/// An egress that belongs to a claim.
#[derive(Clone, Copy, Debug)]
pub struct Confirmation<'a> {
    /// LiveKit's id of the egress.
    pub egress_id: &'a str,
    /// LiveKit's id of the room: a room that is opened again under the same name has another.
    pub room_sid: &'a str,
    /// The start that will answer with it; none for a webhook.
    pub announced_to: Option<&'a str>,
}

/// How an attempt to claim a room went.
#[derive(Debug)]
pub enum Claimed {
    /// The room is ours.
    Won,
    /// It is somebody else's.
    Held(Box<RoomItem>),
}

/// How an attempt to confirm a start went.
#[derive(Debug)]
pub enum Confirmed {
    /// The room has this egress, and the record is there.
    Yes,
    /// Another start answered with it, or the room has another.
    Held(Box<RoomItem>),
    /// The recording is over already.
    Over,
}

/// What is told about a recording as it moves on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Where it is.
    pub status: RecordingStatus,
    /// When it ended, in seconds since the Unix epoch.
    pub ended_at: Option<u64>,
    /// Where the file is, as LiveKit says.
    pub location: Option<String>,
    /// What went wrong, as LiveKit says.
    pub error: Option<String>,
}

/// What became of a [`Progress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advanced {
    /// It is written.
    Moved,
    /// The recording was there already, or further.
    Stale,
    /// There is no such recording.
    Absent,
}

/// The record of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingItem {
    /// LiveKit's id of the egress.
    pub egress_id: String,
    /// How it was started.
    pub claim: Claim,
    /// Where it is.
    pub status: RecordingStatus,
    /// When somebody stopped it, in seconds since the Unix epoch.
    pub stopped_at: Option<u64>,
    /// The user id of whoever stopped it.
    pub stopped_by: Option<String>,
    /// When it ended, in seconds since the Unix epoch.
    pub ended_at: Option<u64>,
    /// Where the file is, as LiveKit says.
    pub location: Option<String>,
    /// What went wrong, as LiveKit says.
    pub error: Option<String>,
}

impl RecordingStatus {
    const ALL: [Self; 5] = [Self::Starting, Self::Active, Self::Ending, Self::Ended, Self::Failed];

    /// The status as it is stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Active => "active",
            Self::Ending => "ending",
            Self::Ended => "ended",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing follows.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Ended | Self::Failed)
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// The statuses from which a recording moves to this one.
    fn earlier(self) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |status| !status.is_final() && *status < self)
    }
}

impl RoomItem {
    /// The egress that the room has.
    pub fn egress_id(&self) -> Option<&str> {
        match &self.phase {
            Phase::Starting { .. } => None,
            Phase::Recording { egress_id, .. } => Some(egress_id),
        }
    }
}

impl Table {
    /// Reads a room's recording, consistently.
    pub async fn room(&self, room: &str) -> Result<Option<RoomItem>, ApiError> {
        self.read(room_pk(room)).await?.as_ref().map(read_room).transpose()
    }

    /// Reads the record of an egress, consistently.
    pub async fn recording(&self, egress_id: &str) -> Result<Option<RecordingItem>, ApiError> {
        self.read(recording_pk(egress_id)).await?.as_ref().map(read_recording).transpose()
    }

    /// Claims a room until `lease_until`: one conditional write that one of all starts wins. It may replace `seen`,
    /// which is over by the caller's judgement, and nothing that came after it.
    pub async fn claim_room(
        &self,
        claim: &Claim,
        lease_until: u64,
        seen: Option<&RoomItem>,
    ) -> Result<Claimed, ApiError> {
        let mut item = write_claim(claim);
        item.insert("pk".to_owned(), text(room_pk(&claim.room)));
        item.insert("phase".to_owned(), text(STARTING));
        item.insert("lease_until".to_owned(), number(lease_until));
        item.insert("expires_at".to_owned(), number(clock::now() + ROOM_ITEM_SECONDS));
        let mut put = self.client.put_item().table_name(&self.name).set_item(Some(item));
        put = match seen {
            None => put.condition_expression("attribute_not_exists(pk)"),
            Some(seen) => put
                .condition_expression("attribute_not_exists(pk) OR (start_token = :token AND phase = :phase)")
                .expression_attribute_values(":token", text(&seen.claim.token))
                .expression_attribute_values(":phase", text(phase_name(&seen.phase))),
        };
        let result = put
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let error = match result {
            Ok(_) => return Ok(Claimed::Won),
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(failed)) => match failed.item() {
                Some(item) => {
                    let held = read_room(item)?;
                    // The SDK tried again after a lost answer, and met our own claim.
                    let ours =
                        held.claim.token == claim.token && matches!(held.phase, Phase::Starting { .. });
                    Ok(if ours { Claimed::Won } else { Claimed::Held(Box::new(held)) })
                }
                None => Err(ApiError::new(Reason::StoreUnavailable).because("a condition failed on no item")),
            },
            _ => Err(unavailable(error)),
        }
    }

    /// Gives a claim back that LiveKit refused. Nothing is left of it.
    pub async fn release_room(&self, claim: &Claim) -> Result<(), ApiError> {
        let result = self
            .client
            .delete_item()
            .table_name(&self.name)
            .key("pk", text(room_pk(&claim.room)))
            .condition_expression("start_token = :token AND phase = :starting")
            .expression_attribute_values(":token", text(&claim.token))
            .expression_attribute_values(":starting", text(STARTING))
            .send()
            .await;
        if_held(result).map(drop)
    }

    /// Ends the lease of a claim that LiveKit did not answer. The claim stays, for an egress that may yet turn up.
    pub async fn end_lease(&self, claim: &Claim) -> Result<(), ApiError> {
        let result = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(room_pk(&claim.room)))
            .update_expression("SET lease_until = :over")
            .condition_expression("start_token = :token AND phase = :starting")
            .expression_attribute_values(":over", number(0))
            .expression_attribute_values(":token", text(&claim.token))
            .expression_attribute_values(":starting", text(STARTING))
            .send()
            .await;
        if_held(result).map(drop)
    }

    /// Writes down that a claim has its egress: the room's item and the record, both or neither. Of all starts that
    /// find the same egress, one is told yes.
    pub async fn confirm_start(
        &self,
        claim: &Claim,
        confirmation: Confirmation<'_>,
    ) -> Result<Confirmed, ApiError> {
        let room = confirm_room(&self.name, claim, confirmation)?;
        let record = create_recording(&self.name, claim, confirmation.egress_id)?;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let result = self
                .client
                .transact_write_items()
                .transact_items(TransactWriteItem::builder().update(room.clone()).build())
                .transact_items(TransactWriteItem::builder().update(record.clone()).build())
                .send()
                .await;
            let error = match result {
                Ok(_) => return Ok(Confirmed::Yes),
                Err(error) => error,
            };
            let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) =
                error.as_service_error()
            else {
                return Err(unavailable(error));
            };
            let failed = |reason: Option<&CancellationReason>| {
                reason.is_some_and(|reason| reason.code() == Some("ConditionalCheckFailed"))
            };
            let reasons = canceled.cancellation_reasons();
            let (room, record) = (reasons.first(), reasons.get(1));
            if failed(room) {
                let item = room.and_then(CancellationReason::item);
                return match item.filter(|item| !item.is_empty()) {
                    Some(item) => Ok(Confirmed::Held(Box::new(read_room(item)?))),
                    None => Ok(Confirmed::Over),
                };
            }
            if failed(record) {
                return Ok(Confirmed::Over);
            }
            // A webhook about the same egress comes at the same moment.
            let met_another = reasons.iter().any(|reason| reason.code() == Some("TransactionConflict"));
            if !met_another || attempt == CONFLICT_ATTEMPTS {
                return Err(unavailable(error));
            }
            tokio::time::sleep(CONFLICT_BACKOFF * attempt).await;
        }
    }

    /// Frees a room of an egress that is over. A room that has another egress by now keeps it.
    pub async fn free_room(&self, room: &str, egress_id: &str) -> Result<(), ApiError> {
        let result = self
            .client
            .delete_item()
            .table_name(&self.name)
            .key("pk", text(room_pk(room)))
            .condition_expression("egress_id = :egress")
            .expression_attribute_values(":egress", text(egress_id))
            .send()
            .await;
        if_held(result).map(drop)
    }

    /// Frees a room that LiveKit has closed and returns its egress. `room_sid` keeps an old message from freeing the
    /// room that was opened under the same name since.
    pub async fn free_closed_room(&self, room: &str, room_sid: &str) -> Result<Option<String>, ApiError> {
        let result = self
            .client
            .delete_item()
            .table_name(&self.name)
            .key("pk", text(room_pk(room)))
            .condition_expression("room_sid = :sid")
            .expression_attribute_values(":sid", text(room_sid))
            .return_values(ReturnValue::AllOld)
            .send()
            .await;
        let attributes = if_held(result)?.and_then(|output| output.attributes);
        Ok(attributes.and_then(|item| Reader(&item).optional_text("egress_id")))
    }

    /// Moves a recording on. What comes late or twice changes nothing.
    pub async fn advance_recording(
        &self,
        egress_id: &str,
        progress: &Progress,
    ) -> Result<Advanced, ApiError> {
        let earlier: Vec<_> = progress.status.earlier().collect();
        if earlier.is_empty() {
            let exists = self.read(recording_pk(egress_id)).await?.is_some();
            return Ok(if exists { Advanced::Stale } else { Advanced::Absent });
        }
        let mut set = String::from("SET #status = :status");
        let mut update = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(recording_pk(egress_id)))
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":status", text(progress.status.name()));
        let facts = [
            ("ended_at", ":ended", progress.ended_at.map(number)),
            ("file_location", ":location", progress.location.as_ref().map(text)),
            ("failure", ":failure", progress.error.as_ref().map(text)),
        ];
        for (name, placeholder, value) in facts {
            if let Some(value) = value {
                set.push_str(&format!(", {name} = {placeholder}"));
                update = update.expression_attribute_values(placeholder, value);
            }
        }
        let mut names = Vec::new();
        for status in earlier {
            let placeholder = format!(":{}", status.name());
            update = update.expression_attribute_values(&placeholder, text(status.name()));
            names.push(placeholder);
        }
        let result = update
            .update_expression(set)
            .condition_expression(format!("#status IN ({})", names.join(", ")))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let error = match result {
            Ok(_) => return Ok(Advanced::Moved),
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                Ok(if failed.item().is_some() { Advanced::Stale } else { Advanced::Absent })
            }
            _ => Err(unavailable(error)),
        }
    }

    /// Notes who stopped a recording and when, once: it returns the time that was noted first. A recording that was
    /// over before is noted with its end: whoever read that end has answered with it.
    pub async fn note_stop(
        &self,
        egress_id: &str,
        stopped_at: u64,
        stopped_by: &str,
    ) -> Result<u64, ApiError> {
        let mut at = stopped_at;
        loop {
            let result = self
                .client
                .update_item()
                .table_name(&self.name)
                .key("pk", text(recording_pk(egress_id)))
                .update_expression(
                    "SET stopped_at = if_not_exists(stopped_at, :at), stopped_by = if_not_exists(stopped_by, :by)",
                )
                .condition_expression(
                    "attribute_exists(pk) AND \
                     (attribute_exists(stopped_at) OR attribute_not_exists(ended_at) OR ended_at = :at)",
                )
                .expression_attribute_values(":at", number(at))
                .expression_attribute_values(":by", text(stopped_by))
                .return_values(ReturnValue::AllNew)
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
                .send()
                .await;
            let error = match result {
                Ok(output) => {
                    let noted =
                        output.attributes().and_then(|item| Reader(item).optional_number("stopped_at"));
                    return Ok(noted.unwrap_or(at));
                }
                Err(error) => error,
            };
            let ended_at = match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                    failed.item().and_then(|item| Reader(item).optional_number("ended_at"))
                }
                _ => None,
            };
            match ended_at {
                // An end is written once, so that the second attempt holds.
                Some(ended_at) if ended_at != at => at = ended_at,
                _ => return Err(unavailable(error)),
            }
        }
    }
}

const STARTING: &str = "starting";
const RECORDING: &str = "recording";

fn room_pk(room: &str) -> String {
    format!("room#{room}")
}

fn recording_pk(egress_id: &str) -> String {
    format!("recording#{egress_id}")
}

fn phase_name(phase: &Phase) -> &'static str {
    match phase {
        Phase::Starting { .. } => STARTING,
        Phase::Recording { .. } => RECORDING,
    }
}

fn confirm_room(table: &str, claim: &Claim, confirmation: Confirmation<'_>) -> Result<Update, ApiError> {
    let mut set =
        String::from("SET phase = :recording, egress_id = :egress, room_sid = :sid, expires_at = :expires");
    let mut condition = String::from("start_token = :token AND (phase = :starting");
    let mut update = Update::builder()
        .table_name(table)
        .key("pk", text(room_pk(&claim.room)))
        .expression_attribute_values(":recording", text(RECORDING))
        .expression_attribute_values(":starting", text(STARTING))
        .expression_attribute_values(":token", text(&claim.token))
        .expression_attribute_values(":egress", text(confirmation.egress_id))
        .expression_attribute_values(":sid", text(confirmation.room_sid))
        .expression_attribute_values(":expires", number(clock::now() + ROOM_ITEM_SECONDS));
    if let Some(start) = confirmation.announced_to {
        set.push_str(", announced_to = :start");
        condition.push_str(
            " OR (egress_id = :egress AND (attribute_not_exists(announced_to) OR announced_to = :start))",
        );
        update = update.expression_attribute_values(":start", text(start));
    }
    set.push_str(" REMOVE lease_until");
    condition.push(')');
    update
        .update_expression(set)
        .condition_expression(condition)
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .build()
        .map_err(|error| ApiError::new(Reason::Internal).because(error))
}

/// Creates the record; one that is there already keeps what it says, and one that is over is not confirmed again.
fn create_recording(table: &str, claim: &Claim, egress_id: &str) -> Result<Update, ApiError> {
    let mut update = Update::builder().table_name(table).key("pk", text(recording_pk(egress_id)));
    let mut fields = write_claim(claim);
    fields.insert("egress_id".to_owned(), text(egress_id));
    fields.insert("status".to_owned(), text(RecordingStatus::Starting.name()));
    let mut assignments = Vec::new();
    for (name, value) in fields {
        assignments.push(format!("#{name} = if_not_exists(#{name}, :{name})"));
        update = update
            .expression_attribute_names(format!("#{name}"), &name)
            .expression_attribute_values(format!(":{name}"), value);
    }
    update
        .update_expression(format!("SET {}", assignments.join(", ")))
        .condition_expression(
            "attribute_not_exists(pk) OR (#status IN (:status, :active) AND attribute_not_exists(stopped_at))",
        )
        .expression_attribute_values(":active", text(RecordingStatus::Active.name()))
        .build()
        .map_err(|error| ApiError::new(Reason::Internal).because(error))
}

fn write_claim(claim: &Claim) -> Item {
    let organization =
        claim.organization_id.iter().map(|organization| ("organization_id", text(organization)));
    let required = [
        ("room", text(&claim.room)),
        ("start_token", text(&claim.token)),
        ("zone_id", text(&claim.zone_id)),
        ("topic", text(&claim.topic)),
        ("participants", texts(&claim.participants)),
        ("started_by", text(&claim.started_by)),
        ("started_at", number(claim.started_at)),
        ("object_key", text(&claim.object_key)),
    ];
    required.into_iter().chain(organization).map(|(name, value)| (name.to_owned(), value)).collect()
}

fn read_claim(item: &Reader<'_>) -> Result<Claim, ApiError> {
    Ok(Claim {
        room: item.text("room")?,
        token: item.text("start_token")?,
        organization_id: item.optional_text("organization_id"),
        zone_id: item.text("zone_id")?,
        topic: item.text("topic")?,
        participants: item.texts("participants"),
        started_by: item.text("started_by")?,
        started_at: item.number("started_at")?,
        object_key: item.text("object_key")?,
    })
}

fn read_room(item: &Item) -> Result<RoomItem, ApiError> {
    let item = Reader(item);
    let phase = match item.text("phase")?.as_str() {
        RECORDING => Phase::Recording {
            egress_id: item.text("egress_id")?,
            announced_to: item.optional_text("announced_to"),
        },
        _ => Phase::Starting { lease_until: item.number("lease_until")? },
    };
    Ok(RoomItem { claim: read_claim(&item)?, phase })
}

fn read_recording(item: &Item) -> Result<RecordingItem, ApiError> {
    let item = Reader(item);
    let status = RecordingStatus::named(&item.text("status")?)
        .ok_or_else(|| ApiError::new(Reason::Internal).because("a recording has an unknown status"))?;
    Ok(RecordingItem {
        egress_id: item.text("egress_id")?,
        claim: read_claim(&item)?,
        status,
        stopped_at: item.optional_number("stopped_at"),
        stopped_by: item.optional_text("stopped_by"),
        ended_at: item.optional_number("ended_at"),
        location: item.optional_text("file_location"),
        error: item.optional_text("failure"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim() -> Claim {
        Claim {
            room: "daily".into(),
            token: "t1".into(),
            organization_id: Some("org_1".into()),
            zone_id: "1".into(),
            topic: "Weekly".into(),
            participants: vec!["alice".into(), "bob".into()],
            started_by: "user_1".into(),
            started_at: 1_752_486_896,
            object_key: "recordings/org_1/1/daily/1.mp4".into(),
        }
    }

    #[test]
    fn a_claim_survives_its_way_through_the_table() {
        let item = write_claim(&claim());
        assert_eq!(read_claim(&Reader(&item)).unwrap(), claim());
    }

    #[test]
    fn a_status_only_follows_earlier_ones() {
        use RecordingStatus::{Active, Ended, Ending, Failed, Starting};
        assert!(Starting.earlier().next().is_none());
        assert_eq!(Ending.earlier().collect::<Vec<_>>(), [Starting, Active]);
        assert_eq!(Ended.earlier().collect::<Vec<_>>(), [Starting, Active, Ending]);
        assert_eq!(Failed.earlier().collect::<Vec<_>>(), [Starting, Active, Ending]);
    }
}
