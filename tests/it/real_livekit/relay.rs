//! Passes LiveKit's webhooks on to the product and keeps them. LiveKit needs the address before the product has one.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use bytes::Bytes;
use livekit_protocol::WebhookEvent;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::app::{App, http};

const TIMEOUT: Duration = Duration::from_secs(30);

/// A webhook that the product has responded to.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The body as LiveKit wrote it.
    pub body: Value,
    pub event: WebhookEvent,
    /// The product's status.
    pub status: u16,
}

/// A running relay. Stops when dropped.
pub struct Relay {
    pub url: String,
    shared: Arc<Shared>,
    _server: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    target: Mutex<Option<String>>,
    deliveries: watch::Sender<Vec<Delivery>>,
}

impl Relay {
    /// Starts it on a free port.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let shared = Arc::new(Shared::default());
        let router = Router::new().route("/", post(pass_on)).with_state(shared.clone());
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.expect("the relay serves") });
        Self { url, shared, _server: server }
    }

    /// Passes webhooks on to `app` from now on.
    pub fn pass_on_to(&self, app: &App) {
        let url = format!("{}/webhooks/livekit", app.cloud.url());
        *self.shared.target.lock().expect("no panic") = Some(url);
    }

    /// All webhooks so far.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.shared.deliveries.borrow().clone()
    }

    /// Waits for the `nth` event with this name about this person, counted from 1, and for the product's response.
    pub async fn event(&self, name: &str, identity: &str, nth: usize) -> Delivery {
        let is_about = |delivery: &&Delivery| {
            let participant = delivery.event.participant.as_ref();
            delivery.event.event == name && participant.is_some_and(|found| found.identity == identity)
        };
        let find = |all: &Vec<Delivery>| all.iter().filter(is_about).nth(nth - 1).cloned();
        let mut deliveries = self.shared.deliveries.subscribe();
        let found = tokio::time::timeout(TIMEOUT, deliveries.wait_for(|all| find(all).is_some())).await;
        let found =
            found.unwrap_or_else(|_| panic!("no {name} {nth} of {identity}: {:?}", self.deliveries()));
        find(&found.expect("the relay runs")).expect("it was found")
    }
}

async fn pass_on(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let Some(url) = shared.target.lock().expect("no panic").clone() else {
        return StatusCode::SERVICE_UNAVAILABLE;
    };
    let mut request = http().post(url).body(body.clone());
    for name in ["authorization", "content-type"] {
        request = request.header(name, headers.get(name).expect("LiveKit sends it"));
    }
    let status = request.send().await.expect("the gateway responds").status();
    let event = serde_json::from_slice(&body).expect("an event");
    let body = serde_json::from_slice(&body).expect("JSON");
    let delivery = Delivery { body, event, status: status.as_u16() };
    shared.deliveries.send_modify(|all| all.push(delivery));
    StatusCode::from_u16(status.as_u16()).expect("a status")
}
