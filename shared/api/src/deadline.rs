//! The deadline of an invocation, known to the calls that it makes.

use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

/// Time that a function has for one invocation before it responds with `deadline_exceeded`. It is shorter than Lambda's
/// own timeout, so that clients always get a response in our shape.
const INVOCATION: Duration = Duration::from_secs(8);

/// Time that calls leave for the response.
const RESPONSE: Duration = Duration::from_millis(500);

tokio::task_local! {
    /// The latest end of a call.
    static CALLS_END: Instant;
}

/// Runs `work` as one invocation within its deadline.
///
/// # Errors
/// If the deadline passes first.
pub(crate) async fn limit<F: Future>(work: F) -> Result<F::Output, Elapsed> {
    let end = Instant::now() + INVOCATION;
    CALLS_END.scope(end - RESPONSE, timeout_at(end, work)).await
}

/// Time left for a call of the running invocation. A longer one would be cut off together with the invocation, and its
/// failure would go unhandled.
pub fn remaining() -> Duration {
    let left = CALLS_END.try_with(|end| end.saturating_duration_since(Instant::now()));
    left.unwrap_or(INVOCATION - RESPONSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_share_the_time_of_their_invocation() {
        assert_eq!(remaining(), Duration::from_millis(7500));
        let outcome = limit(async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            let left = remaining();
            tokio::time::sleep(Duration::from_secs(2)).await;
            (left, remaining())
        });
        assert_eq!(outcome.await.unwrap(), (Duration::from_millis(2500), Duration::from_millis(500)));
        assert!(limit(std::future::pending::<()>()).await.is_err());
    }
}
