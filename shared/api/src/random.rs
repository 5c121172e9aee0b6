//! Random bytes, from the system's generator.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::{ApiError, Reason};

/// `N` random bytes.
///
/// # Errors
/// `internal` where the system gives none.
#[track_caller]
pub fn bytes<const N: usize>() -> Result<[u8; N], ApiError> {
    let mut bytes = [0; N];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(_) => Err(ApiError::new(Reason::Internal).because("the system's random generator failed")),
    }
}

/// A name that no other request has: 96 random bits as base64url.
///
/// # Errors
/// As [`bytes`].
#[track_caller]
pub fn name() -> Result<String, ApiError> {
    bytes::<12>().map(|bytes| URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_two_are_alike() {
        assert_ne!(super::bytes::<32>().unwrap(), super::bytes::<32>().unwrap());
        assert_ne!(super::name().unwrap(), super::name().unwrap());
        assert_eq!(super::name().unwrap().len(), 16);
    }
}
