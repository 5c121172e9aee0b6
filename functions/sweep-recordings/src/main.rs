//! The Lambda function `sweep-recordings`.

api::main!(sweep_recordings::SweepRecordings);
