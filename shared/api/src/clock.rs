//! The wall clock: for times that leave the process. Durations are measured with [`std::time::Instant`].

use std::time::{Duration, SystemTime};

/// How far two machines' clocks may be apart, in seconds: the leeway on every time that another machine wrote. Sandboxes
/// are off by up to two minutes.
pub const LEEWAY: u64 = 150;

/// Whole seconds since the Unix epoch.
pub fn now() -> u64 {
    since_epoch().as_secs()
}

/// Milliseconds since the Unix epoch.
pub fn now_millis() -> u64 {
    u64::try_from(since_epoch().as_millis()).unwrap_or(u64::MAX)
}

#[expect(clippy::disallowed_methods, reason = "this is the clock")]
fn since_epoch() -> Duration {
    // A clock before 1970 counts as 1970.
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
