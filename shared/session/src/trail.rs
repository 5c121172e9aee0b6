//! Sessions in the audit trail.

use api::Client;
use api::audit::{self, Cause, Notes};
use store::{SessionItem, SessionKey};

/// Logs the end of a session.
pub(crate) fn ended(cause: Cause, key: &SessionKey, session: &SessionItem, client: &Client) {
    let notes = Notes {
        user_id: Some(session.user_id.clone()),
        organization_id: session.organization_id.clone(),
        session: Some(key.prefix()),
        ..Notes::default()
    };
    audit::session_ended(cause, &notes, client);
}
