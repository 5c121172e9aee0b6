//! The lease on a session's refresh token.
//!
//! A refresh token is single use, so only one request of the whole fleet may use it: the one that wins the lease, a
//! conditional write. If its process dies, the lease expires and the next request sends the old refresh token again.
//! WorkOS returns the same new pair for 30 s after the first use, so nothing is lost.

use api::{ApiError, Reason, Secret, clock, random};
use store::session::{Renewal, RenewedAccess};
use store::{SessionKey, Table};

use crate::SessionToken;

/// The duration of a lease in seconds: longer than a function's deadline of 8 s, shorter than WorkOS' replay window of
/// 30 s.
const DURATION: u64 = 10;

/// The pause after a transient error, in seconds.
pub(crate) const RETRY_PAUSE: u64 = 5;

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
        let now = clock::now();
        self.table.claim_refresh(&self.key, generation, &self.owner, now, now + DURATION).await
    }

    /// Releases the lease: the next claim can succeed after `pause` seconds. If this fails, the lease expires.
    pub(crate) async fn release(&self, pause: u64) {
        if let Err(error) = self.table.release_refresh(&self.key, &self.owner, clock::now() + pause).await {
            tracing::warn!(cause = error.cause(), "a refresh lease could not be released");
        }
    }

    /// Stores the refresh token of a grant whose access token is unverified, and releases the lease. The session keeps
    /// its claims, and the next refresh can succeed. Returns whether it was stored: not if the session was ended, replaced
    /// or renewed.
    pub(crate) async fn store_unverified(
        &self,
        generation: u64,
        refresh_token: &Secret,
        pause: u64,
    ) -> Result<bool, ApiError> {
        let sealed_refresh_token = self.token.seal(refresh_token)?;
        let access = RenewedAccess::Unverified { retry_at: clock::now() + pause };
        self.table.renew_session(&self.key, generation, Renewal { sealed_refresh_token, access }).await
    }
}

/// The error for a session whose new access token is unverified.
#[track_caller]
pub(crate) fn unverified() -> ApiError {
    ApiError::new(Reason::WorkosUnavailable).because("the new access token is unverified")
}
