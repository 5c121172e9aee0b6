//! How long the record of a recording is kept.

use api::{ConfigError, Env, Variable};

/// The retention.
pub static RECORDING_RETENTION_DAYS: Variable = Variable::or(
    "RECORDING_RETENTION_DAYS",
    "365",
    "How many days a recording is kept. The template gives the bucket's lifecycle the same number. The record is kept \
     two days longer than this from the start, so that it outlives the file.",
);

const DAY: u64 = 24 * 60 * 60;

/// S3 counts from the upload, which follows the end of the recording, and deletes at the next midnight UTC.
const MARGIN: u64 = 2 * DAY;

/// How long records are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    days: u64,
}

impl Retention {
    pub(crate) fn load(env: &Env) -> Result<Self, ConfigError> {
        match env.parsed(&RECORDING_RETENTION_DAYS)? {
            0 => Err(ConfigError::new(&RECORDING_RETENTION_DAYS, "must be at least 1 day")),
            days => Ok(Self { days }),
        }
    }

    /// When the record of a recording that started at `started_at` expires.
    pub(crate) fn kept_until(self, started_at: u64) -> u64 {
        started_at.saturating_add(self.days.saturating_mul(DAY)).saturating_add(MARGIN)
    }
}
