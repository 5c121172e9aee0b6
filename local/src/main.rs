//! The `local` command: `dev` runs the local cloud, `demo` shows every endpoint, `invoke` sends one event to one function.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    cli::Cli::parse().run().await
}
