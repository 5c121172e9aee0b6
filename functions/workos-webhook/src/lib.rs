//! Receives WorkOS' webhooks: a session that is revoked, a user or a membership that is deleted ends sessions here, and a
//! user or a role that changes makes them refresh.
//!
//! The route is not behind the authorizer: WorkOS signs each webhook with the secret of the endpoint.

use api::{ApiError, ConfigError, Endpoint, Env, RawBody, Request, Response, Route, Step, Tag};
use events::Webhooks;
use schemars::JsonSchema;
use serde::Serialize;

/// An empty object: WorkOS reads only the status.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {}

/// `POST /webhooks/workos`.
pub struct WorkosWebhook(Webhooks);

impl Endpoint for WorkosWebhook {
    const ROUTE: Route = Route::post("/webhooks/workos")
        .signed("workos-signature")
        .tag(Tag::Webhooks)
        .summary("Receive WorkOS webhooks")
        .details("Called by WorkOS, which signs each webhook with the secret of the endpoint.")
        .reasons(&[events::FAILURES])
        .rounds(6)
        .after(&[Step::Request("finalize-magic-auth"), Step::WorkosEvent("session.revoked")])
        .success(&[("received", "{}")]);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        Webhooks::load(env).map(Self)
    }
}

impl WorkosWebhook {
    /// Verifies and applies one event.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<RawBody>) -> Result<Response<Output>, ApiError> {
        self.0.receive(&req.input).await?;
        Ok(Response::new(Output {}))
    }
}
