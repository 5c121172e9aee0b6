//! Request fields that are passed to WorkOS.

use api::text::is_visible_ascii;

api::text! {
    /// The code that the browser brings back from WorkOS. Single use.
    pub struct AuthCode { max: 1024, reason: InvalidField, accept: is_visible_ascii, secret }
}

api::text! {
    /// A code that was sent by mail: six digits, single use, valid for ten minutes.
    pub struct MagicCode { max: 16, reason: InvalidField, accept: |text| text.bytes().all(|byte| byte.is_ascii_digit()), secret }
}

api::text! {
    /// The token of a sign-in that waits for a step. A bearer credential.
    pub struct PendingToken { max: 4096, reason: InvalidField, accept: is_visible_ascii, secret }
}

api::text! {
    /// The id of an organization (`org_…`).
    pub struct OrganizationId { max: 128, reason: InvalidField, accept: |text| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-') }
}

api::text! {
    /// The `state` that the browser brings back from WorkOS.
    pub struct FlowState { max: 128, reason: InvalidField, accept: is_visible_ascii }
}

api::text! {
    /// The token of an invitation. Anyone who holds it can accept the invitation with the address that it was sent to.
    pub struct InvitationToken { max: 512, reason: InvalidField, accept: is_visible_ascii, secret }
}

api::text! {
    /// The id of a challenge of an authenticator app (`auth_challenge_…`).
    pub struct ChallengeId { max: 128, reason: InvalidField, accept: |text| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-') }
}

api::text! {
    /// What a provider fills in as the person's name: mostly an email address.
    pub struct LoginHint { max: 254, reason: InvalidField, accept: |text| !text.contains(char::is_control) }
}

api::text! {
    /// The `error` that a provider redirects with instead of a code (RFC 6749, section 4.1.2.1).
    pub struct ProviderError { max: 128, reason: InvalidField, accept: is_visible_ascii }
}

api::text! {
    /// An address that WorkOS sends the browser to, with `code` and `state` or after a sign-out. It must be listed.
    pub struct RedirectUri { max: 256, reason: InvalidField, accept: is_visible_ascii }
}

api::text! {
    /// Where the front end continues after a sign-in: a path on its own origin that begins with a single `/`, or a URL of
    /// an allowed origin.
    pub struct ReturnTo { max: 512, reason: InvalidField, accept: is_return_to }
}

fn is_return_to(text: &str) -> bool {
    !text.contains(char::is_control) && (is_path(text) || text.contains("://"))
}

/// Whether `text` is a path that stays on its origin: browsers take `//` and `/\` for the beginning of a host, and remove
/// tabs and newlines. Front ends may decode the path, so the encoded forms count as well.
fn is_path(text: &str) -> bool {
    let path = text.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let mut encoded = path.split('%').skip(1).filter_map(|rest| u8::from_str_radix(rest.get(..2)?, 16).ok());
    path.starts_with('/')
        && !["//", "/\\", "/%2f", "/%5c"].iter().any(|host| path.starts_with(host))
        && !encoded.any(|byte| byte.is_ascii_control())
}

impl ReturnTo {
    /// Whether it is a path, or a URL of one of these origins. No user name can precede the host: the origin must be the
    /// beginning of the URL, and the end of the host.
    pub(crate) fn is_allowed(&self, origins: &[String]) -> bool {
        let is_at = |origin: &String| {
            let rest = self.0.strip_prefix(origin.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
        };
        is_path(&self.0) || origins.iter().any(is_at)
    }
}

/// The id of an SSO connection (`conn_…`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionId(String);

impl ConnectionId {
    /// Wraps an id from WorkOS.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_allowed(text: &str) -> bool {
        let origins = ["https://app.example.com", "http://localhost:5173"].map(str::to_owned);
        ReturnTo::parse(text).is_ok_and(|return_to| return_to.is_allowed(&origins))
    }

    #[test]
    fn a_path_and_a_url_of_an_allowed_origin_are_allowed() {
        for allowed in [
            "/",
            "/rooms/7?tab=chat#top",
            "/räume/ü",
            "/a//b",
            "/a%2Fb",
            "/search?q=a%0Ab&next=https://evil.example",
            "https://app.example.com",
            "https://app.example.com/rooms",
            "https://app.example.com?room=7",
            "http://localhost:5173#/rooms",
            &format!("/{}", "x".repeat(511)),
        ] {
            assert!(is_allowed(allowed), "{allowed}");
        }
    }

    #[test]
    fn whatever_could_leave_the_origin_is_refused() {
        for refused in [
            "rooms",
            "//evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "\t//evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "/\r\n/evil.example",
            "/\0/evil.example",
            "/\u{7f}/evil.example",
            "/\u{85}/evil.example",
            "/%09/evil.example",
            "/%0a/evil.example",
            "/rooms/%0D%0aSet-Cookie:x",
            "/%2Fevil.example",
            "/%5cevil.example",
            "https://evil.example",
            "https://app.example.com@evil.example",
            "https://app.example.com:443@evil.example",
            "https://app.example.com.evil.example",
            "https://app.example.com\\@evil.example",
            "https://app.example.com:8443/",
            "http://app.example.com/",
            "HTTPS://app.example.com/",
            "https:/app.example.com/",
            "http://localhost:51730/",
            "javascript://app.example.com/%0aalert(1)",
            &format!("/{}", "x".repeat(512)),
        ] {
            assert!(!is_allowed(refused), "{refused:?}");
        }
    }
}
