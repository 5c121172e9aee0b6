//! Session tokens, and the seal that only a token opens.

use std::fmt;

use api::{ApiError, Reason, Secret, random};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use ring::hkdf::{HKDF_SHA256, Salt};
use store::SessionKey;

const TOKEN_BYTES: usize = 32;

/// Separates the sealing key from any other use of the token.
const SEAL_INFO: &[u8] = b"authentication-api refresh token v1";

/// A session token: 256 bits from the system's generator.
#[derive(Clone)]
pub struct SessionToken([u8; TOKEN_BYTES]);

impl SessionToken {
    /// A new token.
    pub fn generate() -> Result<Self, ApiError> {
        random::bytes().map(Self)
    }

    /// Reads a token; `None` where the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// The token as the client holds it.
    pub fn reveal(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// The key of the session's item.
    pub fn key(&self) -> SessionKey {
        SessionKey(URL_SAFE_NO_PAD.encode(digest(&SHA256, &self.0)))
    }

    /// Seals a refresh token: ChaCha20-Poly1305 (RFC 8439) under HKDF-SHA256 (RFC 5869) of the token, bound to the
    /// session's key. The nonce comes first.
    pub fn seal(&self, refresh_token: &Secret) -> Result<Vec<u8>, ApiError> {
        let nonce: [u8; NONCE_LEN] = random::bytes()?;
        let mut sealed = refresh_token.expose().as_bytes().to_vec();
        let aad = Aad::from(self.key().0);
        self.aead()?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed)
            .map_err(|_| internal("a refresh token could not be sealed"))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what [`SessionToken::seal`] sealed.
    pub fn unseal(&self, sealed: &[u8]) -> Result<Secret, ApiError> {
        let broken = || internal("a sealed refresh token does not open");
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or_else(broken)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| broken())?;
        let mut opened = sealed.to_vec();
        let aad = Aad::from(self.key().0);
        let opened = self.aead()?.open_in_place(nonce, aad, &mut opened).map_err(|_| broken())?;
        String::from_utf8(opened.to_vec()).map(Secret::new).map_err(|_| broken())
    }

    fn aead(&self) -> Result<LessSafeKey, ApiError> {
        let prk = Salt::new(HKDF_SHA256, &[]).extract(&self.0);
        let okm = prk.expand(&[SEAL_INFO], &CHACHA20_POLY1305).map_err(|_| internal("no sealing key"))?;
        Ok(LessSafeKey::new(UnboundKey::from(okm)))
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken([redacted])")
    }
}

#[track_caller]
fn internal(cause: &'static str) -> ApiError {
    ApiError::new(Reason::Internal).because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_way_through_the_client() {
        let token = SessionToken::generate().unwrap();
        let again = SessionToken::parse(&token.reveal()).unwrap();
        assert_eq!(token.key(), again.key());
        assert_eq!(token.reveal().len(), 43);
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let token = SessionToken::generate().unwrap().reveal();
        for text in ["", "a", &token[1..], &format!("{token}A"), &format!("{token}="), &"é".repeat(43)] {
            assert!(SessionToken::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn only_the_same_token_opens_the_seal() {
        let (token, other) = (SessionToken::generate().unwrap(), SessionToken::generate().unwrap());
        let sealed = token.seal(&Secret::new("refresh")).unwrap();
        assert_eq!(token.unseal(&sealed).unwrap().expose(), "refresh");
        assert!(other.unseal(&sealed).is_err());
        assert!(token.unseal(&sealed[1..]).is_err());
        assert!(token.unseal(&[]).is_err());
        let text = b"refresh";
        assert!(!sealed.windows(text.len()).any(|window| window == text));
    }

    #[test]
    fn the_same_refresh_token_is_never_sealed_the_same_way_twice() {
        let token = SessionToken::generate().unwrap();
        let secret = Secret::new("refresh");
        assert_ne!(token.seal(&secret).unwrap(), token.seal(&secret).unwrap());
    }
}
