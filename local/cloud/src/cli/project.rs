//! Options that subcommands share.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use local::{Cloud, CloudOptions, Hosting};

/// Why a subcommand failed, in one line.
pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The project.
#[derive(Args, Debug)]
pub(super) struct Project {
    /// Folder of template.yaml and openapi.yaml
    #[arg(long, default_value = ".")]
    pub(super) root: PathBuf,
    /// Folder of the functions' binaries [default: that of this program]
    #[arg(long)]
    binaries: Option<PathBuf>,
}

impl Project {
    /// On free ports, with doubles only.
    pub(super) fn options(&self) -> Result<CloudOptions, Failure> {
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

/// The double's seed, and what replaces a double.
#[derive(Args, Debug)]
pub(super) struct Surroundings {
    /// Seed of the WorkOS double [default: local/seed.yaml]
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
    pub(super) fn apply(&self, options: &mut CloudOptions) {
        if let Some(seed) = &self.seed {
            options.seed = Some(seed.clone());
        }
        // An empty variable counts as unset, as everywhere in the product.
        let given = |url: &Option<String>| url.clone().filter(|url| !url.is_empty());
        options.workos_url = given(&self.workos_url);
        options.livekit_url = given(&self.livekit_url);
        options.dynamodb_url = given(&self.dynamodb_url);
        options.environment = callers_environment(options.dynamodb_url.is_some());
    }
}

/// Fails if the local cloud hosts the functions and one is not built.
pub(super) fn all_built(cloud: &Cloud, hosting: &Hosting) -> Result<(), Failure> {
    let Hosting::Binaries(folder) = hosting else { return Ok(()) };
    let functions = cloud.template().functions.values().map(|function| function.binary.as_str());
    let missing: Vec<_> = functions.filter(|binary| !folder.join(binary).is_file()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let (folder, missing) = (folder.display(), missing.join(", "));
    Err(format!("not built in {folder}: {missing}; `make dev` and `make demo` build first").into())
}

/// The caller's variables, for the functions that name them, e.g. `ROOM_SCOPE=organization`. Left out: the stage, which
/// decides what exists, and the table's name, unless the database is the caller's.
fn callers_environment(own_database: bool) -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, value)| {
            !value.is_empty() && name != "STAGE" && (own_database || name != "SESSION_TABLE")
        })
        .collect()
}
