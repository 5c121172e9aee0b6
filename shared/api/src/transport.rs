//! How the session and the secrets of a sign-in reach the client: in cookies, or in headers for clients without them.
//!
//! Endpoints read [`Request::cookies`](crate::Request::cookies) and set [`SetCookie`]s, and know nothing about the
//! transport. With `Session-Transport: header`, this module fills the former from the header `Flow-Token`, and turns the
//! latter into headers:
//!
//! | header | holds | the client |
//! |---|---|---|
//! | `Session-Token` | the token of a new session | sends it as `Authorization: Bearer`, until it signs out or gets a 401 |
//! | `Flow-Token` | everything else, opaque | stores the latest one, and sends it with every request to `/auth` |
//!
//! A response without `Flow-Token` changes nothing. One that changes any part returns the whole token; it is `none` if
//! no part is left. Its parts have the names and values of the cookies, `oauth=…;pending=…;device=…`; a request may have
//! 5 KiB of them. Anything malformed is ignored, as in cookies.
//!
//! Header transport must be enabled by `SESSION_TRANSPORTS`. A request that has a session cookie cannot use it, so that
//! an injected script cannot turn an `HttpOnly` cookie into a token that it can read. The other cookies are not read
//! either: a sign-in that started with cookies ends with cookies.

use http::HeaderName;
use http::header::HeaderValue;
use lambda_http::aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};

use crate::cookie::{DEVICE_COOKIE, OAUTH_COOKIE, PENDING_COOKIE, SESSION_COOKIE};
use crate::{ApiConfig, ApiError, Cookies, Reason, SameSite, SetCookie};

/// The request header that selects the transport: `cookie`, the default, or `header`.
pub const SESSION_TRANSPORT: HeaderName = HeaderName::from_static("session-transport");

/// The response header with the token of a new session.
pub const SESSION_TOKEN: HeaderName = HeaderName::from_static("session-token");

/// The header with the secrets of a sign-in, in requests and responses.
pub const FLOW_TOKEN: HeaderName = HeaderName::from_static("flow-token");

/// The cookies that travel in `Flow-Token`, and the names of its parts. A cookie that is not listed here would be lost.
const PARTS: [(&str, &str); 3] =
    [(OAUTH_COOKIE, "oauth"), (PENDING_COOKIE, "pending"), (DEVICE_COOKIE, "device")];

/// `Flow-Token` without parts. An empty header could get lost on its way.
const NO_PARTS: &str = "none";

/// The maximum length of `Flow-Token` in a request. API Gateway limits all headers together to 10,240 bytes. A cookie has
/// at most 4,096, so a response, which may replace one part of a request's token, stays below that too.
const MAX_FLOW_TOKEN: usize = 5 * 1024;

/// The response header that takes the place of a cookie.
pub fn header_for(cookie: &str) -> Option<HeaderName> {
    if cookie == SESSION_COOKIE {
        return Some(SESSION_TOKEN);
    }
    PARTS.iter().any(|(name, _)| *name == cookie).then_some(FLOW_TOKEN)
}

/// The transport of one request.
#[derive(Debug)]
pub(crate) enum Transport {
    /// Cookies of this form. The request had the cookies `sent`.
    Cookies { same_site: SameSite, sent: Cookies },
    /// Headers. The request's `Flow-Token` held `parts`, under the names of cookies.
    Headers { parts: Cookies },
}

impl Transport {
    /// The transport that the request asks for.
    ///
    /// # Errors
    /// `invalid_transport`; `transport_not_enabled`; `session_cookie_present`.
    pub(crate) fn of(config: &ApiConfig, event: &mut ApiGatewayV2httpRequest) -> Result<Self, ApiError> {
        let same_site = config.same_site;
        let sent = Cookies::parse(event.cookies.take().unwrap_or_default(), same_site);
        match event.headers.get(SESSION_TRANSPORT).map(HeaderValue::as_bytes) {
            None | Some(b"cookie") => Ok(Self::Cookies { same_site, sent }),
            Some(b"header") if !config.header_transport => Err(Reason::TransportNotEnabled.into()),
            Some(b"header") if sent.has(SESSION_COOKIE) => Err(Reason::SessionCookiePresent.into()),
            Some(b"header") => Ok(Self::Headers { parts: decode(event.headers.get(FLOW_TOKEN)) }),
            Some(_) => Err(Reason::InvalidTransport.into()),
        }
    }

    /// The cookies that the endpoint reads.
    pub(crate) fn cookies(&self) -> Cookies {
        match self {
            Self::Cookies { sent, .. } => sent.clone(),
            Self::Headers { parts } => parts.clone(),
        }
    }

    /// Adds the endpoint's cookies to the response.
    pub(crate) fn carry(&self, cookies: &[SetCookie], response: &mut ApiGatewayV2httpResponse) {
        match self {
            Self::Cookies { same_site, sent } => {
                for cookie in cookies {
                    response.cookies.push(cookie.header(*same_site));
                    response.cookies.extend(cookie.expiry_of_other_form(*same_site, sent));
                }
            }
            Self::Headers { parts } => {
                let (session, flow): (Vec<_>, Vec<_>) =
                    cookies.iter().partition(|cookie| cookie.name() == SESSION_COOKIE);
                for token in session.into_iter().filter_map(SetCookie::value) {
                    insert(response, SESSION_TOKEN, token);
                }
                if !flow.is_empty() {
                    let mut parts = parts.clone();
                    flow.into_iter().for_each(|cookie| parts.apply(cookie));
                    insert(response, FLOW_TOKEN, &encode(&parts));
                }
            }
        }
    }
}

/// Until a request's transport is known, its errors have no cookies.
impl Default for Transport {
    fn default() -> Self {
        Self::Cookies { same_site: SameSite::default(), sent: Cookies::default() }
    }
}

fn insert(response: &mut ApiGatewayV2httpResponse, name: HeaderName, value: &str) {
    // Tokens consist of visible ASCII characters.
    if let Ok(mut value) = HeaderValue::from_str(value) {
        value.set_sensitive(true);
        response.headers.insert(name, value);
    }
}

fn encode(parts: &Cookies) -> String {
    let parts = PARTS.iter().filter_map(|(cookie, part)| Some(format!("{part}={}", parts.get(cookie)?)));
    let parts: Vec<_> = parts.collect();
    if parts.is_empty() { NO_PARTS.to_owned() } else { parts.join(";") }
}

fn decode(header: Option<&HeaderValue>) -> Cookies {
    let text = header.and_then(|value| value.to_str().ok()).filter(|text| text.len() <= MAX_FLOW_TOKEN);
    let sent = Cookies::parse(text, SameSite::Lax);
    let mut cookies = Cookies::default();
    for (cookie, part) in PARTS {
        if let Some(value) = sent.get(part) {
            cookies.apply(&SetCookie::new(cookie, value, 1));
        }
    }
    cookies
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &str) -> Cookies {
        decode(Some(&HeaderValue::from_str(text).unwrap()))
    }

    /// The headers of a response that sets `cookies` to a request with this `Flow-Token`.
    fn carried(flow_token: &str, cookies: &[SetCookie]) -> (Option<String>, Option<String>) {
        let mut response = ApiGatewayV2httpResponse::default();
        Transport::Headers { parts: decoded(flow_token) }.carry(cookies, &mut response);
        assert!(response.cookies.is_empty());
        assert!(response.headers.values().all(HeaderValue::is_sensitive));
        let text = |name| response.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        (text(SESSION_TOKEN), text(FLOW_TOKEN))
    }

    fn set(name: &'static str, value: &str) -> SetCookie {
        SetCookie::new(name, value, 60)
    }

    #[test]
    fn a_response_returns_the_whole_flow_token_if_any_part_changes() {
        let sent = "oauth=1.a~2.b;device=d";
        assert_eq!(carried(sent, &[]), (None, None));
        assert_eq!(carried(sent, &[set(SESSION_COOKIE, "s")]), (Some("s".into()), None));
        assert_eq!(
            carried(sent, &[set(PENDING_COOKIE, "p")]),
            (None, Some("oauth=1.a~2.b;pending=p;device=d".into()))
        );
        let signed_in = [set(SESSION_COOKIE, "s"), SetCookie::clear(OAUTH_COOKIE)];
        assert_eq!(carried(sent, &signed_in), (Some("s".into()), Some("device=d".into())));
        let signed_out = [SetCookie::clear(SESSION_COOKIE), SetCookie::clear(OAUTH_COOKIE)];
        assert_eq!(carried("oauth=1.a", &signed_out), (None, Some("none".into())));
        assert_eq!(carried("none", &[set(DEVICE_COOKIE, "d")]), (None, Some("device=d".into())));
    }

    #[test]
    fn a_flow_token_never_holds_a_session() {
        for sent in ["session=s", "__Host-session=s", "__Host-oauth=o", "oauth=a;oauth=b", "oauth"] {
            let cookies = decoded(sent);
            assert!(!cookies.has(SESSION_COOKIE) && !cookies.has(OAUTH_COOKIE), "{sent}");
        }
    }

    #[test]
    fn a_flow_token_that_is_too_long_is_ignored() {
        let sent = |length| decoded(&format!("oauth={}", "x".repeat(length - "oauth=".len())));
        assert!(sent(MAX_FLOW_TOKEN).has(OAUTH_COOKIE));
        assert!(!sent(MAX_FLOW_TOKEN + 1).has(OAUTH_COOKIE));
    }

    #[test]
    fn debug_prints_no_token() {
        let transport = Transport::Headers { parts: decoded("oauth=secret") };
        assert!(!format!("{transport:?}").contains("secret"));
    }
}
