//! Signs and sends webhooks as WorkOS does.
//!
//! The body is the event. `WorkOS-Signature` is `t=<milliseconds>, v1=<hex>`, with the HMAC-SHA256 of `<t>.<body>`. No
//! response and every status but 2xx are retried, with a new signature each time. Nothing orders the webhooks: each is
//! sent by itself. Source: <https://workos.com/docs/events/data-syncing/webhooks>.

use std::fmt::{self, Write as _};
use std::mem;
use std::time::Duration;

use aws_lc_rs::hmac;
use http::header::CONTENT_TYPE;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::clock::Timestamp;
use super::events::Event;
use super::state::{Service, State};

/// WorkOS retries for three days, in a staging environment for minutes.
const ATTEMPTS: usize = 6;
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// Where and how events are sent.
#[derive(Clone)]
pub struct Webhooks {
    /// The URL of the endpoint. Without one, events are only logged.
    pub url: Option<String>,
    /// The secret that signs.
    pub secret: String,
    /// The names of the events that the endpoint has subscribed to; all of them if empty.
    pub events: Vec<&'static str>,
    /// The wait before the first retry, doubled before each further one.
    pub backoff: Duration,
    /// Receives every delivery after each of its attempts. [`WorkOs::deliveries`](crate::WorkOs::deliveries) keeps
    /// them as well.
    pub log: Option<UnboundedSender<Delivery>>,
}

impl Default for Webhooks {
    fn default() -> Self {
        Self {
            url: None,
            secret: "whsec_local".to_owned(),
            events: Vec::new(),
            backoff: Duration::from_secs(1),
            log: None,
        }
    }
}

/// Without the secret.
impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A sent event and the outcome of each attempt so far.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The event.
    pub event: Event,
    /// The URL that it is sent to.
    pub url: String,
    /// The HTTP status of each attempt; `None` if there was no response.
    pub statuses: Vec<Option<u16>>,
}

impl Delivery {
    /// Whether the endpoint has accepted the event.
    pub fn is_done(&self) -> bool {
        self.statuses.last().copied().flatten().is_some_and(|status| (200..300).contains(&status))
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "webhook {} to {}: ", self.event.name, self.url)?;
        match self.statuses.last() {
            Some(Some(status)) => write!(f, "{status}"),
            _ => f.write_str("no response"),
        }?;
        if self.is_done() { Ok(()) } else { write!(f, " (attempt {} of {ATTEMPTS})", self.statuses.len()) }
    }
}

/// The value of `WorkOS-Signature` for a body sent at a time in milliseconds since the Unix epoch.
pub fn sign_webhook(secret: &str, milliseconds: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{milliseconds}.{body}").as_bytes());
    let hex = tag.as_ref().iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    format!("t={milliseconds}, v1={hex}")
}

/// The events on their way.
#[derive(Default)]
pub(super) struct Outbox {
    /// None before the double is started: the seed makes no webhooks.
    pub(super) queue: Option<UnboundedSender<Event>>,
    /// The events held back, if any are.
    pub(super) held: Option<Vec<Event>>,
    /// How many of the next events are lost.
    pub(super) lose: usize,
    pub(super) deliveries: Vec<Delivery>,
    /// The number of events that are neither delivered nor given up.
    pub(super) pending: watch::Sender<usize>,
}

impl State {
    /// Sends an event, unless the endpoint has not subscribed to it, or it is held back or lost.
    pub(super) fn post(&mut self, event: Event) {
        let Webhooks { url, events, .. } = &self.options.webhooks;
        let subscribed = url.is_some() && (events.is_empty() || events.contains(&event.name));
        if !subscribed || self.outbox.queue.is_none() {
            return;
        }
        if self.outbox.lose > 0 {
            self.outbox.lose -= 1;
        } else if let Some(held) = &mut self.outbox.held {
            held.push(event);
        } else {
            self.send_event(event);
        }
    }

    /// Sends an event in any case.
    pub(super) fn send_event(&mut self, event: Event) {
        if let Some(queue) = &self.outbox.queue {
            self.outbox.pending.send_modify(|pending| *pending += 1);
            // The receiver runs as long as the server.
            let _ = queue.send(event);
        }
    }

    /// Stops holding events back; returns them.
    pub(super) fn take_held(&mut self) -> Vec<Event> {
        mem::take(&mut self.outbox.held).unwrap_or_default()
    }
}

/// Sends the events until the future is dropped.
pub(super) async fn run(service: Service, mut events: UnboundedReceiver<Event>) {
    let (client, mut running) = (local_http::client(), JoinSet::new());
    while let Some(event) = events.recv().await {
        // Free the deliveries that have ended.
        while running.try_join_next().is_some() {}
        let (service, client) = (service.clone(), client.clone());
        running.spawn(async move {
            deliver(&service, &client, event).await;
            service.state().outbox.pending.send_modify(|pending| *pending -= 1);
        });
    }
}

async fn deliver(service: &Service, client: &reqwest::Client, event: Event) {
    let Webhooks { url, secret, mut backoff, log, .. } = service.state().options.webhooks.clone();
    let Some(url) = url else { return };
    let body = event.body();
    let mut delivery = Delivery { event, url, statuses: Vec::new() };
    let place = service.state().outbox.add(delivery.clone());
    while !delivery.is_done() && delivery.statuses.len() < ATTEMPTS {
        if !delivery.statuses.is_empty() {
            tokio::time::sleep(backoff.min(MAX_BACKOFF)).await;
            backoff = backoff.saturating_mul(2);
        }
        let signature = sign_webhook(&secret, Timestamp::now().0, &body);
        delivery.statuses.push(attempt(client, &delivery.url, body.clone(), signature).await);
        service.state().outbox.update(place, delivery.clone());
        if let Some(log) = &log {
            // A closed receiver is fine: the list still has the delivery.
            let _ = log.send(delivery.clone());
        }
    }
}

async fn attempt(client: &reqwest::Client, url: &str, body: String, signature: String) -> Option<u16> {
    let request = client.post(url).timeout(ATTEMPT_TIMEOUT).body(body);
    let request = request.header("workos-signature", signature).header(CONTENT_TYPE, "application/json");
    let response = request.send().await.ok()?;
    let status = response.status().as_u16();
    response.bytes().await.ok().map(|_| status)
}

impl Outbox {
    fn add(&mut self, delivery: Delivery) -> usize {
        self.deliveries.push(delivery);
        self.deliveries.len() - 1
    }

    fn update(&mut self, place: usize, delivery: Delivery) {
        if let Some(old) = self.deliveries.get_mut(place) {
            *old = delivery;
        }
    }
}
