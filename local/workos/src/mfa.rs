//! Authenticator apps: challenges, and the codes of RFC 6238 (SHA-1, six digits, 30 seconds).

use aws_lc_rs::hmac;
use axum::Json;
use axum::extract::Path;
use http::StatusCode;
use serde_json::{Value, json};

use super::clock::Timestamp;
use super::error::{ApiError, Reply};
use super::model::Challenge;
use super::state::{Authorized, State};

/// The number of the 30-second interval that codes at `now` belong to.
pub(super) fn interval(now: Timestamp) -> i64 {
    now.seconds().div_euclid(30)
}

/// The code of an interval.
pub(super) fn totp(secret: &str, interval: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    let tag = hmac::sign(&key, &interval.to_be_bytes());
    // Dynamic truncation, RFC 4226, section 5.3: the low half of the last byte is the offset of four bytes.
    let offset = usize::from(tag.as_ref().last().copied().unwrap_or_default() & 0x0f);
    let bytes = tag.as_ref().get(offset..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
    format!("{:06}", (u32::from_be_bytes(bytes) & 0x7fff_ffff) % 1_000_000)
}

impl State {
    /// Consumes a challenge of the user's factor with a code of this interval or the previous one.
    pub(super) fn redeem_challenge(&mut self, user_id: &str, id: &str, code: &str) -> Result<(), ApiError> {
        let now = self.now();
        let factor = self.users.get(user_id).and_then(|user| user.factor.as_ref());
        let challenge = self.challenges.get(id).filter(|challenge| challenge.expires_at > now);
        let (Some(factor), Some(challenge)) = (factor, challenge) else {
            let message = "The authentication challenge is unknown or has expired.";
            return Err(ApiError::bad_request("one_time_code_expired", message));
        };
        let current = interval(now);
        let valid = [current, current - 1].iter().any(|interval| totp(&factor.secret, *interval) == code);
        if challenge.factor_id != factor.id || !valid {
            return Err(ApiError::bad_request("invalid_one_time_code", "The one-time code is incorrect."));
        }
        self.challenges.remove(id);
        Ok(())
    }
}

/// `POST /auth/factors/{id}/challenge`
pub(super) async fn challenge(
    Authorized(service): Authorized,
    Path(factor_id): Path<String>,
) -> Reply<(StatusCode, Json<Value>)> {
    let mut state = service.state();
    if !state.users.values().filter_map(|user| user.factor.as_ref()).any(|factor| factor.id == factor_id) {
        return Err(ApiError::not_found("Authentication Factor", &factor_id));
    }
    let (id, now, expires_at) = (state.new_id("auth_challenge"), state.now(), state.code_expiry());
    let body = json!({
        "object": "authentication_challenge",
        "id": id,
        "authentication_factor_id": factor_id,
        "expires_at": expires_at,
        "created_at": now,
        "updated_at": now,
    });
    state.challenges.insert(id, Challenge { factor_id, expires_at });
    Ok((StatusCode::CREATED, Json(body)))
}
