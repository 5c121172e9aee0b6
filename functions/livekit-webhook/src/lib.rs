//! Receives LiveKit webhooks, which report the progress of recordings, and who joins and leaves a room.
//!
//! A person who joins under a session that has ended is removed. The route is not behind the authorizer: LiveKit signs each webhook, body included, with the API secret.

use api::{ApiError, ConfigError, Endpoint, Env, RawBody, Request, Response, Route, Step, Tag};
use presence::Presence;
use recording::Events;
use room_service::Server;
use schemars::JsonSchema;
use serde::Serialize;
use session::UserSessions;

/// An empty object: LiveKit reads only the status.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {}

/// `POST /webhooks/livekit`.
pub struct LivekitWebhook {
    livekit: Server,
    recordings: Events,
    presence: Presence,
}

impl Endpoint for LivekitWebhook {
    const ROUTE: Route = Route::post("/webhooks/livekit")
        .signed("authorization")
        .tag(Tag::Webhooks)
        .summary("Receive LiveKit webhooks")
        .details(
            "Called by LiveKit, which signs each webhook with the API secret. A participant who joins under a session that \
             has ended, or in an organization that it no longer acts in, is removed.",
        )
        .reasons(&[recording::FAILURES])
        .rounds(1)
        .after(&[Step::Request("start-recording"), Step::LivekitEvent("egress_updated")])
        .success(&[("received", "{}")]);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        let (livekit, sessions) = (Server::load(env)?, UserSessions::load(env)?);
        let recordings = Events::over(sessions.table().clone(), livekit.clone(), env)?;
        let presence = Presence::over(sessions, livekit.clone());
        Ok(Self { livekit, recordings, presence })
    }
}

impl LivekitWebhook {
    /// Verifies and applies one event. LiveKit repeats it after a 5xx, but not after a 4xx.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<RawBody>) -> Result<Response<Output>, ApiError> {
        let event = self.livekit.verify(&req.input)?;
        self.recordings.receive(&event).await?;
        self.presence.receive(&event).await?;
        Ok(Response::new(Output {}))
    }
}
