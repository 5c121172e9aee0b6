//! Recording items.
//!
//! `room#<room>` is a room's current recording. It is written before the call to LiveKit, with everything that the
//! record will contain: if a start is interrupted, the next start or LiveKit's webhook can complete it.
//!
//! ```text
//! (none) --claim--> starting --confirm--> recording --free--> (none)
//!                      |  ^ claim, once the lease has expired or the egress has ended
//!                      +--release--> (none)
//! ```
//!
//! `recording#<egress id>` is the record of one recording. It is created in the transaction that confirms the start,
//! its status only moves forward, and it expires after its file.
//!
//! `recordings-of#<user id>` is a set of the [`Slot`]s that a user's recordings take. A slot is taken in the transaction
//! that claims the room. It is given back by removing it from the set, so giving it back twice is the same as once.

use api::{ApiError, Reason, clock};
use aws_sdk_dynamodb::types::ReturnValue;

use crate::attributes::{Item, Reader, number, string_set, strings, text};
use crate::table::Table;
use crate::write::{Refused, Step, Write, Written};

/// Room items expire after this time if nothing frees them. This is only cleanup: a start checks with LiveKit.
const ROOM_ITEM_SECONDS: u64 = 7 * 24 * 60 * 60;

/// Claims that nothing confirms expire after this time. By then, LiveKit has forgotten the call to start an egress.
const CLAIM_ITEM_SECONDS: u64 = 60 * 60;

/// The status of a recording. It only moves to a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordingStatus {
    /// LiveKit has accepted it.
    Starting,
    /// It is being recorded.
    Active,
    /// It has stopped, and the file is being completed.
    Ending,
    /// The file is complete.
    Ended,
    /// It failed.
    Failed,
}

/// The start of a recording: the claim to a room and the content of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// LiveKit's name of the room.
    pub room: String,
    /// A random token that the egress carries too: it links the egress to its claim.
    pub token: String,
    /// Organization of the user who started it.
    pub organization_id: Option<String>,
    /// Application-defined area.
    pub zone_id: String,
    /// Topic of the conference.
    pub topic: String,
    /// Participants, as given by the client.
    pub participants: Vec<String>,
    /// User id of the user who started it.
    pub started_by: String,
    /// Time of the start, in seconds since the Unix epoch.
    pub started_at: u64,
    /// Key of the file in the bucket.
    pub object_key: String,
}

/// One of the recordings that a user may run at the same time: a claim, until its egress stops recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The token of the claim.
    pub token: String,
    /// Time of the start, in seconds since the Unix epoch.
    pub started_at: u64,
    /// LiveKit's name of the room.
    pub room: String,
}

/// A room's current recording, or the attempt to start one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomItem {
    /// The claim that holds the room.
    pub claim: Claim,
    /// Its progress.
    pub phase: Phase,
}

/// The progress of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// LiveKit has not confirmed the egress yet.
    Starting {
        /// When the claim is abandoned, in seconds since the Unix epoch.
        lease_until: u64,
    },
    /// The room has an egress.
    Recording {
        /// LiveKit's id of the egress.
        egress_id: String,
        /// The start whose response carried the egress id; `None` if a webhook came first.
        announced_to: Option<String>,
    },
}

/// The egress of a claim.
#[derive(Clone, Copy, Debug)]
pub struct Confirmation<'a> {
    /// LiveKit's id of the egress.
    pub egress_id: &'a str,
    /// LiveKit's id of the room. A room that is opened again under the same name has another id.
    pub room_sid: &'a str,
    /// The start whose response will carry the egress id; `None` for a webhook.
    pub announced_to: Option<&'a str>,
    /// When the record expires, in seconds since the Unix epoch.
    pub kept_until: u64,
}

/// The outcome of [`Table::claim_room`].
#[derive(Debug)]
pub enum Claimed {
    /// The claim holds the room.
    Won,
    /// Another claim holds the room.
    Held(Box<RoomItem>),
    /// The user's slots are all taken.
    Full,
}

/// The outcome of [`Table::confirm_start`].
#[derive(Debug)]
pub enum Confirmed {
    /// The room has this egress, and the record exists.
    Yes,
    /// Another start's response carried the egress id, or the room has another egress.
    Held(Box<RoomItem>),
    /// The recording has already ended.
    Ended,
}

/// News about a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The status.
    pub status: RecordingStatus,
    /// When it ended, in seconds since the Unix epoch.
    pub ended_at: Option<u64>,
    /// Location of the file, from LiveKit.
    pub location: Option<String>,
    /// What went wrong, from LiveKit.
    pub error: Option<String>,
}

/// The outcome of [`Table::advance_recording`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advanced {
    /// The progress is stored, in this record.
    Moved(Box<RecordingItem>),
    /// The recording already has this status or a later one.
    Stale(Box<RecordingItem>),
    /// There is no such recording.
    Absent,
}

/// The record of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingItem {
    /// LiveKit's id of the egress.
    pub egress_id: String,
    /// Its start.
    pub claim: Claim,
    /// Its status.
    pub status: RecordingStatus,
    /// When a user stopped it, in seconds since the Unix epoch.
    pub stopped_at: Option<u64>,
    /// User id of the user who stopped it.
    pub stopped_by: Option<String>,
    /// When it ended, in seconds since the Unix epoch.
    pub ended_at: Option<u64>,
    /// Location of the file, from LiveKit.
    pub location: Option<String>,
    /// What went wrong, from LiveKit.
    pub error: Option<String>,
}

impl RecordingStatus {
    const ALL: [Self; 5] = [Self::Starting, Self::Active, Self::Ending, Self::Ended, Self::Failed];

    /// The stored name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Active => "active",
            Self::Ending => "ending",
            Self::Ended => "ended",
            Self::Failed => "failed",
        }
    }

    /// Whether no status follows.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Ended | Self::Failed)
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// The statuses that this one may follow.
    fn earlier(self) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |status| !status.is_final() && *status < self)
    }
}

impl Slot {
    /// The slot of a claim.
    pub fn of(claim: &Claim) -> Self {
        Self { token: claim.token.clone(), started_at: claim.started_at, room: claim.room.clone() }
    }

    /// The element of the set. Tokens contain no space.
    fn element(&self) -> String {
        format!("{} {} {}", self.token, self.started_at, self.room)
    }

    fn from_element(element: &str) -> Option<Self> {
        let mut parts = element.splitn(3, ' ');
        let (token, started_at, room) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { token: token.to_owned(), started_at: started_at.parse().ok()?, room: room.to_owned() })
    }
}

impl RoomItem {
    /// The room's egress.
    pub fn egress_id(&self) -> Option<&str> {
        match &self.phase {
            Phase::Starting { .. } => None,
            Phase::Recording { egress_id, .. } => Some(egress_id),
        }
    }
}

impl Table {
    /// Reads a room's current recording, strongly consistent.
    ///
    /// # Errors
    /// `store_unavailable`; `internal` if the item is corrupt.
    pub async fn room(&self, room: &str) -> Result<Option<RoomItem>, ApiError> {
        self.get(room_pk(room)).await?.as_ref().map(decode_room).transpose()
    }

    /// Reads the record of an egress, strongly consistent.
    ///
    /// # Errors
    /// As [`Table::room`].
    pub async fn recording(&self, egress_id: &str) -> Result<Option<RecordingItem>, ApiError> {
        self.get(recording_pk(egress_id)).await?.as_ref().map(decode_recording).transpose()
    }

    /// Reads the slots that a user's recordings take, strongly consistent.
    ///
    /// # Errors
    /// As [`Table::room`].
    pub async fn slots(&self, user_id: &str) -> Result<Vec<Slot>, ApiError> {
        let item = self.get(slots_pk(user_id)).await?.unwrap_or_default();
        let item = Reader(&item);
        let elements = item.string_set(SLOTS).iter();
        elements
            .map(|element| {
                Slot::from_element(element)
                    .ok_or_else(|| ApiError::new(Reason::Internal).because("a recording's slot is corrupt"))
            })
            .collect()
    }

    /// Gives slots of a user back. Slots that are not taken change nothing.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn give_back(&self, user_id: &str, slots: &[Slot]) -> Result<(), ApiError> {
        let elements = string_set(slots.iter().map(Slot::element));
        let take = Write::to(slots_pk(user_id)).take(SLOTS, elements).only_if("attribute_exists(pk)");
        self.update(take).await.map(drop)
    }

    /// Claims a room until `lease_until`, and atomically takes one of the user's `slots`. One of all concurrent starts
    /// wins. The claim may replace `abandoned`, but nothing that came after it.
    ///
    /// # Errors
    /// As [`Table::room`].
    pub async fn claim_room(
        &self,
        claim: &Claim,
        lease_until: u64,
        abandoned: Option<&RoomItem>,
        slots: u64,
    ) -> Result<Claimed, ApiError> {
        let mut item = encode_claim(claim);
        item.insert("pk".to_owned(), text(room_pk(&claim.room)));
        item.insert("phase".to_owned(), text(STARTING));
        item.insert("lease_until".to_owned(), number(lease_until));
        item.insert("expires_at".to_owned(), number(clock::now() + CLAIM_ITEM_SECONDS));
        let put = match abandoned {
            None => Write::put(item).only_if("attribute_not_exists(pk)"),
            Some(abandoned) => Write::put(item)
                .only_if("attribute_not_exists(pk) OR (start_token = :token AND phase = :phase)")
                .bind("token", text(&abandoned.claim.token))
                .bind("phase", text(phase_name(&abandoned.phase))),
        };
        match self.transact([Step::Put(put), Step::Update(take_slot(claim, slots))]).await? {
            None => Ok(Claimed::Won),
            Some(Refused { step: 1, .. }) => Ok(Claimed::Full),
            Some(Refused { item: Some(item), .. }) => {
                let held = decode_room(&item)?;
                // The SDK repeats a write whose response was lost; the condition then fails on our own claim.
                let ours = held.claim.token == claim.token && matches!(held.phase, Phase::Starting { .. });
                Ok(if ours { Claimed::Won } else { Claimed::Held(Box::new(held)) })
            }
            Some(Refused { item: None, .. }) => {
                Err(ApiError::new(Reason::StoreUnavailable).because("a condition failed on a missing item"))
            }
        }
    }

    /// Deletes a claim that left no egress behind.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn release_room(&self, claim: &Claim) -> Result<(), ApiError> {
        self.delete(unconfirmed(claim)).await.map(drop)
    }

    /// Ends the lease of a claim whose outcome is unknown. The claim stays, for an egress that may still appear.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn end_lease(&self, claim: &Claim) -> Result<(), ApiError> {
        self.update(unconfirmed(claim).set("lease_until", number(0))).await.map(drop)
    }

    /// Shortens the lease of a claim, unless it has changed since.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn shorten_lease(&self, claim: &Claim, from: u64, to: u64) -> Result<(), ApiError> {
        let shorten = unconfirmed(claim)
            .only_if("start_token = :token AND phase = :starting AND lease_until = :from")
            .bind("from", number(from))
            .set("lease_until", number(to));
        self.update(shorten).await.map(drop)
    }

    /// Stores the egress of a claim: atomically updates the room's item and creates the record. Of all starts that find
    /// the same egress, one gets [`Confirmed::Yes`].
    ///
    /// # Errors
    /// As [`Table::room`].
    pub async fn confirm_start(
        &self,
        claim: &Claim,
        confirmation: Confirmation<'_>,
    ) -> Result<Confirmed, ApiError> {
        let room = Step::Update(confirm_room(claim, confirmation));
        let record = Step::Update(create_recording(claim, confirmation));
        match self.transact([room, record]).await? {
            None => Ok(Confirmed::Yes),
            Some(Refused { step: 0, item: Some(item) }) => Ok(Confirmed::Held(Box::new(decode_room(&item)?))),
            Some(_) => Ok(Confirmed::Ended),
        }
    }

    /// Frees the room of an egress that has ended. A room that has another egress by now keeps it.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn free_room(&self, room: &str, egress_id: &str) -> Result<(), ApiError> {
        let delete =
            Write::to(room_pk(room)).only_if("egress_id = :egress_id").bind("egress_id", text(egress_id));
        self.delete(delete).await.map(drop)
    }

    /// Frees a room that LiveKit has closed, and returns its recording. With `room_sid`, an old message does not free a
    /// room that was opened under the same name since.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn free_closed_room(&self, room: &str, room_sid: &str) -> Result<Option<RoomItem>, ApiError> {
        let delete = Write::to(room_pk(room))
            .only_if("room_sid = :room_sid")
            .bind("room_sid", text(room_sid))
            .returning(ReturnValue::AllOld);
        match self.delete(delete).await? {
            Written::Done(Some(item)) => decode_room(&item).map(Some),
            Written::Done(None) | Written::Refused(_) => Ok(None),
        }
    }

    /// Stores the progress of a recording. Late and repeated news change nothing.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn advance_recording(
        &self,
        egress_id: &str,
        progress: &Progress,
    ) -> Result<Advanced, ApiError> {
        let mut update = Write::to(recording_pk(egress_id)).set("status", text(progress.status.name()));
        let mut earlier = Vec::new();
        for status in progress.status.earlier() {
            earlier.push(format!(":{}", status.name()));
            update = update.bind(status.name(), text(status.name()));
        }
        if earlier.is_empty() {
            let record = self.recording(egress_id).await?;
            return Ok(record.map_or(Advanced::Absent, |record| Advanced::Stale(Box::new(record))));
        }
        for (name, value) in [
            ("ended_at", progress.ended_at.map(number)),
            ("file_location", progress.location.as_ref().map(text)),
            ("failure", progress.error.as_ref().map(text)),
        ] {
            if let Some(value) = value {
                update = update.set(name, value);
            }
        }
        let update =
            update.only_if(format!("#status IN ({})", earlier.join(", "))).returning(ReturnValue::AllNew);
        match self.update(update).await? {
            Written::Done(item) => {
                decode_recording(&item.unwrap_or_default()).map(Box::new).map(Advanced::Moved)
            }
            Written::Refused(Some(item)) => decode_recording(&item).map(Box::new).map(Advanced::Stale),
            Written::Refused(None) => Ok(Advanced::Absent),
        }
    }

    /// Records who stopped a recording and when, once. Returns the recorded time, which is the same for every stop. If
    /// the recording ended before, that is its end: an earlier response may have contained it.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn note_stop(
        &self,
        egress_id: &str,
        stopped_at: u64,
        stopped_by: &str,
    ) -> Result<u64, ApiError> {
        let mut at = stopped_at;
        loop {
            let note = Write::to(recording_pk(egress_id))
                .only_if(
                    "attribute_exists(pk) AND (attribute_exists(stopped_at) \
                     OR attribute_not_exists(ended_at) OR ended_at = :stopped_at)",
                )
                .set_default("stopped_at", number(at))
                .set_default("stopped_by", text(stopped_by))
                .returning(ReturnValue::AllNew);
            let item = match self.update(note).await? {
                Written::Done(item) => {
                    let noted = item.and_then(|item| Reader(&item).optional_number("stopped_at"));
                    return Ok(noted.unwrap_or(at));
                }
                Written::Refused(item) => item,
            };
            match item.and_then(|item| Reader(&item).optional_number("ended_at")) {
                // An end is written once, so the second attempt succeeds.
                Some(ended_at) if ended_at != at => at = ended_at,
                _ => return Err(ApiError::new(Reason::StoreUnavailable).because("the record has vanished")),
            }
        }
    }
}

const STARTING: &str = "starting";
const RECORDING: &str = "recording";

fn room_pk(room: &str) -> String {
    format!("room#{room}")
}

/// The attribute with the elements of [`Slot`].
const SLOTS: &str = "slots";

fn slots_pk(user_id: &str) -> String {
    format!("recordings-of#{user_id}")
}

/// Takes a slot if fewer than `slots` are taken.
fn take_slot(claim: &Claim, slots: u64) -> Write {
    Write::to(slots_pk(&claim.started_by))
        .add(SLOTS, string_set([Slot::of(claim).element()]))
        .set("expires_at", number(clock::now() + ROOM_ITEM_SECONDS))
        .only_if("attribute_not_exists(#slots) OR size(#slots) < :most")
        .bind("most", number(slots))
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

/// A write to the room's item, only if it is this claim and not confirmed.
fn unconfirmed(claim: &Claim) -> Write {
    Write::to(room_pk(&claim.room))
        .only_if("start_token = :token AND phase = :starting")
        .bind("token", text(&claim.token))
        .bind("starting", text(STARTING))
}

fn confirm_room(claim: &Claim, confirmation: Confirmation<'_>) -> Write {
    let update = unconfirmed(claim)
        .set("phase", text(RECORDING))
        .set("egress_id", text(confirmation.egress_id))
        .set("room_sid", text(confirmation.room_sid))
        .set("expires_at", number(clock::now() + ROOM_ITEM_SECONDS))
        .remove("lease_until");
    match confirmation.announced_to {
        None => update,
        // A webhook may have confirmed it already, or a lost attempt of this start.
        Some(start) => update.set("announced_to", text(start)).only_if(
            "start_token = :token AND (phase = :starting OR (egress_id = :egress_id \
             AND (attribute_not_exists(announced_to) OR announced_to = :announced_to)))",
        ),
    }
}

/// Creates the record or keeps the existing one, unless the recording has been stopped or has ended.
fn create_recording(claim: &Claim, confirmation: Confirmation<'_>) -> Write {
    let egress_id = confirmation.egress_id;
    let fields = encode_claim(claim).into_iter().chain([
        ("egress_id".to_owned(), text(egress_id)),
        ("status".to_owned(), text(RecordingStatus::Starting.name())),
        ("expires_at".to_owned(), number(confirmation.kept_until)),
    ]);
    fields
        .fold(Write::to(recording_pk(egress_id)), |update, (name, value)| update.set_default(&name, value))
        .only_if(
            "attribute_not_exists(pk) OR (#status IN (:status, :active) AND attribute_not_exists(stopped_at))",
        )
        .bind("active", text(RecordingStatus::Active.name()))
}

fn encode_claim(claim: &Claim) -> Item {
    let organization =
        claim.organization_id.iter().map(|organization| ("organization_id", text(organization)));
    let required = [
        ("room", text(&claim.room)),
        ("start_token", text(&claim.token)),
        ("zone_id", text(&claim.zone_id)),
        ("topic", text(&claim.topic)),
        ("participants", strings(&claim.participants)),
        ("started_by", text(&claim.started_by)),
        ("started_at", number(claim.started_at)),
        ("object_key", text(&claim.object_key)),
    ];
    required.into_iter().chain(organization).map(|(name, value)| (name.to_owned(), value)).collect()
}

fn decode_claim(item: &Reader<'_>) -> Result<Claim, ApiError> {
    Ok(Claim {
        room: item.text("room")?,
        token: item.text("start_token")?,
        organization_id: item.optional_text("organization_id"),
        zone_id: item.text("zone_id")?,
        topic: item.text("topic")?,
        participants: item.strings("participants"),
        started_by: item.text("started_by")?,
        started_at: item.number("started_at")?,
        object_key: item.text("object_key")?,
    })
}

fn decode_room(item: &Item) -> Result<RoomItem, ApiError> {
    let item = Reader(item);
    let phase = match item.text("phase")?.as_str() {
        RECORDING => Phase::Recording {
            egress_id: item.text("egress_id")?,
            announced_to: item.optional_text("announced_to"),
        },
        _ => Phase::Starting { lease_until: item.number("lease_until")? },
    };
    Ok(RoomItem { claim: decode_claim(&item)?, phase })
}

fn decode_recording(item: &Item) -> Result<RecordingItem, ApiError> {
    let item = Reader(item);
    let status = RecordingStatus::named(&item.text("status")?)
        .ok_or_else(|| ApiError::new(Reason::Internal).because("a recording's status is unknown"))?;
    Ok(RecordingItem {
        egress_id: item.text("egress_id")?,
        claim: decode_claim(&item)?,
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
    fn a_claim_survives_encoding() {
        let item = encode_claim(&claim());
        assert_eq!(decode_claim(&Reader(&item)).unwrap(), claim());
    }

    #[test]
    fn a_slot_survives_encoding() {
        let claim = Claim { room: "org_1:a room".into(), ..claim() };
        let slot = Slot::of(&claim);
        assert_eq!(Slot::from_element(&slot.element()), Some(slot));
    }

    #[test]
    fn a_status_follows_earlier_ones_only() {
        use RecordingStatus::{Active, Ended, Ending, Failed, Starting};
        assert!(Starting.earlier().next().is_none());
        assert_eq!(Ending.earlier().collect::<Vec<_>>(), [Starting, Active]);
        assert_eq!(Ended.earlier().collect::<Vec<_>>(), [Starting, Active, Ending]);
        assert_eq!(Failed.earlier().collect::<Vec<_>>(), [Starting, Active, Ending]);
    }
}
