//! The keys that access tokens are signed with: a JSON Web Key Set (RFC 7517), cached per process.
//!
//! - Keys are used for an hour, then fetched again alongside the next grant. If that fails, the old keys stay, and the
//!   next try alongside a grant waits a second.
//! - An unknown key id triggers a fetch at once. A failed one is repeated within the request: the grant is used up and
//!   its token cannot be requested again.
//! - After a successful one, the next unknown key id triggers none for 30 seconds, so that forged tokens cannot make
//!   this service call WorkOS for each of them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use api::deadline;
use http::{HeaderMap, Method};
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use tokio::sync::Mutex;
use upstream::Http;

/// How long keys are used before they are fetched again.
const TTL: Duration = Duration::from_secs(60 * 60);

/// The time without fetches for unknown key ids, after a successful one.
const UNKNOWN_KEY_COOLDOWN: Duration = Duration::from_secs(30);

/// The time without fetches alongside grants, after a failed one.
const FAILURE_COOLDOWN: Duration = Duration::from_secs(1);

/// The timeout of a fetch.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Attempts at a fetch for an unknown key id, and the pause between them.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(250);

/// Time that fetches leave for what follows: the write of the session.
const RESERVE: Duration = Duration::from_millis(1500);

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
    /// When an unknown key id last triggered a fetch that succeeded.
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
        let is_fresh = state.fetched_at.is_some_and(|at| is_fresh(at.elapsed()));
        if !is_fresh && !is_within(state.failed_at, FAILURE_COOLDOWN) {
            self.update(&mut state).await;
        }
    }

    /// The key with the id `kid`.
    pub(crate) async fn key(&self, kid: &str) -> Result<DecodingKey, NoKey> {
        let mut state = self.state.lock().await;
        if let Some(key) = state.keys.get(kid) {
            return Ok(key.clone());
        }
        if is_within(state.unknown_at, UNKNOWN_KEY_COOLDOWN) {
            return Err(NoKey::Unknown);
        }
        // The first fetch of a process is owed to no key id.
        let is_first = state.fetched_at.is_none();
        if !self.update_persistently(&mut state).await {
            return Err(NoKey::Unavailable);
        }
        if !is_first {
            state.unknown_at = state.fetched_at;
        }
        state.keys.get(kid).cloned().ok_or(NoKey::Unknown)
    }

    /// Fetches the keys, several times if need be, and returns whether it succeeded.
    async fn update_persistently(&self, state: &mut State) -> bool {
        for _ in 1..ATTEMPTS {
            if self.update(state).await {
                return true;
            }
            if deadline::remaining() < RESERVE + PAUSE {
                return false;
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.update(state).await
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
        let timeout = TIMEOUT.min(deadline::remaining().saturating_sub(RESERVE));
        let response = self.http.send(Method::GET, &self.url, HeaderMap::new(), None, timeout).await;
        let response = response.map_err(|failure| failure.kind.name())?;
        if !response.status.is_success() {
            return Err("the response is an error");
        }
        parse(&response.body)
    }
}

/// Whether keys of this age are used without fetching them again.
const fn is_fresh(age: Duration) -> bool {
    age.as_secs() < TTL.as_secs()
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
    fn keys_are_fresh_for_an_hour() {
        assert!(is_fresh(Duration::from_secs(3599)));
        assert!(!is_fresh(Duration::from_secs(3600)));
    }

    #[test]
    fn an_empty_or_malformed_set_is_an_error() {
        for body in ["", "<html>", "{}", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"EC"}]}"#] {
            assert!(parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
