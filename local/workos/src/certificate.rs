//! The self-signed X.509 certificate that a JWKS carries in `x5c` (RFC 5280, version 1: no extensions).

/// `sha256WithRSAEncryption` (1.2.840.113549.1.1.11) with its NULL parameter.
const SHA256_WITH_RSA: &[u8] =
    &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00];
/// `commonName` (2.5.4.3).
const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const UTF8_STRING: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// A certificate in DER for the public key `spki` (SubjectPublicKeyInfo in DER); `sign` signs with RS256.
pub(super) fn self_signed(spki: &[u8], sign: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let common_name = [COMMON_NAME, &element(UTF8_STRING, b"local workos")].concat();
    let name = element(SEQUENCE, &element(SET, &element(SEQUENCE, &common_name)));
    let validity =
        [element(UTC_TIME, b"250101000000Z"), element(GENERALIZED_TIME, b"20991231235959Z")].concat();
    let to_be_signed = element(
        SEQUENCE,
        &[&element(INTEGER, &[1]), SHA256_WITH_RSA, &name, &element(SEQUENCE, &validity), &name, spki]
            .concat(),
    );
    // A BIT STRING begins with the number of unused bits.
    let signature = [vec![0], sign(&to_be_signed)].concat();
    element(SEQUENCE, &[&to_be_signed, SHA256_WITH_RSA, &element(BIT_STRING, &signature)].concat())
}

/// Tag, length, content. A content here is shorter than 65,536 bytes by far.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    let length = match (high, low) {
        (0, 0..=0x7f) => vec![low],
        (0, _) => vec![0x81, low],
        _ => vec![0x82, high, low],
    };
    [vec![tag], length, content.to_vec()].concat()
}
