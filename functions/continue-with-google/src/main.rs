//! Boots `POST /auth/continue-with-google`.

use std::process::ExitCode;

use continue_with_google::{Context, ROUTE, handle};

fn main() -> ExitCode {
    api::run(&ROUTE, Context::load, handle)
}
