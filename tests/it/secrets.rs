//! No secret reaches a log: calls every endpoint, then searches the captured logs for every secret that was handed out.

use catalog::{Person, Tokens};
use serde_json::{Value, json};

use crate::app::App;
use crate::stage::{Stage, body};

/// Field names whose values must not be logged.
const SECRET_FIELDS: [&str; 6] = ["code", "pendingAuthenticationToken", "token", "state", "secret", "uri"];

/// Collects the strings in fields of [`SECRET_FIELDS`].
fn secrets(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if SECRET_FIELDS.contains(&name.as_str()) => found.push(text.clone()),
                    _ => secrets(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| secrets(item, found)),
        _ => {}
    }
}

/// The values of a person's cookies and tokens, and the secrets in all responses to them.
fn secrets_of(person: &Person<'_>) -> Vec<String> {
    let mut found: Vec<_> = person.cookies.values().cloned().collect();
    if let Some(Tokens { session, flow }) = &person.tokens {
        found.extend(session.clone());
        let parts = flow.iter().flat_map(|flow| flow.split(';')).filter_map(|part| part.split_once('='));
        found.extend(parts.map(|(_, secret)| secret.to_owned()));
    }
    person.responses.iter().for_each(|response| secrets(response, &mut found));
    found
}

#[track_caller]
fn assert_in_no_log(app: &App, secrets: &[String]) {
    let logs = app.logs();
    assert!(logs.len() > 30, "only {} log lines were captured", logs.len());
    for secret in secrets.iter().filter(|secret| secret.len() > 4) {
        let found = logs.iter().find(|line| line.contains(secret.as_str()));
        assert!(found.is_none(), "{secret} is in the log: {found:?}");
    }
}

#[tokio::test]
async fn no_log_line_holds_a_token_code_key_or_cookie() {
    let stage = Stage::with_header_transport().await;
    let app = &stage.app;
    let mut handed_out = vec!["sk_test_default".to_owned()];
    for function in catalog::endpoints() {
        for mut ready in [stage.ready(function).await, stage.ready_without_cookies(function).await] {
            secrets(&body(&ready.outgoing), &mut handed_out);
            handed_out.extend(
                ready
                    .outgoing
                    .headers
                    .iter()
                    .map(|(_, value)| value.clone())
                    .filter(|value| value.len() > 100),
            );
            handed_out.extend(secrets_of(&ready.person));
            ready.succeed().await;
            handed_out.extend(secrets_of(&ready.person));
        }
    }
    handed_out.extend(app.workos().refresh_tokens());
    handed_out.extend(app.workos().access_tokens());
    assert!(handed_out.len() > 80, "{}", handed_out.len());
    assert_in_no_log(app, &handed_out);
}

#[tokio::test]
async fn no_log_line_holds_refused_input_or_the_text_of_an_upstream_error() {
    let stage = Stage::with_header_transport().await;
    let app = &stage.app;
    let mut browser = app.browser();
    let email = "jane.doe@example.com";
    browser.bearer = Some("wrong-bearer-token".into());
    browser.room_auth("Jane Doe", "room123").await.refused(401, "not_signed_in");
    browser.bearer = None;
    browser
        .post("/auth/finalize-magic-auth", json!({ "email": email, "code": "not-a-code-1" }))
        .await
        .is(400);
    browser.cookies.insert("__Host-oauth".into(), "junk-cookie-value".into());
    browser.finalize_oauth("wrong-oauth-code", Some("wrong-state")).await.is(400);
    browser.select_organization("wrong-pending-token", "org_wrong").await.is(400);

    let mut browser = app.browser().header("flow-token", "oauth=junk-flow-token");
    for transport in ["wrong-transport", "header"] {
        browser = browser.header("session-transport", transport);
        browser.finalize_oauth("wrong-oauth-code", None).await;
    }

    // The causes of errors are logged, so every upstream of every endpoint fails with a secret in its response.
    for function in catalog::endpoints() {
        for (status, response) in [
            (500, "{\"message\":\"leak-of-upstream\"}"),
            (400, "<html>leak-of-upstream</html>"),
            (200, "leak-of-upstream"),
        ] {
            let mut ready = stage.ready(function).await;
            for (_, proxy) in stage.upstreams() {
                proxy.inject(local_proxy::Fault::response("*", status, response));
            }
            ready.send().await;
            stage.upstreams().iter().for_each(|(_, proxy)| proxy.clear_faults());
            stage.app.reset_limits();
        }
    }
    let refused = [
        "wrong-bearer-token",
        "not-a-code-1",
        "wrong-oauth-code",
        "junk-cookie-value",
        "junk-flow-token",
        "wrong-transport",
        "wrong-state",
        "wrong-pending-token",
        "leak-of-upstream",
    ];
    assert_in_no_log(app, &refused.map(str::to_owned));
}

/// The keys of every log line of a request.
pub const LOG_KEYS: [&str; 7] =
    ["level", "timestamp", "service", "function_name", "function_request_id", "xray_trace_id", "cold_start"];

#[tokio::test]
async fn log_lines_are_json_with_the_documented_keys() {
    let app = App::start().await;
    app.browser().sign_up("a@example.com").await.is(201);
    app.browser().sign_up("a").await.is(400);
    let lines: Vec<serde_json::Value> = app
        .logs()
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &serde_json::Value| line.get("message").is_some())
        .collect();
    let refused = lines.iter().find(|line| line["message"] == "refused").expect("a refusal is logged");
    for key in LOG_KEYS {
        assert!(!refused[key].is_null(), "{key} is missing in {refused}");
    }
    assert_eq!(refused["function_name"], "sign-up");
    assert_eq!(refused["reason"], "invalid_email");
    assert_eq!(refused["cold_start"], false);
    let succeeded = lines.iter().find(|line| line["message"] == "succeeded").expect("a success is logged");
    assert_eq!(succeeded["cold_start"], true);
}
