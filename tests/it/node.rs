//! Node.js, for the scripts in `tests/workos`, which run the WorkOS emulator and read the WorkOS OpenAPI document.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;

/// A Node.js process that runs a script in `tests/workos`, with piped standard input and output. It is killed when its
/// handle is dropped.
pub fn node(script: &str) -> Command {
    let mut command = Command::new("node");
    // The packages are installed outside the clone. Imports of `--eval` resolve from the current folder.
    command.args(["--input-type=module", "--eval", script]).current_dir(packages());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

/// The folder where `make test` installs the packages of `tests/workos/package-lock.json`.
fn packages() -> PathBuf {
    installed(std::env::var_os("WORKOS_TOOLS").as_deref()).unwrap_or_else(|missing| panic!("{missing}"))
}

fn installed(folder: Option<&OsStr>) -> Result<PathBuf, String> {
    let folder = folder
        .ok_or("WORKOS_TOOLS is not set: `make test` installs the packages of this test and sets it")?;
    let folder = PathBuf::from(folder);
    if folder.join(".complete").exists() {
        Ok(folder)
    } else {
        Err(format!(
            "WORKOS_TOOLS is {}, which is missing or incomplete: `make test` installs it",
            folder.display()
        ))
    }
}

#[test]
fn missing_packages_are_an_error_that_says_how_to_install_them() {
    for folder in [None, Some(OsStr::new("/nowhere"))] {
        let error = installed(folder).expect_err("nothing is installed");
        assert!(error.contains("`make test` installs"), "{error}");
    }
}
