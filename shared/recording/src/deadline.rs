//! The time budget of a request.

use std::time::Duration;

use tokio::time::Instant;

/// Time for a request. `api::boot` ends it after 8 s; this budget is shorter, so that a failed start is cleaned up.
const TOTAL: Duration = Duration::from_millis(7500);

/// Limit for one call to LiveKit.
const CALL: Duration = Duration::from_secs(5);

/// Reserve for one write after a call to LiveKit.
pub(crate) const WRITE: Duration = store::OPERATION_TIMEOUT;

/// The end of a request's time budget.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// A deadline for a request that begins now.
    pub(crate) fn start() -> Self {
        Self(Instant::now() + TOTAL)
    }

    /// The timeout of a call that has to leave `reserve`; zero if no time is left.
    pub(crate) fn timeout(self, reserve: Duration) -> Duration {
        self.0.saturating_duration_since(Instant::now()).saturating_sub(reserve).min(CALL)
    }
}
