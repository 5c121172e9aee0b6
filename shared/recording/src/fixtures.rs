//! Values for unit tests.

use api::Caller;
use store::recording::Claim;

/// The user `user_1`, who started [`claim`], acting in `organization`.
pub(crate) fn caller(organization: Option<&str>) -> Caller {
    Caller {
        user_id: "user_1".into(),
        email: "jane@example.com".into(),
        organization_id: organization.map(str::to_owned),
        role: None,
        permissions: Vec::new(),
        session_id: "session_1".into(),
    }
}

/// A claim to the room `daily` in zone `1` of `org_1`.
pub(crate) fn claim() -> Claim {
    Claim {
        room: "daily".into(),
        token: "t1".into(),
        organization_id: Some("org_1".into()),
        zone_id: "1".into(),
        topic: "Weekly Sync Meeting".into(),
        participants: vec!["alice".into()],
        started_by: "user_1".into(),
        started_at: 1_752_486_896,
        object_key: "recordings/org_1/1/daily/2025-07-14T09-54-56-123Z.mp4".into(),
    }
}
