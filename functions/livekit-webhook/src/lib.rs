//! Receives LiveKit webhooks, which report the progress of recordings and rooms.
//!
//! The route is not behind the authorizer: LiveKit signs each webhook, body included, with the API secret.

use api::{ApiError, ConfigError, Endpoint, Env, RawBody, Request, Response, Route, Step, Tag};
use recording::Events;
use schemars::JsonSchema;
use serde::Serialize;

/// An empty object: LiveKit reads only the status.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {}

/// `POST /webhooks/livekit`.
pub struct LivekitWebhook(Events);

impl Endpoint for LivekitWebhook {
    const ROUTE: Route = Route::post("/webhooks/livekit")
        .signed("authorization")
        .tag(Tag::Webhooks)
        .summary("Receive LiveKit webhooks")
        .details("Called by LiveKit, which signs each webhook with the API secret.")
        .reasons(&[recording::FAILURES])
        .rounds(1)
        .after(&[Step::Request("start-recording"), Step::LivekitEvent("egress_updated")])
        .success(&[("received", "{}")]);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        Events::load(env).map(Self)
    }
}

impl LivekitWebhook {
    /// Verifies and applies one event.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<RawBody>) -> Result<Response<Output>, ApiError> {
        self.0.receive(&req.input).await?;
        Ok(Response::new(Output {}))
    }
}
