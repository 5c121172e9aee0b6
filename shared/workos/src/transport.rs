//! The SDK's transport over our HTTP client.

use std::time::Duration;

use api::deadline;
use async_trait::async_trait;
use upstream::{FailureKind, Http, Response};
use workos_sdk::transport::{HttpRequest, HttpResponse, HttpTransport, TransportError, TransportErrorKind};

/// Sends the SDK's requests.
pub(crate) struct Transport {
    pub(crate) http: Http,
    /// The timeout of one call. A call also ends with the time of its invocation, see [`api::deadline`].
    pub(crate) timeout: Duration,
}

#[async_trait]
impl HttpTransport for Transport {
    async fn execute(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
        let HttpRequest { method, url, headers, body } = request;
        let timeout = self.timeout.min(deadline::remaining());
        match self.http.send(method, &url, headers, body, timeout).await {
            Ok(Response { status, headers, body }) => Ok(HttpResponse { status, headers, body }),
            Err(failure) => {
                let kind = match failure.kind {
                    FailureKind::Connect => TransportErrorKind::Connect,
                    FailureKind::Timeout => TransportErrorKind::Timeout,
                    FailureKind::Broken => TransportErrorKind::Other,
                };
                Err(TransportError::new(kind, failure))
            }
        }
    }
}
