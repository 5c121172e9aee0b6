//! Who stays in a room. The decisions are apart from I/O.

use store::SessionItem;
use store::presence::Connection;

use crate::Left;

/// What has become of a session.
#[derive(Debug)]
pub(crate) enum Standing {
    /// It lives.
    Live(Box<SessionItem>),
    /// The person signed out, and stays in the meeting.
    SignedOut,
    /// It has ended otherwise, or expired.
    Ended,
}

/// Why a person leaves rooms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaving<'a> {
    /// The membership that has ended.
    pub(crate) left: Option<&'a Left>,
    /// Whether rooms are left that a sign-out has left alone.
    pub(crate) signed_out: bool,
}

/// Whether a connection outlives what has become of its session.
///
/// After the end of a membership, a connection of that organization stays only if its session acts there with claims of
/// a later time: the person has joined again.
pub(crate) fn stays(connection: &Connection, standing: &Standing, leaving: Leaving<'_>) -> bool {
    let left = leaving.left.filter(|left| connection.organization_id.as_ref() == Some(&left.organization_id));
    match (left, standing) {
        (Some(left), Standing::Live(session)) => {
            session.organization_id.as_ref() == Some(&left.organization_id)
                && session.claims_issued_at > left.at
        }
        (Some(_), _) => false,
        (None, Standing::Live(_)) => true,
        (None, Standing::SignedOut) => !leaving.signed_out,
        (None, Standing::Ended) => false,
    }
}

/// Whether a person may join under a session: it lives, is theirs, and acts in the token's organization.
pub(crate) fn admits(session: Option<&SessionItem>, user_id: &str, connection: &Connection) -> bool {
    session.is_some_and(|session| {
        session.user_id == user_id && session.organization_id == connection.organization_id
    })
}

#[cfg(test)]
mod tests {
    use store::presence::ConnectionId;
    use store::session::{Profile, RefreshState};
    use store::{SessionId, SessionItem};

    use super::*;

    fn session(organization: Option<&str>, claims_issued_at: u64) -> SessionItem {
        SessionItem {
            id: SessionId("session".into()),
            user_id: "user_1".into(),
            email: "jane@example.com".into(),
            workos_session_id: "session_1".into(),
            organization_id: organization.map(str::to_owned),
            role: None,
            permissions: Vec::new(),
            claims_issued_at,
            access_expires_at: 0,
            claims_stale_at: None,
            profile: Profile::default(),
            organization_name: None,
            method: None,
            sealed_refresh_token: Vec::new(),
            generation: 0,
            refresh: RefreshState::default(),
            created_at: 0,
            authenticated_at: 0,
            ip_address: None,
            user_agent: None,
            last_seen_at: 0,
            expires_at: 0,
            replaced_by: None,
            replaces: None,
            impersonator: None,
        }
    }

    fn connection(organization: Option<&str>) -> Connection {
        Connection {
            id: ConnectionId::new("RM_1", "PA_1"),
            room: "daily".into(),
            identity: "user_1".into(),
            session: SessionId("session".into()),
            organization_id: organization.map(str::to_owned),
            joined_at: 0,
        }
    }

    #[test]
    fn the_end_of_a_session_ends_its_connections_unless_the_person_signed_out_and_stays() {
        let live = Standing::Live(Box::new(session(Some("org_2"), 0)));
        let connection = connection(Some("org_1"));
        for (signed_out, stays_signed_out) in [(false, true), (true, false)] {
            let leaving = Leaving { left: None, signed_out };
            assert!(stays(&connection, &live, leaving), "a switch leaves the meeting alone");
            assert_eq!(stays(&connection, &Standing::SignedOut, leaving), stays_signed_out);
            assert!(!stays(&connection, &Standing::Ended, leaving));
        }
    }

    #[test]
    fn the_end_of_a_membership_ends_the_connections_of_the_organization_until_the_person_joins_again() {
        let left = Left { organization_id: "org_1".into(), at: 100 };
        let leaving = Leaving { left: Some(&left), signed_out: false };
        let live = |organization, at| Standing::Live(Box::new(session(Some(organization), at)));
        for (standing, expected) in [
            (live("org_1", 99), false),
            (live("org_1", 100), false),
            (live("org_1", 101), true),
            (live("org_2", 101), false),
            (Standing::SignedOut, false),
            (Standing::Ended, false),
        ] {
            assert_eq!(stays(&connection(Some("org_1")), &standing, leaving), expected, "{standing:?}");
        }
        for organization in [None, Some("org_2")] {
            assert!(stays(&connection(organization), &live("org_1", 0), leaving));
            assert!(stays(&connection(organization), &Standing::SignedOut, leaving));
            assert!(!stays(&connection(organization), &Standing::Ended, leaving));
        }
    }

    #[test]
    fn a_person_joins_under_their_own_session_in_its_organization() {
        let admitted = |user, organization: Option<&str>| {
            admits(Some(&session(Some("org_1"), 0)), user, &connection(organization))
        };
        assert!(admitted("user_1", Some("org_1")));
        assert!(!admitted("user_2", Some("org_1")));
        assert!(!admitted("user_1", Some("org_2")) && !admitted("user_1", None));
        assert!(!admits(None, "user_1", &connection(Some("org_1"))));
    }
}
