//! Secrets reach no log: every flow is run with the logs captured and searched for everything that was handed out.

use serde_json::json;

use crate::app::App;

#[tokio::test]
async fn no_log_line_holds_a_token_code_key_or_cookie() {
    let app = App::start().await;
    let mut secrets: Vec<(String, String)> = [("the WorkOS API key", "sk_test_default")]
        .map(|(what, secret)| (what.to_owned(), secret.to_owned()))
        .to_vec();
    let mut keep = |what: &str, secret: String| secrets.push((what.to_owned(), secret));

    let email = "jane.doe@example.com";
    let mut browser = app.browser();
    browser.sign_up("new.user@example.com").await.is(201);
    browser.sign_in(email).await.is(200);
    browser.resend_magic_auth(email).await.is(200);
    let code = app.code(email);
    browser.finalize_magic_auth(email, "999999").await;
    browser.finalize_magic_auth(email, &code).await.is(200);
    keep("a mail code", code);
    keep("a session token", browser.token());
    let token = browser.room_auth("Jane Doe", "room123").await.is(200).text("/token");
    keep("a room token", token);
    browser.sign_out().await.is(200);
    browser.dev_sign_in().await.is(200);
    keep("a session token", browser.token());
    browser.bearer = Some("wrong-bearer-token".into());
    browser.room_auth("Jane Doe", "room123").await.is(403);
    keep("a wrong token", "wrong-bearer-token".into());
    browser.bearer = None;

    let mut other = app.browser();
    other.post("/auth/finalize-magic-auth", json!({ "email": email, "code": "not-a-code-1" })).await.is(400);
    keep("a wrong code", "not-a-code-1".into());
    other.cookies.insert("__Host-oauth".into(), "junk-cookie-value".into());
    other.finalize_oauth("wrong-oauth-code", Some("wrong-state")).await.is(400);
    keep("a wrong OAuth code", "wrong-oauth-code".into());
    keep("a flow cookie", "junk-cookie-value".into());
    other.select_organization("wrong-pending-token", "org_wrong").await.is(400);
    keep("a pending token", "wrong-pending-token".into());
    for token in app.workos().refresh_tokens().into_iter().chain(app.workos().access_tokens()) {
        keep("a WorkOS token", token);
    }

    // Errors with causes are logged: make WorkOS and the table fail, with secrets in their answers.
    for (status, body) in [
        (500, "{\"message\":\"leak-of-upstream\"}"),
        (400, "<html>leak-of-upstream</html>"),
        (200, "leak-of-upstream"),
    ] {
        app.workos().proxy().inject(local_proxy::Fault::response("*", status, body).times(1));
        app.browser().dev_sign_in().await.is(502);
    }
    keep("an upstream's body", "leak-of-upstream".into());

    let logs = app.logs();
    assert!(logs.len() > 30, "the logs were captured: {}", logs.len());
    for (what, secret) in &secrets {
        let found = logs.iter().find(|line| line.contains(secret.as_str()));
        assert!(found.is_none(), "{what} is in the log: {found:?}");
    }
    assert!(secrets.len() > 10);
}

#[tokio::test]
async fn log_lines_are_json_with_the_known_keys() {
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
    for key in [
        "level",
        "timestamp",
        "service",
        "function_name",
        "function_request_id",
        "xray_trace_id",
        "cold_start",
    ] {
        assert!(!refused[key].is_null(), "{key} is missing in {refused}");
    }
    assert_eq!(refused["function_name"], "sign-up");
    assert_eq!(refused["reason"], "invalid_email");
    assert_eq!(refused["cold_start"], false);
    let answered = lines.iter().find(|line| line["message"] == "answered").expect("a success is logged");
    assert_eq!(answered["cold_start"], true);
}
