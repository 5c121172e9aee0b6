//! Instructions from the start of a process to its first request for work, counted by callgrind. Unlike a time, the count
//! does not depend on the machine's other work.

use std::path::Path;
use std::process::Command;

use local::{Cloud, CloudOptions};

use crate::bed::{AUTHORIZER, FLOOR, GET_ITEM};
use crate::{Outcome, say};

/// Nothing listens here: a process ends when it asks for work.
const CLOSED: &str = "127.0.0.1:1";

/// Prints the count of each program of `binaries`, and how much the one of `other` differs.
pub(crate) async fn run(root: &Path, binaries: &Path, other: Option<&Path>) -> Outcome<()> {
    // Provides the environments; no function calls it.
    let cloud = Cloud::start(CloudOptions::new(root, binaries)).await?;
    let references = [(FLOOR, AUTHORIZER), (GET_ITEM, AUTHORIZER)];
    let functions = catalog::functions().iter().map(|function| (function.name, function.name));
    for (name, like) in references.into_iter().chain(functions) {
        let count = |folder: &Path| count(&cloud, &folder.join(name), like);
        let counted = count(binaries)?;
        let Some(other) = other else {
            say(&format!("{name:<24}{counted:>12}"));
            continue;
        };
        let compared = count(other)?;
        let change = (compared as f64 / counted as f64 - 1.0) * 100.0;
        say(&format!("{name:<24}{counted:>12}{compared:>12}{change:>+9.2} %"));
    }
    cloud.stop().await;
    Ok(())
}

/// The instructions of a program's start in the environment of the function `like`.
fn count(cloud: &Cloud, program: &Path, like: &str) -> Outcome<u64> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program);
    command.env_clear().envs(cloud.environment_of(like).into_iter().flatten());
    command.envs([
        ("AWS_LAMBDA_RUNTIME_API", CLOSED),
        ("AWS_LAMBDA_FUNCTION_NAME", like),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ]);
    let output = command.output().map_err(|error| format!("valgrind: {error}"))?;
    let printed =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    let count = printed.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    // A process that fails earlier, because of its configuration, never connects.
    let connects = printed.contains("Connect");
    Ok(count.filter(|_| connects).ok_or_else(|| format!("{}: {printed}", program.display()))?)
}
