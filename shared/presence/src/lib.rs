//! Who is in which room, and under which session: a person whose session ends leaves the meeting as well.
//!
//! LiveKit lets a removed participant back in with the same token, renews the tokens of those inside, and on a
//! self-hosted server revokes none. So each join is checked when LiveKit reports it, and each end of a session looks for
//! the joins that were made under it. Neither can miss the other:
//!
//! | a join | the end of a session |
//! |---|---|
//! | 1. writes the connection | 1. ends the session |
//! | 2. reads the session | 2. reads the connections |
//!
//! All four are strongly consistent. If a join reads a session that is still live, its connection was written before the
//! session ended, and the end of the session reads it. docs/decisions/0022-ended-means-out-of-the-room.md has the rest.

mod events;
mod verdict;

use std::collections::HashSet;
use std::time::Duration;

use api::{ApiError, ConfigError, Env, clock, deadline, metrics};
use futures_util::future::{join_all, try_join, try_join_all};
use futures_util::{StreamExt as _, stream};
use livekit::Room;
use room_service::Server;
use session::UserSessions;
use store::presence::Connection;
use store::{SessionId, Table};

use crate::verdict::{Leaving, Standing, admits, stays};

/// The reasons that leaving rooms fails with.
pub const FAILURES: &[api::Reason] =
    &[api::Reason::LivekitUnavailable, api::Reason::LivekitBusy, api::Reason::StoreUnavailable];

/// The most connections of one person: one more removes the oldest.
const MAX_CONNECTIONS: usize = 50;

/// Participants that are removed at the same time.
const CONCURRENCY: usize = 8;

/// Limit for one call to LiveKit.
const CALL: Duration = Duration::from_secs(3);

/// Reserve for the write after the calls to LiveKit.
const WRITE: Duration = Duration::from_millis(700);

/// A membership that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The organization.
    pub organization_id: String,
    /// When, on WorkOS' clock.
    pub at: u64,
}

/// The rooms that people are in.
#[derive(Clone, Debug)]
pub struct Presence {
    sessions: UserSessions,
    server: Server,
}

impl Presence {
    /// Reads the configuration.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self::over(UserSessions::load(env)?, Server::load(env)?))
    }

    /// As [`Presence::load`], over connections that others use as well.
    pub fn over(sessions: UserSessions, server: Server) -> Self {
        Self { sessions, server }
    }

    /// Removes the person from the rooms that they are in under a session that has ended, unless it ended by a sign-out
    /// that leaves meetings alone, and from rooms of an organization that they have `left`. Doing it twice is harmless.
    ///
    /// # Errors
    /// `livekit_busy`, `livekit_unavailable`, `store_unavailable`: they may still be in some of the rooms.
    pub async fn leave_rooms(&self, user_id: &str, left: Option<&Left>) -> Result<(), ApiError> {
        self.leave(user_id, Leaving { left, signed_out: false }).await
    }

    /// As [`Presence::leave_rooms`], and also from the rooms that a sign-out has left alone: for a user who is deleted,
    /// and for a person who signs out everywhere. A thief could have signed out in order to stay.
    ///
    /// # Errors
    /// As [`Presence::leave_rooms`].
    pub async fn leave_all_rooms(&self, user_id: &str) -> Result<(), ApiError> {
        self.leave(user_id, Leaving { left: None, signed_out: true }).await
    }

    /// Notes that a person who signs out of these sessions stays in the rooms. If that fails, they leave when WorkOS reports
    /// the end of its session.
    pub async fn stay_in_rooms(&self, sessions: &[&SessionId]) {
        let now = clock::now();
        for outcome in join_all(sessions.iter().map(|id| self.table().note_stays_in_rooms(id, now))).await {
            if let Err(error) = outcome {
                tracing::warn!(
                    cause = error.cause(),
                    "a person who signs out may be removed from their meeting"
                );
            }
        }
    }

    async fn leave(&self, user_id: &str, leaving: Leaving<'_>) -> Result<(), ApiError> {
        let mut connections = self.table().connections(user_id).await?;
        let sessions: HashSet<_> = connections.iter().map(|connection| connection.session.clone()).collect();
        let standings = sessions.into_iter().map(|id| async move {
            let standing = self.standing(user_id, &id).await?;
            Ok::<_, ApiError>((id, standing))
        });
        let standings = try_join_all(standings).await?;
        connections.retain(|connection| {
            let standing = standings.iter().find(|(id, _)| *id == connection.session);
            !standing.is_some_and(|(_, standing)| stays(connection, standing, leaving))
        });
        self.disconnect(user_id, &connections).await
    }

    /// What has become of the person's session.
    async fn standing(&self, user_id: &str, id: &SessionId) -> Result<Standing, ApiError> {
        let (found, stays) = try_join(self.sessions.by_id(id), self.table().stays_in_rooms(id)).await?;
        Ok(match found.filter(|(_, session)| session.user_id == user_id) {
            Some((_, session)) => Standing::Live(Box::new(session)),
            None if stays => Standing::SignedOut,
            None => Standing::Ended,
        })
    }

    /// Notes a connection of the person. Removes it if its session does not live or acts in another organization.
    async fn joined(&self, user_id: &str, connection: &Connection) -> Result<(), ApiError> {
        // Before the session is read: see above.
        let connections = self.table().add_connection(user_id, connection, clock::now()).await?;
        let mut removed = oldest_beyond(MAX_CONNECTIONS, connections);
        let session = self.sessions.by_id(&connection.session).await?.map(|(_, session)| session);
        if !admits(session.as_ref(), user_id, connection) {
            removed.push(connection.clone());
        }
        self.disconnect(user_id, &removed).await
    }

    /// Removes the person's connections and forgets them. All of them are tried, even if one fails.
    async fn disconnect(&self, user_id: &str, connections: &[Connection]) -> Result<(), ApiError> {
        let removals: Vec<_> =
            connections.iter().map(|each| async { (&each.id, self.remove(each).await) }).collect();
        let outcomes: Vec<_> = stream::iter(removals).buffer_unordered(CONCURRENCY).collect().await;
        let gone: Vec<_> =
            outcomes.iter().filter(|(_, outcome)| outcome.is_ok()).map(|(id, _)| *id).collect();
        let forgotten = self.table().forget_connections(user_id, &gone).await;
        outcomes.into_iter().try_for_each(|(_, outcome)| outcome)?;
        forgotten
    }

    /// Removes a participant, unless another connection has the identity by now.
    async fn remove(&self, connection: &Connection) -> Result<(), ApiError> {
        let room = Room::named(&connection.room);
        let removal = async {
            let found = self.server.participant(&room, &connection.identity, timeout()).await?;
            if !found.is_some_and(|found| events::is_of(&found, connection)) {
                return Ok(false);
            }
            self.server.remove(&room, &connection.identity, timeout()).await.map(|()| true)
        };
        let removed = removal.await;
        match &removed {
            Ok(true) => {
                tracing::info!(
                    session = connection.session.first_key().prefix(),
                    "a participant was removed"
                );
                metrics::count("RoomRemoval", &[("Outcome", "removed")]);
            }
            Ok(false) => {}
            Err(_) => {
                metrics::count("RoomRemoval", &[("Outcome", "failed")]);
            }
        }
        removed.map(drop)
    }

    fn table(&self) -> &Table {
        self.sessions.table()
    }
}

/// The timeout of a call to LiveKit; zero if no time is left.
fn timeout() -> Duration {
    deadline::remaining().saturating_sub(WRITE).min(CALL)
}

/// The oldest connections, if there are more than `limit`.
fn oldest_beyond(limit: usize, mut connections: Vec<Connection>) -> Vec<Connection> {
    let surplus = connections.len().saturating_sub(limit);
    connections.sort_by_key(|connection| connection.joined_at);
    connections.truncate(surplus);
    connections
}
