//! The time budget of a request.

use std::time::Duration;

use tokio::time::Instant;

/// Limit for one call to LiveKit.
const CALL: Duration = Duration::from_secs(5);

/// Reserve for one write after a call to LiveKit.
pub(crate) const WRITE: Duration = Duration::from_millis(1200);

/// The end of a request's time budget.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// The deadline of the running invocation's calls.
    pub(crate) fn start() -> Self {
        Self(Instant::now() + api::deadline::remaining())
    }

    /// The timeout of a call that has to leave `reserve`; zero if no time is left.
    pub(crate) fn timeout(self, reserve: Duration) -> Duration {
        self.0.saturating_duration_since(Instant::now()).saturating_sub(reserve).min(CALL)
    }
}
