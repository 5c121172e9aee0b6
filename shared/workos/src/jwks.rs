//! The keys that access tokens are signed with: a JSON Web Key Set (RFC 7517), cached per process.
//!
//! - Keys are used for an hour, then fetched again alongside the next grant. If that fails, the old keys stay.
//! - An unknown key id triggers a fetch at once, but at most one per 30 seconds, so that forged tokens cannot make this
//!   service call WorkOS for each of them.
//! - After a failed fetch, the next one waits a second.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use http::{HeaderMap, Method};
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use tokio::sync::Mutex;
use upstream::Http;

/// How long keys are used before they are fetched again.
const TTL: Duration = Duration::from_secs(60 * 60);

/// The minimum time between two fetches for unknown key ids.
const UNKNOWN_KEY_COOLDOWN: Duration = Duration::from_secs(30);

/// The minimum time after a failed fetch.
const FAILURE_COOLDOWN: Duration = Duration::from_secs(1);

/// The timeout of a fetch.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The maximum number of keys.
const MAX_KEYS: usize = 64;

/// The key set at one URL.
pub(crate) struct KeySet {
    http: Http,
    url: String,
    // Locked during a fetch, so that concurrent callers share one call.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    keys: HashMap<String, DecodingKey>,
    /// When the keys were fetched.
    fetched_at: Option<Instant>,
    /// When the last fetch failed.
    failed_at: Option<Instant>,
    /// When an unknown key id last triggered a fetch.
    unknown_at: Option<Instant>,
}

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// The key set could not be fetched.
    Unavailable,
    /// The set has no such key, or it is too early to fetch it again.
    Unknown,
}

impl KeySet {
    pub(crate) fn new(http: Http, url: String) -> Self {
        Self { http, url, state: Mutex::default() }
    }

    /// Fetches the keys unless they are fresh. Runs alongside a grant, so that it adds no latency.
    pub(crate) async fn warm(&self) {
        let mut state = self.state.lock().await;
        if !is_within(state.fetched_at, TTL) && !is_within(state.failed_at, FAILURE_COOLDOWN) {
            self.update(&mut state).await;
        }
    }

    /// The key with the id `kid`.
    pub(crate) async fn key(&self, kid: &str) -> Result<DecodingKey, NoKey> {
        let mut state = self.state.lock().await;
        if let Some(key) = state.keys.get(kid) {
            return Ok(key.clone());
        }
        if state.fetched_at.is_none() {
            // The grant is used up and its token cannot be requested again, so wait rather than fail.
            wait_after_failure(&state).await;
            if !self.update(&mut state).await {
                return Err(NoKey::Unavailable);
            }
        } else {
            if is_within(state.unknown_at, UNKNOWN_KEY_COOLDOWN) {
                return Err(NoKey::Unknown);
            }
            state.unknown_at = Some(Instant::now());
            if !self.update(&mut state).await {
                return Err(NoKey::Unavailable);
            }
        }
        state.keys.get(kid).cloned().ok_or(NoKey::Unknown)
    }

    /// Fetches the keys and returns whether it succeeded.
    async fn update(&self, state: &mut State) -> bool {
        match self.fetch().await {
            Ok(keys) => {
                state.keys = keys;
                state.fetched_at = Some(Instant::now());
                state.failed_at = None;
                true
            }
            Err(problem) => {
                tracing::warn!(cause = problem, "the key set of WorkOS' access tokens could not be fetched");
                state.failed_at = Some(Instant::now());
                false
            }
        }
    }

    async fn fetch(&self) -> Result<HashMap<String, DecodingKey>, &'static str> {
        let response = self.http.send(Method::GET, &self.url, HeaderMap::new(), None, TIMEOUT).await;
        let response = response.map_err(|failure| failure.kind.name())?;
        if !response.status.is_success() {
            return Err("the response is an error");
        }
        parse(&response.body)
    }
}

async fn wait_after_failure(state: &State) {
    if let Some(failed_at) = state.failed_at {
        tokio::time::sleep(FAILURE_COOLDOWN.saturating_sub(failed_at.elapsed())).await;
    }
}

fn is_within(at: Option<Instant>, duration: Duration) -> bool {
    at.is_some_and(|at| at.elapsed() < duration)
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kid: String,
    kty: String,
    n: String,
    e: String,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
}

/// Parses the RSA keys that sign with RS256, and ignores all others. A set without any is invalid.
fn parse(body: &[u8]) -> Result<HashMap<String, DecodingKey>, &'static str> {
    let set: Jwks = serde_json::from_slice(body).map_err(|_| "the response is not a key set")?;
    let keys: HashMap<_, _> = set
        .keys
        .into_iter()
        .filter_map(|key| serde_json::from_value::<Jwk>(key).ok())
        .filter(|key| {
            key.kty == "RSA"
                && key.alg.as_deref().is_none_or(|alg| alg == "RS256")
                && key.usage.as_deref().is_none_or(|usage| usage == "sig")
        })
        .filter_map(|key| Some((key.kid, DecodingKey::from_rsa_components(&key.n, &key.e).ok()?)))
        .take(MAX_KEYS)
        .collect();
    if keys.is_empty() { Err("the key set has no RS256 key") } else { Ok(keys) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rs256_signing_keys_are_used() {
        let body = r#"{"keys":[
            {"kid":"a","kty":"RSA","n":"AQAB","e":"AQAB","alg":"RS256","use":"sig"},
            {"kid":"b","kty":"RSA","n":"AQAB","e":"AQAB"},
            {"kid":"c","kty":"RSA","n":"AQAB","e":"AQAB","alg":"RS512"},
            {"kid":"d","kty":"RSA","n":"AQAB","e":"AQAB","use":"enc"},
            {"kid":"e","kty":"oct","k":"AQAB"},
            {"kty":"RSA","n":"AQAB","e":"AQAB"},
            {"kid":"f","kty":"RSA","n":"!","e":"AQAB"},
            7
        ]}"#;
        let keys = parse(body.as_bytes()).unwrap();
        let mut ids: Vec<_> = keys.keys().map(String::as_str).collect();
        ids.sort_unstable();
        assert_eq!(ids, ["a", "b"]);
    }

    #[test]
    fn an_empty_or_malformed_set_is_an_error() {
        for body in ["", "<html>", "{}", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"EC"}]}"#] {
            assert!(parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
