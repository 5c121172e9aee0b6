//! The machine and the commit that figures belong to.

use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// The machine and the commit.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Machine {
    /// The commit, with `-dirty` if the tree had changes.
    pub(crate) commit: String,
    /// The date, in UTC.
    pub(crate) date: String,
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) rustc: String,
    pub(crate) node: String,
}

impl Machine {
    pub(crate) fn of(root: &Path) -> Self {
        let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
        Self {
            commit: output(root, "git", &["describe", "--always", "--dirty", "--abbrev=12"]),
            date: output(root, "date", &["-u", "+%Y-%m-%d"]),
            cpu: cpu.trim_start_matches([' ', '\t', ':']).to_owned(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: output(root, "uname", &["-sr"]),
            rustc: output(root, "rustc", &["--version"]),
            node: output(root, "node", &["--version"]),
        }
    }
}

/// The output of a program; `unknown` if it fails.
fn output(root: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(root).output();
    let printed = output.ok().filter(|output| output.status.success());
    printed
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned())
}
