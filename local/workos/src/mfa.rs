//! Authenticator apps: factors, challenges, and the codes of RFC 6238 (SHA-1, six digits, 30 seconds).
//!
//! A factor whose first code was never accepted does not count as an enrolment. WorkOS' documents do not say so, but a
//! person who closes the page with the QR code could not sign in otherwise.

use aws_lc_rs::hmac;
use axum::Json;
use axum::extract::Path;
use http::StatusCode;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::clock::Timestamp;
use super::error::{ApiError, Reply};
use super::model::{Challenge, Factor, User};
use super::random;
use super::request::{Fields, Query};
use super::state::{Authorized, State};

/// A picture of one white pixel: the double draws no QR codes. `uri` and `secret` are real.
const QR_CODE: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mP8/x8AAwMCAO+ip1sAAAAASUVORK5CYII=";

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The number of the 30-second interval that codes at `now` belong to.
pub(super) fn interval(now: Timestamp) -> i64 {
    now.seconds().div_euclid(30)
}

/// The code of an interval. `secret` is in Base32.
pub(super) fn totp(secret: &str, interval: i64) -> String {
    let key = decode(secret).unwrap_or_default();
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key);
    let tag = hmac::sign(&key, &interval.to_be_bytes());
    // Dynamic truncation, RFC 4226, section 5.3: the low half of the last byte is the offset of four bytes.
    let offset = usize::from(tag.as_ref().last().copied().unwrap_or_default() & 0x0f);
    let bytes = tag.as_ref().get(offset..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
    format!("{:06}", (u32::from_be_bytes(bytes) & 0x7fff_ffff) % 1_000_000)
}

/// Decodes Base32 (RFC 4648) without padding.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut buffer, mut bits) = (0_u32, 0_u32);
    for letter in text.bytes() {
        let value = BASE32.iter().position(|each| *each == letter)?;
        buffer = (buffer << 5) | u32::try_from(value).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from((buffer >> bits) & 0xff).ok()?);
        }
    }
    Some(bytes)
}

/// A secret of 160 bits, as RFC 4226 recommends.
fn new_secret() -> String {
    let letter = |byte: u8| BASE32.get(usize::from(byte & 31)).copied().map_or('A', char::from);
    random::bytes::<32>().into_iter().map(letter).collect()
}

impl Factor {
    fn json(&self) -> Value {
        self.json_with(json!({"issuer": self.issuer, "user": self.user}))
    }

    fn json_with(&self, totp: Value) -> Value {
        json!({
            "object": "authentication_factor",
            "id": self.id,
            "type": "totp",
            "user_id": self.user_id,
            "totp": totp,
            "created_at": self.created_at,
            "updated_at": self.created_at,
        })
    }

    fn json_with_secrets(&self) -> Value {
        let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let (issuer, user) = (encode(&self.issuer), encode(&self.user));
        self.json_with(json!({
            "issuer": self.issuer,
            "user": self.user,
            "secret": self.secret,
            "qr_code": QR_CODE,
            "uri": format!("otpauth://totp/{issuer}:{user}?secret={}&issuer={issuer}", self.secret),
        }))
    }
}

impl State {
    /// Adds an authenticator app.
    pub(super) fn enroll(
        &mut self,
        user: &User,
        issuer: Option<&str>,
        secret: Option<&str>,
        verified: bool,
    ) -> Factor {
        let factor = Factor {
            id: self.new_id("auth_factor"),
            user_id: user.id.clone(),
            issuer: issuer.unwrap_or("Local WorkOS").to_owned(),
            user: user.email.clone(),
            secret: secret.map_or_else(new_secret, str::to_owned),
            verified,
            created_at: self.now(),
        };
        self.factors.insert(factor.id.clone(), factor.clone());
        factor
    }

    /// The user's authenticator apps, oldest first.
    pub(super) fn factors_of(&self, user_id: &str) -> impl Iterator<Item = &Factor> {
        self.factors.values().filter(move |factor| factor.user_id == user_id)
    }

    /// Creates a challenge; returns its JSON.
    fn new_challenge(&mut self, factor_id: &str) -> Value {
        let (id, now, expires_at) = (self.new_id("auth_challenge"), self.now(), self.code_expiry());
        self.challenges.insert(id.clone(), Challenge { factor_id: factor_id.to_owned(), expires_at });
        json!({
            "object": "authentication_challenge",
            "id": id,
            "authentication_factor_id": factor_id,
            "expires_at": expires_at,
            "created_at": now,
            "updated_at": now,
        })
    }

    /// Consumes a challenge of one of the user's factors with a code of this interval or the previous one.
    pub(super) fn redeem_challenge(&mut self, user_id: &str, id: &str, code: &str) -> Result<(), ApiError> {
        let now = self.now();
        let challenge = self.challenges.get(id).filter(|challenge| challenge.expires_at > now);
        let factor = challenge.and_then(|challenge| self.factors.get_mut(&challenge.factor_id));
        let Some(factor) = factor else {
            let message = "The authentication challenge is unknown or has expired.";
            return Err(ApiError::bad_request("one_time_code_expired", message));
        };
        let current = interval(now);
        let valid = [current, current - 1].iter().any(|interval| totp(&factor.secret, *interval) == code);
        if factor.user_id != user_id || !valid {
            return Err(ApiError::bad_request("invalid_one_time_code", "The one-time code is incorrect."));
        }
        factor.verified = true;
        self.challenges.remove(id);
        Ok(())
    }
}

/// `GET /user_management/users/{id}/auth_factors`: all of them, whether a code was ever accepted or not.
pub(super) async fn factors(
    Authorized(service): Authorized,
    Path(user_id): Path<String>,
    query: Query,
) -> Reply {
    let state = service.state();
    query.page(state.factors_of(&user_id).map(Factor::json))
}

/// `POST /user_management/users/{id}/auth_factors`: adds a factor, with its first challenge.
pub(super) async fn create_factor(
    Authorized(service): Authorized,
    Path(user_id): Path<String>,
    fields: Fields,
) -> Reply<(StatusCode, Json<Value>)> {
    if fields.required("type")? != "totp" {
        return Err(ApiError::invalid_field("type", "invalid"));
    }
    let (issuer, secret) = (fields.text("totp_issuer")?, fields.text("totp_secret")?);
    if secret.is_some_and(|secret| decode(secret).is_none()) {
        return Err(ApiError::invalid_field("totp_secret", "invalid"));
    }
    let mut state = service.state();
    let user = state.users.get(&user_id).cloned();
    let user = user.ok_or_else(|| ApiError::invalid_field("user_id", "unknown"))?;
    let factor = state.enroll(&user, issuer, secret, false);
    let challenge = state.new_challenge(&factor.id);
    let body =
        json!({"authentication_factor": factor.json_with_secrets(), "authentication_challenge": challenge});
    Ok((StatusCode::CREATED, Json(body)))
}

/// `GET /auth/factors/{id}`
pub(super) async fn factor(Authorized(service): Authorized, Path(id): Path<String>) -> Reply {
    let state = service.state();
    let factor = state.factors.get(&id).map(|factor| Json(factor.json()));
    factor.ok_or_else(|| ApiError::not_found("Authentication Factor", &id))
}

/// `DELETE /auth/factors/{id}`
pub(super) async fn delete_factor(
    Authorized(service): Authorized,
    Path(id): Path<String>,
) -> Reply<StatusCode> {
    let removed = service.state().factors.remove(&id);
    removed.map(|_| StatusCode::NO_CONTENT).ok_or_else(|| ApiError::not_found("Authentication Factor", &id))
}

/// `POST /auth/factors/{id}/challenge`
pub(super) async fn challenge(
    Authorized(service): Authorized,
    Path(factor_id): Path<String>,
) -> Reply<(StatusCode, Json<Value>)> {
    let mut state = service.state();
    if !state.factors.contains_key(&factor_id) {
        return Err(ApiError::not_found("Authentication Factor", &factor_id));
    }
    Ok((StatusCode::CREATED, Json(state.new_challenge(&factor_id))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_rfc() {
        // RFC 6238, appendix B: the secret is `12345678901234567890` in ASCII. Eight digits there, the last six here.
        let secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        for (seconds, code) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
            assert_eq!(totp(secret, seconds / 30), code);
        }
    }
}
