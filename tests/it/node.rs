//! Node, and what `tests/workos` runs on: WorkOS' own emulator and WorkOS' OpenAPI document.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;

/// A Node process that runs a script of `tests/workos`, with its standard input and output piped. It ends when its
/// handle is dropped.
pub fn node(script: &str) -> Command {
    let mut command = Command::new("node");
    // As an argument and in this folder, the script's imports find the packages, which are not in the clone.
    command.args(["--input-type=module", "--eval", script]).current_dir(tools());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

/// Where `make test` has installed the packages of `tests/workos/package-lock.json`.
fn tools() -> PathBuf {
    installed(std::env::var_os("WORKOS_TOOLS").as_deref()).unwrap_or_else(|missing| panic!("{missing}"))
}

fn installed(folder: Option<&OsStr>) -> Result<PathBuf, String> {
    let folder =
        folder.ok_or("WORKOS_TOOLS is not set: `make test` installs what this test runs on, and sets it")?;
    let folder = PathBuf::from(folder);
    if folder.join(".complete").exists() {
        Ok(folder)
    } else {
        Err(format!(
            "WORKOS_TOOLS names {}, which is not complete: `make test` installs it",
            folder.display()
        ))
    }
}

#[test]
fn a_missing_tool_is_a_failure_that_says_how_to_get_it() {
    for folder in [None, Some(OsStr::new("/nowhere"))] {
        let refusal = installed(folder).expect_err("nothing is there");
        assert!(refusal.contains("`make test` installs"), "{refusal}");
    }
}
