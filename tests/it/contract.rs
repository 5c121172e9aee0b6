//! openapi.yaml against the running API: schemathesis generates valid and invalid requests from it, and checks that
//! each response is documented and no response is a 5xx. `make contract` runs it.

use std::path::PathBuf;
use std::time::Duration;

use tokio::process::Command;

use crate::app::App;

/// The person in the examples of openapi.yaml.
const EMAIL: &str = "johndoe@abc.com";
/// The room in the examples.
const ROOM: &str = "test-room";

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,negative_data_rejection,ignored_auth";

/// Runs schemathesis on the endpoints with these paths, or on all endpoints if `paths` is empty.
async fn conforms(app: &App, paths: &[&str], session: Option<&str>, examples: u32) {
    let schemathesis = std::env::var_os("SCHEMATHESIS").map(PathBuf::from);
    let mut command = Command::new(schemathesis.expect("SCHEMATHESIS: run `make contract`"));
    command.arg("run").arg(crate::app::root().join("openapi.yaml"));
    command.args(["--url", app.cloud.url(), "--checks", CHECKS, "--phases", "examples,coverage,fuzzing"]);
    command.args(["--max-examples", &examples.to_string(), "--seed", "1", "--workers", "2", "--no-color"]);
    // Most generated requests are refused, as they should be: no warnings about that.
    command.args(["--warnings", "off", "--suppress-health-check", "all", "--generation-database", "none"]);
    for path in paths {
        command.args(["--include-path", path]);
    }
    if let Some(token) = session {
        command.args(["--header", &format!("Authorization: Bearer {token}")]);
        // schemathesis would send a wrong cookie with this token and expect a refusal, but the token is valid.
        command.args(["--generation-with-security-parameters", "false"]);
    }
    let folder = tempfile::tempdir().unwrap();
    let output = command.current_dir(folder.path()).output().await.expect("schemathesis runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

/// Resets the rate limits again and again: all requests come from one address and would soon exceed them.
async fn keep_resetting_limits(app: &App) {
    loop {
        app.reset_limits();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn without_limits(app: &App, run: impl Future<Output = ()>) {
    tokio::select! {
        () = run => {}
        () = keep_resetting_limits(app) => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs schemathesis: `make contract`"]
async fn every_endpoint_responds_as_documented_without_a_session() {
    let app = App::with_env(&[("SESSION_TRANSPORTS", "cookie,header")]).await;
    without_limits(&app, conforms(&app, &[], None, 12)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs schemathesis: `make contract`"]
async fn rooms_and_recordings_respond_as_documented_in_a_session() {
    let app = App::start().await;
    let mut browser = app.signed_in(EMAIL).await;
    let token = browser.room_auth("John", ROOM).await.is(200).text("/token");
    app.livekit().join(&token).unwrap();
    let paths = ["room-auth", "start-recording", "stop-recording"];
    let paths = paths.map(|name| format!("/api/v1/livekit/{name}"));
    let paths: Vec<_> = paths.iter().map(String::as_str).collect();
    without_limits(&app, conforms(&app, &paths, Some(&browser.token()), 30)).await;
}

/// Each endpoint has a session of its own, since a success ends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs schemathesis: `make contract`"]
async fn endpoints_that_end_a_session_respond_as_documented() {
    let app = App::start().await;
    for path in ["/auth/sign-out", "/auth/switch-organization"] {
        let browser = app.signed_in(EMAIL).await;
        let user = app.workos().user_id(EMAIL).expect("a user");
        app.workos().add_membership(&user, "org_01K2Z1R2MEJK6B41WW7428G9YC", "member", &[]);
        without_limits(&app, conforms(&app, &[path], Some(&browser.token()), 12)).await;
    }
}
