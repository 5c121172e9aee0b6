//! Time in LiveKit's units, and identifiers of its shape.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use time::OffsetDateTime;

/// Nanoseconds since the epoch: the unit of an egress.
pub(crate) fn epoch_nanos() -> i64 {
    i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos()).unwrap_or(i64::MAX)
}

pub(crate) fn epoch_millis() -> i64 {
    epoch_nanos() / 1_000_000
}

pub(crate) fn epoch_seconds() -> i64 {
    epoch_nanos() / 1_000_000_000
}

/// A prefix and 12 random characters, e.g. `EG_7vqWmTnXkZdR`; 64 random bits fill 11 of them.
pub(crate) fn identifier(prefix: &str) -> String {
    const ALPHABET: &[u8; 57] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut random = RandomState::new().build_hasher().finish();
    let letters = (0..12).filter_map(|_| {
        let letter = ALPHABET.get(usize::try_from(random % 57).ok()?).copied().map(char::from);
        random /= 57;
        letter
    });
    prefix.chars().chain(letters).collect()
}
