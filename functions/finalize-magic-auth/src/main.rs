//! Boots `finalize-magic-auth`.

use finalize_magic_auth::{Context, ROUTE, handle};

fn main() -> std::process::ExitCode {
    api::run(&ROUTE, Context::load, handle)
}
