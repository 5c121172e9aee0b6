//! Node.js, for the scripts in `tests/workos`, which run the WorkOS emulator and read the WorkOS OpenAPI document, and for
//! the front end in `tests/typescript`.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;

/// A Node.js process that runs a script in `tests/workos`, with piped standard input and output. It is killed when its
/// handle is dropped.
pub fn node(script: &str) -> Command {
    let mut command = Command::new("node");
    // The packages are installed outside the clone. Imports of `--eval` resolve from the current folder.
    command.args(["--input-type=module", "--eval", script]).current_dir(packages("WORKOS_TOOLS"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

/// The folder where `make test` installs the packages of a `package-lock.json`: `WORKOS_TOOLS` those of `tests/workos`,
/// `TYPESCRIPT_TOOLS` those of `tests/typescript`.
pub fn packages(variable: &str) -> PathBuf {
    let folder = std::env::var_os(variable);
    installed(variable, folder.as_deref()).unwrap_or_else(|missing| panic!("{missing}"))
}

fn installed(variable: &str, folder: Option<&OsStr>) -> Result<PathBuf, String> {
    let folder = folder.ok_or_else(|| {
        format!("{variable} is not set: `make test` installs the packages of this test and sets it")
    })?;
    let folder = PathBuf::from(folder);
    if folder.join(".complete").exists() {
        Ok(folder)
    } else {
        Err(format!(
            "{variable} is {}, which is missing or incomplete: `make test` installs it",
            folder.display()
        ))
    }
}

#[test]
fn missing_packages_are_an_error_that_says_how_to_install_them() {
    for folder in [None, Some(OsStr::new("/nowhere"))] {
        let error = installed("WORKOS_TOOLS", folder).expect_err("nothing is installed");
        assert!(error.contains("`make test` installs"), "{error}");
    }
}
