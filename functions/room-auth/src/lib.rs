//! Issues a token for the caller to join a LiveKit room. No network call is made.

use api::{ApiError, ConfigError, Endpoint, Env, Request, Response, Route, Tag};
use livekit::{Keys, RoomName, RoomScope, Username};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The room, and the caller's name in it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The name that other participants see.
    pub username: Username,
    /// The room to join. It need not exist yet.
    pub room_id: RoomName,
}

/// The token.
#[derive(Serialize, JsonSchema)]
pub struct Output {
    /// A LiveKit access token, valid for 10 minutes.
    pub token: String,
}

/// `POST /api/v1/livekit/room-auth`.
pub struct RoomAuth {
    keys: Keys,
    scope: RoomScope,
}

impl Endpoint for RoomAuth {
    const ROUTE: Route = Route::post("/api/v1/livekit/room-auth")
        .session()
        .tag(Tag::Rooms)
        .summary("Get a token to join a room")
        .details("A LiveKit access token for one room, valid for 10 minutes. The room need not exist yet.")
        .reasons(&[api::INPUT, livekit::SCOPE])
        .example(r#"{ "username": "Jane Doe", "roomId": "room123" }"#)
        .success(&[("token", r#"{ "token": "livekitToken" }"#)]);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { keys: Keys::load(env)?, scope: RoomScope::load(env)? })
    }
}

impl RoomAuth {
    /// Signs a token for the caller.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Input>) -> Result<Response<Output>, ApiError> {
        let caller = req.caller()?;
        let room = self.scope.room(caller, &req.input.room_id)?;
        let token = self.keys.join_token(caller, &req.input.username, &room)?;
        Ok(Response::new(Output { token: token.expose().to_owned() }))
    }
}
