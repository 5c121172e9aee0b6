//! Who calls a protected endpoint, as the authorizer says.

use serde::{Deserialize, Serialize};

use crate::{ApiError, Reason};

/// The person behind a session. It comes from the authorizer's context and from nowhere else.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Caller {
    /// WorkOS user id.
    pub user_id: String,
    /// Email address.
    pub email: String,
    /// The organization in which the person acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization_id: Option<String>,
    /// The role there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The permissions there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
    /// WorkOS session id.
    pub session_id: String,
}

/// What the authorizer hands to the functions.
///
/// Where it could not tell whether the session is good, because the store or WorkOS failed, it says so here instead of
/// refusing: API Gateway would answer 403, and clients would take an outage for a sign-out. Only [`crate::run`]
/// reads this, and a protected endpoint runs only with a [`Caller`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The session is good.
    Signed(Box<Caller>),
    /// The authorizer could not tell, for this reason.
    Unknown(Reason),
}

/// The key under which [`Verdict::Unknown`] travels in the authorizer's context.
const UNAVAILABLE: &str = "unavailable";

impl Verdict {
    /// The authorizer's context.
    pub fn into_context(self) -> serde_json::Value {
        match self {
            Self::Signed(caller) => serde_json::to_value(caller).unwrap_or_default(),
            Self::Unknown(reason) => serde_json::json!({ UNAVAILABLE: reason.name() }),
        }
    }

    /// Reads the authorizer's context: 401 where it is missing or not understood.
    pub fn from_context(context: Option<serde_json::Value>) -> Result<Caller, ApiError> {
        let context = context.ok_or(Reason::NotSignedIn)?;
        if let Some(name) = context.get(UNAVAILABLE).and_then(serde_json::Value::as_str) {
            return Err(Reason::named(name).unwrap_or(Reason::StoreUnavailable).into());
        }
        serde_json::from_value(context).map_err(|error| ApiError::new(Reason::NotSignedIn).because(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_survives_its_way_through_api_gateway() {
        let caller = Caller {
            user_id: "user_1".into(),
            email: "jane@example.com".into(),
            organization_id: None,
            role: Some("admin".into()),
            permissions: vec!["rooms:record".into()],
            session_id: "session_1".into(),
        };
        let context = Verdict::Signed(Box::new(caller.clone())).into_context();
        assert_eq!(Verdict::from_context(Some(context)).unwrap(), caller);
    }

    #[test]
    fn nobody_is_signed_in_without_a_whole_context() {
        for context in [None, Some(serde_json::json!({})), Some(serde_json::json!({ "userId": "user_1" }))] {
            assert_eq!(Verdict::from_context(context).unwrap_err().reason(), Reason::NotSignedIn);
        }
        let unknown = Verdict::Unknown(Reason::StoreUnavailable).into_context();
        assert_eq!(Verdict::from_context(Some(unknown)).unwrap_err().reason(), Reason::StoreUnavailable);
    }
}
