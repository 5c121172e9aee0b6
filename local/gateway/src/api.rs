//! The HTTP API: from the request to the response.

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
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::net::TcpListener;

use local_runtime::{Account, Functions, LogLine, Logs, Source, ids};
use local_template::{Authorizer, Cors, Route, Template};

use super::error::GatewayError;
use super::event::{self, Call, Matched};
use super::{authorize, cors, reply, routes};

// Source of the limits: "Quotas for configuring and running an HTTP API", API Gateway developer guide.
const MAX_BODY: usize = 10 * 1024 * 1024;
const MAX_HEADERS: usize = 10_240;
const INTEGRATION_TIMEOUT: Duration = Duration::from_secs(30);

/// A body over the limit is still read this far, so that the client gets the response.
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

impl Api {
    /// The HTTP API of `template`, with its functions hosted by `functions`.
    pub fn new(template: &Template, functions: Arc<Functions>, logs: Logs) -> Self {
        Self {
            routes: template.routes.clone(),
            authorizers: template.authorizers.clone(),
            cors: template.cors.clone(),
            binaries: template.functions.iter().map(|(id, each)| (id.clone(), each.binary.clone())).collect(),
            functions,
            account: Account {
                region: template.deployment.region.clone(),
                id: template.deployment.account.clone(),
            },
            logs,
        }
    }

    async fn invoke(&self, logical_id: &str, event: Value, trace_root: &str) -> Result<Bytes, GatewayError> {
        let binary = self.binaries.get(logical_id).ok_or(GatewayError::Internal)?;
        let invocation = self.functions.invoke(logical_id, binary, event.to_string().into(), trace_root);
        let invocation = match &*self.functions {
            Functions::Hosted(_) => tokio::time::timeout(INTEGRATION_TIMEOUT, invocation)
                .await
                .map_err(|_| GatewayError::Unavailable)?,
            // The compiler may have to run first.
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
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NO_CONTENT;
            Ok(response)
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
            Some(name) => {
                let authorizer = self.authorizers.get(name).ok_or(GatewayError::Internal)?;
                let identity = authorize::identity(authorizer, &call)?;
                let event = event::authorizer_event(&call, matched, &self.account, &identity);
                // An authorizer that fails is a 500, whatever the cause.
                let response = self.invoke(&authorizer.function, event, &call.trace_root).await;
                Some(authorize::context(&response.map_err(|_| GatewayError::Internal)?)?)
            }
            None => None,
        };
        let event = event::function_event(&call, matched, &self.account, context.as_ref());
        let payload = self.invoke(&route.function, event, &call.trace_root).await?;
        reply::from_payload(&payload).ok_or(GatewayError::Internal)
    }

    /// With CORS, the gateway responds to `OPTIONS` on every path without an `OPTIONS` route.
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
        // The client closed the connection; nobody reads the response.
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

fn refusal(error: GatewayError) -> Response<Full<Bytes>> {
    let (status, message) = error.status_and_message();
    let mut response = Response::new(Full::from(json!({ "message": message }).to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
