//! The lease on a session's refresh token.
//!
//! A refresh token is single use, so only one request of the whole fleet may use it: the one that wins the lease, a
//! conditional write. If its process dies, the lease expires and the next request sends the old refresh token again.
//! WorkOS returns the same new pair for 30 s after the first use, so nothing is lost.
//!
//! After transient trouble, a pause follows the lease. It is another attribute, because it may be longer.

use std::time::Duration;

use api::{ApiError, Reason, Secret, clock, metrics, random};
use store::session::{LeaseTimes, Renewal, RenewedAccess};
use store::{SessionKey, Table, to_deadline};

use crate::SessionToken;

/// The duration of a lease in seconds: longer than a function's deadline of 8 s, shorter than WorkOS' replay window of
/// 30 s.
const DURATION: u64 = 10;

/// The pause after a transient error, in seconds.
pub(crate) const RETRY_PAUSE: u64 = 5;

/// The longest pause that counts, in seconds. A longer one was written by a machine whose clock is ahead.
const LONGEST_PAUSE: u64 = 60;

/// When a lease can be taken at `now`. Clocks may be minutes apart, so a lease counts for at most its duration from now:
/// if it seems to end later, the machine that took it is ahead of us.
pub const fn times(now: u64) -> LeaseTimes {
    LeaseTimes { now, lease_until: now + DURATION, pause_until: now + LONGEST_PAUSE }
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

    /// Claims the lease of a session that is still in `generation`. Returns whether this request won it.
    pub(crate) async fn claim(&self, generation: u64) -> Result<bool, ApiError> {
        self.table.claim_refresh(&self.key, generation, &self.owner, times(clock::now())).await
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
    fn a_lease_outlives_a_deadline_and_ends_well_within_the_replay_window() {
        let LeaseTimes { now, lease_until, pause_until } = times(1000);
        assert_eq!((now, lease_until, pause_until), (1000, 1010, 1060));
    }
}
