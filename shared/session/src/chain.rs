//! Which sessions end together: those that a client holds, and those before and after a switch of one of them.
//!
//! The decision is apart from I/O. A session with a link that the caller does not know is not ended yet (see
//! [`store::Table::end_session`]); its links are added, and the caller tries again. So a switch that happens meanwhile
//! is seen: either its transaction finds the old session gone, or the old session names the new one.

use store::{SessionItem, SessionKey};

use crate::SessionToken;
use crate::lifetimes::ended_with;

/// Sessions to end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Chain {
    ends: Vec<SessionKey>,
    known: Vec<SessionKey>,
}

impl Chain {
    /// The sessions of `tokens`, which are those that the client holds.
    pub fn of(tokens: &[SessionToken]) -> Self {
        let mut chain = Self::default();
        for token in tokens {
            chain.end(&token.key());
        }
        chain
    }

    /// One session.
    pub fn from_key(key: &SessionKey) -> Self {
        let mut chain = Self::default();
        chain.end(key);
        chain
    }

    /// The sessions to end: first those that the client holds.
    pub fn ends(&self) -> &[SessionKey] {
        &self.ends
    }

    /// The sessions that need no further look: those to end, and links to sessions that nobody can use any more.
    pub fn known(&self) -> &[SessionKey] {
        &self.known
    }

    /// Adds the links of one of the sessions. Returns those that are to be ended as well and were unknown.
    pub fn add_links_of(&mut self, session: &SessionItem, now: u64) -> Vec<SessionKey> {
        let added = ended_with(session, now).filter(|key| self.end(key)).cloned().collect();
        for link in [&session.replaced_by, &session.replaces].into_iter().flatten() {
            add(&mut self.known, &link.key);
        }
        added
    }

    fn end(&mut self, key: &SessionKey) -> bool {
        add(&mut self.known, key);
        add(&mut self.ends, key)
    }
}

/// Adds a key. Returns whether it is new.
fn add(keys: &mut Vec<SessionKey>, key: &SessionKey) -> bool {
    let is_new = !keys.contains(key);
    if is_new {
        keys.push(key.clone());
    }
    is_new
}
