//! What stays of a session that has ended.
//!
//! WorkOS repeats its events for three days and in any order, so the notes are kept for longer than that.

use api::ApiError;

use crate::attributes::{Reader, number};
use crate::session::SessionId;
use crate::table::Table;
use crate::write::Write;

/// How long a note is kept, in seconds.
const KEPT: u64 = 7 * 24 * 60 * 60;

impl Table {
    /// Notes that WorkOS has revoked its session: a sign-in that is still about to store one of ours is refused. See
    /// [`Table::begin_session`].
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn note_revoked(&self, workos_session_id: &str, now: u64) -> Result<(), ApiError> {
        let note = Write::to(pk(workos_session_id)).set("revoked_at", number(now));
        self.update(note.set("expires_at", number(now.saturating_add(KEPT)))).await.map(drop)
    }

    /// Notes that the person has signed out and stays in the meeting. WorkOS reports the end of its session later, and
    /// cannot tell a sign-out from a revocation.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn note_stays_in_rooms(&self, id: &SessionId, now: u64) -> Result<(), ApiError> {
        let note = Write::to(pk(&id.0)).set("stays_in_rooms_at", number(now));
        self.update(note.set("expires_at", number(now.saturating_add(KEPT)))).await.map(drop)
    }

    /// Whether the person has signed out of the session and stays in the meeting.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn stays_in_rooms(&self, id: &SessionId) -> Result<bool, ApiError> {
        let note = self.get(pk(&id.0)).await?;
        Ok(note.is_some_and(|note| Reader(&note).optional_number("stays_in_rooms_at").is_some()))
    }
}

fn pk(id: &str) -> String {
    format!("ended#{id}")
}

/// The condition of a transaction that WorkOS has not revoked its session.
pub(crate) fn not_revoked(workos_session_id: &str) -> Write {
    Write::to(pk(workos_session_id)).only_if("attribute_not_exists(revoked_at)")
}
