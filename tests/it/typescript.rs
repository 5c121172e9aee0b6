//! A front end in TypeScript, whose types are generated from openapi.yaml: it compiles in strict mode without a cast, and
//! signs people in on the running API.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

use crate::app::{App, root};
use crate::node::packages;

/// The front end is an example, too: it stays short.
const MAX_LINES: usize = 80;

/// Compiles the front end in a new folder.
async fn compiled() -> TempDir {
    let (folder, sources) = (tempfile::tempdir().unwrap(), root().join("tests/typescript"));
    for file in ["compile.mjs", "front-end.ts", "run.ts", "package.json"] {
        std::fs::copy(sources.join(file), folder.path().join(file)).unwrap();
    }
    let modules = packages("TYPESCRIPT_TOOLS").join("node_modules");
    std::os::unix::fs::symlink(modules, folder.path().join("node_modules")).unwrap();
    let mut command = Command::new("node");
    command.arg("compile.mjs").arg(root().join("openapi.yaml")).current_dir(folder.path());
    let output = command.output().await.expect("node runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder
}

/// Runs the front end for a person, who chooses `organization`. Returns its questions and the session.
async fn signed_in(
    app: &App,
    program: &Path,
    (email, start): (&str, &str),
    organization: &str,
) -> (Vec<String>, Value) {
    let mut command = Command::new("node");
    command.arg("run.js").args([app.cloud.url(), email, start]).current_dir(program).kill_on_drop(true);
    let mut front_end = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node runs");
    let mut answers = front_end.stdin.take().unwrap();
    let mut questions = BufReader::new(front_end.stdout.take().unwrap()).lines();
    let mut asked = Vec::new();
    while let Some(line) = questions.next_line().await.unwrap() {
        let (question, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let answer = match question {
            "code" => app.code(email),
            "visit" => {
                let back = app.at_provider(rest, email).await;
                format!("code={}&state={}", back.code(), back.state.as_deref().unwrap_or_default())
            }
            "app" => {
                let user = app.workos().user_id(email).unwrap();
                app.workos().totp_code(&user).unwrap()
            }
            "choose" => organization.to_owned(),
            "session" => return (asked, serde_json::from_str(rest).unwrap()),
            _ => panic!("{email}: {line}"),
        };
        asked.push(question.to_owned());
        answers.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
    }
    panic!("{email}: the front end ends without a session after {asked:?}")
}

#[tokio::test]
async fn a_strict_typescript_front_end_signs_in_through_every_step_without_a_cast() {
    let source = std::fs::read_to_string(root().join("tests/typescript/front-end.ts")).unwrap();
    assert!(source.lines().count() <= MAX_LINES, "{} lines", source.lines().count());
    let (app, program) = (App::start().await, compiled().await);
    let (masadas, acme) = (crate::organizations::MASADAS, crate::organizations::ACME);
    let (umbrella, initech) = ("org_01JVNVER1F1ED0000000000000", "org_01JN1TECH00000000000000000");
    for (email, start, organization, questions, expected) in [
        ("jane.doe@example.com", "mail", "", &["code"][..], json!({ "id": masadas, "name": "MASADAS" })),
        ("123@gmail.com", "mail", masadas, &["code", "choose"], json!({ "id": masadas, "name": "MASADAS" })),
        ("ann@acme.test", "mail", "", &["visit"], json!({ "id": acme, "name": "Acme" })),
        (
            "sam@example.com",
            "mail",
            acme,
            &["code", "choose", "visit"],
            json!({ "id": acme, "name": "Acme" }),
        ),
        (
            "eve@umbrella.test",
            "google",
            "",
            &["visit", "code"],
            json!({ "id": umbrella, "name": "Umbrella" }),
        ),
        (
            "sam@example.com",
            "mail",
            initech,
            &["code", "choose", "app"],
            json!({ "id": initech, "name": "Initech" }),
        ),
        ("max@example.com", "mail", "", &["code", "app"], json!({ "id": initech, "name": "Initech" })),
        ("new.user@example.com", "mail", "", &["code"], Value::Null),
    ] {
        if app.workos().user_id(email).is_none() {
            app.workos().add_user(email);
        }
        let (asked, session) = signed_in(&app, program.path(), (email, start), organization).await;
        assert_eq!(asked, questions, "{email}");
        assert_eq!(session["user"]["email"], email);
        assert_eq!(session["organization"], expected, "{email}");
    }
}
