//! `POST /api/v1/livekit/stop-recording`: stops a recording of the caller's organization. Stopping it again gives the
//! same answer.
//! Reasons: `missing_field`, `invalid_field`, `not_signed_in`, `organization_not_allowed`, `not_in_room`,
//! `room_not_found`, `recording_not_found`, `livekit_unavailable`, `livekit_busy`, `store_unavailable`.

use api::{ApiError, ConfigError, Env, Reason, Request, Response, Route};
use livekit::RoomName;
use recording::{EgressId, Stop, Stopper, ZoneId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

/// What to stop.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The room, as at the start.
    pub room_name: RoomName,
    /// The recording.
    pub egress_id: EgressId,
    /// The place in the application, as at the start.
    pub zone_id: ZoneId,
}

/// The recording.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// LiveKit's id of the recording.
    pub egress_id: String,
    /// When it was stopped, in seconds since the Unix epoch.
    pub timestamp: u64,
}

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
pub async fn handle(ctx: &Context, req: Request<Input>) -> Result<Response<Output>, ApiError> {
    let caller = req.caller()?;
    let stop = Stop {
        room_name: req.body.room_name.clone(),
        egress_id: req.body.egress_id.clone(),
        zone_id: req.body.zone_id.clone(),
    };
    let stopped = ctx.stopper.stop(caller, &stop).await?;
    Ok(Response::new(Output { egress_id: stopped.egress_id, timestamp: stopped.stopped_at }))
}
