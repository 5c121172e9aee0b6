//! The same flows against a deployment: the zips of `make build` and the packaged template in MiniStack, an AWS emulator
//! with its own Lambda, API Gateway, DynamoDB and CloudFormation. Only the doubles of WorkOS and LiveKit are ours.
//!
//! Run it with `make test-deploy`. It is ignored elsewhere because it needs a release build.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::app::{App, Deployed, http, root};
use crate::meeting::{MASADAS, ROOM, TAUNTA, jane_and_john, start, stop};
use crate::organizations::{organization_of, signed_in_to};

/// A stack in MiniStack. Dropping it closes the process's standard input, which deletes the stack.
struct Stack {
    _process: Child,
    url: String,
    host: String,
    table: String,
}

impl Stack {
    /// Deploys the build, with the doubles of `app` as WorkOS and LiveKit.
    async fn create(app: &App) -> Self {
        let python = tool("DEPLOY_PYTHON");
        assert!(
            root().join(".aws-sam/build/template.yaml").exists(),
            "there is no build: run `make test-deploy`, which runs `make build` first"
        );
        let mut process = Command::new(python)
            .arg("tests/deploy/local_aws.py")
            .args(["--workos-url", app.workos().url(), "--livekit-url", app.livekit().url()])
            .current_dir(root())
            .env("MINISTACK", tool("MINISTACK"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("local_aws.py starts");
        let output = BufReader::new(process.stdout.take().expect("standard output is piped"));
        let line = output.lines().next_line().await.expect("standard output is text");
        let line = line.expect("the deployment succeeds; see standard error");
        let stack: Value = serde_json::from_str(&line).expect("one line of JSON");
        let field = |name: &str| stack[name].as_str().expect("a string").to_owned();
        Self { url: field("url"), host: field("host"), table: field("table"), _process: process }
    }
}

/// A tool that `make test-deploy` installs, by the variable with its path.
fn tool(variable: &str) -> PathBuf {
    std::env::var_os(variable)
        .unwrap_or_else(|| panic!("{variable} is not set: run `make test-deploy`"))
        .into()
}

#[tokio::test]
#[ignore = "needs the release build and MiniStack of `make test-deploy`"]
async fn the_flows_pass_on_a_deployment() {
    let app = App::start().await;
    let stack = Stack::create(&app).await;
    let app = app.calling(Deployed { url: stack.url.clone(), host: stack.host.clone() });

    crate::main_job::sign_up_to_sign_out(&app).await;
    crate::main_job::session_as_bearer(&app).await;
    crate::oauth::through_google_and_microsoft(&app).await;
    organizations(&app).await;
    recordings(&app).await;
    refusals(&app).await;

    assert!(app.items().is_empty(), "the functions used {}, not the table of the local cloud", stack.table);
    assert_eq!(app.logs(), Vec::<String>::new(), "no function ran in the local cloud");
}

/// SSO sign-in, organization selection and a switch.
async fn organizations(app: &App) {
    let mut ann = app.browser();
    let response = ann.sign_in("ann@acme.test").await.is(200);
    assert_eq!(response.body["authData"]["authMethod"], "sso");
    let back = app.at_provider(&response.text("/authData/redirectURL"), "ann@acme.test").await;
    ann.finalize_oauth(back.code(), back.state.as_deref()).await.is(200);
    ann.room_auth("Ann", "room123").await.is(200);

    let mut browser = signed_in_to(app, "123@gmail.com", MASADAS).await;
    let before = browser.token();
    browser.switch_organization("123@gmail.com", TAUNTA).await.is(200);
    assert_ne!(browser.token(), before);
    let token = browser.room_auth("Kim", "room123").await.is(200).text("/token");
    assert_eq!(organization_of(&token), TAUNTA);
    let mut old = app.browser();
    old.cookies.insert("__Host-session".into(), before);
    old.room_auth("Kim", "room123").await.refused(401, "not_signed_in");
}

/// Two users meet and one records; LiveKit's webhook frees the room.
async fn recordings(app: &App) {
    // MiniStack identifies the API by the `Host` header, which the double cannot set. So the test sends the webhook.
    app.without_webhooks();
    let (mut jane, mut john) = jane_and_john(app).await;
    let egress = jane.start_recording(start(ROOM)).await.is(200).text("/egressId");
    let second = john.start_recording(start(ROOM)).await.refused(409, "already_recording");
    assert_eq!(second.body["egressId"], egress.as_str());
    let stopped = john.stop_recording(stop(ROOM, &egress)).await.is(200);
    app.tell_of("egress_ended", &egress).await.is(200);
    assert_eq!(jane.stop_recording(stop(ROOM, &egress)).await.is(200).body, stopped.body);
    app.webhook("{}", Some("nobody's")).await.is(401);
}

/// Requests that API Gateway or a function rejects.
async fn refusals(app: &App) {
    let mut browser = app.browser();
    browser.post("/auth/sign-up", json!({})).await.refused(400, "missing_field").names("email");
    browser.send("/auth/sign-up", Some((b"a".to_vec(), "text/plain"))).await.refused(415, "json_required");
    let mut foreign = app.browser().header("origin", "https://evil.example");
    foreign.sign_up("a@example.com").await.refused(403, "origin_not_allowed");
    let url = format!("{}/auth/nothing", app.url());
    let host = app.host().expect("a deployment");
    assert_eq!(http().post(url).header("host", host).send().await.expect("a response").status(), 404);
}
