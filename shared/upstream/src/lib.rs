//! The HTTP client for every upstream: WorkOS (`shared/workos`), DynamoDB (`shared/store`), LiveKit
//! (`shared/recording`). Connections are kept across invocations.
//!
//! One TLS stack (rustls with ring and compiled-in roots: loading the system's certificates adds about 4 ms to a start),
//! one set of timeouts, one place for metrics. HTTP/1.1 only: HTTP/2 would add 0.8 MB to every binary, and a function
//! has few calls in flight.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Method, StatusCode};
use rustls::{ClientConfig, RootCertStore};

/// Limit for establishing a connection, TLS handshake included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Idle connections are dropped after this time. Servers close them after 30 to 60 s, and a request sent while the
/// server closes the connection is lost.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// The certificate authorities trusted for an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roots {
    /// Amazon Trust Services, for AWS.
    Amazon,
    /// Mozilla's root program.
    Public,
}

/// An HTTP client for one upstream. Clones share the connection pool.
#[derive(Clone, Debug)]
pub struct Http {
    upstream: &'static str,
    client: reqwest::Client,
}

/// A complete response of any status.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Why there is no complete response.
#[derive(Debug)]
pub struct Failure {
    /// The kind of failure.
    pub kind: FailureKind,
    source: reqwest::Error,
}

/// The kind of a [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// No connection was established: nothing was sent.
    Connect,
    /// The timeout passed: the upstream may have processed the request.
    Timeout,
    /// The connection broke, or the response is not HTTP: the upstream may have processed the request.
    Broken,
}

impl FailureKind {
    /// The name in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
        }
    }
}

impl Http {
    /// Creates a client; `upstream` is its name in metrics. Connections are opened by the first request.
    ///
    /// # Errors
    /// If the TLS configuration cannot be built. No input can cause that.
    #[expect(clippy::disallowed_methods, reason = "the one place that builds HTTP clients")]
    pub fn new(
        upstream: &'static str,
        roots: Roots,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(roots)?)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .user_agent(concat!("authentication-api/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { upstream, client })
    }

    /// Sends a request and reads the whole response, within `timeout`. A failed connection attempt is repeated once:
    /// nothing was sent, so nothing can happen twice.
    ///
    /// # Errors
    /// [`Failure`] if there is no complete response. A response with an error status is not a failure.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Option<Bytes>,
        timeout: Duration,
    ) -> Result<Response, Failure> {
        let started = Instant::now();
        let mut result = self.attempt(method.clone(), url, headers.clone(), body.clone(), timeout).await;
        if matches!(&result, Err(failure) if failure.kind == FailureKind::Connect) {
            let remaining = timeout.saturating_sub(started.elapsed());
            if !remaining.is_zero() {
                result = self.attempt(method, url, headers, body, remaining).await;
            }
        }
        let outcome = match &result {
            Ok(response) if response.status.is_server_error() => "5xx",
            Ok(response) if response.status.is_client_error() => "4xx",
            Ok(_) => "ok",
            Err(failure) => failure.kind.name(),
        };
        let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        api::metrics::latency(
            "UpstreamLatency",
            millis,
            &[("Upstream", self.upstream), ("Outcome", outcome)],
        );
        result
    }

    async fn attempt(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Option<Bytes>,
        timeout: Duration,
    ) -> Result<Response, Failure> {
        let request = self.client.request(method, url).headers(headers).timeout(timeout);
        let request = match body {
            Some(body) => request.body(body),
            None => request,
        };
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await?;
        Ok(Response { status, headers, body })
    }
}

impl Response {
    /// See [`retry_after`].
    pub fn retry_after(&self) -> Option<u64> {
        retry_after(&self.headers)
    }
}

/// `Retry-After` in seconds, clamped to 1 to 60; `None` for a missing header or a date.
pub fn retry_after(headers: &HeaderMap) -> Option<u64> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(seconds.clamp(1, 60))
}

fn tls(roots: Roots) -> Result<ClientConfig, rustls::Error> {
    let anchors = webpki_roots::TLS_SERVER_ROOTS.iter().filter(|anchor| match roots {
        Roots::Public => true,
        Roots::Amazon => is_amazon(&anchor.subject),
    });
    let store: RootCertStore = anchors.cloned().collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(store)
        .with_no_client_auth())
}

/// Amazon Trust Services' roots (<https://www.amazontrust.com/repository/>): Amazon Root CA 1 to 4, and the Starfield
/// root at the end of older AWS chains. The common name is the end of the subject; searching the whole subject would
/// take a sixth of a function's start.
const AMAZON: [&[u8]; 5] = [
    b"Amazon Root CA 1",
    b"Amazon Root CA 2",
    b"Amazon Root CA 3",
    b"Amazon Root CA 4",
    b"Starfield Services Root Certificate Authority - G2",
];

fn is_amazon(subject: &[u8]) -> bool {
    AMAZON.iter().any(|name| subject.ends_with(name))
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        let kind = if error.is_connect() {
            FailureKind::Connect
        } else if error.is_timeout() {
            FailureKind::Timeout
        } else {
            FailureKind::Broken
        };
        // The URL may contain an email address or a code, which must not reach the log.
        Self { kind, source: error.without_url() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no response ({})", self.kind.name())
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_of_the_public_roots_are_amazons() {
        let amazon =
            webpki_roots::TLS_SERVER_ROOTS.iter().filter(|anchor| is_amazon(&anchor.subject)).count();
        assert_eq!(amazon, 5);
        assert!(webpki_roots::TLS_SERVER_ROOTS.len() > 100);
    }

    #[test]
    fn a_client_can_be_built_for_each_set_of_roots() {
        assert!(Http::new("WorkOS", Roots::Public).is_ok());
        assert!(Http::new("DynamoDB", Roots::Amazon).is_ok());
    }

    #[test]
    fn retry_after_is_clamped_and_a_date_is_ignored() {
        let retry_after = |value: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.extend(value.map(|value| (RETRY_AFTER, value.parse().unwrap())));
            Response { status: StatusCode::SERVICE_UNAVAILABLE, headers, body: Bytes::new() }.retry_after()
        };
        assert_eq!(retry_after(None), None);
        assert_eq!(retry_after(Some("0")), Some(1));
        assert_eq!(retry_after(Some(" 7 ")), Some(7));
        assert_eq!(retry_after(Some("3600")), Some(60));
        assert_eq!(retry_after(Some("Wed, 21 Oct 2026 07:28:00 GMT")), None);
    }
}
