//! LiveKit's webhooks. Source: <https://docs.livekit.io/home/server/webhooks/>.

use api::{ApiError, RawBody, Reason};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use livekit_protocol::WebhookEvent;
use ring::digest::{SHA256, digest};

use crate::Server;

/// Size limit of a webhook. Egress events repeat the request, object metadata included.
const MAX_BYTES: usize = 256 * 1024;

impl Server {
    /// Verifies and decodes a webhook. LiveKit signs the hash of the body with the API secret.
    ///
    /// # Errors
    /// `not_signed_in` if it is not signed with our key, or the body is not the signed one; `invalid_json`,
    /// `body_too_large`.
    pub fn verify(&self, webhook: &RawBody) -> Result<WebhookEvent, ApiError> {
        if webhook.bytes.len() > MAX_BYTES {
            return Err(Reason::BodyTooLarge.into());
        }
        let token = webhook.signature.as_deref().ok_or(Reason::NotSignedIn)?;
        let token = token.strip_prefix("Bearer ").unwrap_or(token);
        let unsigned = |cause: &'static str| ApiError::new(Reason::NotSignedIn).because(cause);
        let claims = self.keys().verify(token).map_err(unsigned)?;
        if claims.sha256 != STANDARD.encode(digest(&SHA256, &webhook.bytes)) {
            return Err(unsigned("the body is not the signed one"));
        }
        serde_json::from_slice(&webhook.bytes)
            .map_err(|error| ApiError::new(Reason::InvalidJson).because(error))
    }
}
