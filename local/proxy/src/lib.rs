//! An HTTP/1.1 server for doubles that records calls and injects faults.
//!
//! A double is an [`axum::Router`]. [`serve`] names each call (see [`NameCall`]), records it and applies the first
//! matching [`Fault`]. Faults are set from Rust ([`FaultProxy::inject`]) or over HTTP: `PUT /_local/faults` with a JSON
//! list of [`Fault`]s, `DELETE /_local/faults`. `GET` and `DELETE /_local/calls` list and forget the calls.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http::request::Parts;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tower::ServiceExt as _;

/// Names a call, e.g. `authenticate.refresh_token`, `GetItem`, `StartRoomCompositeEgress`.
pub type NameCall = fn(&Parts, &Bytes) -> String;

/// A fault of a call.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// The call's name, or `*` for every call.
    pub call: String,
    /// The number of matching calls that are served first.
    #[serde(default)]
    pub skip: u32,
    /// The number of calls before the fault is used up; `None` for all calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// Whether an AWS SDK's retries of a call with the fault have it as well. They are not counted.
    #[serde(default)]
    pub with_retries: bool,
    /// A delay before the effect, in milliseconds.
    #[serde(default)]
    pub delay_ms: u64,
    /// What happens then.
    #[serde(flatten)]
    pub effect: Effect,
}

/// The effect of a [`Fault`].
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "effect", rename_all = "camelCase")]
pub enum Effect {
    /// The double serves the call: for delays.
    Serve,
    /// This response is sent. The double never sees the call.
    Response {
        /// HTTP status.
        status: u16,
        /// Header names and values.
        #[serde(default)]
        headers: BTreeMap<String, String>,
        /// The body.
        #[serde(default)]
        body: String,
    },
    /// The connection is closed without a response. The double never sees the call.
    Drop,
    /// Headers and half of a body arrive, then the connection is closed. The double never sees the call.
    DropMidBody,
    /// The double serves the call, then the connection is closed without a response.
    LoseResponse,
}

impl Fault {
    /// A fault with `effect` on all calls named `call`.
    pub fn new(call: impl Into<String>, effect: Effect) -> Self {
        Self { call: call.into(), skip: 0, times: None, with_retries: false, delay_ms: 0, effect }
    }

    /// A fixed response.
    pub fn response(call: impl Into<String>, status: u16, body: impl Into<String>) -> Self {
        Self::new(call, Effect::Response { status, headers: BTreeMap::new(), body: body.into() })
    }

    /// Adds a header to a fixed response; does nothing to any other effect.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Effect::Response { headers, .. } = &mut self.effect {
            headers.insert(name.to_owned(), value.to_owned());
        }
        self
    }

    /// Limits the fault to the next `times` calls.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Serves the first `calls` matching calls without the fault.
    #[must_use]
    pub fn skip(mut self, calls: u32) -> Self {
        self.skip = calls;
        self
    }

    /// Applies the fault to an AWS SDK's retries of a call as well.
    #[must_use]
    pub fn with_retries(mut self) -> Self {
        self.with_retries = true;
        self
    }

    /// Adds a delay before the effect.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self
    }
}

/// Call counts and faults of one double. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct FaultProxy(Arc<Mutex<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    /// The client address of each connection so far.
    peers: HashSet<SocketAddr>,
    /// Name, start and end.
    calls: Vec<(String, Instant, Arc<OnceLock<Instant>>)>,
    faults: Vec<Fault>,
    /// The SDK invocations whose retries have a fault.
    retried: HashMap<String, Fault>,
    /// The number of calls with a fault since the last reset.
    faulted: usize,
}

/// An AWS SDK sends it with every attempt at a call.
const SDK_INVOCATION: &str = "amz-sdk-invocation-id";

/// A recorded call.
#[derive(Clone, Debug)]
pub struct Call {
    /// As [`NameCall`] names it.
    pub name: String,
    /// When the whole request had arrived.
    pub began: Instant,
    /// When the response was ready or the connection was closed; `None` while the call is in progress.
    pub ended: Option<Instant>,
}

/// Records the end of a call when it is dropped: after a response, a fault or a disconnect.
struct InProgress(Arc<OnceLock<Instant>>);

impl Drop for InProgress {
    fn drop(&mut self) {
        let _ = self.0.set(Instant::now());
    }
}

impl FaultProxy {
    /// Adds a fault. The first added fault that matches a call applies.
    pub fn inject(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Removes every fault.
    pub fn clear_faults(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.retried.clear();
    }

    /// The number of calls that had a fault, since the last [`FaultProxy::reset_calls`].
    pub fn faulted(&self) -> usize {
        self.state().faulted
    }

    /// The names of all calls so far, oldest first, including those with faults.
    pub fn calls(&self) -> Vec<String> {
        self.state().calls.iter().map(|(name, ..)| name.clone()).collect()
    }

    /// All calls so far with their times, in the order of their start.
    pub fn timed_calls(&self) -> Vec<Call> {
        let timed = |(name, began, ended): &(String, Instant, Arc<OnceLock<Instant>>)| Call {
            name: name.clone(),
            began: *began,
            ended: ended.get().copied(),
        };
        self.state().calls.iter().map(timed).collect()
    }

    /// The number of calls named `call`.
    pub fn count(&self, call: &str) -> usize {
        self.state().calls.iter().filter(|(name, ..)| name == call).count()
    }

    /// The number of connections accepted so far.
    pub fn connections(&self) -> usize {
        self.state().peers.len()
    }

    /// Forgets the calls so far.
    pub fn reset_calls(&self) {
        let mut state = self.state();
        state.calls.clear();
        state.faulted = 0;
    }

    fn state(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a call and returns its fault. `invocation` is that of an AWS SDK.
    fn record(&self, call: String, invocation: Option<String>) -> (InProgress, Option<Fault>) {
        let mut state = self.state();
        let fault = state.take_fault(&call, invocation);
        state.faulted += usize::from(fault.is_some());
        let ended = Arc::default();
        state.calls.push((call, Instant::now(), Arc::clone(&ended)));
        (InProgress(ended), fault)
    }

    fn control(&self, method: &Method, path: &str, body: &Bytes) -> Response {
        match (method, path) {
            (&Method::GET, "/_local/calls") => return axum::Json(self.calls()).into_response(),
            (&Method::DELETE, "/_local/calls") => self.reset_calls(),
            (&Method::PUT, "/_local/faults") => match serde_json::from_slice(body) {
                Ok(faults) => self.state().faults = faults,
                Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
            },
            (&Method::DELETE, "/_local/faults") => self.clear_faults(),
            _ => return StatusCode::NOT_FOUND.into_response(),
        }
        StatusCode::NO_CONTENT.into_response()
    }
}

impl Shared {
    /// Takes the first fault that matches a call. It is removed once it is used up.
    fn take_fault(&mut self, call: &str, invocation: Option<String>) -> Option<Fault> {
        if let Some(fault) = invocation.as_ref().and_then(|invocation| self.retried.get(invocation)) {
            return Some(fault.clone());
        }
        let index = self.faults.iter().position(|fault| fault.call == call || fault.call == "*")?;
        let fault = self.faults.get_mut(index)?;
        if let Some(skip) = fault.skip.checked_sub(1) {
            fault.skip = skip;
            return None;
        }
        let taken = fault.clone();
        fault.times = fault.times.map(|times| times.saturating_sub(1));
        if fault.times == Some(0) {
            self.faults.remove(index);
        }
        if let (true, Some(invocation)) = (taken.with_retries, invocation) {
            self.retried.insert(invocation, taken.clone());
        }
        Some(taken)
    }
}

/// The error that closes a connection without a complete response.
const BY_A_FAULT: &str = "closed by a fault";

/// Serves `router` behind `proxy` until the returned future is dropped, which closes every connection.
pub async fn serve(listener: TcpListener, router: Router, proxy: FaultProxy, name_call: NameCall) {
    local_http::serve(listener, move |request, peer| {
        proxy.state().peers.insert(peer);
        handle(request, router.clone(), proxy.clone(), name_call)
    })
    .await;
}

async fn handle(
    request: Request<Incoming>,
    router: Router,
    proxy: FaultProxy,
    name_call: NameCall,
) -> Result<Response, &'static str> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| "the client disconnected")?.to_bytes();
    if parts.uri.path().starts_with("/_local/") {
        return Ok(proxy.control(&parts.method, parts.uri.path(), &body));
    }

    let invocation = parts.headers.get(SDK_INVOCATION).and_then(|id| id.to_str().ok()).map(str::to_owned);
    let (_in_progress, fault) = proxy.record(name_call(&parts, &body), invocation);
    let call = router.oneshot(Request::from_parts(parts, Body::from(body)));
    let Some(fault) = fault else { return call.await.map_err(|never| match never {}) };
    if fault.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(fault.delay_ms)).await;
    }
    let response = match fault.effect {
        Effect::Serve => return call.await.map_err(|never| match never {}),
        Effect::LoseResponse => {
            let _ = call.await;
            return Err(BY_A_FAULT);
        }
        Effect::Drop => return Err(BY_A_FAULT),
        Effect::Response { status, headers, body } => {
            let response = Response::builder().status(status);
            let response = headers.iter().fold(response, |built, (name, value)| built.header(name, value));
            response.body(Body::from(body))
        }
        Effect::DropMidBody => {
            let half = stream::once(async { Ok("{\"half\":") });
            // Without this pause the server sees the error before it has sent anything.
            let closed = stream::once(tokio::task::yield_now().map(|()| Err(BY_A_FAULT)));
            Response::builder()
                .header("content-type", "application/json")
                .header("content-length", "1000")
                .body(Body::from_stream(half.chain(closed)))
        }
    };
    response.map_err(|_| "the fault's status or a header is invalid")
}
