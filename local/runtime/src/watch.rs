//! Functions hosted by `cargo lambda watch`, which rebuilds them on change.
//!
//! Its invoke endpoint is Lambda's: `POST /2015-03-31/functions/<name>/invocations`.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::host::Runtime;
use super::ids;
use super::invocation::{Invocation, InvokeError, Report};

/// The first call after a change waits for the compiler.
const TIMEOUT: Duration = Duration::from_secs(600);

/// A client of `cargo lambda watch`.
#[derive(Debug)]
pub struct Watch {
    client: reqwest::Client,
    endpoint: String,
}

impl Watch {
    /// A client of the `cargo lambda watch` at `endpoint`, e.g. `http://127.0.0.1:9000`.
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self { client: local_http::client(), endpoint: endpoint.into() }
    }

    async fn invoke(&self, binary: &str, event: Bytes) -> Result<Invocation, InvokeError> {
        let unavailable = |error: reqwest::Error| InvokeError::Unavailable(error.to_string());
        let url = format!("{}/2015-03-31/functions/{binary}/invocations", self.endpoint);
        let request = self.client.post(url).header("content-type", "application/json").body(event);
        let response = request.timeout(TIMEOUT).send().await.map_err(unavailable)?;
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let request_id = header("lambda-runtime-aws-request-id").unwrap_or_else(ids::uuid);
        let failed = header("x-amz-function-error").is_some() || !response.status().is_success();
        let payload = response.bytes().await.map_err(unavailable)?;
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
