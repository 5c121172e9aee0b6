//! Functions hosted by `cargo lambda watch`, which rebuilds them on change.
//!
//! Its invoke endpoint is Lambda's: `POST /2015-03-31/functions/<name>/invocations`.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::{Invocation, InvokeError, Report, Runtime};
use crate::ids;

/// The first call after a change waits for the compiler.
const PATIENCE: Duration = Duration::from_secs(600);

/// A client of `cargo lambda watch`.
pub struct Watch {
    client: Client<HttpConnector, Full<Bytes>>,
    endpoint: String,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Watch {
    /// Speaks to the `cargo lambda watch` that listens at `endpoint`, e.g. `http://127.0.0.1:9000`.
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http(), endpoint: endpoint.into() }
    }

    async fn invoke(&self, binary: &str, event: Bytes) -> Result<Invocation, InvokeError> {
        let unavailable = |reason: &dyn fmt::Display| InvokeError::Unavailable(reason.to_string());
        let request = Request::post(format!("{}/2015-03-31/functions/{binary}/invocations", self.endpoint))
            .header("content-type", "application/json")
            .body(Full::new(event))
            .map_err(|error| unavailable(&error))?;
        let response = tokio::time::timeout(PATIENCE, self.client.request(request))
            .await
            .map_err(|_| unavailable(&"no answer from cargo lambda watch"))?
            .map_err(|error| unavailable(&error))?;
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let request_id = header("lambda-runtime-aws-request-id").unwrap_or_else(ids::uuid);
        let failed = header("x-amz-function-error").is_some() || !response.status().is_success();
        let payload = response.into_body().collect().await.map_err(|error| unavailable(&error))?.to_bytes();
        if failed {
            let payload: Value = serde_json::from_slice(&payload).unwrap_or_else(
                |_| json!({ "errorType": "Unhandled", "errorMessage": String::from_utf8_lossy(&payload) }),
            );
            return Err(InvokeError::Function { request_id, payload });
        }
        Ok(Invocation { request_id, payload, report: Report::default() })
    }
}

/// Where the functions run.
#[derive(Debug)]
pub enum Functions {
    /// In processes of this host.
    Hosted(Runtime),
    /// In `cargo lambda watch`.
    Watched(Watch),
}

impl Functions {
    /// Invokes the function with this logical id and binary.
    ///
    /// # Errors
    ///
    /// See [`InvokeError`].
    pub async fn invoke(
        &self,
        logical_id: &str,
        binary: &str,
        event: Bytes,
        trace_root: &str,
    ) -> Result<Invocation, InvokeError> {
        match self {
            Self::Hosted(runtime) => runtime.invoke_in_trace(logical_id, event, trace_root).await,
            Self::Watched(watch) => watch.invoke(binary, event).await,
        }
    }
}
