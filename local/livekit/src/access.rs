//! LiveKit access tokens.
//!
//! A token is a JWT signed with HS256 under the API secret and issued by the API key. LiveKit rejects an invalid token
//! with 401 and plain text, and a missing grant with the Twirp error `unauthenticated` (not `permission_denied`).
//! Source: `pkg/service/auth.go` of livekit/livekit.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use livekit_api::access_token::Claims;

/// An API key and its secret.
pub(crate) struct Keys {
    pub(crate) key: String,
    pub(crate) secret: String,
}

/// The verified token of a call.
#[derive(Clone)]
pub struct SeenToken {
    /// The Twirp method, e.g. `StopEgress`.
    pub call: String,
    /// Its claims: grants in `video`, `nbf` and `exp` in epoch seconds.
    pub claims: Claims,
    /// The token itself, so that a test can search the logs for it.
    pub token: String,
}

impl std::fmt::Debug for SeenToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SeenToken {{ call: {:?}, claims: {:?}, .. }}", self.call, self.claims)
    }
}

impl Keys {
    /// Verifies a token: its key first, then its signature and its times, each with a minute of leeway. The error is
    /// LiveKit's text, which repeats a token that fails to verify.
    pub(crate) fn verify(&self, token: &str) -> Result<Claims, String> {
        let payload = token.split('.').nth(1).and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok());
        let unverified = payload.and_then(|payload| serde_json::from_slice::<Claims>(&payload).ok());
        let unverified = unverified.ok_or("invalid authorization token")?;
        if unverified.iss != self.key {
            return Err(format!("invalid API key: {}", unverified.iss));
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_nbf = true;
        jsonwebtoken::decode(token, &DecodingKey::from_secret(self.secret.as_bytes()), &validation)
            .map(|verified| verified.claims)
            .map_err(|error| format!("invalid token: {token}, error: {error}"))
    }

    /// The verified token of the `Authorization` header, if there is one. The error is LiveKit's text.
    pub(crate) fn authenticate(&self, headers: &HeaderMap) -> Result<Option<(Claims, String)>, String> {
        let Some(header) = headers.get(AUTHORIZATION) else { return Ok(None) };
        let token = header.to_str().ok().and_then(|header| header.strip_prefix("Bearer "));
        let token = token.ok_or("invalid authorization header. Must start with Bearer ")?;
        Ok(Some((self.verify(token)?, token.to_owned())))
    }
}
