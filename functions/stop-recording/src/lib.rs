//! Stops a recording of the caller's organization. Stopping it again returns the same response.

use api::{ApiError, ConfigError, Endpoint, Env, Reason, Request, Response, Route, Step, Tag};
use recording::{Stop, Stopped, Stopper};

/// `POST /api/v1/livekit/stop-recording`.
pub struct StopRecording(Stopper);

impl Endpoint for StopRecording {
    const ROUTE: Route = Route::post("/api/v1/livekit/stop-recording")
        .session()
        .tag(Tag::Rooms)
        .summary("Stop a recording")
        .details("Room and zone must be the same as at the start. Stopping again returns the same response.")
        .reasons(&[api::INPUT, recording::ADMISSION, &[Reason::RecordingNotFound], recording::FAILURES])
        .rounds(3)
        .example(r#"{ "roomName": "test-room", "egressId": "egress-456789", "zoneId": "1" }"#)
        .after(&[Step::Request("start-recording"), Step::Take("egressId", "/egressId")])
        .success(&[("stopped", r#"{ "egressId": "egress-456789", "timestamp": 1752486896 }"#)]);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        Stopper::load(env).map(Self)
    }
}

impl StopRecording {
    /// Stops the recording.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Stop>) -> Result<Response<Stopped>, ApiError> {
        self.0.stop(req.caller()?, &req.input).await.map(Response::new)
    }
}
