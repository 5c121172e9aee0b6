//! Boots `dev-sign-in`.

use dev_sign_in::{Context, ROUTE, handle};

fn main() -> std::process::ExitCode {
    api::run(&ROUTE, Context::load, handle)
}
