//! `POST /api/v1/livekit/room-auth`: a token with which the caller joins a LiveKit room.
//! Reasons: `missing_field`, `invalid_field`, `not_signed_in`, `organization_not_allowed`.
//!
//! The token is made in the process: no call leaves it.

use api::{ApiError, ConfigError, Env, Reason, Request, Response, Route};
use livekit::{Keys, RoomName, RoomScope, Username};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The route.
pub static ROUTE: Route = Route::protected("room-auth", "/api/v1/livekit/room-auth").reasons(&[
    Reason::MissingField,
    Reason::InvalidField,
    Reason::NotSignedIn,
    Reason::OrganizationNotAllowed,
]);

/// Who wants to enter which room.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The name that the others in the room will see.
    pub username: Username,
    /// The room to enter. It need not exist yet.
    pub room_id: RoomName,
}

/// The key to the room.
#[derive(Serialize, JsonSchema)]
pub struct Output {
    /// A LiveKit access token, valid for 10 minutes.
    pub token: String,
}

/// What the endpoint uses.
pub struct Context {
    keys: Keys,
    scope: RoomScope,
}

impl Context {
    /// Reads the configuration.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { keys: Keys::load(env)?, scope: RoomScope::load(env)? })
    }
}

/// Signs a token for the caller.
pub async fn handle(ctx: &Context, req: Request<Input>) -> Result<Response<Output>, ApiError> {
    let caller = req.caller()?;
    let room = ctx.scope.room(caller, &req.body.room_id)?;
    let token = ctx.keys.join_token(caller, &req.body.username, &room)?;
    Ok(Response::new(Output { token: token.expose().to_owned() }))
}
