//! Identifiers, tokens and codes from the system's secure random source.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::clock::Timestamp;

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A ULID: 48 bits of time, then 80 bits, the first 24 of which are `sequence` so that identifiers sort by creation.
pub(super) fn ulid(now: Timestamp, sequence: u32) -> String {
    let time = u128::try_from(now.0).unwrap_or_default() & 0xffff_ffff_ffff;
    let noise = u128::from(u64::from_be_bytes(bytes())) >> 8;
    let value = (time << 80) | (u128::from(sequence & 0x00ff_ffff) << 56) | noise;
    (0..26_u32)
        .rev()
        .filter_map(|place| CROCKFORD.get(usize::try_from((value >> (place * 5)) & 31).ok()?))
        .map(|digit| char::from(*digit))
        .collect()
}

/// An unguessable token: 24 bytes, base64url.
pub(super) fn token() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<24>())
}

/// A one-time code of six digits.
pub(super) fn six_digits() -> String {
    format!("{:06}", u32::from_be_bytes(bytes()) % 1_000_000)
}

#[expect(clippy::expect_used, reason = "without a random source the double cannot run at all")]
pub(super) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random source");
    bytes
}
