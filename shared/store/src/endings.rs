//! Sessions that have ended here and that WorkOS still has to revoke.
//!
//! The item of a person lists them until WorkOS has confirmed: so that a request whose revocations failed can be sent
//! again, although the sessions are gone. It is one item, which is read strongly consistent: the index of a person's
//! sessions would miss the latest.

use api::ApiError;

use crate::attributes::{Reader, number, string_set};
use crate::session::SessionId;
use crate::table::Table;
use crate::write::Write;

/// How long the item is kept after its last change, in seconds. WorkOS ends an idle session by itself.
const KEPT: u64 = 7 * 24 * 60 * 60;

/// A session that has ended here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Its id.
    pub id: SessionId,
    /// The WorkOS session that belongs to it.
    pub workos_session_id: String,
}

impl Ending {
    fn encode(&self) -> String {
        format!("{} {}", self.id.0, self.workos_session_id)
    }

    fn decode(text: &str) -> Option<Self> {
        let (id, workos_session_id) = text.split_once(' ')?;
        Some(Self { id: SessionId(id.to_owned()), workos_session_id: workos_session_id.to_owned() })
    }
}

impl Table {
    /// Notes sessions of a person that are about to end. Noting them twice is not an error.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn note_endings(&self, user_id: &str, endings: &[Ending], now: u64) -> Result<(), ApiError> {
        if endings.is_empty() {
            return Ok(());
        }
        let note = Write::to(pk(user_id))
            .add("sessions", string_set(endings.iter().map(Ending::encode)))
            .set("expires_at", number(now.saturating_add(KEPT)));
        self.update(note).await.map(drop)
    }

    /// The person's sessions that WorkOS still has to revoke, in any order. Strongly consistent.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn endings(&self, user_id: &str) -> Result<Vec<Ending>, ApiError> {
        let item = self.get(pk(user_id)).await?;
        let sessions = item.as_ref().map(|item| Reader(item).string_set("sessions").to_vec());
        Ok(sessions.unwrap_or_default().iter().filter_map(|text| Ending::decode(text)).collect())
    }

    /// Forgets sessions that WorkOS has revoked.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn forget_endings(&self, user_id: &str, endings: &[Ending]) -> Result<(), ApiError> {
        if endings.is_empty() {
            return Ok(());
        }
        let forget = Write::to(pk(user_id))
            .only_if("attribute_exists(pk)")
            .take("sessions", string_set(endings.iter().map(Ending::encode)));
        self.update(forget).await.map(drop)
    }
}

fn pk(user_id: &str) -> String {
    format!("ending#{user_id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_has_both_ids() {
        let ending = Ending { id: SessionId("key".into()), workos_session_id: "session_1".into() };
        assert_eq!(Ending::decode(&ending.encode()), Some(ending));
        assert_eq!(Ending::decode("key"), None);
    }
}
