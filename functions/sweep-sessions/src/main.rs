//! The Lambda function `sweep-sessions`.

api::main!(sweep_sessions::SweepSessions);
