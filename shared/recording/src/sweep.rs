//! Repairs what a lost webhook or an interrupted request leaves behind, and ends recordings that run too long.
//!
//! The table is not searched. LiveKit lists what runs, and what has ended within a day.

use std::time::Duration;

use api::{ApiError, ConfigError, Env, Variable, clock};
use futures_util::{StreamExt as _, stream};
use store::recording::RecordingItem;

use crate::deadline::Deadline;
use crate::egress::Egress;
use crate::events::{Applied, Events};
use crate::server::Egresses;

/// The longest recording.
pub static RECORDING_MAX_SECONDS: Variable = Variable::or(
    "RECORDING_MAX_SECONDS",
    "14400",
    "After how many seconds `sweep-recordings` stops a recording that still runs. It runs every five minutes.",
);

/// Egresses that ended longer ago were seen by earlier sweeps.
const RECENT_SECONDS: u64 = 60 * 60;

/// Egresses handled at the same time.
const CONCURRENCY: usize = 16;

/// Sweeps recordings.
#[derive(Debug)]
pub struct Sweeper {
    events: Events,
    max_seconds: u64,
}

/// What to do with a running egress after its state is applied to the table.
#[derive(Debug, PartialEq, Eq)]
pub enum Running {
    /// Leave it alone.
    Leave,
    /// Stop it, for this reason.
    Stop(&'static str),
}

/// Decides about a running egress. The table knows the recordings that may run: those with a record, and starts in
/// progress, which have a claim.
pub fn judge(applied: &Applied, now: u64, max_seconds: u64) -> Running {
    match applied {
        Applied::Recorded(record) if now >= started_at(record).saturating_add(max_seconds) => {
            Running::Stop("it has run too long")
        }
        Applied::Recorded(_) | Applied::Surplus => Running::Leave,
        Applied::Unclaimed => Running::Stop("it has no record"),
    }
}

fn started_at(record: &RecordingItem) -> u64 {
    record.claim.started_at
}

/// Whether a sweep has to look at an egress: it runs, or it has ended recently.
fn is_due(egress: &Egress, now: u64) -> bool {
    egress.progress.ended_at.is_none_or(|ended_at| ended_at.saturating_add(RECENT_SECONDS) > now)
}

impl Sweeper {
    /// Reads the configuration.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { events: Events::load(env)?, max_seconds: env.seconds(&RECORDING_MAX_SECONDS)? })
    }

    /// Sweeps once. A failure on one egress does not keep it from the others.
    ///
    /// # Errors
    /// The first failure: `livekit_busy`, `livekit_unavailable`, `store_unavailable`.
    pub async fn sweep(&self) -> Result<(), ApiError> {
        let deadline = Deadline::start();
        let egresses = self.events.server.egresses(deadline)?;
        let now = clock::now();
        let ours = egresses.all().await?.into_iter();
        let ours = ours.filter(|egress| self.events.is_ours(egress) && is_due(egress, now));
        let swept = stream::iter(ours).map(|egress| self.sweep_egress(&egresses, egress, now));
        let swept: Vec<_> = swept.buffer_unordered(CONCURRENCY).collect().await;
        swept.into_iter().collect()
    }

    async fn sweep_egress(&self, egresses: &Egresses<'_>, egress: Egress, now: u64) -> Result<(), ApiError> {
        let applied = self.events.apply(&egress).await?;
        if !egress.is_running() {
            return Ok(());
        }
        match judge(&applied, now, self.max_seconds) {
            Running::Leave => Ok(()),
            Running::Stop(cause) => {
                let progress = egresses.end(&egress.id, Duration::ZERO).await?;
                tracing::warn!(egress_id = egress.id, cause, "an egress was stopped");
                self.events.apply(&Egress { progress, ..egress }).await.map(drop)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use store::recording::{Progress, RecordingStatus};

    use super::*;
    use crate::fixtures;

    #[test]
    fn what_runs_too_long_or_without_a_record_is_stopped() {
        let record = Applied::Recorded(Box::new(fixtures::record()));
        let started = fixtures::record().claim.started_at;
        assert_eq!(judge(&record, started + 9, 10), Running::Leave);
        assert_eq!(judge(&record, started + 10, 10), Running::Stop("it has run too long"));
        assert_eq!(judge(&Applied::Unclaimed, started, 10), Running::Stop("it has no record"));
        assert_eq!(judge(&Applied::Surplus, started, 10), Running::Leave);
    }

    #[test]
    fn what_ended_an_hour_ago_is_not_looked_at_again() {
        let progress =
            |ended_at| Progress { status: RecordingStatus::Ended, ended_at, location: None, error: None };
        let due = |ended_at, now| is_due(&Egress { progress: progress(ended_at), ..fixtures::egress() }, now);
        assert!(due(None, 10_000) && due(Some(6_401), 10_000));
        assert!(!due(Some(6_400), 10_000));
    }
}
