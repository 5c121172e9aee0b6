//! The `local` command: `dev` runs the local cloud, `demo` walks through every endpoint.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    cli::Cli::parse().run().await
}
