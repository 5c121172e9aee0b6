//! All sessions of a person, wherever they are signed in.

use api::audit::Cause;
use api::{ApiError, Client, ConfigError, Env, Reason};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use store::session::Ended;
use store::{SessionId, SessionItem, SessionKey, Table};

use crate::Sessions;
use crate::chain::Chain;

/// Sessions that are ended at the same time.
const CONCURRENCY: usize = 16;

/// Queries of the index before [`UserSessions::end`] gives up: each finds what the one before has missed.
pub(crate) const MAX_QUERIES: usize = 10;

/// A person's sessions.
#[derive(Clone, Debug)]
pub struct UserSessions {
    pub(crate) sessions: Sessions,
}

impl UserSessions {
    /// Reads the configuration.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { sessions: Sessions::load(env)? })
    }

    /// As [`UserSessions::load`], over the connections of `sessions`.
    pub fn over(sessions: Sessions) -> Self {
        Self { sessions }
    }

    /// The table.
    pub fn table(&self) -> &Table {
        &self.sessions.table
    }

    /// The person's live sessions, in any order. One that began within the last second may be missing.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn of(&self, user_id: &str) -> Result<Vec<(SessionKey, SessionItem)>, ApiError> {
        let mut sessions = self.listed(user_id).await?;
        sessions.retain(|(_, session)| self.sessions.is_live(session));
        Ok(sessions)
    }

    /// The person's sessions that have not ended. After a switch, the index can list the replaced session and not yet its
    /// successor: whoever ends the one ends the other.
    async fn listed(&self, user_id: &str) -> Result<Vec<(SessionKey, SessionItem)>, ApiError> {
        let keys = self.table().session_keys(user_id).await?;
        let mut sessions = self.table().sessions(&keys).await?;
        sessions.retain(|(_, session)| session.user_id == user_id && !self.sessions.has_ended(session));
        Ok(sessions)
    }

    /// The session, if it lives.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn by_id(&self, id: &SessionId) -> Result<Option<(SessionKey, SessionItem)>, ApiError> {
        let found = self.table().session_by_id(id).await?;
        Ok(found.filter(|(_, session)| self.sessions.is_live(session)))
    }

    /// Ends those of the person's sessions that `is_over` holds for. It returns when none is left.
    ///
    /// # Errors
    /// `store_unavailable`. Some of the sessions may have ended.
    pub async fn end(
        &self,
        user_id: &str,
        cause: Cause,
        client: &Client,
        is_over: impl Fn(&SessionItem) -> bool,
    ) -> Result<(), ApiError> {
        for _ in 0..MAX_QUERIES {
            let mut left = self.listed(user_id).await?;
            left.retain(|(_, session)| is_over(session));
            if left.is_empty() {
                return Ok(());
            }
            self.end_all(&left, cause, client).await?;
        }
        Err(ApiError::new(Reason::StoreUnavailable).because("the person's sessions keep being replaced"))
    }

    /// Ends these sessions, some at a time.
    ///
    /// # Errors
    /// `store_unavailable`. Some of the sessions may have ended.
    pub(crate) async fn end_all(
        &self,
        sessions: &[(SessionKey, SessionItem)],
        cause: Cause,
        client: &Client,
    ) -> Result<(), ApiError> {
        let ends: Vec<_> = sessions.iter().map(|(key, _)| self.end_chain(key, cause, client)).collect();
        stream::iter(ends).buffer_unordered(CONCURRENCY).try_for_each(|()| async { Ok(()) }).await
    }

    /// Ends a session, with those before and after a switch.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn end_chain(&self, key: &SessionKey, cause: Cause, client: &Client) -> Result<(), ApiError> {
        let mut chain = Chain::from_key(key);
        let mut pending = vec![key.clone()];
        while let Some(key) = pending.pop() {
            if let Ended::Linked(session) = self.sessions.end_one(cause, &key, chain.known(), client).await? {
                pending.push(key);
                pending.extend(chain.add_links_of(&session, api::clock::now()));
            }
        }
        Ok(())
    }
}
