//! The event that API Gateway sends to the authorizer.

use serde::Deserialize;

use crate::{Client, Cookies, SameSite, Secret, request};

/// The credentials of a request.
#[derive(Debug)]
pub struct Credentials {
    /// The request's cookies.
    pub cookies: Cookies,
    /// The token of `Authorization: Bearer`.
    pub bearer: Option<Secret>,
    /// The client's address and user agent.
    pub client: Client,
}

/// The relevant parts of an authorizer event (payload 2.0, header names in lower case). The rest, three quarters of it,
/// is skipped, since this runs before every protected request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuthorizerEvent {
    #[serde(default)]
    cookies: Option<Vec<String>>,
    #[serde(default)]
    headers: Headers,
    request_context: Context,
}

#[derive(Default, Deserialize)]
struct Headers {
    #[serde(alias = "Authorization")]
    authorization: Option<String>,
}

#[derive(Deserialize)]
struct Context {
    http: Http,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Http {
    source_ip: Option<String>,
    user_agent: Option<String>,
}

impl AuthorizerEvent {
    /// The credentials; of the cookies, only those of the configured form count.
    pub(crate) fn credentials(self, same_site: SameSite) -> Credentials {
        let http = self.request_context.http;
        Credentials {
            cookies: Cookies::parse(self.cookies.unwrap_or_default(), same_site),
            bearer: self.headers.authorization.as_deref().and_then(request::bearer),
            client: Client { ip: http.source_ip.and_then(|ip| ip.parse().ok()), user_agent: http.user_agent },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(event: serde_json::Value) -> Credentials {
        serde_json::from_value::<AuthorizerEvent>(event).unwrap().credentials(SameSite::Lax)
    }

    #[test]
    fn an_event_of_api_gateway_is_parsed() {
        let event = include_str!("../../../events/authorizer/unknown-session.json");
        let read = credentials(serde_json::from_str(event).unwrap());
        assert!(read.cookies.get("__Host-session").is_some());
        assert!(read.bearer.is_none());
        assert_eq!(read.client.ip_text(), "203.0.113.7");
        assert!(read.client.user_agent.is_some_and(|agent| agent.starts_with("Mozilla/5.0")));
    }

    #[test]
    fn a_session_may_come_as_a_bearer_token() {
        let context = serde_json::json!({ "http": { "sourceIp": "::1" } });
        let headers = serde_json::json!({ "authorization": "Bearer x" });
        let read = credentials(serde_json::json!({ "headers": headers, "requestContext": context }));
        assert_eq!(read.bearer.unwrap().expose(), "x");
        let read = credentials(serde_json::json!({ "requestContext": context }));
        assert!(read.cookies.get("a").is_none() && read.bearer.is_none());
    }
}
