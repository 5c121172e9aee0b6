//! Signs and sends webhooks as LiveKit does.
//!
//! The body is the event as protobuf JSON with content type `application/webhook+json`. `Authorization` is a bare
//! token, without `Bearer`, valid for five minutes, with the base64 of the body's SHA-256 in the claim `sha256`. No
//! response, 429 and 5xx except 501 are retried four times. Source: `webhook/resource_url_notifier.go` of
//! livekit/protocol, which sends with hashicorp/go-retryablehttp.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use livekit_api::access_token::{AccessToken, AccessTokenError};
use livekit_protocol::WebhookEvent;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use crate::access::Keys;

const TOKEN_TTL: Duration = Duration::from_secs(300);
const ATTEMPTS: usize = 5;
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// The content type of a webhook.
pub const WEBHOOK_CONTENT_TYPE: &str = "application/webhook+json";

/// A sent event and the outcome of each attempt.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The event.
    pub event: WebhookEvent,
    /// The URL that it was sent to.
    pub url: String,
    /// The HTTP status of each attempt; `None` if there was no response.
    pub statuses: Vec<Option<u16>>,
}

/// Signs an event with any key: the body to send, and the value of `Authorization`.
///
/// # Errors
///
/// If the key or the secret is empty.
pub fn sign_webhook(
    api_key: &str,
    api_secret: &str,
    event: &WebhookEvent,
) -> Result<(String, String), AccessTokenError> {
    let body = serde_json::to_string(event).map_err(jsonwebtoken::errors::Error::from)?;
    let authorization = sign_body(api_key, api_secret, &body)?;
    Ok((body, authorization))
}

/// The `Authorization` of any body.
///
/// # Errors
///
/// If the key or the secret is empty.
pub fn sign_body(api_key: &str, api_secret: &str, body: &str) -> Result<String, AccessTokenError> {
    let token = AccessToken::with_api_key(api_key, api_secret);
    token.with_ttl(TOKEN_TTL).with_sha256(&STANDARD.encode(Sha256::digest(body))).to_jwt()
}

/// Sends the events.
pub(crate) struct Webhooks {
    client: reqwest::Client,
    backoff: Duration,
    pub(crate) url: Mutex<Option<String>>,
    pub(crate) deliveries: Mutex<Vec<Delivery>>,
    /// The number of events that have been delivered or given up.
    pub(crate) handled: watch::Sender<usize>,
}

impl Webhooks {
    pub(crate) fn new(url: Option<String>, backoff: Duration) -> Self {
        let (deliveries, handled) = Default::default();
        Self { client: local_http::client(), backoff, url: Mutex::new(url), deliveries, handled }
    }

    pub(crate) async fn deliver(&self, keys: &Keys, event: WebhookEvent) {
        let url = self.url.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(url) = url
            && let Ok((body, authorization)) = sign_webhook(&keys.key, &keys.secret, &event)
        {
            let statuses = self.send(&url, &body, &authorization).await;
            let delivery = Delivery { event, url, statuses };
            self.deliveries.lock().unwrap_or_else(PoisonError::into_inner).push(delivery);
        }
        self.handled.send_modify(|handled| *handled += 1);
    }

    async fn send(&self, url: &str, body: &str, authorization: &str) -> Vec<Option<u16>> {
        let (mut statuses, mut backoff) = (Vec::new(), self.backoff);
        loop {
            let status = self.attempt(url, body.to_owned(), authorization).await;
            statuses.push(status);
            let is_final = status.is_some_and(|status| status != 429 && (status < 500 || status == 501));
            if is_final || statuses.len() == ATTEMPTS {
                return statuses;
            }
            tokio::time::sleep(backoff.min(MAX_BACKOFF)).await;
            backoff = backoff.saturating_mul(2);
        }
    }

    async fn attempt(&self, url: &str, body: String, authorization: &str) -> Option<u16> {
        let request = self.client.post(url).timeout(ATTEMPT_TIMEOUT).body(body);
        let request = request.header(AUTHORIZATION, authorization).header(CONTENT_TYPE, WEBHOOK_CONTENT_TYPE);
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        response.bytes().await.ok().map(|_| status)
    }
}
