//! Values for unit tests.

use api::Caller;

/// A user acting in `organization`.
pub(crate) fn caller(organization: Option<&str>) -> Caller {
    Caller {
        user_id: "user_1".into(),
        email: "jane@example.com".into(),
        organization_id: organization.map(str::to_owned),
        role: None,
        permissions: Vec::new(),
        session_id: "session_1".into(),
        first_name: None,
        last_name: None,
        avatar_url: None,
        organization_name: None,
        method: None,
        created_at: None,
        expires_at: None,
        impersonator: None,
    }
}
