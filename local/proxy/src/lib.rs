//! The proxy of every double: one HTTP/1.1 server that counts calls and injects faults before the double sees them.
//!
//! A double is an [`axum::Router`]. [`serve`] puts this proxy before it, names every call (see [`NameCall`]), keeps
//! the count, and applies the first [`Fault`] that matches. Faults are set from Rust ([`FaultProxy::inject`]) or over HTTP:
//! `PUT /_local/faults` with a JSON list of [`Fault`]s, `DELETE /_local/faults`, `GET /_local/calls`.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::request::Parts;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tower::ServiceExt as _;

/// Names a call, e.g. `authenticate.refresh_token`, `GetItem`, `StartRoomCompositeEgress`.
pub type NameCall = fn(&Parts, &Bytes) -> String;

/// What goes wrong with a call, and how often.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// The call's name, or `*` for every call.
    pub call: String,
    /// How many calls are hit before the fault is used up; without it, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// Waits this long, in milliseconds, before anything else.
    #[serde(default)]
    pub delay_ms: u64,
    /// What is done then.
    #[serde(flatten)]
    pub effect: Effect,
}

/// The effect of a [`Fault`].
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "effect", rename_all = "camelCase")]
pub enum Effect {
    /// The call is served as usual: for delays.
    Serve,
    /// This response is sent and the double never sees the call.
    Response {
        /// HTTP status.
        status: u16,
        /// Header names and values.
        #[serde(default)]
        headers: BTreeMap<String, String>,
        /// The body, as it is.
        #[serde(default)]
        body: String,
    },
    /// The connection is closed without an answer and the double never sees the call.
    Drop,
    /// Headers and half of a body arrive, then the connection is closed; the double never sees the call.
    DropMidBody,
    /// The double serves the call and its answer is lost: the connection is closed.
    LoseResponse,
}

impl Fault {
    /// A fault on `call` with `effect`, for all calls to come.
    pub fn new(call: impl Into<String>, effect: Effect) -> Self {
        Self { call: call.into(), times: None, delay_ms: 0, effect }
    }

    /// A fixed answer with a body.
    pub fn response(call: impl Into<String>, status: u16, body: impl Into<String>) -> Self {
        Self::new(call, Effect::Response { status, headers: BTreeMap::new(), body: body.into() })
    }

    /// Adds a header to a fixed answer; any other effect is left as it is.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Effect::Response { headers, .. } = &mut self.effect {
            headers.insert(name.to_owned(), value.to_owned());
        }
        self
    }

    /// Hits only the next `times` calls.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Waits first.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self
    }
}

/// Call counts and faults of one double. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct FaultProxy {
    state: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The callers' ends of all connections so far.
    peers: HashSet<SocketAddr>,
    calls: Vec<Call>,
    /// How many calls were forgotten: the first one that is kept has this number.
    forgotten: usize,
    faults: Vec<Fault>,
}

/// One call: its name and its time. Calls that do not overlap are rounds.
#[derive(Clone, Debug)]
pub struct Call {
    /// As [`NameCall`] names it.
    pub name: String,
    /// When the whole request was there.
    pub began: Instant,
    /// When the answer was made or the connection given up; `None` while the call is under way, and for ever where
    /// the caller left before.
    pub ended: Option<Instant>,
}

/// Notes the end of a call, however it ends.
struct Ending {
    proxy: FaultProxy,
    number: usize,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let mut state = self.proxy.state();
        let index = self.number.checked_sub(state.forgotten);
        if let Some(call) = index.and_then(|index| state.calls.get_mut(index)) {
            call.ended = Some(Instant::now());
        }
    }
}

impl FaultProxy {
    /// Adds a fault; faults are tried in the order in which they were added.
    pub fn inject(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Removes every fault.
    pub fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// The names of all calls so far, oldest first, faulted ones included.
    pub fn calls(&self) -> Vec<String> {
        self.state().calls.iter().map(|call| call.name.clone()).collect()
    }

    /// All calls so far with their times, in the order in which they began.
    pub fn timed_calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// How often `call` was called.
    pub fn count(&self, call: &str) -> usize {
        self.state().calls.iter().filter(|each| each.name == call).count()
    }

    /// How many connections have been accepted.
    pub fn connections(&self) -> usize {
        self.state().peers.len()
    }

    /// Forgets the calls so far.
    pub fn reset_calls(&self) {
        let mut state = self.state();
        state.forgotten += state.calls.len();
        state.calls.clear();
    }

    fn state(&self) -> MutexGuard<'_, Shared> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the call and takes the fault that hits it, if one does.
    fn admit(&self, call: &str) -> (Ending, Option<Fault>) {
        let mut state = self.state();
        let ending = Ending { proxy: self.clone(), number: state.forgotten + state.calls.len() };
        state.calls.push(Call { name: call.to_owned(), began: Instant::now(), ended: None });
        let fault = take_fault(&mut state.faults, call);
        drop(state);
        (ending, fault)
    }

    fn control(&self, method: &Method, path: &str, body: &Bytes) -> Response {
        match (method, path) {
            (&Method::GET, "/_local/calls") => axum::Json(self.calls()).into_response(),
            (&Method::DELETE, "/_local/calls") => {
                self.reset_calls();
                StatusCode::NO_CONTENT.into_response()
            }
            (&Method::PUT, "/_local/faults") => match serde_json::from_slice::<Vec<Fault>>(body) {
                Ok(faults) => {
                    self.state().faults = faults;
                    StatusCode::NO_CONTENT.into_response()
                }
                Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
            },
            (&Method::DELETE, "/_local/faults") => {
                self.clear_faults();
                StatusCode::NO_CONTENT.into_response()
            }
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    }
}

/// The first fault that hits `call`; it is removed once it is used up.
fn take_fault(faults: &mut Vec<Fault>, call: &str) -> Option<Fault> {
    let index = faults.iter().position(|fault| fault.call == call || fault.call == "*")?;
    let fault = faults.get_mut(index)?;
    let taken = fault.clone();
    if let Some(times) = &mut fault.times {
        *times = times.saturating_sub(1);
        if *times == 0 {
            faults.remove(index);
        }
    }
    Some(taken)
}

/// Why a connection is closed without a whole answer.
#[derive(Debug)]
struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dropped by a fault")
    }
}

impl std::error::Error for Dropped {}

/// Serves `router` behind `proxy` until the returned future is dropped, which closes every connection.
pub async fn serve(listener: TcpListener, router: Router, proxy: FaultProxy, name_call: NameCall) {
    local_http::serve(listener, move |request, peer| {
        proxy.state().peers.insert(peer);
        handle(request, router.clone(), proxy.clone(), name_call)
    })
    .await;
}

async fn handle(
    request: Request<hyper::body::Incoming>,
    router: Router,
    proxy: FaultProxy,
    name_call: NameCall,
) -> Result<Response, Dropped> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
    if parts.uri.path().starts_with("/_local/") {
        return Ok(proxy.control(&parts.method, parts.uri.path(), &body));
    }

    let (_ending, fault) = proxy.admit(&name_call(&parts, &body));
    if let Some(fault) = &fault
        && fault.delay_ms > 0
    {
        tokio::time::sleep(Duration::from_millis(fault.delay_ms)).await;
    }
    let effect = fault.map_or(Effect::Serve, |fault| fault.effect);
    match effect {
        Effect::Serve => serve_call(router, parts, body).await,
        Effect::LoseResponse => {
            serve_call(router, parts, body).await?;
            Err(Dropped)
        }
        Effect::Response { status, headers, body } => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            response.body(Body::from(body)).map_err(|_| Dropped)
        }
        Effect::Drop => Err(Dropped),
        Effect::DropMidBody => {
            let half = stream::once(async { Ok(Bytes::from_static(b"{\"half\":")) });
            // Without a pause the server sees the error before it has sent anything.
            let breaks = stream::once(async {
                tokio::task::yield_now().await;
                Err(Dropped)
            });
            Response::builder()
                .header("content-type", "application/json")
                .header("content-length", "1000")
                .body(Body::from_stream(half.chain(breaks)))
                .map_err(|_| Dropped)
        }
    }
}

async fn serve_call(router: Router, parts: Parts, body: Bytes) -> Result<Response, Dropped> {
    router.oneshot(Request::from_parts(parts, Body::from(body))).await.map_err(|never| match never {})
}
