//! What the server, the handle and the background work share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use livekit_protocol::{ParticipantInfo, WebhookEvent};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use crate::access::Keys;
use crate::state::{State, Task};
use crate::twirp::{Code, TwirpError};
use crate::webhook::Webhooks;

pub(crate) struct Shared {
    pub(crate) keys: Keys,
    pub(crate) state: Mutex<State>,
    pub(crate) webhooks: Webhooks,
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn join(&self, token: &str) -> Result<ParticipantInfo, TwirpError> {
        let claims = self.keys.verify(token).map_err(|message| Code::Unauthenticated.error(message))?;
        self.state().join(&claims)
    }

    /// Runs the background tasks. Events of one egress or room are sent one after the other.
    pub(crate) async fn run(self: Arc<Self>, mut tasks: UnboundedReceiver<Task>) {
        let mut running = JoinSet::new();
        let mut queues: HashMap<String, UnboundedSender<WebhookEvent>> = HashMap::new();
        while let Some(task) = tasks.recv().await {
            while running.try_join_next().is_some() {}
            let shared = self.clone();
            match task {
                Task::Deliver(event) => {
                    let queue = queues.entry(resource(&event)).or_insert_with(|| {
                        let (queue, mut events) = unbounded_channel();
                        running.spawn(async move {
                            while let Some(event) = events.recv().await {
                                shared.webhooks.deliver(&shared.keys, event).await;
                            }
                        });
                        queue
                    });
                    // The receiver runs as long as this loop.
                    let _ = queue.send(*event);
                }
                Task::CloseIfEmpty { sid, changes, after } => {
                    running.spawn(async move {
                        tokio::time::sleep(after).await;
                        shared.state().close_if_empty(&sid, changes);
                    });
                }
            }
        }
    }
}

/// The egress or room that an event is about.
fn resource(event: &WebhookEvent) -> String {
    let room = event.room.as_ref().map(|room| &room.name);
    event.egress_info.as_ref().map(|egress| &egress.egress_id).or(room).cloned().unwrap_or_default()
}
