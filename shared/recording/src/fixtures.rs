//! Values for unit tests.

use api::Caller;
use store::recording::{Claim, Progress, RecordingItem, RecordingStatus};

use crate::egress::Egress;

/// The user `user_1`, who started [`claim`], acting in `organization`.
pub(crate) fn caller(organization: Option<&str>) -> Caller {
    Caller {
        user_id: "user_1".into(),
        email: "jane@example.com".into(),
        organization_id: organization.map(str::to_owned),
        session_id: "session_1".into(),
        ..Caller::default()
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

/// The record of [`claim`], which is being recorded.
pub(crate) fn record() -> RecordingItem {
    RecordingItem {
        egress_id: "EG_1".into(),
        claim: claim(),
        status: RecordingStatus::Active,
        stopped_at: None,
        stopped_by: None,
        ended_at: None,
        location: None,
        error: None,
    }
}

/// The egress of [`claim`].
pub(crate) fn egress() -> Egress {
    Egress {
        id: "EG_1".into(),
        room: "daily".into(),
        room_sid: "RM_1".into(),
        token: Some("t1".into()),
        bucket: Some("ours".into()),
        object_key: None,
        progress: Progress { status: RecordingStatus::Active, ended_at: None, location: None, error: None },
    }
}
