//! Values for unit tests.

use api::Caller;

/// A user acting in `organization`.
pub(crate) fn caller(organization: Option<&str>) -> Caller {
    Caller {
        user_id: "user_1".into(),
        email: "jane@example.com".into(),
        organization_id: organization.map(str::to_owned),
        session_id: "session_1".into(),
        ..Caller::default()
    }
}
