//! The outcomes of sign-in, refresh and switch.

use std::fmt;

use api::{ApiError, Impersonator, Next, Reason, Secret, SetCookie, User};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::ConnectionId;

/// The outcome of a sign-in.
#[derive(Debug)]
pub enum SignIn {
    /// The person is signed in.
    Complete(Box<Authentication>),
    /// The person must choose an organization.
    ChooseOrganization(Selection),
    /// The person must sign in through an organization's identity provider.
    SsoRequired(SsoRequired),
    /// The person must verify the address or a second factor.
    StepUp(StepUp),
    /// The person must use another method.
    OtherMethod(OtherMethod),
}

/// A sign-in that waits for a code.
#[derive(Debug)]
pub struct StepUp {
    /// What the person must do.
    pub step: Next,
    /// The token of the pending sign-in.
    pub pending_authentication_token: Secret,
    /// The WorkOS user id, if WorkOS sent it: not with [`Next::VerifyEmail`].
    pub user_id: Option<String>,
    /// The person's address, if WorkOS sent it.
    pub email: Option<String>,
    /// With [`Next::VerifyEmail`]: the id of the mailed code, if WorkOS sent it.
    pub email_verification_id: Option<String>,
    /// With [`Next::ChallengeMfa`]: the ids of the person's authenticator apps.
    pub apps: Vec<String>,
    /// The error for clients.
    pub error: ApiError,
}

/// A sign-in whose method is not allowed.
#[derive(Debug)]
pub struct OtherMethod {
    /// WorkOS' names of the allowed methods, such as `google_oauth`, if it names them.
    pub allowed: Vec<String>,
    /// The person's address, if WorkOS sent it: the `login_hint` of the next step.
    pub email: Option<String>,
    /// The error for clients that cannot redirect.
    pub error: ApiError,
}

/// A sign-in that must go through an organization's identity provider.
#[derive(Debug)]
pub struct SsoRequired {
    /// The connection to that identity provider.
    pub connection_id: ConnectionId,
    /// The token of the pending sign-in, if WorkOS sent one.
    pub pending_authentication_token: Option<Secret>,
    /// The person's address, if WorkOS sent it: the `login_hint` of the next step.
    pub email: Option<String>,
}

/// A completed sign-in.
#[derive(Debug)]
pub struct Authentication {
    /// The person.
    pub user: User,
    /// The verified claims of the access token.
    pub claims: Claims,
    /// The refresh token, single use.
    pub refresh_token: Secret,
    /// The authentication method: `magic_auth`, `sso`, `google_oauth`, …
    pub method: Option<String>,
    /// Who signed in as the person, from WorkOS' dashboard.
    pub impersonator: Option<Impersonator>,
}

/// The claims of an access token. [`crate::verifier::Verifier`] returns them once signature, issuer and times are
/// verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `sub`: the WorkOS user id.
    pub user_id: String,
    /// `sid`: the WorkOS session id.
    pub session_id: String,
    /// `org_id`: the organization that the session is in.
    pub organization_id: Option<String>,
    /// `role`: the role in that organization.
    pub role: Option<String>,
    /// `permissions`: the permissions in that organization.
    pub permissions: Vec<String>,
    /// `act.sub` (RFC 8693, section 4.1): the address of who acts as the person.
    pub impersonator: Option<String>,
    /// `exp`: the expiry, in seconds since the Unix epoch.
    pub expires_at: u64,
    /// When it was issued; 0 if the token does not say.
    pub issued_at: u64,
    /// When the person proved who they are. A refresh does not change it.
    pub authenticated_at: Option<u64>,
}

/// The person, from WorkOS' user.
pub(crate) fn user(user: workos_sdk::User) -> User {
    User {
        id: user.id,
        email: user.email,
        first_name: known(user.first_name, NAME_BYTES),
        last_name: known(user.last_name, NAME_BYTES),
        avatar_url: known(user.profile_picture_url, URL_BYTES),
    }
}

/// The longest name of a person or an organization, and the longest URL of a picture, in bytes. They are stored with each
/// session and passed on with each request.
pub(crate) const NAME_BYTES: usize = 256;
pub(crate) const URL_BYTES: usize = 1024;

/// Text that WorkOS knows: what is empty or longer than `max` bytes counts as unknown.
pub(crate) fn known(text: Option<String>, max: usize) -> Option<String> {
    text.filter(|text| !text.is_empty() && text.len() <= max)
}

/// The authentication method in the words of our API, as in `authMethod`: WorkOS' `MagicAuth` is `magic_auth`, its
/// `GitHubOAuth` is `github_oauth`.
pub(crate) fn method(wire: &str) -> String {
    if let Some(provider) = wire.strip_suffix("OAuth") {
        return format!("{}_oauth", provider.to_lowercase());
    }
    let mut words = String::new();
    let mut after_lowercase = false;
    for letter in wire.chars() {
        if letter.is_uppercase() && after_lowercase {
            words.push('_');
        }
        after_lowercase = letter.is_lowercase();
        words.extend(letter.to_lowercase());
    }
    words
}

/// A person who must choose an organization, as in our responses.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Selection {
    /// The WorkOS user id.
    pub id: String,
    /// The email address.
    pub email: String,
    /// The token of the pending sign-in.
    #[serde(serialize_with = "exposed")]
    #[schemars(with = "String")]
    pub pending_authentication_token: Secret,
    /// The organizations to choose from.
    pub organizations: Vec<Organization>,
}

impl fmt::Debug for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selection")
            .field("id", &self.id)
            .field("organizations", &self.organizations)
            .finish_non_exhaustive()
    }
}

/// The browser that signs in receives the token, because it must send it back.
fn exposed<S: Serializer>(token: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(token.expose())
}

/// An organization to choose from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize, JsonSchema)]
pub struct Organization {
    /// The WorkOS organization id.
    pub id: String,
    /// The name.
    pub name: String,
}

/// Why a credential began no session and leads to no next step.
#[derive(Debug)]
pub enum GrantError {
    /// WorkOS provably redeemed nothing: the same request can be sent again.
    NotRedeemed(ApiError),
    /// WorkOS refused the credential, or may have redeemed it.
    Final(ApiError),
}

impl GrantError {
    /// Sets a cookie, unless the same request can be sent again.
    #[must_use]
    pub fn cookie_if_final(self, cookie: &SetCookie) -> Self {
        match self {
            Self::Final(error) => Self::Final(error.cookie(cookie.clone())),
            error @ Self::NotRedeemed(_) => error,
        }
    }
}

impl From<GrantError> for ApiError {
    fn from(error: GrantError) -> Self {
        match error {
            GrantError::NotRedeemed(error) | GrantError::Final(error) => error,
        }
    }
}

/// A refreshed or switched session.
#[derive(Debug)]
pub struct Refreshed {
    /// The new refresh token, single use.
    pub refresh_token: Secret,
    /// The verified claims of the new access token. `None` if the token could not be verified: the cached claims stay,
    /// but the new refresh token must be stored, because the old one is used up. The log says why.
    pub claims: Option<Claims>,
    /// The person, with current data.
    pub user: User,
}

/// Why a session was not refreshed or switched.
#[derive(Debug)]
pub enum RefreshError {
    /// The session has ended at WorkOS.
    Ended(ApiError),
    /// WorkOS refuses the organization; the session is unchanged.
    Refused(ApiError),
    /// The organization requires SSO; the session is unchanged.
    SsoRequired(SsoRequired),
    /// WorkOS is busy or unavailable: no connection, 408, 429 or 5xx. Try again.
    Transient(ApiError),
    /// No answer, twice, or an `invalid_grant` to the second try. WorkOS may have rotated the refresh token, and repeats
    /// its answer for a while. Try again.
    Lost(ApiError),
}

impl From<RefreshError> for ApiError {
    /// The error for endpoints that cannot redirect. Those that can match on [`RefreshError::SsoRequired`].
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::Ended(error)
            | RefreshError::Refused(error)
            | RefreshError::Transient(error)
            | RefreshError::Lost(error) => error,
            RefreshError::SsoRequired(_) => Reason::SsoRequired.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authentication_methods_have_the_names_of_our_api() {
        for (wire, name) in [
            ("MagicAuth", "magic_auth"),
            ("SSO", "sso"),
            ("GoogleOAuth", "google_oauth"),
            ("GitHubOAuth", "github_oauth"),
            ("CrossAppAuth", "cross_app_auth"),
            ("Impersonation", "impersonation"),
        ] {
            assert_eq!(method(wire), name);
        }
    }

    #[test]
    fn empty_and_overlong_text_is_unknown() {
        for (text, is_known) in [("", false), ("abcd", true), ("abcde", false)] {
            assert_eq!(known(Some(text.to_owned()), 4).is_some(), is_known, "{text}");
        }
    }

    #[test]
    fn a_selection_serializes_the_token_and_debug_does_not_print_it() {
        let selection = Selection {
            id: "user_1".into(),
            email: "1@gmail.com".into(),
            pending_authentication_token: Secret::new("pending"),
            organizations: vec![Organization { id: "org_1".into(), name: "MASADAS".into() }],
        };
        assert_eq!(
            serde_json::to_string(&selection).unwrap(),
            r#"{"id":"user_1","email":"1@gmail.com","pendingAuthenticationToken":"pending","organizations":[{"id":"org_1","name":"MASADAS"}]}"#
        );
        let printed = format!("{:?}", SignIn::ChooseOrganization(selection));
        assert!(!printed.contains("pending"), "{printed}");
    }
}
