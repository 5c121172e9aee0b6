//! The lease on a session's refresh token.
//!
//! A refresh token is single use, so only one request of the whole fleet may use it: the one that wins the lease, a
//! write on the condition that nothing has changed since the request found the lease free. If its process dies, the lease expires and the next request sends the old refresh token again.
//! WorkOS returns the same new pair for 30 s after the first use, so nothing is lost.
//!
//! After transient trouble, a pause follows the lease. It is another attribute, because it may be longer.

use std::time::Duration;

use api::{ApiError, Reason, Secret, clock, metrics, random};
use store::session::{RefreshState, Renewal, RenewedAccess};
use store::{SessionItem, SessionKey, Table, to_deadline};

use crate::SessionToken;

/// The duration of a lease in seconds: longer than a function's deadline of 8 s, shorter than WorkOS' replay window of
/// 30 s.
pub const DURATION: u64 = 9;

/// The longest lease that counts, in seconds: one second more, because no two clocks tick together.
const LONGEST: u64 = DURATION + 1;

/// The pause after a transient error, in seconds.
pub(crate) const RETRY_PAUSE: u64 = 5;

/// The longest pause that counts, in seconds. A longer one was written by a machine whose clock is ahead.
const LONGEST_PAUSE: u64 = 60;

/// Whether a request that read this may claim the lease at `now`. Clocks may be minutes apart, so what another machine
/// wrote counts only up to a maximum from now: beyond that, its clock is ahead of ours.
pub fn is_free(refresh: &RefreshState, now: u64) -> bool {
    let counts =
        |until: Option<u64>, longest| until.is_some_and(|until| now < until && until <= now + longest);
    !counts(refresh.lease_until, LONGEST) && !counts(refresh.pause_until, LONGEST_PAUSE)
}

/// One request's lease on the refresh token of a session.
pub(crate) struct Lease<'a> {
    table: &'a Table,
    token: &'a SessionToken,
    key: SessionKey,
    owner: String,
}

impl<'a> Lease<'a> {
    pub(crate) fn new(table: &'a Table, token: &'a SessionToken) -> Result<Self, ApiError> {
        Ok(Self { table, token, key: token.key(), owner: random::id()? })
    }

    /// Claims the lease of a session as it was read. Returns whether this request won it.
    pub(crate) async fn claim(&self, session: &SessionItem) -> Result<bool, ApiError> {
        let now = clock::now();
        if !is_free(&session.refresh, now) {
            return Ok(false);
        }
        self.table.claim_refresh(&self.key, session, &self.owner, now + DURATION).await
    }

    /// Releases the lease: the next claim can succeed after `pause` seconds. If this fails, the lease expires.
    pub(crate) async fn release(&self, pause: u64) {
        if let Err(error) = self.table.release_refresh(&self.key, &self.owner, clock::now() + pause).await {
            tracing::warn!(cause = error.cause(), "a refresh lease could not be released");
        }
    }

    /// Stores the refresh token of a grant whose access token is unverified, to the deadline, and releases the lease. The
    /// session keeps its claims, and the next refresh can succeed. Returns whether it was stored: not if the session was
    /// ended, replaced or renewed.
    pub(crate) async fn store_unverified(
        &self,
        generation: u64,
        refresh_token: &Secret,
        pause: u64,
    ) -> Result<bool, ApiError> {
        let sealed_refresh_token = self.token.seal(refresh_token)?;
        let access = RenewedAccess::Unverified { retry_at: clock::now() + pause };
        let renewal = Renewal { sealed_refresh_token, access };
        let renew = || self.table.renew_session(&self.key, generation, renewal.clone());
        let stored = to_deadline(Duration::ZERO, renew).await;
        count_stored(&stored);
        stored
    }
}

/// Counts a refresh or switch that WorkOS granted.
pub(crate) fn count_stored<T>(stored: &Result<T, ApiError>) {
    match stored {
        Ok(_) => count("renewed"),
        Err(error) => {
            tracing::error!(cause = error.cause(), "a refreshed session could not be stored");
            count("lost");
        }
    }
}

/// Counts an outcome.
pub(crate) fn count(outcome: &'static str) {
    metrics::count("Refresh", &[("Outcome", outcome)]);
}

/// The error for a session whose new access token is unverified.
#[track_caller]
pub(crate) fn unverified() -> ApiError {
    ApiError::new(Reason::WorkosUnavailable).because("the new access token is unverified")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_counts_for_ten_seconds_and_a_pause_for_a_minute() {
        let leased = |until| RefreshState { lease_until: Some(until), ..RefreshState::default() };
        let paused = |until| RefreshState { pause_until: Some(until), ..RefreshState::default() };
        assert!(is_free(&RefreshState::default(), 1000));
        for (state, is_free_at_1000) in [
            (leased(1000), true),
            (leased(1001), false),
            (leased(1000 + DURATION), false),
            // Taken on a clock that is one second ahead.
            (leased(1001 + DURATION), false),
            (leased(1002 + DURATION), true),
            (paused(1000), true),
            (paused(1001), false),
            (paused(1060), false),
            (paused(1061), true),
        ] {
            assert_eq!(is_free(&state, 1000), is_free_at_1000, "{state:?}");
        }
    }
}
