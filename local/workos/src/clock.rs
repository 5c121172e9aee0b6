//! Points in time.

use std::ops::Add;
use std::time::Duration;

use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// A point in time, serialized as WorkOS writes it: `2026-01-15T12:00:00.000Z`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Timestamp(OffsetDateTime);

impl Timestamp {
    /// The machine's time.
    pub(super) fn now() -> Self {
        Self(OffsetDateTime::now_utc())
    }

    /// Seconds since the Unix epoch.
    pub(super) fn seconds(self) -> i64 {
        self.0.unix_timestamp()
    }

    /// Milliseconds since the Unix epoch.
    pub(super) fn milliseconds(self) -> i128 {
        self.0.unix_timestamp_nanos() / 1_000_000
    }

    /// The time since `earlier`.
    pub(super) fn since(self, earlier: Self) -> Duration {
        (self.0 - earlier.0).try_into().unwrap_or_default()
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const FORMAT: &[BorrowedFormatItem<'_>] =
            format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
        serializer.serialize_str(&self.0.format(FORMAT).map_err(S::Error::custom)?)
    }
}
