//! Random bytes from the operating system's generator.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::{ApiError, Reason};

/// `N` random bytes.
///
/// # Errors
/// `internal` if the operating system returns none.
#[track_caller]
pub fn bytes<const N: usize>() -> Result<[u8; N], ApiError> {
    let mut bytes = [0; N];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(_) => Err(ApiError::new(Reason::Internal).because("the system's random generator failed")),
    }
}

/// A unique id: 96 random bits as 16 characters of base64url.
///
/// # Errors
/// See [`bytes`].
#[track_caller]
pub fn id() -> Result<String, ApiError> {
    bytes::<12>().map(|bytes| URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    #[test]
    fn values_are_never_repeated() {
        assert_ne!(super::bytes::<32>().unwrap(), super::bytes::<32>().unwrap());
        assert_ne!(super::id().unwrap(), super::id().unwrap());
    }

    #[test]
    fn an_id_has_sixteen_characters() {
        assert_eq!(super::id().unwrap().len(), 16);
    }
}
