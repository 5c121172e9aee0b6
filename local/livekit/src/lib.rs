//! LiveKit, as far as its HTTP APIs go: rooms, participants, room recordings and webhooks, with no media.
//!
//! It enforces what LiveKit enforces, so that a call that succeeds proves something: every token is verified, every
//! method demands its grant, an identity is in a room once, a recording needs a room and a bucket and lives through its
//! states. Answers follow livekit/livekit's source where the documentation is silent; each module names it.
//!
//! | module | contract |
//! |---|---|
//! | `access` | tokens and grants |
//! | `twirp` | encodings and errors |
//! | `service` | the methods |
//! | `rooms`, `egress`, `recording` | what the methods do |
//! | `webhook` | signing and sending events |
//! | `developer` | entering a room and ending things by hand |

mod access;
mod clock;
mod developer;
mod egress;
mod recording;
mod rooms;
mod service;
mod state;
#[cfg(test)]
mod tests;
mod twirp;
mod webhook;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::routing::{any, get};
use bytes::Bytes;
use http::request::Parts;
use livekit_protocol::egress_info::Request;
use livekit_protocol::{
    DisconnectReason, EgressInfo, ParticipantInfo, Room, RoomCompositeEgressRequest, WebhookEvent,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::access::Keys;
use self::egress::End;
use self::state::State;
use self::webhook::Courier;
use local_proxy::FaultProxy;

pub use self::access::SeenToken;
pub use self::twirp::{Code, TwirpError};
pub use self::webhook::{Delivery, WEBHOOK_CONTENT_TYPE, sign_body, sign_webhook};

/// How a double is set up.
#[derive(Clone)]
pub struct Options {
    /// The API key: the issuer of every token.
    pub api_key: String,
    /// The API secret, under which every token is signed.
    pub api_secret: String,
    /// Where events are sent, an `http` URL; see [`LiveKit::set_webhook_url`].
    pub webhook_url: Option<String>,
    /// The wait before a webhook's second attempt; it doubles from there. LiveKit's is one second.
    pub webhook_backoff: Duration,
    /// Whether an egress becomes active once it is started and completes once it is stopped. Without it, a test moves
    /// each by hand: [`LiveKit::activate`], [`LiveKit::finish`], [`LiveKit::fail`].
    pub automatic: bool,
    /// Answers as LiveKit Cloud where it differs from livekit-server: to list who is in a room that does not exist is
    /// `not_found` there and an empty list here.
    pub cloud: bool,
}

impl Default for Options {
    /// LiveKit's own development keys, no webhook, and a life cycle that moves by itself.
    fn default() -> Self {
        Self {
            api_key: "devkey".to_owned(),
            api_secret: "secret".to_owned(),
            webhook_url: None,
            webhook_backoff: Duration::from_secs(1),
            automatic: true,
            cloud: false,
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("api_key", &self.api_key)
            .field("webhook_url", &self.webhook_url)
            .field("webhook_backoff", &self.webhook_backoff)
            .field("automatic", &self.automatic)
            .field("cloud", &self.cloud)
            .finish_non_exhaustive()
    }
}

/// What the server, the handle and the couriers share.
struct Shared {
    keys: Keys,
    state: Mutex<State>,
    courier: Courier,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&self, token: &str) -> Result<ParticipantInfo, TwirpError> {
        let claims = self
            .keys
            .verify(token)
            .map_err(|refused| TwirpError::new(Code::Unauthenticated, refused.into_message()))?;
        self.state().join(&claims)
    }
}

/// A running double; it ends when this handle is dropped.
pub struct LiveKit {
    url: String,
    proxy: FaultProxy,
    shared: Arc<Shared>,
    /// Ends the server when it is dropped.
    _server: JoinSet<()>,
}

impl std::fmt::Debug for LiveKit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveKit").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Starts a double on `listener`.
pub async fn start(listener: TcpListener, options: Options) -> LiveKit {
    // `livekit-api` installs an HMAC-only provider for the whole process when it signs first, and RS256 would be
    // refused from then on. An error means that a provider is there already.
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();

    let url = listener.local_addr().map(|address| format!("http://{address}")).unwrap_or_default();
    let keys = Keys { key: options.api_key, secret: options.api_secret };
    let (tasks, received) = unbounded_channel();
    let (pending, _) = watch::channel(0);
    let shared = Arc::new(Shared {
        keys: keys.clone(),
        state: Mutex::new(State::new(options.automatic, options.cloud, tasks, pending.clone())),
        courier: Courier::new(keys, options.webhook_url, options.webhook_backoff, pending),
    });
    let router = Router::new()
        .route("/", get(async || "OK"))
        .route("/twirp/{service}/{method}", any(service::serve))
        .merge(developer::routes())
        .with_state(shared.clone());
    let proxy = FaultProxy::default();
    let mut server = JoinSet::new();
    server.spawn({
        let (proxy, shared) = (proxy.clone(), shared.clone());
        async move {
            tokio::join!(
                local_proxy::serve(listener, router, proxy, name_call),
                webhook::work(shared, received)
            );
        }
    });
    LiveKit { url, proxy, shared, _server: server }
}

/// A Twirp call is named by its method, anything else by its path.
fn name_call(parts: &Parts, _: &Bytes) -> String {
    let path = parts.uri.path();
    match path.strip_prefix("/twirp/").and_then(|rest| rest.rsplit_once('/')) {
        Some((_, method)) => method.to_owned(),
        None => path.to_owned(),
    }
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

    /// Sends events here from now on; `None` keeps them back for good.
    pub fn set_webhook_url(&self, url: Option<String>) {
        self.shared.courier.set_url(url);
    }

    /// Whether egresses move by themselves from now on.
    pub fn set_automatic(&self, automatic: bool) {
        self.shared.state().automatic = automatic;
    }

    /// Whether it answers as LiveKit Cloud from now on; see [`Options::cloud`].
    pub fn set_cloud(&self, cloud: bool) {
        self.shared.state().cloud = cloud;
    }

    /// Enters the room that a join token names; the token is verified as LiveKit does.
    pub fn join(&self, token: &str) -> Result<ParticipantInfo, TwirpError> {
        self.shared.join(token)
    }

    /// Leaves a room.
    pub fn leave(&self, room: &str, identity: &str) -> Result<(), TwirpError> {
        self.shared.state().leave(room, identity, DisconnectReason::ClientInitiated)
    }

    /// Ends a room: everybody leaves, its recordings end by themselves.
    pub fn end_room(&self, room: &str) -> Result<(), TwirpError> {
        self.shared.state().delete_room(room)
    }

    /// The open rooms, by name.
    pub fn rooms(&self) -> Vec<Room> {
        self.shared.state().list_rooms(&[])
    }

    /// Who is in a room, in the order in which they came.
    pub fn participants(&self, room: &str) -> Vec<ParticipantInfo> {
        self.shared.state().participants(room)
    }

    /// All egresses, oldest first, as callers see them: bucket credentials are replaced by placeholders.
    pub fn egresses(&self) -> Vec<EgressInfo> {
        self.shared.state().egresses.iter().map(egress::shown).collect()
    }

    /// What was asked of an egress, bucket credentials included.
    pub fn egress_request(&self, egress_id: &str) -> Option<RoomCompositeEgressRequest> {
        let state = self.shared.state();
        let info = state.egresses.iter().find(|info| info.egress_id == egress_id)?;
        match &info.request {
            Some(Request::RoomComposite(request)) => Some(request.clone()),
            _ => None,
        }
    }

    /// Turns a starting egress into an active one.
    pub fn activate(&self, egress_id: &str) {
        self.shared.state().activate(egress_id);
    }

    /// Completes an egress.
    pub fn finish(&self, egress_id: &str) -> Result<EgressInfo, TwirpError> {
        self.shared.state().end(egress_id, End::Complete)
    }

    /// Fails an egress.
    pub fn fail(&self, egress_id: &str, error: &str) -> Result<EgressInfo, TwirpError> {
        self.shared.state().end(egress_id, End::Failed(error.to_owned()))
    }

    /// Aborts an egress, as LiveKit does with one that never ran.
    pub fn abort(&self, egress_id: &str, error: &str) -> Result<EgressInfo, TwirpError> {
        self.shared.state().end(egress_id, End::Aborted(error.to_owned()))
    }

    /// Ends an egress that ran as long as it may.
    pub fn reach_limit(&self, egress_id: &str) -> Result<EgressInfo, TwirpError> {
        self.shared.state().end(egress_id, End::LimitReached)
    }

    /// The verified token of each Twirp call so far, those included whose grants were refused.
    pub fn seen_tokens(&self) -> Vec<SeenToken> {
        self.shared.state().tokens.clone()
    }

    /// Everything that happened so far, whether it was sent or not.
    pub fn events(&self) -> Vec<WebhookEvent> {
        self.shared.state().events.clone()
    }

    /// The events that were sent so far, with what came back.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.shared.courier.deliveries()
    }

    /// Waits until every event so far is delivered or given up.
    pub async fn webhooks_settled(&self) {
        self.shared.courier.settled().await;
    }

    /// A new event about an egress as it is now, e.g. `egress_updated`: not sent, for a test to sign and send.
    pub fn egress_event(&self, event: &str, egress_id: &str) -> Option<WebhookEvent> {
        let state = self.shared.state();
        let info = state.egresses.iter().find(|info| info.egress_id == egress_id)?;
        Some(state::date(
            event,
            WebhookEvent { egress_info: Some(egress::shown(info)), ..WebhookEvent::default() },
        ))
    }

    /// Signs an event with this double's keys: the body to send, and the value of `Authorization`.
    pub fn sign_webhook(
        &self,
        event: &WebhookEvent,
    ) -> Result<(String, String), jsonwebtoken::errors::Error> {
        sign_webhook(&self.shared.keys.key, &self.shared.keys.secret, event)
    }
}
