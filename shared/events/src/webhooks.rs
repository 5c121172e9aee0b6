//! WorkOS' webhooks.

use api::{ApiError, ConfigError, Env, RawBody, Reason, clock};
use workos::{Event, WebhookSecrets};

use crate::effects::Effects;
use crate::{count, report_undecodable};

const SOURCE: &str = "webhook";

/// Size limit of a webhook, in bytes. A user's event repeats the user, metadata included.
const MAX_BYTES: usize = 256 * 1024;

/// Receives webhooks.
#[derive(Debug)]
pub struct Webhooks {
    secrets: WebhookSecrets,
    effects: Effects,
}

impl Webhooks {
    /// Reads the configuration.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { secrets: WebhookSecrets::load(env)?, effects: Effects::load(env)? })
    }

    /// Verifies and applies a webhook. WorkOS repeats it until the response is a 200, so an event that cannot be applied
    /// completely is an error, and one that will never have an effect is none.
    ///
    /// # Errors
    /// `not_signed_in` if it is not signed with one of our secrets, within three minutes; `invalid_json`,
    /// `body_too_large`; `livekit_busy`, `livekit_unavailable`, `store_unavailable`.
    pub async fn receive(&self, webhook: &RawBody) -> Result<(), ApiError> {
        let event = self.verify(webhook)?;
        match &event.change {
            Ok(Some(change)) => {
                // Ended sessions are over even if the rooms fail.
                self.effects.on_sessions(change).await.inspect_err(failed)?;
                self.effects.on_rooms(change).await.inspect_err(failed)?;
                count(SOURCE, "applied");
                tracing::info!(event_id = event.id, event = event.name, "an event of WorkOS was applied");
            }
            Ok(None) => {}
            Err(field) => report_undecodable(SOURCE, &event, field),
        }
        Ok(())
    }

    fn verify(&self, webhook: &RawBody) -> Result<Event, ApiError> {
        if webhook.bytes.len() > MAX_BYTES {
            return Err(Reason::BodyTooLarge.into());
        }
        let signature = webhook.signature.as_deref().ok_or(Reason::NotSignedIn)?;
        self.secrets
            .verify(signature, &webhook.bytes, clock::now_millis())
            .map_err(|cause| ApiError::new(Reason::NotSignedIn).because(cause))?;
        let event = Event::from_json(&webhook.bytes);
        event.ok_or_else(|| ApiError::new(Reason::InvalidJson).because("the body is not an event"))
    }
}

fn failed(_: &ApiError) {
    count(SOURCE, "failed");
}
