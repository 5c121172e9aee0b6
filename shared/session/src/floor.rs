//! The least time of a response that must not tell known from unknown addresses: only a known one causes a mail call.

use std::time::Duration;

use api::{ConfigError, Env, Variable, random};

/// The least time of a response, in milliseconds.
pub static MAIL_FLOOR_MS: Variable = Variable::or(
    "MAIL_FLOOR_MS",
    "400",
    "The least time in milliseconds, plus up to a quarter at random, that `sign-in`, `sign-up` and `resend-magic-auth` take to respond; 0 to 3000. Set it above the p95 of the metric `MailLatency`: a shorter floor lets a stranger time which addresses have accounts. 0 turns it off.",
);

/// The highest floor: the rest of the deadline is for the work.
const MAX_MILLIS: u64 = 3_000;

/// Holds responses back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floor {
    millis: u64,
}

impl Floor {
    pub(crate) fn load(env: &Env) -> Result<Self, ConfigError> {
        match env.parsed(&MAIL_FLOOR_MS)? {
            millis @ 0..=MAX_MILLIS => Ok(Self { millis }),
            _ => Err(ConfigError::new(&MAIL_FLOOR_MS, format!("must be at most {MAX_MILLIS}"))),
        }
    }

    /// Does `work`, and returns its result when the floor has passed as well.
    pub(crate) async fn hold<F: Future>(self, work: F) -> F::Output {
        let (result, ()) = tokio::join!(work, tokio::time::sleep(self.duration()));
        result
    }

    /// The floor with its jitter. Without randomness there is no jitter.
    fn duration(self) -> Duration {
        let random = u64::from(random::bytes().map_or(0, u16::from_le_bytes));
        Duration::from_millis(self.millis + self.millis * random / 4 / u64::from(u16::MAX))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_response_leaves_at_the_floor_or_when_its_work_is_done() {
        for (work, range) in [(10, 400..=501), (700, 700..=701)] {
            let start = Instant::now();
            Floor { millis: 400 }.hold(tokio::time::sleep(Duration::from_millis(work))).await;
            let took = start.elapsed().as_millis();
            assert!(range.contains(&took), "{took} ms");
        }
    }

    #[test]
    fn a_floor_is_at_most_three_seconds() {
        let load = |text: &str| Floor::load(&Env::fixed([("MAIL_FLOOR_MS", text)])).map(|floor| floor.millis);
        assert_eq!(load("").unwrap(), 400);
        assert_eq!(load("0").unwrap(), 0);
        assert!(load("3001").is_err());
        assert!(load("-1").is_err());
    }
}
