//! The person and the organization of a session, as in responses.

use schemars::JsonSchema;
use serde::Serialize;

/// A person. The fields are always there; those that are unknown are null.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The WorkOS user id.
    pub id: String,
    /// The email address.
    pub email: String,
    /// The first name.
    pub first_name: Option<String>,
    /// The last name.
    pub last_name: Option<String>,
    /// The URL of a picture.
    #[serde(rename = "avatarURL")]
    pub avatar_url: Option<String>,
}

/// The organization that a session is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CurrentOrganization {
    /// The WorkOS organization id.
    pub id: String,
    /// The name; null if it could not be looked up.
    pub name: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_profile_fields_are_null() {
        let user = User {
            id: "user_1".into(),
            email: "admin@cazzi.com".into(),
            first_name: Some("A".into()),
            last_name: None,
            avatar_url: None,
        };
        assert_eq!(
            serde_json::to_string(&user).unwrap(),
            r#"{"id":"user_1","email":"admin@cazzi.com","firstName":"A","lastName":null,"avatarURL":null}"#
        );
    }
}
