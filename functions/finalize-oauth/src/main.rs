//! Boots `finalize-oauth`.

use finalize_oauth::{Context, ROUTE, handle};

fn main() -> std::process::ExitCode {
    api::run(&ROUTE, Context::load, handle)
}
