//! What LiveKit knows: rooms, egresses, and what it has told its webhook.

use std::collections::BTreeMap;
use std::time::Duration;

use livekit_protocol::{EgressInfo, WebhookEvent};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use super::access::SeenToken;
use super::clock::{epoch_seconds, identifier};
use super::rooms::OpenRoom;

/// Something to do after the call that caused it, in order.
#[derive(Debug)]
pub(super) enum Task {
    /// Send an event to the webhook.
    Deliver(Box<WebhookEvent>),
    /// Look after a while whether a room is still empty.
    CloseIfEmpty { sid: String, changes: u64, after: Duration },
}

/// The state of one double. Every change tells its events under the same lock, so that they keep their order.
pub(super) struct State {
    pub(super) rooms: BTreeMap<String, OpenRoom>,
    /// Oldest first; ended ones stay.
    pub(super) egresses: Vec<EgressInfo>,
    /// Whether egresses start and end by themselves.
    pub(super) automatic: bool,
    /// Whether a room that does not exist is an error to list.
    pub(super) cloud: bool,
    pub(super) tokens: Vec<SeenToken>,
    pub(super) events: Vec<WebhookEvent>,
    tasks: UnboundedSender<Task>,
    /// How many events are told and not yet delivered or given up.
    pending: watch::Sender<usize>,
}

impl State {
    pub(super) fn new(
        automatic: bool,
        cloud: bool,
        tasks: UnboundedSender<Task>,
        pending: watch::Sender<usize>,
    ) -> Self {
        Self {
            rooms: BTreeMap::new(),
            egresses: Vec::new(),
            automatic,
            cloud,
            tokens: Vec::new(),
            events: Vec::new(),
            tasks,
            pending,
        }
    }

    /// Names, numbers and dates an event, and has it delivered.
    pub(super) fn tell(&mut self, name: &str, event: WebhookEvent) {
        let event = date(name, event);
        self.events.push(event.clone());
        self.pending.send_modify(|pending| *pending += 1);
        self.schedule(Task::Deliver(Box::new(event)));
    }

    pub(super) fn schedule(&self, task: Task) {
        // The receiver ends with the double, and nobody is left to tell then.
        let _ = self.tasks.send(task);
    }
}

/// Gives an event its name, a new id and the current time.
pub(super) fn date(name: &str, event: WebhookEvent) -> WebhookEvent {
    WebhookEvent { event: name.to_owned(), id: identifier("EV_"), created_at: epoch_seconds(), ..event }
}
