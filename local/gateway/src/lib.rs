//! API Gateway on one machine: an HTTP API with Lambda integrations, payload format 2.0.
//!
//! Routes, authorizers and CORS come from the template. The gateway's own answers are those of AWS:
//!
//! | status | body | when |
//! |---|---|---|
//! | 204 | | preflight, where CORS is configured |
//! | 401 | `{"message":"Unauthorized"}` | an identity source of the authorizer is missing |
//! | 403 | `{"message":"Forbidden"}` | the authorizer says no |
//! | 404 | `{"message":"Not Found"}` | no route for method and path |
//! | 413 | `{"message":"Request Entity Too Large"}` | body over 10 MB, or event over Lambda's 6 MB |
//! | 431 | `{"message":"Request Header Fields Too Large"}` | request line and headers over 10,240 bytes |
//! | 500 | `{"message":"Internal Server Error"}` | function or authorizer failed, timed out or answered nonsense |
//! | 503 | `{"message":"Service Unavailable"}` | throttled, unreachable, or no answer within 30 s |
//!
//! Throttling of the template's route settings is not emulated.

mod authorize;
mod cors;
pub mod event;
mod reply;
mod routes;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde_json::json;
use time::OffsetDateTime;
use tokio::net::TcpListener;

use event::{Call, Matched};
use local_runtime::{Account, Functions, InvokeError, LogLine, Logs, Source, ids};
use local_template::{Authorizer, Cors, Route, Template};

// Source of the limits: "Quotas for configuring and running an HTTP API", API Gateway developer guide.
const MAX_BODY: usize = 10 * 1024 * 1024;
const MAX_HEADERS: usize = 10_240;
const INTEGRATION_TIMEOUT: Duration = Duration::from_secs(30);

/// A body over the limit is read to its end, so that the client hears the answer, but not without an end.
const MAX_DRAINED: usize = 8 * MAX_BODY;

/// An HTTP API.
#[derive(Debug)]
pub struct Api {
    routes: Vec<Route>,
    authorizers: BTreeMap<String, Authorizer>,
    cors: Option<Cors>,
    /// Binary by logical id.
    binaries: BTreeMap<String, String>,
    functions: Arc<Functions>,
    account: Account,
    logs: Logs,
}

/// The gateway's own refusals.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum GatewayError {
    Unauthorized,
    Forbidden,
    NotFound,
    TooLarge,
    HeadersTooLarge,
    Internal,
    Unavailable,
}

impl GatewayError {
    fn status_and_message(self) -> (StatusCode, &'static str) {
        match self {
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "Unauthorized"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "Forbidden"),
            Self::NotFound => (StatusCode::NOT_FOUND, "Not Found"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large"),
            Self::HeadersTooLarge => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Request Header Fields Too Large")
            }
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
        }
    }
}

impl From<InvokeError> for GatewayError {
    fn from(error: InvokeError) -> Self {
        match error {
            InvokeError::EventTooLarge => Self::TooLarge,
            InvokeError::Throttled | InvokeError::Unavailable(_) => Self::Unavailable,
            InvokeError::Function { .. } | InvokeError::UnknownFunction(_) => Self::Internal,
        }
    }
}

impl Api {
    /// The HTTP API of `template`, with its functions hosted by `functions`.
    pub fn new(template: &Template, functions: Arc<Functions>, logs: Logs) -> Self {
        Self {
            routes: template.routes.clone(),
            authorizers: template.authorizers.clone(),
            cors: template.cors.clone(),
            binaries: template
                .functions
                .values()
                .map(|function| (function.logical_id.clone(), function.binary.clone()))
                .collect(),
            functions,
            account: Account {
                region: template.deployment.region.clone(),
                id: template.deployment.account.clone(),
            },
            logs,
        }
    }

    async fn invoke(&self, logical_id: &str, event: Bytes, trace_root: &str) -> Result<Bytes, GatewayError> {
        let binary = self.binaries.get(logical_id).ok_or(GatewayError::Internal)?;
        let invocation = self.functions.invoke(logical_id, binary, event, trace_root);
        let invocation = match &*self.functions {
            Functions::Hosted(_) => tokio::time::timeout(INTEGRATION_TIMEOUT, invocation)
                .await
                .map_err(|_| GatewayError::Unavailable)?,
            // The compiler may be at work first.
            Functions::Watched(_) => invocation.await,
        };
        Ok(invocation?.payload)
    }

    async fn respond(&self, request: Request<Incoming>, source: IpAddr) -> Response<Full<Bytes>> {
        let began = Instant::now();
        let (parts, body) = request.into_parts();
        let origin = parts.headers.get(header::ORIGIN).cloned();
        let oversized = headers_size(&parts) > MAX_HEADERS;
        let call = Call {
            method: parts.method,
            path: percent_decode_str(parts.uri.path()).decode_utf8_lossy().into_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            version: parts.version,
            headers: parts.headers,
            body: Bytes::new(),
            source,
            received: OffsetDateTime::now_utc(),
            request_id: ids::gateway_request_id(),
            trace_root: ids::trace_root(),
        };
        let (method, path, request_id) = (call.method.clone(), call.path.clone(), call.request_id.clone());
        let preflight = self.is_preflight(&method, &path);
        let outcome = if oversized {
            Err(GatewayError::HeadersTooLarge)
        } else if preflight {
            Ok(no_content())
        } else {
            match read_body(body).await {
                Ok(body) => self.handle(Call { body, ..call }).await,
                Err(error) => Err(error),
            }
        };
        let mut response = outcome.unwrap_or_else(refusal);
        let headers = response.headers_mut();
        if let Some(cors) = &self.cors {
            cors::decorate(cors, origin.as_ref(), headers);
            if preflight {
                cors::preflight(cors, origin.as_ref(), headers);
            }
        }
        if let Ok(id) = HeaderValue::from_str(&request_id) {
            headers.insert("apigw-requestid", id);
        }
        self.logs.record(LogLine {
            function: Arc::from("gateway"),
            process: 0,
            source: Source::Platform,
            text: format!(
                "{method} {path} {} {} ms",
                response.status().as_u16(),
                began.elapsed().as_millis()
            ),
        });
        response
    }

    async fn handle(&self, call: Call) -> Result<Response<Full<Bytes>>, GatewayError> {
        let (route, variables) =
            routes::select(&self.routes, call.method.as_str(), &call.path).ok_or(GatewayError::NotFound)?;
        let route_key = routes::key(route);
        let matched = Matched { route_key: &route_key, path_parameters: &variables };
        let context = match &route.authorizer {
            Some(name) => Some(self.authorize(name, &call, matched).await?),
            None => None,
        };
        let event = event::function_event(&call, matched, &self.account, context.as_ref());
        let payload = self.invoke(&route.function, Bytes::from(event.to_string()), &call.trace_root).await?;
        reply::from_payload(&payload).ok_or(GatewayError::Internal)
    }

    /// With CORS, the gateway answers `OPTIONS` on every path that has no such route of its own.
    fn is_preflight(&self, method: &Method, path: &str) -> bool {
        method == Method::OPTIONS
            && self.cors.is_some()
            && routes::select(&self.routes, method.as_str(), path).is_none()
    }
}

/// Serves the API until the returned future is dropped, which closes every connection.
pub async fn serve(listener: TcpListener, api: Arc<Api>) {
    local_http::serve(listener, move |request, peer| {
        let api = Arc::clone(&api);
        async move { Ok::<_, Infallible>(api.respond(request, peer.ip().to_canonical()).await) }
    })
    .await;
}

fn headers_size(parts: &http::request::Parts) -> usize {
    let line = parts.method.as_str().len() + parts.uri.path_and_query().map_or(0, |path| path.as_str().len());
    parts.headers.iter().fold(line, |size, (name, value)| size + name.as_str().len() + value.len())
}

async fn read_body(mut body: Incoming) -> Result<Bytes, GatewayError> {
    let mut received = BytesMut::new();
    let mut size = 0;
    while let Some(frame) = body.frame().await {
        // The client went away in the middle; nobody reads the answer.
        let Ok(data) = frame.map_err(|_| GatewayError::Internal)?.into_data() else { continue };
        size += data.len();
        if size <= MAX_BODY {
            received.extend_from_slice(&data);
        } else if size > MAX_DRAINED {
            break;
        }
    }
    if size > MAX_BODY { Err(GatewayError::TooLarge) } else { Ok(received.freeze()) }
}

fn no_content() -> Response<Full<Bytes>> {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn refusal(error: GatewayError) -> Response<Full<Bytes>> {
    let (status, message) = error.status_and_message();
    let mut response = Response::new(Full::from(json!({ "message": message }).to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
