//! Session tokens, and the refresh tokens that are sealed under them.

use std::fmt;

use api::{ApiError, Cookies, Reason, SESSION_COOKIE, Secret, random};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use ring::hkdf::{HKDF_SHA256, Salt};
use store::SessionKey;

const TOKEN_BYTES: usize = 32;

/// The most tokens of one request that are ended. Browsers hold one.
const MAX_HELD: usize = 8;

/// Separates the sealing key from other uses of the token.
const SEAL_INFO: &[u8] = b"authentication-api refresh token v1";

/// A session token: 256 random bits.
#[derive(Clone)]
pub struct SessionToken([u8; TOKEN_BYTES]);

impl SessionToken {
    /// A new token.
    ///
    /// # Errors
    /// `internal` if the system returns no random bytes.
    pub fn generate() -> Result<Self, ApiError> {
        random::bytes().map(Self)
    }

    /// The client's token: that of `Authorization: Bearer` if it is present, else that of the cookie. The authorizer and
    /// the functions share this rule, so they always mean the same session. With two cookies of the name there is none.
    pub fn from_request(cookies: &Cookies, bearer: Option<&Secret>) -> Option<Self> {
        match bearer {
            Some(token) => Self::parse(token.expose()),
            None => Self::parse(cookies.get(SESSION_COOKIE)?),
        }
    }

    /// Every token that the client holds: those of the cookies, in both forms, then that of `Authorization: Bearer`. When
    /// a session ends, these end.
    pub fn held(cookies: &Cookies, bearer: Option<&Secret>) -> Vec<Self> {
        let texts = cookies.all(SESSION_COOKIE).chain(bearer.map(Secret::expose));
        texts.filter_map(Self::parse).take(MAX_HELD).collect()
    }

    /// Parses a token; `None` if it is invalid.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// The token as text, for the client.
    pub fn reveal(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// The key of the session's item.
    pub fn key(&self) -> SessionKey {
        SessionKey(URL_SAFE_NO_PAD.encode(digest(&SHA256, &self.0)))
    }

    /// Seals a refresh token: ChaCha20-Poly1305 (RFC 8439) with a key derived from the session token by HKDF-SHA256 (RFC
    /// 5869), bound to the session's key. The result begins with the nonce.
    ///
    /// # Errors
    /// `internal` if the system returns no random bytes.
    pub fn seal(&self, refresh_token: &Secret) -> Result<Vec<u8>, ApiError> {
        let nonce: [u8; NONCE_LEN] = random::bytes()?;
        let mut sealed = refresh_token.expose().as_bytes().to_vec();
        let aad = Aad::from(self.key().0);
        self.aead()?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed)
            .map_err(|_| internal("a refresh token could not be sealed"))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens a refresh token that [`SessionToken::seal`] sealed.
    ///
    /// # Errors
    /// `internal` if it was sealed under another token or is damaged.
    pub fn unseal(&self, sealed: &[u8]) -> Result<Secret, ApiError> {
        let broken = || internal("a sealed refresh token could not be opened");
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
    fn a_token_survives_the_round_trip_through_the_client() {
        let token = SessionToken::generate().unwrap();
        let again = SessionToken::parse(&token.reveal()).unwrap();
        assert_eq!(token.key(), again.key());
        assert_eq!(token.reveal().len(), 43);
    }

    #[test]
    fn an_invalid_token_is_refused() {
        let token = SessionToken::generate().unwrap().reveal();
        for text in ["", "a", &token[1..], &format!("{token}A"), &format!("{token}="), &"é".repeat(43)] {
            assert!(SessionToken::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn only_the_same_token_opens_a_sealed_refresh_token() {
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
    fn sealing_twice_gives_different_results() {
        let token = SessionToken::generate().unwrap();
        let secret = Secret::new("refresh");
        assert_ne!(token.seal(&secret).unwrap(), token.seal(&secret).unwrap());
    }
}
