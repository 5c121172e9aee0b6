//! Authenticator apps: challenges, and the codes of RFC 6238 (SHA-1, six digits, 30 seconds).

use std::time::Duration;

use aws_lc_rs::hmac;
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

use super::clock::{Millis, iso, millis};
use super::refusal::Refusal;
use super::request::ApiKey;
use super::service::{Service, State};

const STEP_SECONDS: i64 = 30;

/// A question that a code answers once.
#[derive(Clone, Debug)]
pub(super) struct Challenge {
    pub(super) factor_id: String,
    expires_at: Millis,
}

/// The code that the app shows at `now`.
pub(super) fn totp(secret: &str, now: Millis) -> String {
    let step = now.div_euclid(1000).div_euclid(STEP_SECONDS);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    let tag = hmac::sign(&key, &step.to_be_bytes());
    // Dynamic truncation, RFC 4226, section 5.3: the last byte's low half says where four bytes are read.
    let offset = usize::from(tag.as_ref().last().copied().unwrap_or_default() & 0x0f);
    let word =
        tag.as_ref().get(offset..offset + 4).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
    format!("{:06}", (u32::from_be_bytes(word) & 0x7fff_ffff) % 1_000_000)
}

impl State {
    fn new_challenge(&mut self, factor_id: &str) -> Value {
        let id = self.new_id("auth_challenge");
        let now = self.now();
        let expires_at = now.saturating_add(millis(self.settings.code_lifetime));
        self.challenges.insert(id.clone(), Challenge { factor_id: factor_id.to_owned(), expires_at });
        json!({
            "object": "authentication_challenge",
            "id": id,
            "authentication_factor_id": factor_id,
            "expires_at": iso(expires_at),
            "created_at": iso(now),
            "updated_at": iso(now),
        })
    }

    /// Spends a challenge of the user's factor with a code of this step or of the one before.
    pub(super) fn redeem_challenge(
        &mut self,
        user_id: &str,
        challenge: &str,
        code: &str,
    ) -> Result<(), Refusal> {
        let refuse = |code, message| Err(Refusal::coded(StatusCode::BAD_REQUEST, code, message));
        let now = self.now();
        let factor = self.users.get(user_id).and_then(|user| user.totp.clone());
        let asked = self.challenges.get(challenge).filter(|challenge| challenge.expires_at > now);
        let (Some(factor), Some(asked)) = (factor, asked) else {
            return refuse(
                "one_time_code_expired",
                "The authentication challenge is unknown or has expired.",
            );
        };
        let before = now.saturating_sub(millis(Duration::from_secs(30)));
        let right = [now, before].iter().any(|at| totp(&factor.secret, *at) == code);
        if asked.factor_id != factor.id || !right {
            return refuse("invalid_one_time_code", "The one-time code is incorrect.");
        }
        self.challenges.remove(challenge);
        Ok(())
    }
}

/// `POST /auth/factors/{id}/challenge`
pub(super) async fn challenge(
    _: ApiKey,
    service: Service,
    Path(factor_id): Path<String>,
) -> Result<Response, Refusal> {
    let mut state = service.state();
    let known =
        state.users.values().any(|user| user.totp.as_ref().is_some_and(|factor| factor.id == factor_id));
    if !known {
        return Err(Refusal::not_found("Authentication Factor", &factor_id));
    }
    let challenge = state.new_challenge(&factor_id);
    Ok((StatusCode::CREATED, Json(challenge)).into_response())
}
