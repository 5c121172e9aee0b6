//! Identifiers, tokens and codes, all from the system's secure random source.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::clock::Millis;

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A ULID: 48 bits of time, then 80 bits of which the first 24 are `sequence`, so that identifiers sort as they
/// were made.
pub(super) fn ulid(now: Millis, sequence: u32) -> String {
    let time = u128::from(u64::try_from(now).unwrap_or_default()) & 0xffff_ffff_ffff;
    let order = u128::from(sequence & 0x00ff_ffff);
    let [a, b, c, d, e, f, g] = bytes::<7>();
    let noise = u128::from(u64::from_be_bytes([0, a, b, c, d, e, f, g]));
    let value = (time << 80) | (order << 56) | noise;
    (0..26_u32)
        .rev()
        .filter_map(|place| {
            let digit = usize::try_from((value >> (place * 5)) & 31).ok()?;
            CROCKFORD.get(digit).copied().map(char::from)
        })
        .collect()
}

/// A token that nobody can guess: 24 bytes, base64url.
pub(super) fn token() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<24>())
}

/// A one-time code of six digits.
pub(super) fn six_digits() -> String {
    format!("{:06}", u32::from_be_bytes(bytes::<4>()) % 1_000_000)
}

#[expect(clippy::expect_used, reason = "a machine without randomness cannot run a development server either")]
fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random source");
    bytes
}
