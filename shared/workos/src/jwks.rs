//! The keys that access tokens are signed with: a JSON Web Key Set (RFC 7517), cached as long as the sandbox lives.
//!
//! - Keys are used for an hour, then read again beside the next grant. A read that fails leaves the old keys in place.
//! - An unknown key id has the set read at once, but no more than once per 30 seconds: nobody can make this service
//!   call WorkOS for every forged token.
//! - After a read that failed the next one waits a second.

use std::collections::HashMap;
use std::time::Duration;

use api::clock;
use http::{HeaderMap, Method};
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use tokio::sync::Mutex;
use upstream::Http;

/// How long keys are used before they are read again, in milliseconds.
const FRESH: u64 = 60 * 60 * 1000;

/// The least time between two reads for unknown key ids, in milliseconds.
const UNKNOWN_KEY_PAUSE: u64 = 30_000;

/// The least time after a read that failed, in milliseconds.
const FAILURE_PAUSE: u64 = 1_000;

/// How long a read may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The most keys that are kept.
const MOST: usize = 64;

/// The key set at one URL.
pub(crate) struct KeySet {
    http: Http,
    url: String,
    // Held while the set is read, so that many callers make one call.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    keys: HashMap<String, DecodingKey>,
    /// When the keys were read.
    read_at: Option<u64>,
    /// When the last read failed.
    failed_at: Option<u64>,
    /// When the set was last read for an unknown key id.
    unknown_at: Option<u64>,
}

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// The key set could not be read.
    Unreadable,
    /// The set has no such key, or it may not be asked again yet.
    Unknown,
}

impl KeySet {
    pub(crate) fn new(http: Http, url: String) -> Self {
        Self { http, url, state: Mutex::default() }
    }

    /// Reads the keys unless they are fresh. Meant to run beside a grant, so that it costs no time of its own.
    pub(crate) async fn warm(&self) {
        let mut state = self.state.lock().await;
        let now = clock::now_millis();
        if !is_within(state.read_at, FRESH, now) && !is_within(state.failed_at, FAILURE_PAUSE, now) {
            self.read(&mut state).await;
        }
    }

    /// The key with the id `kid`.
    pub(crate) async fn key(&self, kid: &str) -> Result<DecodingKey, NoKey> {
        let mut state = self.state.lock().await;
        if let Some(key) = state.keys.get(kid) {
            return Ok(key.clone());
        }
        if state.read_at.is_none() {
            // The grant is done and its token cannot be had again: rather wait than fail.
            wait_after_failure(&state).await;
            if !self.read(&mut state).await {
                return Err(NoKey::Unreadable);
            }
        } else {
            let now = clock::now_millis();
            if is_within(state.unknown_at, UNKNOWN_KEY_PAUSE, now) {
                return Err(NoKey::Unknown);
            }
            state.unknown_at = Some(now);
            if !self.read(&mut state).await {
                return Err(NoKey::Unreadable);
            }
        }
        state.keys.get(kid).cloned().ok_or(NoKey::Unknown)
    }

    async fn read(&self, state: &mut State) -> bool {
        match self.fetch().await {
            Ok(keys) => {
                state.keys = keys;
                state.read_at = Some(clock::now_millis());
                state.failed_at = None;
                true
            }
            Err(problem) => {
                tracing::warn!(cause = problem, "the key set of WorkOS' access tokens could not be read");
                state.failed_at = Some(clock::now_millis());
                false
            }
        }
    }

    async fn fetch(&self) -> Result<HashMap<String, DecodingKey>, &'static str> {
        let answer = self.http.send(Method::GET, &self.url, HeaderMap::new(), None, TIMEOUT).await;
        let answer = answer.map_err(|failure| failure.kind.name())?;
        if !answer.status.is_success() {
            return Err("the answer is an error");
        }
        parse(&answer.body)
    }
}

async fn wait_after_failure(state: &State) {
    let elapsed = state.failed_at.map(|at| clock::now_millis().saturating_sub(at));
    if let Some(rest) = elapsed.and_then(|elapsed| FAILURE_PAUSE.checked_sub(elapsed)) {
        tokio::time::sleep(Duration::from_millis(rest)).await;
    }
}

fn is_within(at: Option<u64>, millis: u64, now: u64) -> bool {
    at.is_some_and(|at| now.saturating_sub(at) < millis)
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

/// Reads the RSA keys that sign with RS256; all others are passed over. A set without any is no key set.
fn parse(body: &[u8]) -> Result<HashMap<String, DecodingKey>, &'static str> {
    let set: Jwks = serde_json::from_slice(body).map_err(|_| "the answer is no key set")?;
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
        .take(MOST)
        .collect();
    if keys.is_empty() { Err("the key set has no RS256 key") } else { Ok(keys) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rs256_signing_keys_are_taken() {
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
    fn an_empty_or_unreadable_set_is_a_failure() {
        for body in ["", "<html>", "{}", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"EC"}]}"#] {
            assert!(parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
