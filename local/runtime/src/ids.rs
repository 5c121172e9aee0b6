//! Identifiers in AWS' formats.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::rand::{SecureRandom as _, SystemRandom};
use time::OffsetDateTime;

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // It does not fail on supported platforms; an id of zeros would still work.
    let _ = SystemRandom::new().fill(&mut bytes);
    bytes
}

/// `2 * N` hexadecimal digits.
pub fn hex<const N: usize>() -> String {
    random::<N>().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A version 4 UUID: Lambda's request ids.
pub fn uuid() -> String {
    let value = u128::from_be_bytes(random::<16>());
    let value = (value & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let digits = format!("{value:032x}");
    let (time_low, rest) = digits.split_at(8);
    let (time_mid, rest) = rest.split_at(4);
    let (version, rest) = rest.split_at(4);
    let (variant, node) = rest.split_at(4);
    format!("{time_low}-{time_mid}-{version}-{variant}-{node}")
}

/// An extended request id: API Gateway's request ids, e.g. `JKJaXmPLvHcESHA=`.
pub fn gateway_request_id() -> String {
    BASE64_STANDARD.encode(random::<11>())
}

/// The root of an X-Ray trace: version, epoch seconds, 96 random bits.
pub fn trace_root() -> String {
    format!("1-{:08x}-{}", OffsetDateTime::now_utc().unix_timestamp(), hex::<12>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_names_its_version_and_variant() {
        let id = uuid();
        assert_eq!(id.len(), 36);
        assert_eq!(id.chars().nth(14), Some('4'));
        assert!(id.chars().nth(19).is_some_and(|digit| "89ab".contains(digit)), "{id}");
    }
}
