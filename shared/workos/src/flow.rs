//! A sign-in through the browser: PKCE (RFC 7636), `state`, and the cookie that binds both to the browser.
//!
//! The only stored value is the PKCE verifier, in the cookie `__Host-oauth`; `state` and challenge are derived from it.
//! A code can only be redeemed with the verifier of its flow, so a code from another browser's flow is useless in this
//! one. This prevents login CSRF, with or without `state`.
//!
//! The cookie holds at most four flows, newest first, each with its start in seconds since the Unix epoch:
//! `1752486896.<verifier>~1752486890.<verifier>`, 219 bytes at most. Malformed flows are ignored. The first attempt to
//! finish a flow uses it up.

use api::clock::{self, LEEWAY};
use api::{ApiError, Cookies, OAUTH_COOKIE as COOKIE, Reason, Secret, SetCookie, random};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::{digest, hmac};

use crate::FlowState;

/// The lifetime of a flow, in seconds.
pub const LIFETIME: u64 = 600;

/// The maximum number of pending flows in a browser: one per tab.
const MAX_FLOWS: usize = 4;

/// The length of a verifier before encoding: 256 bits, which are 43 characters, the minimum of RFC 7636 section 4.1.
const VERIFIER_BYTES: usize = 32;

/// Separates the derivation of `state` from any other use of a verifier.
const STATE_LABEL: &[u8] = b"authentication-api oauth state v1";

/// A sign-in through the browser.
#[derive(Clone, Debug)]
pub struct OAuthFlow {
    /// The PKCE verifier.
    pub verifier: Secret,
    /// The `state` that the browser brings back.
    pub state: String,
}

impl OAuthFlow {
    /// Starts a flow. The returned cookie holds it in front of the browser's other flows.
    ///
    /// # Errors
    /// `internal` if the system returns no random bytes.
    pub fn start(cookies: &Cookies) -> Result<(Self, SetCookie), ApiError> {
        let bytes: [u8; VERIFIER_BYTES] = random::bytes()?;
        let flow = Self::from_verifier(URL_SAFE_NO_PAD.encode(bytes));
        let now = clock::now();
        let mut pending = vec![PendingFlow { started_at: now, flow: flow.clone() }];
        pending.extend(decode(cookies, now));
        pending.truncate(MAX_FLOWS);
        Ok((flow, encode(&pending)))
    }

    /// Finishes the flow with `state`, or the newest without one. The returned cookie holds the browser's other flows;
    /// set it whether the code is redeemed or not.
    ///
    /// # Errors
    /// `flow_expired` if the browser has no such flow.
    pub fn finish(cookies: &Cookies, state: Option<&FlowState>) -> Result<(Self, SetCookie), ApiError> {
        let mut pending = decode(cookies, clock::now());
        let found = match state {
            Some(state) => pending.iter().position(|each| each.flow.has_state(state)),
            None => (!pending.is_empty()).then_some(0),
        };
        let flow = found.map(|index| pending.remove(index).flow).ok_or(Reason::FlowExpired)?;
        Ok((flow, encode(&pending)))
    }

    /// `code_challenge` of the method `S256` (RFC 7636 section 4.2).
    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, self.verifier.expose().as_bytes()))
    }

    fn from_verifier(verifier: String) -> Self {
        let state = URL_SAFE_NO_PAD.encode(hmac::sign(&state_key(&verifier), STATE_LABEL));
        Self { verifier: Secret::new(verifier), state }
    }

    /// Compares in constant time.
    fn has_state(&self, state: &FlowState) -> bool {
        URL_SAFE_NO_PAD
            .decode(state.as_str())
            .is_ok_and(|tag| hmac::verify(&state_key(self.verifier.expose()), STATE_LABEL, &tag).is_ok())
    }
}

fn state_key(verifier: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, verifier.as_bytes())
}

/// A flow in the cookie.
struct PendingFlow {
    started_at: u64,
    flow: OAuthFlow,
}

fn decode(cookies: &Cookies, now: u64) -> Vec<PendingFlow> {
    let value = cookies.get(COOKIE).unwrap_or_default();
    value.split('~').take(MAX_FLOWS).filter_map(|text| decode_one(text, now)).collect()
}

fn decode_one(text: &str, now: u64) -> Option<PendingFlow> {
    let (started_at, verifier) = text.split_once('.')?;
    let started_at: u64 = started_at.parse().ok()?;
    let is_verifier = URL_SAFE_NO_PAD.decode(verifier).is_ok_and(|bytes| bytes.len() == VERIFIER_BYTES);
    // A start further in the future would extend the lifetime.
    let is_live = started_at <= now + LEEWAY && now < started_at.saturating_add(LIFETIME + LEEWAY);
    let flow = || OAuthFlow::from_verifier(verifier.to_owned());
    (is_verifier && is_live).then(|| PendingFlow { started_at, flow: flow() })
}

fn encode(pending: &[PendingFlow]) -> SetCookie {
    if pending.is_empty() {
        return SetCookie::clear(COOKIE);
    }
    let encode_one = |each: &PendingFlow| format!("{}.{}", each.started_at, each.flow.verifier.expose());
    let flows: Vec<_> = pending.iter().map(encode_one).collect();
    SetCookie::new(COOKIE, flows.join("~"), LIFETIME)
}

#[cfg(test)]
mod tests {
    use api::SameSite;

    use super::*;

    /// The browser's cookies after `cookie` was set.
    fn browser(cookie: &SetCookie) -> Cookies {
        let mut cookies = Cookies::default();
        cookies.apply(cookie);
        cookies
    }

    fn browser_with(value: &str) -> Cookies {
        browser(&SetCookie::new(COOKIE, value, LIFETIME))
    }

    fn start(cookies: &Cookies) -> (OAuthFlow, SetCookie) {
        OAuthFlow::start(cookies).unwrap()
    }

    fn finish(cookies: &Cookies, state: Option<&str>) -> Result<(OAuthFlow, SetCookie), Reason> {
        let state = state.map(|text| FlowState::parse(text).unwrap());
        OAuthFlow::finish(cookies, state.as_ref()).map_err(|error| error.reason())
    }

    #[test]
    fn the_challenge_matches_the_example_of_rfc_7636() {
        // RFC 7636, appendix B.
        let flow = OAuthFlow::from_verifier("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into());
        assert_eq!(flow.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        assert_ne!(flow.state, flow.challenge());
    }

    #[test]
    fn a_flow_is_found_by_its_state_and_finished_once() {
        let (first, cookie) = start(&Cookies::default());
        let (second, cookie) = start(&browser(&cookie));
        let cookies = browser(&cookie);
        let (found, cookie) = finish(&cookies, Some(&first.state)).unwrap();
        assert_eq!(found.verifier, first.verifier);
        let cookies = browser(&cookie);
        assert_eq!(finish(&cookies, Some(&first.state)).unwrap_err(), Reason::FlowExpired);
        let (found, cookie) = finish(&cookies, Some(&second.state)).unwrap();
        assert_eq!(found.verifier, second.verifier);
        assert_eq!((cookie.name(), cookie.value()), (COOKIE, None));
    }

    #[test]
    fn without_state_the_newest_flow_is_finished() {
        let (_, cookie) = start(&Cookies::default());
        let (newest, cookie) = start(&browser(&cookie));
        assert_eq!(finish(&browser(&cookie), None).unwrap().0.verifier, newest.verifier);
    }

    #[test]
    fn the_state_of_another_browser_finds_no_flow() {
        let (foreign, _) = start(&Cookies::default());
        let (_, cookie) = start(&Cookies::default());
        for state in [foreign.state.as_str(), "x", "%%%"] {
            assert_eq!(finish(&browser(&cookie), Some(state)).unwrap_err(), Reason::FlowExpired, "{state}");
        }
        assert_eq!(finish(&Cookies::default(), None).unwrap_err(), Reason::FlowExpired);
    }

    #[test]
    fn a_flow_expires_after_ten_minutes_and_the_leeway_to_the_second() {
        let verifier = URL_SAFE_NO_PAD.encode([7; VERIFIER_BYTES]);
        let text = format!("1000.{verifier}");
        assert!(decode_one(&text, 1000).is_some());
        assert!(decode_one(&text, 1000 + 749).is_some());
        assert!(decode_one(&text, 1000 + 750).is_none());
        assert!(decode_one(&text, 1000 - 150).is_some(), "the other machine's clock is ahead");
        assert!(decode_one(&text, 1000 - 151).is_none(), "a flow from the future");
        assert_eq!(finish(&browser_with(&text), None).unwrap_err(), Reason::FlowExpired);
    }

    #[test]
    fn the_cookie_holds_at_most_four_flows() {
        let mut cookies = Cookies::default();
        let mut flows = Vec::new();
        let mut size = 0;
        for _ in 0..6 {
            let (flow, cookie) = start(&cookies);
            flows.push(flow);
            size = cookie.header(SameSite::Lax).len();
            cookies = browser(&cookie);
        }
        assert!(size < 300, "{size}");
        assert!(finish(&cookies, Some(&flows[1].state)).is_err());
        assert!(finish(&cookies, Some(&flows[2].state)).is_ok());
    }

    #[test]
    fn malformed_flows_are_ignored() {
        let long = "~".repeat(8000);
        for junk in ["", "~~~~", "x.y", "9.9~", "99999999999999999999.x", &long, "\u{fffd}.é"] {
            let (flow, cookie) = start(&browser_with(junk));
            assert!(cookie.header(SameSite::Lax).len() < 300);
            assert_eq!(finish(&browser(&cookie), None).unwrap().0.verifier, flow.verifier);
        }
    }

    #[test]
    fn the_cookie_has_all_attributes_and_debug_prints_no_verifier() {
        let (flow, cookie) = start(&Cookies::default());
        let header = cookie.header(SameSite::Lax);
        assert!(header.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600"), "{header}");
        assert!(!format!("{flow:?} {cookie:?}").contains(flow.verifier.expose()));
    }
}
