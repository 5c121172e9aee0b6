//! `POST /webhooks/livekit`: LiveKit tells how recordings and rooms go on. It is not behind the authorizer: LiveKit
//! signs each webhook, its body included, with the API secret.
//! Reasons: `not_signed_in`, `livekit_unavailable`, `livekit_busy`, `store_unavailable`.

use api::{ApiError, ConfigError, Env, RawBody, Reason, Request, Response, Route};
use recording::Events;
use schemars::JsonSchema;
use serde::Serialize;

/// The route.
pub static ROUTE: Route = Route::public("livekit-webhook", "/webhooks/livekit").reasons(&[
    Reason::NotSignedIn,
    Reason::LivekitUnavailable,
    Reason::LivekitBusy,
    Reason::StoreUnavailable,
]);

/// An empty object: LiveKit reads only the status.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {}

/// What the endpoint uses.
pub struct Context {
    events: Events,
}

impl Context {
    /// Reads the configuration.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { events: Events::load(env)? })
    }
}

/// Takes the event in.
pub async fn handle(ctx: &Context, req: Request<RawBody>) -> Result<Response<Output>, ApiError> {
    ctx.events.receive(&req.body).await?;
    Ok(Response::new(Output {}))
}
