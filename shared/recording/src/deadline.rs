//! The time that a request has.

use std::time::Duration;

use tokio::time::Instant;

/// A request is given up after 8 s (see `api::boot`). Ours ends before, so that it can still tidy up and answer.
const TOTAL: Duration = Duration::from_millis(7500);

/// No call to LiveKit takes longer.
const CALL: Duration = Duration::from_secs(5);

/// What must be left after a call to LiveKit, to write down what it did.
pub(crate) const WRITE: Duration = Duration::from_millis(1200);

/// The time that a request has, counted from its begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn begin() -> Self {
        Self(Instant::now() + TOTAL)
    }

    /// How long a call may take when `reserve` is needed after it.
    pub(crate) fn call(self, reserve: Duration) -> Duration {
        self.0.saturating_duration_since(Instant::now()).saturating_sub(reserve).min(CALL)
    }
}
