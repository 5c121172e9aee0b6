//! Boots `sign-out`.

use sign_out::{Context, ROUTE, handle};

fn main() -> std::process::ExitCode {
    api::run(&ROUTE, Context::load, handle)
}
