//! Points in time.

use std::ops::{Add, Sub};
use std::time::Duration;

use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use time::macros::format_description;

/// Milliseconds since the Unix epoch, serialized as WorkOS writes them: `2026-01-15T12:00:00.000Z`.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Timestamp(pub(super) i64);

impl Timestamp {
    /// The machine's time.
    pub(super) fn now() -> Self {
        OffsetDateTime::now_utc().into()
    }

    /// Seconds since the Unix epoch.
    pub(super) fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }
}

impl From<OffsetDateTime> for Timestamp {
    fn from(time: OffsetDateTime) -> Self {
        Self(time.unix_timestamp() * 1000 + i64::from(time.millisecond()))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let format =
            format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
        let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000);
        let text = time.map_err(S::Error::custom)?.format(format).map_err(S::Error::custom)?;
        serializer.serialize_str(&text)
    }
}
