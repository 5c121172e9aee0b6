//! Boots `authorizer`.

use authorizer::{Context, NAME, handle};

fn main() -> std::process::ExitCode {
    api::run_authorizer(NAME, Context::load, handle)
}
