//! Subcommands and what they share.

mod demo;
mod dev;
mod terminal;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use local::{Cloud, CloudOptions, Hosting};

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
    /// Walk through every endpoint, show each request and answer, and check them
    Demo(demo::Demo),
}

impl Cli {
    /// Runs the subcommand; its failure is one line on standard error.
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

/// Why a subcommand failed, in one line.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Where the project is.
#[derive(Args, Debug)]
struct Project {
    /// Folder of template.yaml
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// Folder of the functions' binaries [default: that of this program]
    #[arg(long)]
    binaries: Option<PathBuf>,
}

impl Project {
    /// The project on free ports, with doubles only.
    fn options(&self) -> Result<CloudOptions, Failure> {
        let binaries = match &self.binaries {
            Some(folder) => folder.clone(),
            None => {
                let program = std::env::current_exe()?;
                program.parent().ok_or("this program is in no folder")?.to_owned()
            }
        };
        Ok(CloudOptions::new(&self.root, binaries))
    }
}

/// What a double knows, what replaces one, and the caller's own settings of the functions.
#[derive(Args, Debug)]
struct Surroundings {
    /// What the WorkOS double knows at start [default: local/seed.yaml]
    #[arg(long)]
    seed: Option<PathBuf>,
    /// WorkOS at this URL instead of the double
    #[arg(long, env = "WORKOS_API_URL", hide_env_values = true)]
    workos_url: Option<String>,
    /// LiveKit at this URL instead of the double
    #[arg(long, env = "LIVEKIT_URL", hide_env_values = true)]
    livekit_url: Option<String>,
    /// DynamoDB at this URL instead of the embedded one
    #[arg(long, env = "AWS_ENDPOINT_URL_DYNAMODB", hide_env_values = true)]
    dynamodb_url: Option<String>,
}

impl Surroundings {
    fn apply(&self, options: &mut CloudOptions) {
        if let Some(seed) = &self.seed {
            options.seed = Some(seed.clone());
        }
        options.workos_url = given(self.workos_url.as_ref());
        options.livekit_url = given(self.livekit_url.as_ref());
        options.dynamodb_url = given(self.dynamodb_url.as_ref());
        options.environment = callers_environment(options.dynamodb_url.is_some());
    }
}

/// Demands that every function is built, where the local cloud hosts them.
fn all_built(cloud: &Cloud, hosting: &Hosting) -> Result<(), Failure> {
    let Hosting::Binaries(folder) = hosting else { return Ok(()) };
    let functions = cloud.template().functions.values().map(|function| function.binary.as_str());
    let missing: Vec<_> = functions.filter(|binary| !folder.join(binary).is_file()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let (folder, missing) = (folder.display(), missing.join(", "));
    Err(format!("not built in {folder}: {missing}; `make dev` and `make demo` build first").into())
}

/// An empty variable counts as none, as everywhere in the product.
fn given(value: Option<&String>) -> Option<String> {
    value.filter(|value| !value.is_empty()).cloned()
}

/// The caller's variables: those that a function names reach it, e.g. `ROOM_SCOPE=organization`. Not the stage, which
/// decides what exists, nor the table's name, unless the table is the caller's.
fn callers_environment(own_table: bool) -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, value)| {
            !value.is_empty() && name != "STAGE" && (own_table || name != "SESSION_TABLE")
        })
        .collect()
}
