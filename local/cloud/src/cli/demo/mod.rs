//! `local demo`: walks through every endpoint as a client would, and checks each answer.
//!
//! | module | contract |
//! |---|---|
//! | `tour` | the cloud, the headings, what is looked at beside the API |
//! | `client` | a browser or another client: sends, shows what it sends, keeps cookies |
//! | `answer` | shows an answer beside what it must be |
//! | `shape` | bodies with placeholders |
//! | `shown` | how values look on the screen: secrets shortened |
//! | the others | a chapter each |
//!
//! Where an answer is not as it must be, the demonstration ends there and names the step.

mod answer;
mod client;
mod developer;
mod mail_code;
mod main_job;
mod organizations;
mod providers;
mod recordings;
mod refusals;
mod shape;
mod shown;
mod single_sign_on;
mod tour;

use clap::Args;
use local::Cloud;
use local_runtime::LogLine;

use self::tour::Tour;
use super::{Failure, Project, Terminal, all_built};

/// How many lines of the functions' logs are shown when a step fails.
const LAST_LINES: usize = 12;

#[derive(Args, Debug)]
pub(super) struct Demo {
    #[command(flatten)]
    project: Project,
}

impl Demo {
    /// Shows everything, in a cloud of its own: free ports, doubles, the seed of the project, nothing of the caller's
    /// environment.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let options = self.project.options()?;
        let hosting = options.hosting.clone();
        let cloud = Cloud::start(options).await?;
        all_built(&cloud, &hosting)?;
        let shown = show(&cloud).await;
        if shown.is_err() {
            last_words(&cloud);
        }
        cloud.stop().await;
        shown
    }
}

async fn show(cloud: &Cloud) -> Result<(), Failure> {
    let tour = Tour::new(cloud, Terminal::stdout())?;
    tour.chapter(
        "The main job",
        "Sign up, prove the address with the code from the mail, get a room token, sign out.",
        main_job::tell(&tour),
    )
    .await?;
    let jane = tour
        .chapter(
            "Back again with a code by mail",
            "Sign-in of a known address, a second mail, a wrong code.",
            mail_code::tell(&tour),
        )
        .await?;
    tour.chapter(
        "Single sign-on",
        "The domain of the address has an identity provider: the person is sent there instead.",
        single_sign_on::tell(&tour),
    )
    .await?;
    tour.chapter("Google and Microsoft", "The same way out and back.", providers::tell(&tour)).await?;
    let gail = tour
        .chapter(
            "Organizations",
            "Somebody who belongs to several chooses one at the sign-in and can change later.",
            organizations::tell(&tour),
        )
        .await?;
    let admin = tour
        .chapter(
            "Signing in as a developer",
            "One call, no mail, a real session; it does not exist in production.",
            developer::tell(&tour),
        )
        .await?;
    tour.chapter(
        "Recordings",
        "Whoever is in a room may record it, once at a time; the record is kept.",
        recordings::tell(&tour, jane, gail, admin),
    )
    .await?;
    tour.chapter(
        "Refusals",
        "What is not a proper request of an allowed page is turned away before anything happens.",
        refusals::tell(&tour),
    )
    .await?;
    tour.close();
    Ok(())
}

/// What the functions said last, for whoever looks for the cause.
fn last_words(cloud: &Cloud) {
    let lines = cloud.logs().lines();
    let terminal = Terminal::stderr();
    lines.iter().skip(lines.len().saturating_sub(LAST_LINES)).for_each(|line: &LogLine| {
        terminal.log(line, false);
    });
}
