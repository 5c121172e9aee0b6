//! The Lambda function `start-recording`.

fn main() -> std::process::ExitCode {
    api::run(&start_recording::ROUTE, start_recording::Context::load, start_recording::handle)
}
