//! Applies the events of WorkOS whose webhooks got lost.

use api::{ApiError, ConfigError, Endpoint, Env, Route, Schedule};
use events::Backstop;

/// Runs at `rate(5 minutes)`.
pub struct SweepSessions(Backstop);

impl Endpoint for SweepSessions {
    const ROUTE: Route = Route::schedule("rate(5 minutes)")
        .summary("Apply the events of WorkOS whose webhooks got lost")
        .reasons(&[events::FAILURES, workos::FAILURES]);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        Backstop::load(env).map(Self)
    }
}

impl SweepSessions {
    /// Reads the list once.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, _: Schedule) -> Result<(), ApiError> {
        self.0.run().await
    }
}
