//! The double's data: rooms, egresses, and the events that they cause.

use std::collections::BTreeMap;
use std::time::Duration;

use livekit_protocol::egress_info::Request;
use livekit_protocol::{EgressInfo, EgressStatus, ParticipantInfo, Room, WebhookEvent};
use tokio::sync::mpsc::UnboundedSender;

use crate::access::SeenToken;
use crate::clock::{epoch_seconds, identifier};
use crate::recording;
use crate::twirp::{Code, Result, TwirpError};

/// Background work that a call causes.
#[derive(Debug)]
pub(crate) enum Task {
    /// Send an event to the webhook.
    Deliver(Box<WebhookEvent>),
    /// Close a room if it is still empty after a while.
    CloseIfEmpty { sid: String, changes: u64, after: Duration },
}

/// A room and its participants in the order of their joins.
pub(crate) struct OpenRoom {
    pub(crate) room: Room,
    pub(crate) participants: Vec<ParticipantInfo>,
    /// Counts joins and leaves, so that a timer knows whether the room has been empty since it was set.
    pub(crate) changes: u64,
}

/// The state of one double. Each change emits its events under the same lock, so they keep their order.
pub(crate) struct State {
    pub(crate) rooms: BTreeMap<String, OpenRoom>,
    /// Oldest first; ended ones stay.
    pub(crate) egresses: Vec<EgressInfo>,
    pub(crate) automatic: bool,
    pub(crate) cloud: bool,
    /// By room and identity: tokens that are valid from an earlier time are revoked. LiveKit Cloud only.
    pub(crate) revoked: BTreeMap<(String, String), i64>,
    pub(crate) tokens: Vec<SeenToken>,
    pub(crate) events: Vec<WebhookEvent>,
    tasks: UnboundedSender<Task>,
}

impl State {
    pub(crate) fn new(automatic: bool, tasks: UnboundedSender<Task>) -> Self {
        let (rooms, egresses, cloud, revoked, tokens, events) = Default::default();
        Self { rooms, egresses, automatic, cloud, revoked, tokens, events, tasks }
    }

    pub(crate) fn room(&self, name: &str) -> Result<Room> {
        let open = self.rooms.get(name).ok_or_else(room_not_found)?;
        let active =
            |info: &EgressInfo| info.room_name == name && info.status() == EgressStatus::EgressActive;
        Ok(Room {
            num_participants: u32::try_from(open.participants.len()).unwrap_or(u32::MAX),
            active_recording: self.egresses.iter().any(active),
            ..open.room.clone()
        })
    }

    pub(crate) fn egress(&self, egress_id: &str) -> Result<&EgressInfo> {
        self.egresses.iter().find(|info| info.egress_id == egress_id).ok_or_else(egress_not_found)
    }

    pub(crate) fn egress_mut(&mut self, egress_id: &str) -> Result<&mut EgressInfo> {
        self.egresses.iter_mut().find(|info| info.egress_id == egress_id).ok_or_else(egress_not_found)
    }

    /// Records an event and schedules its delivery.
    pub(crate) fn emit(&mut self, name: &str, event: WebhookEvent) {
        let event = new_event(name, event);
        self.events.push(event.clone());
        self.schedule(Task::Deliver(Box::new(event)));
    }

    pub(crate) fn schedule(&self, task: Task) {
        // An error means that the double is being dropped.
        let _ = self.tasks.send(task);
    }
}

/// An event with this name, a new id and the current time.
pub(crate) fn new_event(name: &str, event: WebhookEvent) -> WebhookEvent {
    WebhookEvent { event: name.to_owned(), id: identifier("EV_"), created_at: epoch_seconds(), ..event }
}

/// The egress as callers and webhooks see it: without the bucket credentials.
pub(crate) fn redacted(info: &EgressInfo) -> EgressInfo {
    let mut info = info.clone();
    if let Some(Request::RoomComposite(request)) = &mut info.request {
        recording::redact(request);
    }
    info
}

pub(crate) fn room_not_found() -> TwirpError {
    Code::NotFound.error("requested room does not exist")
}

fn egress_not_found() -> TwirpError {
    Code::NotFound.error("egress does not exist")
}
