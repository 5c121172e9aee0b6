//! The subcommands.

mod demo;
mod dev;
mod project;
mod terminal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use terminal::Terminal;

/// Runs the Authentication API on this machine: functions, API Gateway, DynamoDB, WorkOS and LiveKit.
#[derive(Debug, Parser)]
#[command(name = "local", max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the local cloud until Ctrl-C
    Dev(dev::Dev),
    /// Walk through every endpoint, print each request and response, and check them
    Demo(demo::Demo),
}

impl Cli {
    /// Runs the subcommand; a failure is one line on standard error.
    pub(crate) async fn run(self) -> ExitCode {
        let outcome = match self.command {
            Command::Dev(dev) => dev.run().await,
            Command::Demo(demo) => demo.run().await,
        };
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                Terminal::stderr().line(&format!("error: {error}"));
                ExitCode::FAILURE
            }
        }
    }
}
