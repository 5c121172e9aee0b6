//! Repairs recordings that a lost webhook or an interrupted request left behind, and stops those that run too long.

use api::{ApiError, ConfigError, Endpoint, Env, Route, Schedule};
use recording::Sweeper;

/// Runs at `rate(5 minutes)`.
pub struct SweepRecordings(Sweeper);

impl Endpoint for SweepRecordings {
    const ROUTE: Route = Route::schedule("rate(5 minutes)")
        .summary("Repair recordings and stop those that run too long")
        .reasons(&[recording::FAILURES]);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        Sweeper::load(env).map(Self)
    }
}

impl SweepRecordings {
    /// Sweeps once.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, _: Schedule) -> Result<(), ApiError> {
        self.0.sweep().await
    }
}
