//! Starts recording a LiveKit room into the bucket. A room has one recording at a time.

use api::{ApiError, ConfigError, Endpoint, Env, Reason, Request, Response, Route, Step, Tag};
use recording::{NewRecording, Recorder, Started};

/// `POST /api/v1/livekit/start-recording`.
pub struct StartRecording(Recorder);

impl Endpoint for StartRecording {
    const ROUTE: Route = Route::post("/api/v1/livekit/start-recording")
        .session()
        .tag(Tag::Rooms)
        .summary("Start recording a room")
        .details(
            "A room has one recording at a time, and a person runs at most three. By default only a participant of \
             the room may start one.",
        )
        .reasons(&[api::INPUT, recording::ADMISSION, &[Reason::AlreadyRecording, Reason::TooManyRecordings], recording::FAILURES])
        .rounds(4)
        .example(
            r#"{
                "roomName": "test-room",
                "conferenceTopic": "Weekly Sync Meeting",
                "zoneId": "1",
                "participants": "alice,bob,charlie"
            }"#,
        )
        .after(&[Step::Request("room-auth"), Step::JoinRoom])
        .success(&[("started", r#"{ "egressId": "egress-456789", "timestamp": 1752486896 }"#)]);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        Recorder::load(env).map(Self)
    }
}

impl StartRecording {
    /// Starts the recording.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<NewRecording>) -> Result<Response<Started>, ApiError> {
        self.0.start(req.caller()?, &req.input).await.map(Response::new)
    }
}
