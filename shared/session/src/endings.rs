//! Ending a person's sessions from one of them, here and at WorkOS.
//!
//! The sessions end here first, whatever WorkOS does. A note of those that WorkOS still has to revoke outlives them (see
//! [`store::endings`]), so a request that could not finish can be sent again until WorkOS has confirmed. The session of
//! the request ends last, because without it nobody could send the request again.

use std::collections::HashSet;
use std::time::Duration;

use api::audit::Cause;
use api::{
    ApiError, AuthData, Caller, Client, ConfigError, Done, Env, Reason, Request, Response, clock, deadline,
};
use futures_util::{StreamExt as _, stream};
use schemars::JsonSchema;
use serde::Serialize;
use store::{Ending, SessionId, SessionItem, SessionKey};
use tokio::time::{Instant, timeout, timeout_at};
use workos::LogOut;

use crate::UserSessions;
use crate::user_sessions::MAX_QUERIES;

/// Revocations at the same time. At 100 ms each, ten are a fifth of what WorkOS allows an environment: 500 writes in ten
/// seconds.
const CONCURRENCY: usize = 10;

/// Time that ending the others leaves for the rest: to note what WorkOS has confirmed, and to end the request's session.
const RESERVE: Duration = Duration::from_millis(1500);

/// Ends a person's sessions.
#[derive(Debug)]
pub struct Endings {
    users: UserSessions,
    log_out: LogOut,
}

/// The sessions have ended.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignedOut {
    #[serde(flatten)]
    done: Done,
    /// With the session of this client: the URL where the browser ends its WorkOS session, as from `sign-out`.
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_data: Option<AuthData>,
}

impl SignedOut {
    /// Other sessions have ended; the one of this client has not.
    pub fn elsewhere() -> Self {
        Self { done: Done::OK, auth_data: None }
    }
}

impl Endings {
    /// Reads the configuration.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { users: UserSessions::load(env)?, log_out: LogOut::load(env)? })
    }

    /// Ends another session of the caller's, then does what else ends with it.
    ///
    /// # Errors
    /// `session_not_found` if the caller has no such session; `sessions_remain` if WorkOS has not confirmed; the error of
    /// `afterwards`; `store_unavailable`. After all but the first, the same request finishes the work.
    pub async fn other(
        &self,
        caller: &Caller,
        id: &SessionId,
        client: &Client,
        afterwards: impl Future<Output = Result<(), ApiError>>,
    ) -> Result<(), ApiError> {
        let (table, user_id) = (self.users.table(), &caller.user_id);
        let found = self.users.by_id(id).await?;
        let found = found.filter(|(_, session)| session.user_id == *user_id && session.id == *id);
        let ending = match &found {
            Some((_, session)) => {
                let ending = ending(session);
                table.note_endings(user_id, std::slice::from_ref(&ending), clock::now()).await?;
                ending
            }
            None => {
                let mut noted = table.endings(user_id).await?.into_iter();
                noted.find(|ending| ending.id == *id).ok_or(Reason::SessionNotFound)?
            }
        };
        let here = async {
            if let Some((key, _)) = &found {
                self.users.end_chain(key, Cause::Elsewhere, client).await?;
            }
            afterwards.await
        };
        let (here, revoked) = tokio::join!(here, self.revoke(caller, vec![ending]));
        // Until all is done, the note lets the request be sent again.
        here?;
        self.settle(user_id, revoked).await
    }

    /// Ends all sessions of the caller's but the request's own, then does what else ends with them. It also revokes at
    /// WorkOS what earlier requests could not.
    ///
    /// # Errors
    /// `sessions_remain` if the time was too short or WorkOS has not confirmed; the error of `afterwards`;
    /// `store_unavailable`. The same request finishes the work.
    pub async fn others(
        &self,
        caller: &Caller,
        client: &Client,
        afterwards: impl Future<Output = Result<(), ApiError>>,
    ) -> Result<(), ApiError> {
        let time = deadline::remaining().saturating_sub(RESERVE);
        let endings = timeout(time, self.end_others(caller, client));
        let endings =
            endings.await.map_err(|_| remain("the table left no time for all of the sessions", 1))??;
        let (here, revoked) = tokio::join!(afterwards, self.revoke(caller, endings));
        let settled = self.settle(&caller.user_id, revoked).await;
        here?;
        settled
    }

    /// Ends the sessions that the client holds, as a sign-out does, then does what else ends with them. Every response
    /// clears the cookies. WorkOS' session ends when the browser visits the URL in it.
    ///
    /// # Errors
    /// `sign_out_incomplete` if the table failed; `not_signed_in`.
    pub async fn current<I>(
        &self,
        request: &Request<I>,
        afterwards: impl Future<Output = Result<(), ApiError>>,
    ) -> Result<Response<SignedOut>, ApiError> {
        let [session, flow] = self.users.sessions.cleared_cookies();
        match self.sign_out(request, afterwards).await {
            Ok(auth_data) => {
                let body = SignedOut { done: Done::OK, auth_data: Some(auth_data) };
                Ok(Response::new(body).cookie(session).cookie(flow))
            }
            Err(error) => Err(error.cookie(session).cookie(flow)),
        }
    }

    async fn sign_out<I>(
        &self,
        request: &Request<I>,
        afterwards: impl Future<Output = Result<(), ApiError>>,
    ) -> Result<AuthData, ApiError> {
        let return_to = self.log_out.return_to(None)?;
        let ended = self.users.sessions.end(request).await?;
        // If the response to a deletion is lost, its repetition finds no session; the authorizer has seen it.
        let caller = request.caller().ok().map(|caller| caller.session_id.as_str());
        let mut ids = Vec::new();
        for id in ended.iter().map(|session| session.workos_session_id.as_str()).chain(caller) {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        let (first, others) = ids.split_first().ok_or(Reason::NotSignedIn)?;
        let afterwards = afterwards.await;
        match afterwards {
            Ok(()) => self.log_out.revoke(others).await,
            // Nobody can send the request again. WorkOS' event that its session has ended comes until it is dealt with.
            Err(error) => {
                tracing::error!(
                    cause = error.cause(),
                    "what ends with the session was left to WorkOS' event"
                );
                self.log_out.revoke(&ids).await;
            }
        }
        Ok(AuthData::redirect(self.log_out.url(first, return_to), None))
    }

    /// Ends the caller's other sessions here. Returns those that WorkOS has to revoke.
    async fn end_others(&self, caller: &Caller, client: &Client) -> Result<Vec<Ending>, ApiError> {
        let (table, user_id) = (self.users.table(), caller.user_id.as_str());
        let is_other = |session: &SessionItem| {
            let is_own = caller.session.as_ref() == Some(&session.id.0);
            // After a switch, the index can show the replaced session before its successor.
            session.user_id == user_id && !is_own && !self.users.sessions.has_ended(session)
        };
        let (keys, noted) = tokio::join!(table.session_keys(user_id), table.endings(user_id));
        let (mut keys, mut endings) = (keys?, noted?);
        let mut seen = HashSet::new();
        for _ in 0..MAX_QUERIES {
            // The index still has the sessions that have just ended.
            keys.retain(|key: &SessionKey| seen.insert(key.clone()));
            if keys.is_empty() {
                return Ok(endings);
            }
            let mut others = table.sessions(&keys).await?;
            others.retain(|(_, session)| is_other(session));
            let new: Vec<_> = others.iter().map(|(_, session)| ending(session)).collect();
            table.note_endings(user_id, &new, clock::now()).await?;
            self.users.end_all(&others, Cause::Elsewhere, client).await?;
            endings.extend(new.into_iter().filter(|each| !endings.contains(each)).collect::<Vec<_>>());
            keys = table.session_keys(user_id).await?;
        }
        Err(remain("new sessions keep beginning", 1))
    }

    /// Revokes sessions at WorkOS, as many as the time allows. That of the caller stays, even if another session of ours
    /// shares it: a browser that signs in again at AuthKit may keep its WorkOS session.
    async fn revoke(&self, caller: &Caller, endings: Vec<Ending>) -> Revoked {
        let end = Instant::now() + deadline::remaining().saturating_sub(RESERVE);
        let is_callers = |ending: &Ending| ending.workos_session_id == caller.session_id;
        let (confirmed, endings): (Vec<_>, Vec<_>) = endings.into_iter().partition(is_callers);
        let revocations = stream::iter(endings).map(|ending| async move {
            let revocation = self.log_out.workos().revoke_session(&ending.workos_session_id);
            (timeout_at(end, revocation).await, ending)
        });
        let mut revocations = revocations.buffer_unordered(CONCURRENCY);
        let mut revoked = Revoked { confirmed, error: None };
        while let Some((outcome, ending)) = revocations.next().await {
            match outcome {
                Ok(Ok(())) => revoked.confirmed.push(ending),
                Ok(Err(error)) => {
                    let is_busy = error.reason() == Reason::WorkosBusy;
                    revoked.error = Some(remain(error.cause(), error.wait().unwrap_or(1)));
                    if is_busy {
                        break;
                    }
                }
                Err(_) => {
                    revoked.error = Some(remain("WorkOS left no time to revoke all of the sessions", 1));
                    break;
                }
            }
        }
        revoked
    }

    /// Forgets what WorkOS has confirmed.
    ///
    /// # Errors
    /// `sessions_remain` if there is more.
    async fn settle(&self, user_id: &str, revoked: Revoked) -> Result<(), ApiError> {
        if let Err(error) = self.users.table().forget_endings(user_id, &revoked.confirmed).await {
            // The next request revokes them once more, which is harmless.
            tracing::warn!(cause = error.cause(), "revoked sessions could not be forgotten");
        }
        revoked.error.map_or(Ok(()), Err)
    }
}

/// What WorkOS has done.
struct Revoked {
    confirmed: Vec<Ending>,
    /// Why others remain.
    error: Option<ApiError>,
}

fn ending(session: &SessionItem) -> Ending {
    Ending { id: session.id.clone(), workos_session_id: session.workos_session_id.clone() }
}

#[track_caller]
fn remain(cause: impl Into<String>, wait: u64) -> ApiError {
    ApiError::new(Reason::SessionsRemain).because(cause.into()).retry_after(wait)
}
