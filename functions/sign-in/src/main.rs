//! Boots `sign-in`.

use sign_in::{Context, ROUTE, handle};

fn main() -> std::process::ExitCode {
    api::run(&ROUTE, Context::load, handle)
}
