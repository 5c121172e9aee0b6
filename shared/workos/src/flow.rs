//! A sign-in that goes through the browser: PKCE (RFC 7636), `state`, and the cookie that binds both to the browser.
//!
//! All that is kept is the PKCE verifier, in the cookie `__Host-oauth`; `state` and challenge are derived from it. A
//! code can be redeemed only with the verifier whose challenge began the flow, so a code that somebody else began is
//! worth nothing in this browser: that is what stops login CSRF, with or without `state`.
//!
//! The cookie holds at most four flows, newest first, each with the second in which it began:
//! `1752486896.<verifier>~1752486890.<verifier>`, 219 bytes at most. Whatever in it does not read as a flow is passed
//! over. A flow is spent by the first attempt to finish it.

use api::{ApiError, Cookies, Reason, SameSite, Secret, SetCookie, clock, random};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::{digest, hmac};

use crate::FlowState;

/// The cookie with the flows under way.
pub const COOKIE: &str = "__Host-oauth";

/// How long a flow may take, in seconds.
pub const LIFETIME: u64 = 600;

/// How many flows a browser can have under way: one per tab.
const MOST: usize = 4;

/// The bytes of a verifier before encoding: 43 characters, the shortest that RFC 7636 4.1 allows, with 256 bits.
const VERIFIER_BYTES: usize = 32;

/// Sets the derivation of `state` apart from any other use of a verifier.
const STATE_LABEL: &[u8] = b"authentication-api oauth state v1";

/// A flow: the secret of one sign-in through the browser.
#[derive(Clone, Debug)]
pub struct OAuthFlow {
    /// The PKCE verifier.
    pub verifier: Secret,
    /// The `state` that comes back with the browser.
    pub state: String,
}

impl OAuthFlow {
    /// Begins a flow: the cookie is what the browser held, with this flow in front.
    ///
    /// # Errors
    /// `internal` where the system has no random bytes.
    pub fn begin(cookies: &Cookies, same_site: SameSite) -> Result<(Self, SetCookie), ApiError> {
        let bytes: [u8; VERIFIER_BYTES] = random::bytes()?;
        let flow = Self::of(URL_SAFE_NO_PAD.encode(bytes));
        let now = clock::now();
        let mut begun = vec![Begun { at: now, flow: flow.clone() }];
        begun.extend(read(cookies, now));
        begun.truncate(MOST);
        Ok((flow, write(&begun, same_site)))
    }

    /// Finishes a flow: the one with `state`, else the newest. The cookie is what the browser held, without this flow:
    /// it goes with the answer whether the code is redeemed or not.
    ///
    /// # Errors
    /// `flow_expired` where the browser has no such flow under way.
    pub fn finish(
        cookies: &Cookies,
        state: Option<&FlowState>,
        same_site: SameSite,
    ) -> Result<(Self, SetCookie), ApiError> {
        let mut begun = read(cookies, clock::now());
        let found = match state {
            Some(state) => begun.iter().position(|each| each.flow.has_state(state)),
            None => (!begun.is_empty()).then_some(0),
        };
        let flow = found.map(|index| begun.remove(index).flow).ok_or(Reason::FlowExpired)?;
        Ok((flow, write(&begun, same_site)))
    }

    /// `code_challenge` for the method `S256` (RFC 7636 4.2).
    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, self.verifier.expose().as_bytes()))
    }

    fn of(verifier: String) -> Self {
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
struct Begun {
    at: u64,
    flow: OAuthFlow,
}

fn read(cookies: &Cookies, now: u64) -> Vec<Begun> {
    let value = cookies.get(COOKIE).unwrap_or_default();
    value.split('~').take(MOST).filter_map(|text| read_one(text, now)).collect()
}

fn read_one(text: &str, now: u64) -> Option<Begun> {
    let (at, verifier) = text.split_once('.')?;
    let at: u64 = at.parse().ok()?;
    let is_verifier = URL_SAFE_NO_PAD.decode(verifier).is_ok_and(|bytes| bytes.len() == VERIFIER_BYTES);
    // A flow from the future is junk as well: it would outlive its ten minutes.
    let is_fresh = at <= now && now - at < LIFETIME;
    (is_verifier && is_fresh).then(|| Begun { at, flow: OAuthFlow::of(verifier.to_owned()) })
}

fn write(begun: &[Begun], same_site: SameSite) -> SetCookie {
    if begun.is_empty() {
        return SetCookie::clear(COOKIE, same_site);
    }
    let flows: Vec<_> =
        begun.iter().map(|each| format!("{}.{}", each.at, each.flow.verifier.expose())).collect();
    SetCookie::new(COOKIE, flows.join("~"), same_site, LIFETIME)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the browser holds after `cookie` was set.
    fn held(cookie: &SetCookie) -> Cookies {
        let header = cookie.header();
        Cookies::parse([header.split(';').next().unwrap()])
    }

    fn of(value: &str) -> Cookies {
        let pair = format!("{COOKIE}={value}");
        Cookies::parse([pair.as_str()])
    }

    fn begin(cookies: &Cookies) -> (OAuthFlow, SetCookie) {
        OAuthFlow::begin(cookies, SameSite::Lax).unwrap()
    }

    fn finish(cookies: &Cookies, state: Option<&str>) -> Result<(OAuthFlow, SetCookie), Reason> {
        let state = state.map(|text| FlowState::parse(text).unwrap());
        OAuthFlow::finish(cookies, state.as_ref(), SameSite::Lax).map_err(|error| error.reason())
    }

    #[test]
    fn the_challenge_is_that_of_rfc_7636() {
        // RFC 7636, appendix B.
        let flow = OAuthFlow::of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into());
        assert_eq!(flow.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        assert_ne!(flow.state, flow.challenge());
    }

    #[test]
    fn a_flow_is_finished_by_its_state_and_then_spent() {
        let (first, cookie) = begin(&Cookies::default());
        let (second, cookie) = begin(&held(&cookie));
        let cookies = held(&cookie);
        let (found, cookie) = finish(&cookies, Some(&first.state)).unwrap();
        assert_eq!(found.verifier, first.verifier);
        let cookies = held(&cookie);
        assert_eq!(finish(&cookies, Some(&first.state)).unwrap_err(), Reason::FlowExpired);
        let (found, cookie) = finish(&cookies, Some(&second.state)).unwrap();
        assert_eq!(found.verifier, second.verifier);
        assert!(cookie.header().starts_with("__Host-oauth=; ") && cookie.header().ends_with("Max-Age=0"));
    }

    #[test]
    fn without_state_the_newest_flow_counts() {
        let (_, cookie) = begin(&Cookies::default());
        let (newest, cookie) = begin(&held(&cookie));
        assert_eq!(finish(&held(&cookie), None).unwrap().0.verifier, newest.verifier);
    }

    #[test]
    fn another_browsers_state_finds_nothing() {
        let (foreign, _) = begin(&Cookies::default());
        let (_, cookie) = begin(&Cookies::default());
        for state in [foreign.state.as_str(), "x", "%%%"] {
            assert_eq!(finish(&held(&cookie), Some(state)).unwrap_err(), Reason::FlowExpired, "{state}");
        }
        assert_eq!(finish(&Cookies::default(), None).unwrap_err(), Reason::FlowExpired);
    }

    #[test]
    fn a_flow_lives_ten_minutes_to_the_second() {
        let verifier = URL_SAFE_NO_PAD.encode([7; VERIFIER_BYTES]);
        let text = format!("1000.{verifier}");
        assert!(read_one(&text, 1000).is_some());
        assert!(read_one(&text, 1000 + LIFETIME - 1).is_some());
        assert!(read_one(&text, 1000 + LIFETIME).is_none());
        assert!(read_one(&text, 999).is_none(), "a flow from the future");
        assert_eq!(finish(&of(&text), None).unwrap_err(), Reason::FlowExpired);
    }

    #[test]
    fn the_cookie_holds_four_flows_and_stays_small() {
        let mut cookies = Cookies::default();
        let mut flows = Vec::new();
        let mut size = 0;
        for _ in 0..6 {
            let (flow, cookie) = begin(&cookies);
            flows.push(flow);
            size = cookie.header().len();
            cookies = held(&cookie);
        }
        assert!(size < 300, "{size}");
        assert!(finish(&cookies, Some(&flows[1].state)).is_err());
        assert!(finish(&cookies, Some(&flows[2].state)).is_ok());
    }

    #[test]
    fn junk_is_passed_over() {
        let long = "~".repeat(8000);
        for junk in ["", "~~~~", "x.y", "9.9~", "99999999999999999999.x", &long, "\u{fffd}.é"] {
            let (flow, cookie) = begin(&of(junk));
            assert!(cookie.header().len() < 300);
            assert_eq!(finish(&held(&cookie), None).unwrap().0.verifier, flow.verifier);
        }
    }

    #[test]
    fn the_cookie_is_bound_to_host_and_time_and_prints_no_secret() {
        let (flow, cookie) = begin(&Cookies::default());
        let header = cookie.header();
        assert!(header.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600"), "{header}");
        assert!(!format!("{flow:?} {cookie:?}").contains(flow.verifier.expose()));
    }
}
