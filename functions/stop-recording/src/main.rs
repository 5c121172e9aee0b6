//! The Lambda function `stop-recording`.

fn main() -> std::process::ExitCode {
    api::run(&stop_recording::ROUTE, stop_recording::Context::load, stop_recording::handle)
}
