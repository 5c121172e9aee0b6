//! Boots `resend-magic-auth`.

use resend_magic_auth::{Context, ROUTE, handle};

fn main() -> std::process::ExitCode {
    api::run(&ROUTE, Context::load, handle)
}
