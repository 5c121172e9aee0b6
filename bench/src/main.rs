//! `bench`: measures the release binaries of the functions beside the floor and the Node.js peer, in one run, through
//! the host that `local` uses and against its doubles. `bench/run` builds everything and calls it.
//!
//! It writes the figures to `bench/results/`, the tables into `docs/performance.md` and the chart to
//! `docs/performance.svg`, and ends with an error where a budget of `bench/budgets.json` is exceeded.

#![expect(
    clippy::indexing_slicing,
    reason = "only JSON values are indexed: what is missing there reads as null"
)]

mod bed;
mod budget;
mod chart;
mod events;
mod figures;
mod flow;
mod machine;
mod measure;
mod process;
mod report;
mod scale;
mod size;
mod spread;

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use bed::Bed;
use clap::{Parser, Subcommand};
use figures::{Counts, Figures};

/// Errors of a development program: one line for the person who runs it.
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Parser)]
#[command(about = "Measures the release binaries of the functions")]
struct Arguments {
    /// The folder of the project.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures, writes the results and checks the budgets.
    Run {
        /// The folder of the release binaries.
        #[arg(long)]
        binaries: PathBuf,
        /// The folder of the bundled Node.js functions; without it, the peer is not measured.
        #[arg(long)]
        peer: Option<PathBuf>,
        /// Small counts: shows that everything runs. The figures are worth little, so nothing is written or refused.
        #[arg(long)]
        quick: bool,
        /// The most sessions to fill the table with.
        #[arg(long)]
        sessions: Option<usize>,
        /// Writes the figures to this file, and neither results nor documentation: to compare what is being tried.
        #[arg(long)]
        save: Option<PathBuf>,
    },
    /// Writes tables and chart again.
    Report {
        /// The figures; without it, the last results.
        #[arg(long)]
        figures: Option<PathBuf>,
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

/// A line for the person who waits.
fn say(line: &str) {
    // Nobody reads any more when the pipe is closed.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Whether all budgets are kept.
async fn run(arguments: Arguments) -> Outcome<bool> {
    let root = arguments.root.canonicalize()?;
    let (binaries, peer, quick, sessions, save) = match arguments.command {
        Command::Report { figures } => {
            let figures = figures.unwrap_or_else(|| Figures::last(&root));
            report::write(&root, &Figures::read(&figures)?)?;
            return Ok(true);
        }
        Command::Run { binaries, peer, quick, sessions, save } => (binaries, peer, quick, sessions, save),
    };
    let mut counts = if quick { Counts::QUICK } else { Counts::FULL };
    counts.sessions = sessions.unwrap_or(counts.sessions);

    let bed = Bed::start(&root, &binaries, peer.as_deref()).await?;
    say("Flow: the peer answers as the product does");
    flow::compare(&bed).await?;
    let mut figures = Figures::new(machine::Machine::of(&root), counts);
    measure::run(&bed, &mut figures).await?;
    bed.stop().await;
    scale::run(&root, &binaries, &mut figures).await?;

    say(&report::tables(&figures));
    let verdicts = budget::Budgets::read(&root)?.check(&figures);
    say(&budget::render(&verdicts));
    match save {
        Some(file) => figures.write(&file)?,
        None if quick => return Ok(true),
        None => {
            figures.keep(&root)?;
            report::write(&root, &figures)?;
        }
    }
    Ok(verdicts.iter().all(|verdict| verdict.is_kept()))
}
