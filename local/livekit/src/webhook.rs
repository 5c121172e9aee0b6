//! Webhooks: signed and sent as LiveKit does.
//!
//! The body is the event as protobuf JSON with content type `application/webhook+json`. `Authorization` is a bare
//! token, without `Bearer`, of five minutes whose claim `sha256` is the base64 of the body's SHA-256. Events of one
//! egress, or of one room, are sent one after the other; a refused connection, 429 and 5xx but 501 are tried four times
//! more. Source: `webhook/resource_url_notifier.go` of livekit/protocol, which sends with hashicorp/go-retryablehttp.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use livekit_api::access_token::Claims;
use livekit_protocol::WebhookEvent;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Shared;
use super::access::Keys;
use super::clock::epoch_seconds;
use super::state::Task;

const TOKEN_LIFE_SECONDS: i64 = 300;
const ATTEMPTS: u32 = 5;
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// The content type of a webhook.
pub const WEBHOOK_CONTENT_TYPE: &str = "application/webhook+json";

/// An event that was sent, and how each attempt ended.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The event.
    pub event: WebhookEvent,
    /// Where it was sent.
    pub url: String,
    /// The HTTP status of each attempt; `None` where no answer came.
    pub statuses: Vec<Option<u16>>,
}

/// Signs an event with any key: the body to send, and the value of `Authorization`.
pub fn sign_webhook(
    api_key: &str,
    api_secret: &str,
    event: &WebhookEvent,
) -> Result<(String, String), jsonwebtoken::errors::Error> {
    let body = serde_json::to_string(event)?;
    let authorization = sign_body(api_key, api_secret, &body)?;
    Ok((body, authorization))
}

/// The `Authorization` of any body.
pub fn sign_body(api_key: &str, api_secret: &str, body: &str) -> Result<String, jsonwebtoken::errors::Error> {
    let now = epoch_seconds();
    let seconds = |epoch: i64| usize::try_from(epoch).unwrap_or_default();
    let claims = Claims {
        iss: api_key.to_owned(),
        nbf: seconds(now),
        exp: seconds(now + TOKEN_LIFE_SECONDS),
        sha256: STANDARD.encode(Sha256::digest(body)),
        ..Claims::default()
    };
    Keys { key: api_key.to_owned(), secret: api_secret.to_owned() }.sign(&claims)
}

/// Who carries the events.
pub(super) struct Courier {
    keys: Keys,
    client: Client<HttpConnector, Full<Bytes>>,
    backoff: Duration,
    url: Mutex<Option<String>>,
    deliveries: Mutex<Vec<Delivery>>,
    /// How many events are told and not yet delivered or given up.
    pending: watch::Sender<usize>,
}

impl Courier {
    pub(super) fn new(
        keys: Keys,
        url: Option<String>,
        backoff: Duration,
        pending: watch::Sender<usize>,
    ) -> Self {
        Self {
            keys,
            client: Client::builder(TokioExecutor::new()).build_http(),
            backoff,
            url: Mutex::new(url),
            deliveries: Mutex::default(),
            pending,
        }
    }

    pub(super) fn set_url(&self, url: Option<String>) {
        *self.url.lock().unwrap_or_else(PoisonError::into_inner) = url;
    }

    pub(super) fn deliveries(&self) -> Vec<Delivery> {
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) async fn settled(&self) {
        // An error means that the sender is gone, and this is the sender.
        let _ = self.pending.subscribe().wait_for(|pending| *pending == 0).await;
    }

    async fn deliver(&self, event: WebhookEvent) {
        let url = self.url.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(url) = url
            && let Ok((body, authorization)) = sign_webhook(&self.keys.key, &self.keys.secret, &event)
        {
            let statuses = self.send(&url, &Bytes::from(body), &authorization).await;
            self.deliveries.lock().unwrap_or_else(PoisonError::into_inner).push(Delivery {
                event,
                url,
                statuses,
            });
        }
        self.pending.send_modify(|pending| *pending = pending.saturating_sub(1));
    }

    async fn send(&self, url: &str, body: &Bytes, authorization: &str) -> Vec<Option<u16>> {
        let mut statuses = Vec::new();
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(self.backoff.saturating_mul(1 << (attempt - 1)).min(MAX_BACKOFF)).await;
            }
            let status =
                tokio::time::timeout(ATTEMPT_TIMEOUT, self.attempt(url, body.clone(), authorization))
                    .await
                    .ok()
                    .flatten();
            statuses.push(status.map(|status| status.as_u16()));
            let again = status.is_none_or(|status| {
                status == StatusCode::TOO_MANY_REQUESTS
                    || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
            });
            if !again {
                break;
            }
        }
        statuses
    }

    async fn attempt(&self, url: &str, body: Bytes, authorization: &str) -> Option<StatusCode> {
        let request = Request::post(url)
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_TYPE, WEBHOOK_CONTENT_TYPE)
            .body(Full::new(body))
            .ok()?;
        let response = self.client.request(request).await.ok()?;
        let status = response.status();
        response.into_body().collect().await.ok()?;
        Some(status)
    }
}

/// Does what calls leave behind, until the double ends.
pub(super) async fn work(shared: Arc<Shared>, mut tasks: UnboundedReceiver<Task>) {
    let mut running = JoinSet::new();
    let mut queues: HashMap<String, UnboundedSender<WebhookEvent>> = HashMap::new();
    while let Some(task) = tasks.recv().await {
        while running.try_join_next().is_some() {}
        match task {
            Task::Deliver(event) => {
                let queue = queues.entry(resource(&event)).or_insert_with(|| {
                    let (sender, mut events) = unbounded_channel();
                    let shared = shared.clone();
                    running.spawn(async move {
                        while let Some(event) = events.recv().await {
                            shared.courier.deliver(event).await;
                        }
                    });
                    sender
                });
                // The queue lives as long as this loop.
                let _ = queue.send(*event);
            }
            Task::CloseIfEmpty { sid, changes, after } => {
                let shared = shared.clone();
                running.spawn(async move {
                    tokio::time::sleep(after).await;
                    shared.state().close_if_empty(&sid, changes);
                });
            }
        }
    }
}

/// What an event is about: events of one resource keep their order, and others do not wait for them.
fn resource(event: &WebhookEvent) -> String {
    match (&event.egress_info, &event.room) {
        (Some(egress), _) => egress.egress_id.clone(),
        (None, Some(room)) => room.name.clone(),
        (None, None) => String::new(),
    }
}
