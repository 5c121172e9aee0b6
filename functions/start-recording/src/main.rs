//! The Lambda function `start-recording`.

api::main!(start_recording::StartRecording);
