//! Checking the session of every protected request, and refreshing it.
//!
//! A WorkOS access token lives for minutes, its refresh token is used once. When an access token has under 30 s left,
//! ONE request of the whole fleet is elected by a conditional write to refresh it; all others go on with the claims at
//! hand, for `REFRESH_GRACE_SECONDS` beyond their expiry. So a burst of requests costs one refresh and none of them
//! waits or fails.
//!
//! The election is a lease of 10 s, longer than a refresh can take. Where the elected process dies, the lease ends and
//! the next request refreshes with the old token: WorkOS answers the same new pair for 30 s after its first use, so
//! nothing is lost. Transient trouble (timeout, 408, 429, 5xx) never ends a session; only WorkOS' own word does.

use std::time::Duration;

use api::caller::Verdict;
use api::{ApiError, Client, ConfigError, Cookies, Env, Reason, Secret, Variable, clock, metrics, random};
use store::session::{Renewal, RenewedAccess, RenewedClaims};
use store::{SessionItem, SessionKey, Table};
use workos::{RefreshError, Refreshed, WorkOs};

use crate::sessions::{caller, held};
use crate::{Lifetimes, SessionToken};

/// How long the claims of an expired access token are still trusted.
pub static REFRESH_GRACE_SECONDS: Variable = Variable::or(
    "REFRESH_GRACE_SECONDS",
    "900",
    "How long a session goes on beyond the expiry of its access token while WorkOS cannot be reached, in seconds.",
);

/// A refresh is due when the access token has less than this left, in seconds.
const REFRESH_AHEAD: u64 = 30;

/// How long an election holds, in seconds: longer than a function's deadline of 8 s, shorter than WorkOS' replay window
/// of 30 s.
pub(crate) const LEASE: u64 = 10;

/// After transient trouble nobody tries again for this long, in seconds.
pub(crate) const RETRY_AFTER_TROUBLE: u64 = 5;

/// How long, and at what distance, a request whose claims are beyond the grace looks for the elected one's result. The
/// time counts, not the looks: where the table is slow they must not add up to more than the deadline.
const PATIENCE: Duration = Duration::from_secs(6);
const LOOK_DISTANCE: Duration = Duration::from_millis(250);

/// Checks sessions.
pub struct Authenticator {
    table: Table,
    workos: WorkOs,
    lifetimes: Lifetimes,
    grace: u64,
}

impl Authenticator {
    /// Reads the configuration.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self {
            table: Table::load(env)?,
            workos: WorkOs::load(env)?,
            lifetimes: Lifetimes::load(env)?,
            grace: env.seconds(&REFRESH_GRACE_SECONDS)?,
        })
    }

    /// Who calls: `None` where nobody is signed in; [`Verdict::Unknown`] where that could not be told.
    pub async fn judge(&self, cookies: Cookies, bearer: Option<Secret>, client: Client) -> Option<Verdict> {
        let token = held(&cookies, bearer.as_ref())?;
        match self.authenticate(&token, &client).await {
            Ok(session) => session.map(|session| Verdict::Signed(Box::new(caller(session)))),
            Err(error) => {
                let (reason, at, cause) = (error.reason().name(), error.at(), error.cause());
                tracing::error!(reason, at, cause, "a session could not be checked");
                Some(Verdict::Unknown(error.reason()))
            }
        }
    }

    async fn authenticate(
        &self,
        token: &SessionToken,
        client: &Client,
    ) -> Result<Option<SessionItem>, ApiError> {
        let (key, now) = (token.key(), clock::now());
        let Some(session) = self.table.session(&key).await? else { return Ok(None) };
        if !self.lifetimes.is_live(&session, now) {
            return Ok(None);
        }
        let session = if session.access_expires_at <= now + REFRESH_AHEAD {
            let Some(session) = self.renewed(token, &key, session, now, client).await? else {
                return Ok(None);
            };
            session
        } else {
            session
        };
        self.touch(&key, &session, now).await;
        Ok(Some(session))
    }

    /// Notes the use of a session. Where that fails the request goes on: the next one notes it.
    async fn touch(&self, key: &SessionKey, session: &SessionItem, now: u64) {
        if !self.lifetimes.is_touch_due(session, now) {
            return;
        }
        let expires_at = self.lifetimes.end(session.created_at, now);
        if let Err(error) = self.table.touch_session(key, now, expires_at).await {
            tracing::warn!(cause = error.cause(), "the use of a session could not be noted");
        }
    }

    /// The session with claims that can be trusted now: refreshed, or at hand. `None` where it has ended.
    async fn renewed(
        &self,
        token: &SessionToken,
        key: &SessionKey,
        session: SessionItem,
        now: u64,
        client: &Client,
    ) -> Result<Option<SessionItem>, ApiError> {
        let owner = random::name()?;
        let elected = match self.table.claim_refresh(key, session.generation, &owner, now, now + LEASE).await
        {
            Ok(elected) => elected,
            // Where the election cannot be held, the claims at hand may do.
            Err(error) => return self.at_hand(session, now).map(Some).ok_or(error),
        };
        if !elected {
            return match self.at_hand(session.clone(), now) {
                Some(session) => Ok(Some(session)),
                None => self.await_renewal(key, session.generation).await,
            };
        }
        self.refresh(token, key, session, &owner, client).await
    }

    async fn refresh(
        &self,
        token: &SessionToken,
        key: &SessionKey,
        session: SessionItem,
        owner: &str,
        client: &Client,
    ) -> Result<Option<SessionItem>, ApiError> {
        let refresh_token = token.unseal(&session.sealed_refresh_token)?;
        match self.workos.refresh(&refresh_token, None, client).await {
            Ok(refreshed) => {
                count("renewed");
                self.store(token, key, session, refreshed).await
            }
            Err(ended @ (RefreshError::Ended(_) | RefreshError::SsoRequired(_))) => {
                count("ended");
                let error = ApiError::from(ended);
                let (reason, cause) = (error.reason().name(), error.cause());
                tracing::info!(reason, cause, "WorkOS ended a session");
                if self.table.delete_session_of(key, session.generation).await? {
                    return Ok(None);
                }
                // Somebody renewed it meanwhile: what they wrote counts.
                self.table.session(key).await
            }
            Err(RefreshError::Refused(error) | RefreshError::Transient(error)) => {
                count("transient");
                let now = clock::now();
                let (reason, cause) = (error.reason().name(), error.cause());
                tracing::warn!(reason, cause, "a session could not be refreshed and goes on");
                if let Err(error) = self.table.release_refresh(key, owner, now + RETRY_AFTER_TROUBLE).await {
                    // The lease ends by itself.
                    tracing::warn!(cause = error.cause(), "a refresh could not be given back");
                }
                self.at_hand(session, now).map(Some).ok_or(error)
            }
        }
    }

    /// Stores what a refresh gave.
    async fn store(
        &self,
        token: &SessionToken,
        key: &SessionKey,
        session: SessionItem,
        refreshed: Refreshed,
    ) -> Result<Option<SessionItem>, ApiError> {
        let now = clock::now();
        let generation = session.generation;
        let sealed_refresh_token = token.seal(&refreshed.refresh_token)?;
        let Some(claims) = refreshed.claims else {
            let access = RenewedAccess::Unverified { retry_at: now + RETRY_AFTER_TROUBLE };
            self.table.renew_session(key, generation, Renewal { sealed_refresh_token, access }).await?;
            let unverified =
                || ApiError::new(Reason::WorkosUnavailable).because("the new access token is not verified");
            return self.at_hand(session, now).map(Some).ok_or_else(unverified);
        };
        let renewed = SessionItem {
            email: refreshed.user.email,
            organization_id: claims.organization_id,
            role: claims.role,
            permissions: claims.permissions,
            access_expires_at: claims.expires_at,
            ..session
        };
        let access = RenewedAccess::Verified(RenewedClaims {
            email: renewed.email.clone(),
            organization_id: renewed.organization_id.clone(),
            role: renewed.role.clone(),
            permissions: renewed.permissions.clone(),
            access_expires_at: renewed.access_expires_at,
        });
        match self.table.renew_session(key, generation, Renewal { sealed_refresh_token, access }).await {
            Ok(true) => Ok(Some(renewed)),
            // It ended meanwhile, or somebody else renewed it.
            Ok(false) => self.table.session(key).await,
            Err(error) => {
                // The next request after the lease gets the same pair from WorkOS once more.
                tracing::error!(cause = error.cause(), "a refreshed session could not be stored");
                Ok(Some(renewed))
            }
        }
    }

    /// The claims at hand, where they can still be trusted.
    fn at_hand(&self, session: SessionItem, now: u64) -> Option<SessionItem> {
        (now < session.access_expires_at.saturating_add(self.grace)).then_some(session)
    }

    /// Waits for the elected request's result: for sessions that nobody used for longer than the grace.
    async fn await_renewal(
        &self,
        key: &SessionKey,
        generation: u64,
    ) -> Result<Option<SessionItem>, ApiError> {
        let renewal = async {
            loop {
                tokio::time::sleep(LOOK_DISTANCE).await;
                let Some(session) = self.table.session(key).await? else { return Ok(None) };
                if session.generation != generation
                    && let Some(session) = self.at_hand(session, clock::now())
                {
                    return Ok(Some(session));
                }
            }
        };
        tokio::time::timeout(PATIENCE, renewal).await.unwrap_or_else(|_| {
            Err(ApiError::new(Reason::WorkosUnavailable)
                .because("the request that refreshes this session did not finish"))
        })
    }
}

fn count(outcome: &'static str) {
    metrics::count("Refresh", &[("Outcome", outcome)]);
}
