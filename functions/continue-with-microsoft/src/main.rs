//! Boots `POST /auth/continue-with-microsoft`.

use std::process::ExitCode;

use continue_with_microsoft::{Context, ROUTE, handle};

fn main() -> ExitCode {
    api::run(&ROUTE, Context::load, handle)
}
