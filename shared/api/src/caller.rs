//! The caller of a protected endpoint, as the authorizer identified them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{ApiError, Reason};

/// The person behind a session. The only source is the authorizer's context.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
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
}

/// What the authorizer tells the functions.
///
/// If the store or WorkOS fails, the authorizer lets the request through, marked [`Verdict::Unavailable`]. If it
/// refused, API Gateway would respond with 403, and clients would take an outage for a sign-out. Only [`crate::run`]
/// reads the verdict; a protected endpoint always has a [`Caller`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The session is valid.
    SignedIn(Box<Caller>),
    /// The session could not be checked, for this reason.
    Unavailable(Reason),
}

/// The key of [`Verdict::Unavailable`] in the authorizer's context.
const UNAVAILABLE: &str = "unavailable";

impl Verdict {
    /// Encodes the verdict as the authorizer's context.
    pub fn into_context(self) -> Value {
        match self {
            Self::SignedIn(caller) => serde_json::to_value(caller).unwrap_or_default(),
            Self::Unavailable(reason) => json!({ UNAVAILABLE: reason.name() }),
        }
    }

    /// Decodes the authorizer's context.
    ///
    /// # Errors
    /// `not_signed_in` if the context is missing or incomplete; the reason of [`Verdict::Unavailable`].
    pub fn from_context(context: Option<Value>) -> Result<Caller, ApiError> {
        let context = context.ok_or(Reason::NotSignedIn)?;
        if let Some(name) = context.get(UNAVAILABLE).and_then(Value::as_str) {
            return Err(Reason::named(name).unwrap_or(Reason::StoreUnavailable).into());
        }
        serde_json::from_value(context).map_err(|error| ApiError::new(Reason::NotSignedIn).because(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_passes_through_the_context_unchanged() {
        let caller = Caller {
            user_id: "user_1".into(),
            email: "jane@example.com".into(),
            organization_id: None,
            role: Some("admin".into()),
            permissions: vec!["rooms:record".into()],
            session_id: "session_1".into(),
        };
        let context = Verdict::SignedIn(Box::new(caller.clone())).into_context();
        assert_eq!(Verdict::from_context(Some(context)).unwrap(), caller);
    }

    #[test]
    fn an_incomplete_context_is_not_signed_in() {
        for context in [None, Some(json!({})), Some(json!({ "userId": "user_1" }))] {
            assert_eq!(Verdict::from_context(context).unwrap_err().reason(), Reason::NotSignedIn);
        }
    }

    #[test]
    fn an_outage_passes_its_reason_on() {
        let context = Verdict::Unavailable(Reason::WorkosBusy).into_context();
        assert_eq!(Verdict::from_context(Some(context)).unwrap_err().reason(), Reason::WorkosBusy);
        let unknown = json!({ "unavailable": "a reason of a newer version" });
        assert_eq!(Verdict::from_context(Some(unknown)).unwrap_err().reason(), Reason::StoreUnavailable);
    }
}
