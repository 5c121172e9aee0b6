//! `POST /api/v1/livekit/start-recording`: records a LiveKit room into the bucket. A room has one recording at a time.
//! Reasons: `missing_field`, `invalid_field`, `not_signed_in`, `organization_not_allowed`, `not_in_room`,
//! `room_not_found`, `already_recording`, `livekit_unavailable`, `livekit_busy`, `store_unavailable`.

use api::{ApiError, ConfigError, Env, Reason, Request, Response, Route};
use livekit::RoomName;
use recording::{NewRecording, Participants, Recorder, Topic, ZoneId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

/// What to record.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The room.
    pub room_name: RoomName,
    /// What the conference is about.
    pub conference_topic: Topic,
    /// The place in the application. It must be the same at the stop.
    pub zone_id: ZoneId,
    /// Who takes part: at most 500 names, separated by commas.
    pub participants: Participants,
}

/// The recording.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// LiveKit's id of the recording, with which it is stopped.
    pub egress_id: String,
    /// When it was started, in seconds since the Unix epoch.
    pub timestamp: u64,
}

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
pub async fn handle(ctx: &Context, req: Request<Input>) -> Result<Response<Output>, ApiError> {
    let caller = req.caller()?;
    let new = NewRecording {
        room_name: req.body.room_name.clone(),
        zone_id: req.body.zone_id.clone(),
        topic: req.body.conference_topic.clone(),
        participants: req.body.participants.clone(),
    };
    let started = ctx.recorder.start(caller, &new).await?;
    Ok(Response::new(Output { egress_id: started.egress_id, timestamp: started.started_at }))
}
