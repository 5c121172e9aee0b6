//! Checks the session of every protected request, and refreshes it.
//!
//! A WorkOS access token expires within minutes, and its refresh token is single use. When an access token has under
//! 30 s left, one request of the whole fleet wins the lease (see `lease`) and refreshes it. All others continue with the
//! cached claims, for up to `REFRESH_GRACE_SECONDS` after their expiry. So a burst of requests costs one refresh, and
//! none of them waits or fails.
//!
//! A transient error (timeout, 408, 429, 5xx) never ends a session; only a definite answer from WorkOS does. An
//! unanswered refresh is sent once more within the request, and what WorkOS returns is written to the deadline.

use std::time::Duration;

use api::audit::Cause;
use api::caller::Verdict;
use api::{ApiError, Caller, Client, ConfigError, Cookies, Env, Reason, Secret, Variable, clock, deadline};
use store::session::{Renewal, RenewedAccess, RenewedClaims};
use store::{SessionItem, SessionKey, Table, to_deadline};
use tokio::time::Instant;
use workos::{Grants, RefreshError, Refreshed};

use crate::lease::{Lease, RETRY_PAUSE, count, count_stored, unverified};
use crate::sessions::profile;
use crate::{Lifetimes, SessionToken, Standing, trail};

/// How long the claims of an expired access token are still accepted.
pub static REFRESH_GRACE_SECONDS: Variable = Variable::or(
    "REFRESH_GRACE_SECONDS",
    "900",
    "How long a session continues after the expiry of its access token while WorkOS is unreachable, in seconds.",
);

/// A refresh is due when the access token has less than this left, in seconds.
const REFRESH_AHEAD: u64 = 30;

/// A refresh does not begin with less time than this: it could not be stored.
const REFRESH_TIME: Duration = Duration::from_secs(2);

/// Timeout and polling interval for the refresh by another request. The timeout is a time rather than a number of polls,
/// because slow reads must not add up to more than the deadline.
const POLL_TIMEOUT: Duration = Duration::from_secs(6);
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Checks sessions.
#[derive(Debug)]
pub struct Authenticator {
    table: Table,
    grants: Grants,
    lifetimes: Lifetimes,
    grace: u64,
}

impl Authenticator {
    /// Reads the configuration.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self {
            table: Table::load(env)?,
            grants: Grants::load(env)?,
            lifetimes: Lifetimes::load(env)?,
            grace: env.seconds(&REFRESH_GRACE_SECONDS)?,
        })
    }

    /// Identifies the caller: [`Verdict::Unavailable`] if the check failed.
    pub async fn authenticate(&self, cookies: Cookies, bearer: Option<Secret>, client: Client) -> Verdict {
        let Some(token) = SessionToken::from_request(&cookies, bearer.as_ref()) else {
            return Verdict::NotSignedIn;
        };
        match self.live_session(&token, &client).await {
            Ok(Some(session)) => Verdict::SignedIn(Box::new(self.caller(session))),
            Ok(None) => Verdict::NotSignedIn,
            Err(error) => {
                let (reason, at, cause) = (error.reason().name(), error.at(), error.cause());
                tracing::error!(reason, at, cause, "a session could not be checked");
                Verdict::Unavailable(error.reason())
            }
        }
    }

    /// The session with claims that are valid now; `None` if it has ended.
    async fn live_session(
        &self,
        token: &SessionToken,
        client: &Client,
    ) -> Result<Option<SessionItem>, ApiError> {
        let (key, now) = (token.key(), clock::now());
        let Some(mut session) = self.table.session(&key).await? else { return Ok(None) };
        match self.lifetimes.standing(&session, now) {
            Standing::Live => {}
            Standing::Readable => return self.with_cached_claims(session, replaced()),
            Standing::Ended => return Ok(None),
        }
        if is_refresh_due(&session, now) {
            match self.refreshed(token, &key, session, client).await? {
                Some(refreshed) => session = refreshed,
                None => return Ok(None),
            }
        }
        self.touch(&key, &mut session, now).await;
        Ok(Some(session))
    }

    /// Stores the last use of a session when it is due. If this fails, the request continues and the next one retries.
    async fn touch(&self, key: &SessionKey, session: &mut SessionItem, now: u64) {
        if !self.lifetimes.is_touch_due(session, now) {
            return;
        }
        let expires_at = self.lifetimes.expiry(session, now);
        match self.table.touch_session(key, now, expires_at).await {
            Ok(()) => session.last_seen_at = now,
            Err(error) => {
                tracing::warn!(cause = error.cause(), "the last use of a session could not be stored");
            }
        }
    }

    /// The session with refreshed or cached claims; `None` if it has ended. Past the grace period it waits for the refresh
    /// by another request, and takes over if that fails.
    async fn refreshed(
        &self,
        token: &SessionToken,
        key: &SessionKey,
        mut session: SessionItem,
        client: &Client,
    ) -> Result<Option<SessionItem>, ApiError> {
        let lease = Lease::new(&self.table, token)?;
        let end = Instant::now() + POLL_TIMEOUT.min(deadline::remaining());
        loop {
            match lease.claim(&session).await {
                Ok(true) => return self.refresh(&lease, token, key, session, client).await,
                Ok(false) if self.is_within_grace(&session) => return Ok(Some(session)),
                Ok(false) => {}
                Err(error) => return self.with_cached_claims(session, error),
            }
            if Instant::now() >= end {
                return Err(ApiError::new(Reason::WorkosUnavailable)
                    .because("the request that refreshes this session did not finish"));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
            session = match self.table.session(key).await? {
                Some(session) if self.is_within_grace(&session) => return Ok(Some(session)),
                Some(session) => session,
                None => return Ok(None),
            };
        }
    }

    async fn refresh(
        &self,
        lease: &Lease<'_>,
        token: &SessionToken,
        key: &SessionKey,
        session: SessionItem,
        client: &Client,
    ) -> Result<Option<SessionItem>, ApiError> {
        if deadline::remaining() < REFRESH_TIME {
            lease.release(0).await;
            let slow =
                ApiError::new(Reason::StoreUnavailable).because("the table left no time for a refresh");
            return self.with_cached_claims(session, slow);
        }
        let refresh_token = token.unseal(&session.sealed_refresh_token)?;
        let organization = session.organization_id.as_deref();
        let (refreshed, name) = tokio::join!(
            self.grants.refresh(&refresh_token, organization, client),
            self.organization_name(&session)
        );
        match refreshed {
            Ok(Refreshed { refresh_token, claims, user }) => {
                let Some(claims) = claims else {
                    // If this fails, the claims are cached all the same.
                    let _ = lease.store_unverified(session.generation, &refresh_token, RETRY_PAUSE).await;
                    return self.with_cached_claims(session, unverified());
                };
                let sealed_refresh_token = token.seal(&refresh_token)?;
                let claims = RenewedClaims {
                    profile: profile(&user),
                    organization_name: name.filter(|_| claims.organization_id == session.organization_id),
                    email: user.email,
                    organization_id: claims.organization_id,
                    role: claims.role,
                    permissions: claims.permissions,
                    claims_issued_at: claims.issued_at,
                    access_expires_at: claims.expires_at,
                };
                self.store(key, session, sealed_refresh_token, claims).await
            }
            Err(ended @ (RefreshError::Ended(_) | RefreshError::SsoRequired(_))) => {
                count("ended");
                let error = ApiError::from(ended);
                let (reason, cause) = (error.reason().name(), error.cause());
                tracing::info!(reason, cause, "WorkOS ended a session");
                if self.table.delete_session_of(key, session.generation).await? {
                    trail::ended(Cause::Workos, key, &session, client);
                    return Ok(None);
                }
                // Another request refreshed it meanwhile.
                self.table.session(key).await
            }
            Err(failed @ (RefreshError::Refused(_) | RefreshError::Transient(_) | RefreshError::Lost(_))) => {
                count(if matches!(failed, RefreshError::Lost(_)) { "lost" } else { "transient" });
                let error = ApiError::from(failed);
                let (reason, cause) = (error.reason().name(), error.cause());
                tracing::warn!(reason, cause, "a session could not be refreshed and keeps its claims");
                lease.release(RETRY_PAUSE).await;
                self.with_cached_claims(session, error)
            }
        }
    }

    /// The name of the session's organization. A lookup that failed at the sign-in is repeated, beside the refresh.
    async fn organization_name(&self, session: &SessionItem) -> Option<String> {
        match (&session.organization_name, &session.organization_id) {
            (None, Some(id)) => self.grants.workos().organization_name(id).await,
            (name, _) => name.clone(),
        }
    }

    /// Stores refreshed claims, to the deadline, and returns the session with them.
    async fn store(
        &self,
        key: &SessionKey,
        session: SessionItem,
        sealed_refresh_token: Vec<u8>,
        claims: RenewedClaims,
    ) -> Result<Option<SessionItem>, ApiError> {
        let generation = session.generation;
        let refreshed = SessionItem {
            email: claims.email.clone(),
            organization_id: claims.organization_id.clone(),
            role: claims.role.clone(),
            permissions: claims.permissions.clone(),
            claims_issued_at: claims.claims_issued_at,
            access_expires_at: claims.access_expires_at,
            profile: claims.profile.clone(),
            organization_name: claims.organization_name.clone(),
            ..session
        };
        let renewal = Renewal { sealed_refresh_token, access: RenewedAccess::Verified(claims) };
        let renew = || self.table.renew_session(key, generation, renewal.clone());
        let stored = to_deadline(Duration::ZERO, renew).await;
        count_stored(&stored);
        match stored {
            // The session has ended, or another request refreshed it.
            Ok(false) => self.table.session(key).await,
            // If it is not stored, the next request after the lease gets the same pair from WorkOS again.
            Ok(true) | Err(_) => Ok(Some(refreshed)),
        }
    }

    /// The session's person, for the functions.
    fn caller(&self, session: SessionItem) -> Caller {
        let expires_at = self.lifetimes.end(&session);
        Caller {
            user_id: session.user_id,
            email: session.email,
            organization_id: session.organization_id,
            role: session.role,
            permissions: session.permissions,
            session_id: session.workos_session_id,
            session: Some(session.id.0),
            authenticated_at: Some(session.authenticated_at),
            first_name: session.profile.first_name,
            last_name: session.profile.last_name,
            avatar_url: session.profile.avatar_url,
            organization_name: session.organization_name,
            method: session.method,
            impersonator: session.impersonator,
            created_at: Some(session.created_at),
            expires_at: Some(expires_at),
        }
    }

    /// The session with its cached claims, or `error` if they are past the grace period.
    fn with_cached_claims(
        &self,
        session: SessionItem,
        error: ApiError,
    ) -> Result<Option<SessionItem>, ApiError> {
        if self.is_within_grace(&session) { Ok(Some(session)) } else { Err(error) }
    }

    fn is_within_grace(&self, session: &SessionItem) -> bool {
        clock::now() < session.access_expires_at.saturating_add(self.grace)
    }
}

/// Whether the claims are about to expire, or something has changed at WorkOS since they were issued.
fn is_refresh_due(session: &SessionItem, now: u64) -> bool {
    session.access_expires_at <= now + REFRESH_AHEAD
        || session.claims_stale_at.is_some_and(|stale_at| session.claims_issued_at <= stale_at)
}

/// The error for a replaced session whose claims are past the grace period. It cannot be refreshed any more; the browser
/// has its successor by the next request.
#[track_caller]
fn replaced() -> ApiError {
    ApiError::new(Reason::WorkosUnavailable).because("the session was replaced and its claims are too old")
}
