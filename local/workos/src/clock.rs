//! The double's clock: the machine's, plus what a test added to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

/// Milliseconds since the Unix epoch.
pub(super) type Millis = i64;

/// Shared by clones.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock {
    ahead: Arc<AtomicI64>,
}

impl Clock {
    pub(super) fn now(&self) -> Millis {
        let nanos = OffsetDateTime::now_utc().unix_timestamp_nanos();
        let real = i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX);
        real.saturating_add(self.ahead.load(Ordering::Relaxed))
    }

    pub(super) fn advance(&self, by: Duration) {
        self.ahead.fetch_add(millis(by), Ordering::Relaxed);
    }
}

/// A duration in milliseconds.
pub(super) fn millis(duration: Duration) -> Millis {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The time as WorkOS writes it: `2026-01-15T12:00:00.000Z`.
pub(super) fn iso(at: Millis) -> String {
    const FORMAT: &[BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at) * 1_000_000)
        .ok()
        .and_then(|time| time.to_offset(UtcOffset::UTC).format(FORMAT).ok())
        .unwrap_or_default()
}
