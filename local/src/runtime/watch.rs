//! Functions hosted by `cargo lambda watch`, which rebuilds them on change.
//!
//! Its invoke endpoint is Lambda's: `POST /2015-03-31/functions/<name>/invocations`.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Invocation, InvokeError, Report, Runtime};
use crate::ids;

/// The first call after a change waits for the compiler.
const PATIENCE: Duration = Duration::from_secs(600);

/// A client of `cargo lambda watch`.
pub struct Watch {
    client: reqwest::Client,
    endpoint: String,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Watch {
    /// Speaks to the `cargo lambda watch` that listens at `endpoint`, e.g. `http://127.0.0.1:9000`.
    ///
    /// # Errors
    ///
    /// When no HTTP client can be made.
    pub fn new(endpoint: impl Into<String>) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build()?;
        Ok(Self { client, endpoint: endpoint.into() })
    }

    async fn invoke(&self, binary: &str, event: Bytes) -> Result<Invocation, InvokeError> {
        let unavailable = |error: reqwest::Error| InvokeError::Unavailable(error.without_url().to_string());
        let url = format!("{}/2015-03-31/functions/{binary}/invocations", self.endpoint);
        let response = self.client.post(url).body(event).send().await.map_err(unavailable)?;
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
