//! `POST /api/v1/livekit/stop-recording`: stops a recording of the caller's organization. Stopping it again gives the
//! same answer.
//! Reasons: `missing_field`, `invalid_field`, `not_signed_in`, `organization_not_allowed`, `not_in_room`,
//! `room_not_found`, `recording_not_found`, `livekit_unavailable`, `livekit_busy`, `store_unavailable`.

use api::{ApiError, ConfigError, Env, Reason, Request, Response, Route};
use recording::{Stop, Stopped, Stopper};

/// The route.
pub static ROUTE: Route = Route::protected("stop-recording", "/api/v1/livekit/stop-recording").reasons(&[
    Reason::MissingField,
    Reason::InvalidField,
    Reason::NotSignedIn,
    Reason::OrganizationNotAllowed,
    Reason::NotInRoom,
    Reason::RoomNotFound,
    Reason::RecordingNotFound,
    Reason::LivekitUnavailable,
    Reason::LivekitBusy,
    Reason::StoreUnavailable,
]);

/// What the endpoint uses.
pub struct Context {
    stopper: Stopper,
}

impl Context {
    /// Reads the configuration.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { stopper: Stopper::load(env)? })
    }
}

/// Stops the recording.
pub async fn handle(ctx: &Context, req: Request<Stop>) -> Result<Response<Stopped>, ApiError> {
    ctx.stopper.stop(req.caller()?, &req.body).await.map(Response::new)
}
