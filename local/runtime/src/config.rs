//! The functions to host and their AWS account.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The default concurrency of an AWS account and region; here it is per function.
pub const DEFAULT_MAX_CONCURRENCY: usize = 1000;

/// A function to host.
#[derive(Clone)]
pub struct FunctionConfig {
    /// Its logical id in the template.
    pub logical_id: String,
    /// Its name in AWS.
    pub name: String,
    /// The name of its binary, under which logs and calls name it.
    pub binary: String,
    /// The executable.
    pub program: PathBuf,
    /// How long one invocation may take.
    pub timeout: Duration,
    /// Memory in MiB, as passed to the function.
    pub memory_mb: u32,
    /// Its variables, without Lambda's own.
    pub environment: BTreeMap<String, String>,
    /// How many invocations may run at a time.
    pub max_concurrency: usize,
}

impl fmt::Debug for FunctionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The environment holds secrets.
        f.debug_struct("FunctionConfig").field("binary", &self.binary).finish_non_exhaustive()
    }
}

/// The AWS account and region that the functions see.
#[derive(Clone, Debug)]
pub struct Account {
    /// AWS region.
    pub region: String,
    /// AWS account id.
    pub id: String,
}
