//! Time in the units that LiveKit uses, and identifiers in its shape.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use time::OffsetDateTime;

/// Nanoseconds since the epoch: the unit of an egress.
pub(super) fn epoch_nanos() -> i64 {
    i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos()).unwrap_or(i64::MAX)
}

/// Milliseconds since the epoch.
pub(super) fn epoch_millis() -> i64 {
    epoch_nanos() / 1_000_000
}

/// Seconds since the epoch.
pub(super) fn epoch_seconds() -> i64 {
    epoch_nanos() / 1_000_000_000
}

/// A prefix and 12 characters that do not repeat, e.g. `EG_7vqWmTnXkZdR`: 11 random ones are what 64 bits fill.
pub(super) fn identifier(prefix: &str) -> String {
    const ALPHABET: &[u8; 57] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut random = RandomState::new().build_hasher().finish();
    let mut identifier = prefix.to_owned();
    for _ in 0..12 {
        let letter = usize::try_from(random % 57).ok().and_then(|index| ALPHABET.get(index));
        identifier.extend(letter.map(|letter| char::from(*letter)));
        random /= 57;
    }
    identifier
}
