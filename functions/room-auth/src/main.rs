//! The Lambda function `room-auth`.

fn main() -> std::process::ExitCode {
    api::run(&room_auth::ROUTE, room_auth::Context::load, room_auth::handle)
}
