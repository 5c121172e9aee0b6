//! What comes out of a sign-in, a refresh or a switch.

use std::fmt;

use api::{ApiError, Reason, Secret};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::ConnectionId;

/// How far a sign-in has come. Any other step that WorkOS asks for is an [`ApiError`] with its own reason.
#[derive(Debug)]
pub enum SignIn {
    /// The person is signed in.
    Complete(Box<Authentication>),
    /// The person must choose an organization.
    ChooseOrganization(Selection),
    /// The person must go through an organization's identity provider.
    SsoRequired(SsoRequired),
}

/// A sign-in through an organization's identity provider is asked for.
#[derive(Debug)]
pub struct SsoRequired {
    /// The connection to go through.
    pub connection_id: ConnectionId,
    /// The sign-in that waits, where WorkOS names one.
    pub pending_authentication_token: Option<Secret>,
    /// The person's address, where WorkOS names it: the `login_hint` of the next step.
    pub email: Option<String>,
}

/// A person who is signed in.
#[derive(Debug)]
pub struct Authentication {
    /// The person.
    pub user: User,
    /// The verified claims of the access token.
    pub claims: Claims,
    /// The refresh token, single use.
    pub refresh_token: Secret,
    /// How the person signed in, in WorkOS' words (`MagicAuth`, `SSO`, `GoogleOAuth`, …).
    pub method: Option<String>,
}

/// The claims of an access token whose signature, issuer and times hold. It is only made by
/// [`crate::verifier::Verifier`], and by tests of those who use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `sub`: the WorkOS user id.
    pub user_id: String,
    /// `sid`: the WorkOS session id.
    pub session_id: String,
    /// `org_id`: the organization in which the person acts.
    pub organization_id: Option<String>,
    /// `role`: the role there.
    pub role: Option<String>,
    /// `permissions`: the permissions there.
    pub permissions: Vec<String>,
    /// `exp`: when the token expires, in seconds since the Unix epoch.
    pub expires_at: u64,
}

/// A person, as our answers show them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The WorkOS user id.
    pub id: String,
    /// The email address.
    pub email: String,
    /// The first name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// The last name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
    /// The URL of a picture.
    #[serde(rename = "avatarURL", skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
}

/// A person who must choose an organization, as our answers show them.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Selection {
    /// The WorkOS user id.
    pub id: String,
    /// The email address.
    pub email: String,
    /// The sign-in that waits for the choice.
    #[serde(serialize_with = "exposed")]
    #[schemars(with = "String")]
    pub pending_authentication_token: Secret,
    /// What there is to choose from.
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

/// The token goes out to the browser that is signing in, which has to hand it back.
fn exposed<S: Serializer>(token: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(token.expose())
}

/// An organization to choose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize, JsonSchema)]
pub struct Organization {
    /// The WorkOS organization id.
    pub id: String,
    /// The name.
    pub name: String,
}

/// A refreshed or switched session.
#[derive(Debug)]
pub struct Refreshed {
    /// The refresh token that replaces the one that was used.
    pub refresh_token: Secret,
    /// The verified claims of the new access token. `None` where the grant succeeded and the token could not be
    /// verified now: the claims at hand stay, and the new refresh token must be stored nonetheless, because the old
    /// one is spent. Why is in the log.
    pub claims: Option<Claims>,
    /// The person, as WorkOS knows them now.
    pub user: User,
}

/// Why a session was not refreshed or switched.
#[derive(Debug)]
pub enum RefreshError {
    /// The session is over at WorkOS.
    Ended(ApiError),
    /// The organization that was asked for is refused; the session goes on as it was.
    Refused(ApiError),
    /// The organization that was asked for wants SSO; the session goes on as it was.
    SsoRequired(SsoRequired),
    /// Nothing is known: timeout, no connection, 408, 429, 5xx, an answer that is not understood. Try again.
    Transient(ApiError),
}

/// Why no Magic Auth code was sent.
#[derive(Debug)]
pub enum MagicAuthError {
    /// WorkOS knows no such address.
    UnknownAddress(ApiError),
    /// A policy forbids it: sign-up is off, the method is not allowed for the domain, an invitation is needed. An
    /// answer that tells this apart from success says whether an address is known.
    Refused(ApiError),
    /// WorkOS takes the address for none that mail can be sent to.
    Address(ApiError),
    /// It failed, whoever the address belongs to.
    Failed(ApiError),
}

impl From<MagicAuthError> for ApiError {
    fn from(error: MagicAuthError) -> Self {
        match error {
            MagicAuthError::UnknownAddress(error)
            | MagicAuthError::Refused(error)
            | MagicAuthError::Address(error)
            | MagicAuthError::Failed(error) => error,
        }
    }
}

impl From<RefreshError> for ApiError {
    /// An error for endpoints that have no redirect to offer: those that have one match on
    /// [`RefreshError::SsoRequired`].
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::Ended(error) | RefreshError::Refused(error) | RefreshError::Transient(error) => {
                error
            }
            RefreshError::SsoRequired(_) => Reason::SsoRequired.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_without_names_has_two_fields() {
        let user = User {
            id: "user_1".into(),
            email: "admin@cazzi.com".into(),
            first_name: None,
            last_name: None,
            avatar_url: None,
        };
        let body = serde_json::to_string(&user).unwrap();
        assert_eq!(body, r#"{"id":"user_1","email":"admin@cazzi.com"}"#);
        let user = User { first_name: Some("A".into()), avatar_url: Some("u".into()), ..user };
        let body = serde_json::to_string(&user).unwrap();
        assert!(body.ends_with(r#""firstName":"A","avatarURL":"u"}"#), "{body}");
    }

    #[test]
    fn a_selection_is_the_documents_and_prints_no_token() {
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
