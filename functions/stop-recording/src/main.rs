//! The Lambda function `stop-recording`.

api::main!(stop_recording::StopRecording);
