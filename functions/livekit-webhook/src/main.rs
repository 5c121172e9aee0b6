//! The Lambda function `livekit-webhook`.

fn main() -> std::process::ExitCode {
    api::run(&livekit_webhook::ROUTE, livekit_webhook::Context::load, livekit_webhook::handle)
}
