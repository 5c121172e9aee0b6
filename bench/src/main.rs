//! `bench run` measures the release binaries of the functions, the floor and the Node.js peer in one run, hosted as in the
//! local cloud and against its doubles. `bench/run` builds everything and calls it. It writes the figures to
//! `bench/results/latest.json`, the tables to `docs/performance.md` and the chart to `docs/performance.svg`, and fails if a
//! budget is exceeded.
//!
//! `bench instructions` counts the instructions of each start; `bench/instructions` calls it.

#![expect(clippy::indexing_slicing, reason = "only JSON values are indexed; a missing field reads as null")]

mod bed;
mod budget;
mod chart;
mod events;
mod figures;
mod flow;
mod guess;
mod instructions;
mod machine;
mod measure;
mod process;
mod report;
mod scale;
mod size;
mod spread;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use bed::Bed;
use clap::{Parser, Subcommand};
use figures::{Counts, Figures};

/// An error of a development program: one line for the person who runs it.
type Error = Box<dyn std::error::Error + Send + Sync>;

type Outcome<T> = Result<T, Error>;

#[derive(Parser)]
#[command(about = "Measures the release binaries of the functions")]
struct Arguments {
    /// Root folder of the project.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure, write the figures and check the budgets.
    Run {
        /// Folder of the release binaries.
        #[arg(long)]
        binaries: PathBuf,
        /// Folder of the bundled Node.js functions; without it, the peer is not measured.
        #[arg(long)]
        peer: Option<PathBuf>,
        /// Use small counts, to show that everything runs. Nothing is written and no budget is enforced.
        #[arg(long)]
        quick: bool,
        /// Sessions in the fullest table.
        #[arg(long)]
        sessions: Option<usize>,
        /// Write the figures to this file only, to compare variants.
        #[arg(long)]
        save: Option<PathBuf>,
    },
    /// Write tables and chart again.
    Report {
        /// File of the figures; by default the latest ones.
        #[arg(long)]
        figures: Option<PathBuf>,
    },
    /// Count the instructions of each start with callgrind.
    Instructions {
        /// Folder of release binaries.
        binaries: PathBuf,
        /// Another such folder, to compare with the first.
        other: Option<PathBuf>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("bench: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints a line.
fn say(line: &str) {
    // Fails if the reader has closed the pipe.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Returns whether all budgets are met.
async fn run(arguments: Arguments) -> Outcome<bool> {
    let root = arguments.root.canonicalize()?;
    let (binaries, peer, quick, sessions, save) = match arguments.command {
        Command::Report { figures } => {
            let figures = figures.unwrap_or_else(|| Figures::latest(&root));
            report::write(&root, &Figures::read(&figures)?)?;
            return Ok(true);
        }
        Command::Instructions { binaries, other } => {
            instructions::run(&root, &binaries, other.as_deref()).await?;
            return Ok(true);
        }
        Command::Run { binaries, peer, quick, sessions, save } => (binaries, peer, quick, sessions, save),
    };
    let mut counts = if quick { Counts::QUICK } else { Counts::FULL };
    counts.sessions = sessions.unwrap_or(counts.sessions);

    let bed = Bed::start(&root, &binaries, peer.as_deref()).await?;
    say("Comparing the responses of the peer and the product");
    flow::compare(&bed).await?;
    let mut figures = Figures::new(machine::Machine::of(&root), counts);
    measure::run(&bed, &mut figures).await?;
    bed.stop().await;
    scale::run(&root, &binaries, &mut figures).await?;
    figures.guesses = guess::run(&root, &binaries, counts.guesses).await?;

    say(&report::tables(&figures));
    let verdicts = budget::Budgets::read(&root)?.check(&figures);
    say(&budget::render(&verdicts));
    match save {
        Some(file) => figures.write(&file)?,
        None if quick => return Ok(true),
        None => {
            figures.write(&Figures::latest(&root))?;
            report::write(&root, &figures)?;
        }
    }
    Ok(verdicts.iter().all(|verdict| verdict.is_met()))
}
