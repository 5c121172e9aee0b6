//! A double of LiveKit's HTTP APIs: rooms, participants, room recordings and webhooks, without media.
//!
//! It enforces LiveKit's rules, so that a successful call proves something: each token is verified, each method
//! requires its grant, an identity is in a room once, a recording needs a room and a bucket. If the documentation is
//! silent, behaviour follows the source of livekit/livekit; each module names the files.

mod access;
mod clock;
mod developer;
mod egress;
mod recording;
mod rooms;
mod service;
mod shared;
mod state;
#[cfg(test)]
mod tests;
mod twirp;
mod webhook;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::routing::{any, get};
use bytes::Bytes;
use http::request::Parts;
use livekit_api::access_token::AccessTokenError;
use livekit_protocol::egress_info::Request;
use livekit_protocol::{
    DisconnectReason, EgressInfo, ParticipantInfo, Room, RoomCompositeEgressRequest, WebhookEvent,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinSet;

use crate::access::Keys;
use crate::egress::End;
use crate::shared::Shared;
use crate::state::State;
use crate::webhook::Webhooks;
use local_proxy::FaultProxy;

pub use crate::access::SeenToken;
pub use crate::twirp::{Code, TwirpError};
pub use crate::webhook::{Delivery, WEBHOOK_CONTENT_TYPE, sign_body, sign_webhook};

/// The configuration of a double.
#[derive(Clone)]
pub struct Options {
    /// The API key: the issuer of every token.
    pub api_key: String,
    /// The API secret, which signs every token.
    pub api_secret: String,
    /// The `http` URL of the webhook; see [`LiveKit::set_webhook_url`].
    pub webhook_url: Option<String>,
    /// The wait before a webhook's first retry, doubled before each further one. LiveKit's is one second.
    pub webhook_backoff: Duration,
    /// Whether an egress becomes active as soon as it is started and completes as soon as it is stopped. Otherwise a
    /// test calls [`LiveKit::activate`], [`LiveKit::finish`] or [`LiveKit::fail`].
    pub automatic: bool,
}

impl Default for Options {
    /// LiveKit's development keys, no webhook, automatic egresses.
    fn default() -> Self {
        Self {
            api_key: "devkey".to_owned(),
            api_secret: "secret".to_owned(),
            webhook_url: None,
            webhook_backoff: Duration::from_secs(1),
            automatic: true,
        }
    }
}

/// A running double. Dropping it stops it.
pub struct LiveKit {
    url: String,
    proxy: FaultProxy,
    shared: Arc<Shared>,
    _server: JoinSet<()>,
}

impl std::fmt::Debug for LiveKit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveKit").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Starts a double on `listener`.
pub async fn start(listener: TcpListener, options: Options) -> LiveKit {
    // If `livekit-api` signs first, it installs an HMAC-only provider for the whole process, and RS256 fails from then
    // on. An error means that a provider is installed already.
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();

    let url = listener.local_addr().map(|address| format!("http://{address}")).unwrap_or_default();
    let (tasks, scheduled) = unbounded_channel();
    let shared = Arc::new(Shared {
        keys: Keys { key: options.api_key, secret: options.api_secret },
        state: Mutex::new(State::new(options.automatic, tasks)),
        webhooks: Webhooks::new(options.webhook_url, options.webhook_backoff),
    });
    let router = Router::new()
        .route("/", get(async || "OK"))
        .route("/twirp/{service}/{method}", any(service::serve))
        .merge(developer::routes())
        .with_state(shared.clone());
    let proxy = FaultProxy::default();
    let mut server = JoinSet::new();
    server.spawn(local_proxy::serve(listener, router, proxy.clone(), name_call));
    server.spawn(shared.clone().run(scheduled));
    LiveKit { url, proxy, shared, _server: server }
}

/// The method of a Twirp call, the path of anything else.
fn name_call(parts: &Parts, _: &Bytes) -> String {
    let path = parts.uri.path();
    let method = path.strip_prefix("/twirp/").and_then(|path| path.rsplit_once('/'));
    method.map_or(path, |(_, method)| method).to_owned()
}

impl LiveKit {
    /// The address, e.g. `http://127.0.0.1:7880`: the functions' `LIVEKIT_URL`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Call counts and faults, by Twirp method.
    pub fn proxy(&self) -> &FaultProxy {
        &self.proxy
    }

    /// Sets the URL for events from now on. With `None` they are recorded, but never sent.
    pub fn set_webhook_url(&self, url: Option<String>) {
        *self.shared.webhooks.url.lock().unwrap_or_else(PoisonError::into_inner) = url;
    }

    /// Sets [`Options::automatic`] from now on.
    pub fn set_automatic(&self, automatic: bool) {
        self.shared.state().automatic = automatic;
    }

    /// Behaves as LiveKit Cloud from now on, or as livekit-server: listing the participants of a missing room is
    /// `not_found`, or an empty list; and removing a participant revokes tokens, or none.
    pub fn set_cloud(&self, cloud: bool) {
        self.shared.state().cloud = cloud;
    }

    /// Joins the room of a join token.
    ///
    /// # Errors
    ///
    /// If the token fails to verify or lacks the grant, a room or an identity, or if the room is full.
    pub fn join(&self, token: &str) -> Result<ParticipantInfo, TwirpError> {
        self.shared.join(token)
    }

    /// Leaves a room.
    ///
    /// # Errors
    ///
    /// `not_found` if nobody with that identity is in the room.
    pub fn leave(&self, room: &str, identity: &str) -> Result<(), TwirpError> {
        self.shared.state().leave(room, identity, DisconnectReason::ClientInitiated)
    }

    /// Ends a room: removes its participants and ends its recordings.
    ///
    /// # Errors
    ///
    /// `not_found` if it is not open.
    pub fn end_room(&self, room: &str) -> Result<(), TwirpError> {
        self.shared.state().delete_room(room)
    }

    /// The open rooms, by name.
    pub fn rooms(&self) -> Vec<Room> {
        self.shared.state().list_rooms(&[])
    }

    /// The participants of a room in the order of their joins.
    pub fn participants(&self, room: &str) -> Vec<ParticipantInfo> {
        self.shared.state().rooms.get(room).map(|open| open.participants.clone()).unwrap_or_default()
    }

    /// All egresses, oldest first, as callers see them: bucket credentials are replaced by placeholders.
    pub fn egresses(&self) -> Vec<EgressInfo> {
        self.shared.state().egresses.iter().map(state::redacted).collect()
    }

    /// The request that started an egress, including the bucket credentials.
    pub fn egress_request(&self, egress_id: &str) -> Option<RoomCompositeEgressRequest> {
        match &self.shared.state().egress(egress_id).ok()?.request {
            Some(Request::RoomComposite(request)) => Some(request.clone()),
            _ => None,
        }
    }

    /// Makes a starting egress active.
    pub fn activate(&self, egress_id: &str) {
        self.shared.state().activate(egress_id);
    }

    /// Completes an egress.
    ///
    /// # Errors
    ///
    /// `not_found`, or `failed_precondition` if it has ended.
    pub fn finish(&self, egress_id: &str) -> Result<EgressInfo, TwirpError> {
        self.shared.state().end(egress_id, End::Complete)
    }

    /// Fails an egress.
    ///
    /// # Errors
    ///
    /// As [`LiveKit::finish`].
    pub fn fail(&self, egress_id: &str, error: &str) -> Result<EgressInfo, TwirpError> {
        self.shared.state().end(egress_id, End::Failed(error.to_owned()))
    }

    /// Ends an egress that has reached the maximum duration.
    ///
    /// # Errors
    ///
    /// As [`LiveKit::finish`].
    pub fn reach_limit(&self, egress_id: &str) -> Result<EgressInfo, TwirpError> {
        self.shared.state().end(egress_id, End::LimitReached)
    }

    /// The verified tokens of all Twirp calls so far, including calls that lacked a grant.
    pub fn seen_tokens(&self) -> Vec<SeenToken> {
        self.shared.state().tokens.clone()
    }

    /// All events so far, sent or not.
    pub fn events(&self) -> Vec<WebhookEvent> {
        self.shared.state().events.clone()
    }

    /// The events sent so far, with the responses.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.shared.webhooks.deliveries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until every event so far has been delivered or given up.
    pub async fn webhooks_settled(&self) {
        let settled = |handled: &usize| *handled == self.shared.state().events.len();
        // It cannot fail: the sender lives as long as `self`.
        let _ = self.shared.webhooks.handled.subscribe().wait_for(settled).await;
    }

    /// A new event about an egress as it is now, e.g. `egress_updated`. It is not sent: a test signs and sends it.
    pub fn egress_event(&self, event: &str, egress_id: &str) -> Option<WebhookEvent> {
        let egress_info = Some(state::redacted(self.shared.state().egress(egress_id).ok()?));
        Some(state::new_event(event, WebhookEvent { egress_info, ..WebhookEvent::default() }))
    }

    /// Signs an event with this double's keys: the body to send, and the value of `Authorization`.
    ///
    /// # Errors
    ///
    /// As [`sign_webhook`].
    pub fn sign_webhook(&self, event: &WebhookEvent) -> Result<(String, String), AccessTokenError> {
        sign_webhook(&self.shared.keys.key, &self.shared.keys.secret, event)
    }
}
