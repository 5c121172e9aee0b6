//! The SDK's transport over our HTTP client.

use std::time::Duration;

use async_trait::async_trait;
use upstream::{FailureKind, Http, Response};
use workos_sdk::transport::{HttpRequest, HttpResponse, HttpTransport, TransportError, TransportErrorKind};

/// The timeout of one call. One call always fits into a function's deadline of 8 seconds; a second one does only if the
/// first is quick.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends the SDK's requests.
pub(crate) struct Transport(pub(crate) Http);

#[async_trait]
impl HttpTransport for Transport {
    async fn execute(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
        let HttpRequest { method, url, headers, body } = request;
        match self.0.send(method, &url, headers, body, CALL_TIMEOUT).await {
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
