//! Who may call: LiveKit's access tokens and the grants that each call demands.
//!
//! A token is a JWT signed with HS256 under the API secret and issued by the API key. LiveKit answers a token that
//! does not verify with 401 and plain text, and a grant that is missing with the Twirp error `unauthenticated` (not
//! `permission_denied`). Source: `pkg/service/auth.go` of livekit/livekit.

use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use livekit_api::access_token::Claims;
use serde::Deserialize;

use super::twirp::{Code, TwirpError};

/// An API key and its secret.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) key: String,
    pub(super) secret: String,
}

/// The token of a call that was let in, with the call's name.
#[derive(Clone)]
pub struct SeenToken {
    /// The Twirp method, e.g. `StopEgress`.
    pub call: String,
    /// What the token says: grants in `video`, life from `nbf` to `exp` in epoch seconds.
    pub claims: Claims,
    /// The token itself, so that a test can search the logs for it.
    pub token: String,
}

impl std::fmt::Debug for SeenToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SeenToken")
            .field("call", &self.call)
            .field("claims", &self.claims)
            .finish_non_exhaustive()
    }
}

/// Why a token is refused, in LiveKit's words: the answer is plain text and repeats a token that does not verify.
#[derive(Debug)]
pub(super) struct Refused(String);

impl Refused {
    pub(super) fn into_message(self) -> String {
        self.0
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (StatusCode::UNAUTHORIZED, self.0).into_response()
    }
}

#[derive(Deserialize)]
struct Issuer {
    #[serde(default)]
    iss: String,
}

impl Keys {
    /// Verifies a token: its key first, then its signature and its times, each with a minute of leeway.
    pub(super) fn verify(&self, token: &str) -> Result<Claims, Refused> {
        let issuer = token
            .split('.')
            .nth(1)
            .and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok())
            .and_then(|payload| serde_json::from_slice::<Issuer>(&payload).ok())
            .ok_or_else(|| Refused("invalid authorization token".to_owned()))?;
        if issuer.iss != self.key {
            return Err(Refused(format!("invalid API key: {}", issuer.iss)));
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.key]);
        jsonwebtoken::decode(token, &DecodingKey::from_secret(self.secret.as_bytes()), &validation)
            .map(|verified| verified.claims)
            .map_err(|error| Refused(format!("invalid token: {token}, error: {error}")))
    }

    /// Signs claims, as LiveKit does for the webhooks that it sends.
    pub(super) fn sign(&self, claims: &Claims) -> Result<String, jsonwebtoken::errors::Error> {
        jsonwebtoken::encode(
            &Header::new(Algorithm::HS256),
            claims,
            &EncodingKey::from_secret(self.secret.as_bytes()),
        )
    }
}

/// What the caller of a Twirp method may do. Without a token, nothing.
pub(super) struct Access {
    claims: Option<Claims>,
}

impl Access {
    /// The access that the `Authorization` header gives, and the token that it carries.
    pub(super) fn of(headers: &HeaderMap, keys: &Keys) -> Result<(Self, Option<(Claims, String)>), Refused> {
        let Some(header) = headers.get(AUTHORIZATION) else {
            return Ok((Self { claims: None }, None));
        };
        let token = header
            .to_str()
            .ok()
            .and_then(|header| header.strip_prefix("Bearer "))
            .ok_or_else(|| Refused("invalid authorization header. Must start with Bearer ".to_owned()))?;
        let claims = keys.verify(token)?;
        Ok((Self { claims: Some(claims.clone()) }, Some((claims, token.to_owned()))))
    }

    /// `roomCreate`: create and delete rooms.
    pub(super) fn create(&self) -> Result<(), TwirpError> {
        self.demand(|claims| claims.video.room_create)
    }

    /// `roomList`.
    pub(super) fn list(&self) -> Result<(), TwirpError> {
        self.demand(|claims| claims.video.room_list)
    }

    /// `roomRecord`: everything about egresses, in every room.
    pub(super) fn record(&self) -> Result<(), TwirpError> {
        self.demand(|claims| claims.video.room_record)
    }

    /// `roomAdmin` of exactly this room.
    pub(super) fn admin(&self, room: &str) -> Result<(), TwirpError> {
        self.demand(|claims| claims.video.room_admin && claims.video.room == room)
    }

    fn demand(&self, allowed: impl FnOnce(&Claims) -> bool) -> Result<(), TwirpError> {
        if self.claims.as_ref().is_some_and(allowed) {
            Ok(())
        } else {
            Err(TwirpError::new(Code::Unauthenticated, "permissions denied"))
        }
    }
}
