//! What a change at WorkOS does to the person's sessions and rooms.

use api::audit::Cause;
use api::{ApiError, Client, ConfigError, Env, User, clock};
use futures_util::{TryStreamExt as _, stream};
use presence::{Left, Presence};
use session::UserSessions;
use store::{SessionItem, Table};
use workos::Change;

/// Sessions whose claims are expired at the same time.
const CONCURRENCY: usize = 16;

/// Applies changes.
#[derive(Clone, Debug)]
pub(crate) struct Effects {
    sessions: UserSessions,
    presence: Presence,
}

impl Effects {
    /// Reads the configuration.
    pub(crate) fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { sessions: UserSessions::load(env)?, presence: Presence::load(env)? })
    }

    pub(crate) fn table(&self) -> &Table {
        self.sessions.table()
    }

    /// Applies a change to the person's sessions. Rooms come after it: see [`Effects::on_rooms`].
    pub(crate) async fn on_sessions(&self, change: &Change) -> Result<(), ApiError> {
        match change {
            Change::SessionRevoked { user_id, session_id } => {
                // First the note: from here on, a sign-in that is about to store the session is refused.
                self.table().note_revoked(session_id, clock::now()).await?;
                self.end(user_id, Cause::Revoked, |session| session.workos_session_id == *session_id).await
            }
            Change::UserDeleted { user_id } => self.end(user_id, Cause::UserDeleted, |_| true).await,
            Change::MembershipEnded { user_id, organization_id, at } => {
                let is_over =
                    |session: &SessionItem| acts_in(session, organization_id) && is_older(session, *at);
                self.end(user_id, Cause::MembershipEnded, is_over).await
            }
            Change::MembershipUpdated { user_id, organization_id, at } => {
                self.expire_claims(user_id, *at, |session| acts_in(session, organization_id)).await
            }
            Change::UserUpdated { user, at } => {
                self.expire_claims(&user.id, *at, |session| !shows(session, user)).await
            }
        }
    }

    /// Removes the person from the rooms that the change ends.
    pub(crate) async fn on_rooms(&self, change: &Change) -> Result<(), ApiError> {
        match change {
            Change::SessionRevoked { user_id, .. } => self.presence.leave_rooms(user_id, None).await,
            Change::UserDeleted { user_id } => self.presence.leave_all_rooms(user_id).await,
            Change::MembershipEnded { user_id, organization_id, at } => {
                let left = Left { organization_id: organization_id.clone(), at: *at };
                self.presence.leave_rooms(user_id, Some(&left)).await
            }
            Change::MembershipUpdated { .. } | Change::UserUpdated { .. } => Ok(()),
        }
    }

    /// Ends sessions. The request is WorkOS', so the audit trail names no client.
    async fn end(
        &self,
        user_id: &str,
        cause: Cause,
        is_over: impl Fn(&SessionItem) -> bool,
    ) -> Result<(), ApiError> {
        self.sessions.end(user_id, cause, &Client::default(), is_over).await
    }

    /// Makes the person's sessions refresh their claims at their next use, if they are older than `at`.
    async fn expire_claims(
        &self,
        user_id: &str,
        at: u64,
        is_concerned: impl Fn(&SessionItem) -> bool,
    ) -> Result<(), ApiError> {
        let mut sessions = self.sessions.of(user_id).await?;
        sessions.retain(|(_, session)| is_older(session, at) && is_concerned(session));
        let expired: Vec<_> =
            sessions.iter().map(|(key, _)| Ok(self.table().expire_claims(key, at))).collect();
        stream::iter(expired).try_buffer_unordered(CONCURRENCY).try_for_each(|_| async { Ok(()) }).await
    }
}

/// Whether the session acts in the organization.
fn acts_in(session: &SessionItem, organization_id: &str) -> bool {
    session.organization_id.as_deref() == Some(organization_id)
}

/// Whether the session's claims were issued by `at`. Both are WorkOS' times, in whole seconds: within the same second the
/// claims count as older. A person who joined again has newer ones, because a switch, a sign-in and a refresh prove the
/// membership.
fn is_older(session: &SessionItem, at: u64) -> bool {
    session.claims_issued_at <= at
}

/// Whether the session shows the user as they are now. WorkOS reports changes of a user that no session shows, such as the
/// last sign-in; if these led to a refresh, a refresh could lead to the next one.
fn shows(session: &SessionItem, user: &User) -> bool {
    session.email == user.email
        && session.profile.first_name == user.first_name
        && session.profile.last_name == user.last_name
        && session.profile.avatar_url == user.avatar_url
}
