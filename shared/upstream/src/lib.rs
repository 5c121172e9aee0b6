//! The HTTP client that every upstream is called through: WorkOS by `shared/workos`, DynamoDB by `shared/store`.
//!
//! One client means one TLS stack (rustls with ring, compiled-in roots: reading the system's certificates takes about
//! 4 ms of start-up), one set of timeouts and one place that measures. HTTP/1.1 only: a Lambda sandbox has one request
//! under way at a time, and HTTP/2 would add 0.8 MB to every binary.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use rustls::{ClientConfig, RootCertStore};

/// A connection must stand within this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Idle connections are dropped after this time: servers close them at about 30 to 60 s, and a request that is sent
/// into a connection which is just being closed is lost.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Which certificate authorities an upstream's certificate may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roots {
    /// Amazon's own: for AWS.
    Amazon,
    /// Mozilla's list.
    Public,
}

/// An HTTP client for one upstream. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Http {
    upstream: &'static str,
    client: reqwest::Client,
}

/// An answer of any status, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug)]
pub struct Failure {
    /// What kind of failure it is.
    pub kind: FailureKind,
    source: reqwest::Error,
}

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// No connection: nothing was sent.
    Connect,
    /// No answer in time: the request may have been served.
    Timeout,
    /// The connection broke or the answer is no HTTP: the request may have been served.
    Broken,
}

impl FailureKind {
    /// The kind as one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
        }
    }
}

impl Http {
    /// A client for `upstream` (its name in metrics). It opens no connection yet.
    ///
    /// # Errors
    /// Where the TLS configuration cannot be built, which no input can cause.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that builds HTTP clients")]
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

    /// Sends a request and reads the answer, within `timeout`. Where no connection can be made it tries once more:
    /// nothing was sent, so nothing can happen twice.
    ///
    /// # Errors
    /// A [`Failure`] where there is no whole answer. A status of 400 or above is an answer.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Option<Bytes>,
        timeout: Duration,
    ) -> Result<Answer, Failure> {
        let started = api::clock::now_millis();
        let mut result = self.attempt(method.clone(), url, headers.clone(), body.clone(), timeout).await;
        if matches!(&result, Err(failure) if failure.kind == FailureKind::Connect) {
            result = self.attempt(method, url, headers, body, timeout).await;
        }
        let outcome = match &result {
            Ok(answer) if answer.status.is_server_error() => "5xx",
            Ok(answer) if answer.status.is_client_error() => "4xx",
            Ok(_) => "ok",
            Err(failure) => failure.kind.name(),
        };
        let millis = api::clock::now_millis().saturating_sub(started);
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
    ) -> Result<Answer, Failure> {
        let request = self.client.request(method, url).headers(headers).timeout(timeout);
        let request = match body {
            Some(body) => request.body(body),
            None => request,
        };
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await?;
        Ok(Answer { status, headers, body })
    }
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
/// root that older AWS chains end in. Their common name is the last thing in their subject: to search for it anywhere
/// takes a sixth of a start.
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
        // The URL can hold an email address or a code: it must not reach the log.
        Self { kind, source: error.without_url() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer ({})", self.kind.name())
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
    fn amazons_roots_are_a_few_of_the_public_ones() {
        let amazon =
            webpki_roots::TLS_SERVER_ROOTS.iter().filter(|anchor| is_amazon(&anchor.subject)).count();
        assert_eq!(amazon, 5);
        assert!(webpki_roots::TLS_SERVER_ROOTS.len() > 100);
    }

    #[test]
    fn a_client_can_be_built_for_each() {
        assert!(Http::new("WorkOS", Roots::Public).is_ok());
        assert!(Http::new("DynamoDB", Roots::Amazon).is_ok());
    }
}
