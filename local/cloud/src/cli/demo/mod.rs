//! `local demo`: walks through every endpoint as a client would, and checks each response.
//!
//! | module | contract |
//! |---|---|
//! | `tour.yaml` | the chapters and their steps |
//! | `script` | reads them and openapi.yaml |
//! | `tour` | runs them: browsers and programs that call the API |
//! | `looks` | what lies behind the API: claims, items, webhooks |
//! | `shape` | expected JSON with placeholders |
//! | `shown` | how values are printed: secrets shortened |
//!
//! The demo ends at the first step that fails and names it.

mod looks;
mod script;
mod shape;
mod shown;
mod tour;

use clap::Args;
use local::Cloud;

use self::script::Script;
use self::tour::Tour;
use super::project::{Failure, Project, all_built};
use super::terminal::Terminal;

/// Log lines of the functions that are printed when a step fails.
const LAST_LINES: usize = 12;

#[derive(Args, Debug)]
pub(super) struct Demo {
    #[command(flatten)]
    project: Project,
}

impl Demo {
    /// Runs the tour in a cloud of its own: free ports, doubles, the project's seed, nothing of the caller's environment.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let script = Script::load(&self.project.root)?;
        let options = self.project.options()?;
        let hosting = options.hosting.clone();
        let cloud = Cloud::start(options).await?;
        all_built(&cloud, &hosting)?;
        let outcome = Tour::new(&cloud, &script)?.run().await;
        if outcome.is_err() {
            let (lines, terminal) = (cloud.logs().lines(), Terminal::stderr());
            lines
                .iter()
                .skip(lines.len().saturating_sub(LAST_LINES))
                .for_each(|line| terminal.log(line, false));
        }
        cloud.stop().await;
        outcome
    }
}
