//! `POST /api/v1/livekit/start-recording`: records a LiveKit room into the bucket. A room has one recording at a time.
//! Reasons: `missing_field`, `invalid_field`, `not_signed_in`, `organization_not_allowed`, `not_in_room`,
//! `room_not_found`, `already_recording`, `livekit_unavailable`, `livekit_busy`, `store_unavailable`.

use api::{ApiError, ConfigError, Env, Reason, Request, Response, Route};
use recording::{NewRecording, Recorder, Started};

/// The route.
pub static ROUTE: Route = Route::protected("start-recording", "/api/v1/livekit/start-recording").reasons(&[
    Reason::MissingField,
    Reason::InvalidField,
    Reason::NotSignedIn,
    Reason::OrganizationNotAllowed,
    Reason::NotInRoom,
    Reason::RoomNotFound,
    Reason::AlreadyRecording,
    Reason::LivekitUnavailable,
    Reason::LivekitBusy,
    Reason::StoreUnavailable,
]);

/// What the endpoint uses.
pub struct Context {
    recorder: Recorder,
}

impl Context {
    /// Reads the configuration.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { recorder: Recorder::load(env)? })
    }
}

/// Starts the recording.
pub async fn handle(ctx: &Context, req: Request<NewRecording>) -> Result<Response<Started>, ApiError> {
    ctx.recorder.start(req.caller()?, &req.body).await.map(Response::new)
}
