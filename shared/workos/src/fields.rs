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
    /// The id of a challenge of an authenticator app (`auth_challenge_…`).
    pub struct ChallengeId { max: 128, reason: InvalidField, accept: |text| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-') }
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
