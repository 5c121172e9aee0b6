//! The caller of a protected endpoint, as the authorizer identified them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{ApiError, CurrentOrganization, EmailAddress, Reason, User};

/// The person behind a session. The only source is the authorizer's context.
///
/// Functions and authorizer are not deployed at the same instant: whatever was added after the first release is optional.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Caller {
    /// WorkOS user id.
    pub user_id: String,
    /// Email address.
    pub email: String,
    /// The organization that the session is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization_id: Option<String>,
    /// The role in that organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The permissions in that organization.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
    /// WorkOS session id.
    pub session_id: String,
    /// The session's id for clients. It gives no access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// When the person last proved who they are, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authenticated_at: Option<u64>,
    /// The first name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// The last name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
    /// The URL of a picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    /// The name of the organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization_name: Option<String>,
    /// How the person signed in, such as `magic_auth` or `sso`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// When the session was created, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<u64>,
    /// When the session ends unless it is used before, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// Who acts as the person, if somebody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impersonator: Option<Impersonator>,
}

/// A member of the team who acts as the person, from WorkOS' dashboard.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct Impersonator {
    /// The email address.
    pub email: String,
    /// The reason that was given in the dashboard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Impersonator {
    /// Stands for the address in logs, see [`EmailAddress::hash`]. `None` if it is no address.
    pub fn hash(&self) -> Option<String> {
        EmailAddress::parse(&self.email).ok().map(|email| email.hash())
    }
}

/// What the authorizer tells the functions.
///
/// It never refuses a request itself: API Gateway would respond with a 403 without our error body. Instead, the request
/// reaches the function with this verdict, and [`crate::run`] refuses it before it reads the body. Only an explicit
/// [`Verdict::SignedIn`] with a whole identity passes, so a function whose route has lost its authorizer refuses every
/// request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The session is valid.
    SignedIn(Box<Caller>),
    /// There is no valid session.
    NotSignedIn,
    /// The session could not be checked, for this reason.
    Unavailable(Reason),
}

/// The verdict in the authorizer's context.
#[derive(Deserialize, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
enum Context {
    SignedIn(Box<Caller>),
    NotSignedIn,
    Unavailable { reason: String },
}

impl Verdict {
    /// Encodes the verdict as the authorizer's context.
    pub fn into_context(self) -> Value {
        let context = match self {
            Self::SignedIn(caller) => Context::SignedIn(caller),
            Self::NotSignedIn => Context::NotSignedIn,
            Self::Unavailable(reason) => Context::Unavailable { reason: reason.name().into() },
        };
        // If this failed, the function would read no verdict and refuse the request.
        serde_json::to_value(context).unwrap_or_default()
    }

    /// Decodes the authorizer's context. Anything but a complete verdict is [`Verdict::NotSignedIn`].
    pub fn from_context(context: Value) -> Self {
        match serde_json::from_value(context) {
            Ok(Context::SignedIn(caller)) if caller.is_complete() => Self::SignedIn(caller),
            Ok(Context::Unavailable { reason }) => {
                Self::Unavailable(Reason::named(&reason).unwrap_or(Reason::StoreUnavailable))
            }
            _ => Self::NotSignedIn,
        }
    }

    /// The caller.
    ///
    /// # Errors
    /// `not_signed_in`; the reason of [`Verdict::Unavailable`].
    pub(crate) fn caller(self) -> Result<Caller, ApiError> {
        match self {
            Self::SignedIn(caller) => Ok(*caller),
            Self::NotSignedIn => Err(Reason::NotSignedIn.into()),
            Self::Unavailable(reason) => Err(reason.into()),
        }
    }
}

impl Caller {
    /// The person.
    pub fn user(&self) -> User {
        User {
            id: self.user_id.clone(),
            email: self.email.clone(),
            first_name: self.first_name.clone(),
            last_name: self.last_name.clone(),
            avatar_url: self.avatar_url.clone(),
        }
    }

    /// The organization that the session is in.
    pub fn organization(&self) -> Option<CurrentOrganization> {
        let id = self.organization_id.clone()?;
        Some(CurrentOrganization { id, name: self.organization_name.clone() })
    }

    /// Checks that the person acts in person.
    ///
    /// # Errors
    /// `not_while_impersonating` if somebody acts as the person. WorkOS advises to keep destructive actions from them
    /// (<https://workos.com/docs/authkit/impersonation>).
    pub fn in_person(&self) -> Result<(), ApiError> {
        match &self.impersonator {
            None => Ok(()),
            Some(_) => Err(Reason::NotWhileImpersonating.into()),
        }
    }

    fn is_complete(&self) -> bool {
        [&self.user_id, &self.email, &self.session_id].iter().all(|text| !text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn caller() -> Caller {
        Caller {
            user_id: "user_1".into(),
            email: "jane@example.com".into(),
            organization_id: None,
            role: Some("admin".into()),
            permissions: vec!["rooms:record".into()],
            session_id: "session_1".into(),
            session: Some("key".into()),
            authenticated_at: Some(1),
            impersonator: Some(Impersonator {
                email: "support@example.com".into(),
                reason: Some("ticket 7".into()),
            }),
            first_name: Some("Jane".into()),
            last_name: None,
            avatar_url: None,
            organization_name: None,
            method: Some("magic_auth".into()),
            created_at: Some(1),
            expires_at: Some(2),
        }
    }

    #[test]
    fn a_verdict_passes_through_the_context_unchanged() {
        for verdict in [
            Verdict::SignedIn(Box::new(caller())),
            Verdict::NotSignedIn,
            Verdict::Unavailable(Reason::WorkosBusy),
        ] {
            assert_eq!(Verdict::from_context(verdict.clone().into_context()), verdict);
        }
    }

    #[test]
    fn only_an_explicit_verdict_with_a_whole_identity_is_signed_in() {
        let whole = Verdict::SignedIn(Box::new(caller())).into_context();
        for (field, value) in [
            ("verdict", None),
            ("verdict", Some(json!("signedIn"))),
            ("verdict", Some(json!(true))),
            ("verdict", Some(json!("not_signed_in"))),
            ("userId", None),
            ("userId", Some(json!(""))),
            ("userId", Some(json!(7))),
            ("email", None),
            ("sessionId", None),
            ("sessionId", Some(json!(null))),
            ("permissions", Some(json!("rooms:record"))),
        ] {
            let mut context = whole.clone();
            let fields = context.as_object_mut().unwrap();
            match value {
                Some(value) => fields.insert(field.to_owned(), value),
                None => fields.remove(field),
            };
            assert_eq!(Verdict::from_context(context.clone()), Verdict::NotSignedIn, "{context}");
        }
        for context in [json!(null), json!({}), json!("signed_in"), json!(["signed_in"])] {
            assert_eq!(Verdict::from_context(context), Verdict::NotSignedIn);
        }
    }

    #[test]
    fn a_context_of_the_previous_release_is_a_caller_without_the_newer_fields() {
        let context = json!({
            "verdict": "signed_in", "userId": "user_1", "email": "jane@example.com", "sessionId": "session_1",
        });
        let Verdict::SignedIn(caller) = Verdict::from_context(context) else { panic!("signed in") };
        assert_eq!(
            (caller.created_at, caller.method.as_deref(), caller.user().first_name),
            (None, None, None)
        );
    }

    #[test]
    fn an_outage_for_a_reason_of_a_newer_version_is_still_an_outage() {
        let context = json!({ "verdict": "unavailable", "reason": "a_newer_reason" });
        assert_eq!(Verdict::from_context(context), Verdict::Unavailable(Reason::StoreUnavailable));
    }
}
