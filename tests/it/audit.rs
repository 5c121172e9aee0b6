//! The audit trail: one line for each request that starts or changes a session, and one for each session that ends.

use std::time::Duration;

use api::EmailAddress;
use api::endpoint::Method;
use local_proxy::{Effect, Fault};
use local_runtime::LogLine;
use serde_json::{Value, json};

use crate::app::{Answer, App, Browser, root, session_key};
use crate::limits;
use crate::organizations::{MASADAS, TAUNTA, signed_in_to};
use crate::secrets::LOG_KEYS;
use crate::stage::Stage;

const JANE: &str = "jane.doe@example.com";
const NOBODY: &str = "nobody@example.com";
const TWO_ORGANIZATIONS: &str = "123@gmail.com";

/// The keys of every line, beside [`LOG_KEYS`]. The others are what is known.
const COMMON: [&str; 3] = ["audit", "source_ip", "useragent"];

/// Waits until a function has logged how a request ended, which is the request's last line.
async fn logged(app: &App) {
    let is_last = |line: &LogLine| {
        ["succeeded", "refused", "failed"]
            .iter()
            .any(|message| line.text.contains(&format!("\"message\":\"{message}\"")))
    };
    let line = app.cloud.logs().wait_for(Duration::from_secs(10), is_last).await;
    line.expect("a request logs how it ended");
}

/// The lines of the audit trail since the logs were cleared.
fn lines(app: &App) -> Vec<Value> {
    let logs = app.logs();
    let lines = logs.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["audit"] == true).collect()
}

/// What a line says besides [`LOG_KEYS`] and [`COMMON`], which are checked.
#[track_caller]
fn facts(mut line: Value) -> Value {
    assert!(!line.to_string().contains(['@']), "{line}");
    assert_eq!(line["level"], "INFO", "{line}");
    // What WorkOS ends, no client has asked for.
    let has_client = line["function_name"] != "workos-webhook";
    assert_eq!(line["source_ip"], if has_client { json!("127.0.0.1") } else { Value::Null }, "{line}");
    for key in LOG_KEYS.into_iter().chain(COMMON) {
        let value = line.as_object_mut().unwrap().remove(key).unwrap_or_default();
        let is_of_client = ["source_ip", "useragent"].contains(&key);
        assert_eq!(value.is_null(), is_of_client && !has_client, "{key} in {line}");
    }
    line
}

/// A request's response, and what the audit trail says about it.
async fn trail(app: &App, request: impl Future<Output = Answer>) -> (Answer, Vec<Value>) {
    app.cloud.logs().clear();
    let answer = request.await;
    logged(app).await;
    (answer, lines(app).into_iter().map(facts).collect())
}

/// The beginning of a session's key, without the table's prefix.
fn prefix(token: &str) -> String {
    session_key(token).strip_prefix("session#").unwrap()[..8].to_owned()
}

fn hash(email: &str) -> String {
    EmailAddress::parse(email).unwrap().hash()
}

/// The line of a session that ended.
fn end(cause: &str, user: &str, organization: Option<&str>, token: &str) -> Value {
    let mut line = json!({
        "event": "session-end", "outcome": "success", "cause": cause, "user_id": user, "session": prefix(token),
    });
    if let Some(organization) = organization {
        line["organization_id"] = organization.into();
    }
    line
}

fn user(app: &App, email: &str) -> String {
    app.workos().user_id(email).unwrap()
}

#[tokio::test]
async fn every_endpoint_that_starts_or_changes_a_session_writes_one_line_per_request() {
    let stage = Stage::open().await;
    for function in catalog::endpoints() {
        let (name, route) = (function.name, &function.route);
        let acts_on_sessions = route.path.starts_with("/auth/") && route.method == Method::Post;
        assert!(route.is_audited() || !acts_on_sessions, "{name} is not audited");
        let mut ready = stage.ready(function).await;
        let mut foreign = ready.outgoing.clone();
        foreign.headers.retain(|(name, _)| name != "origin");
        foreign.headers.push(("origin".to_owned(), "https://foreign.example".to_owned()));
        let refused = async { ready.person.send(&foreign).await.unwrap() };
        let (_, refusal) = trail(&stage.app, refused).await;
        let (_, success) = trail(&stage.app, ready.succeed()).await;
        for (lines, outcome) in [(refusal, "origin_not_allowed"), (success, "success")] {
            let steps: Vec<_> = lines.iter().filter(|line| line["event"] != "session-end").collect();
            match (route.is_audited(), steps.as_slice()) {
                (true, [line]) => {
                    assert_eq!((&line["event"], &line["outcome"]), (&name.into(), &outcome.into()));
                }
                (false, []) => {}
                _ => panic!("{name} wrote {lines:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_sign_in_by_code_is_told_from_the_mail_to_the_sign_out() {
    let app = App::start().await;
    let (jane, mut browser) = (user(&app, JANE), app.browser());
    let asked = |event: &str, effect: &str, email: &str| {
        let (method, email) = ("magic_auth", hash(email));
        json!({ "event": event, "outcome": "success", "effect": effect, "method": method, "email_hash": email })
    };
    let (_, told) = trail(&app, browser.sign_in(NOBODY)).await;
    assert_eq!(told, [asked("sign-in", "no_mail", NOBODY)]);
    let (_, told) = trail(&app, browser.sign_in("Jane.Doe@EXAMPLE.com")).await;
    assert_eq!(told, [asked("sign-in", "code_mailed", JANE)]);
    let (_, told) = trail(&app, browser.resend_magic_auth(JANE)).await;
    assert_eq!(told, [asked("resend-magic-auth", "code_mailed", JANE)]);
    let (_, told) = trail(&app, browser.sign_up(JANE)).await;
    assert_eq!(told, [asked("sign-up", "code_mailed", JANE)]);
    let (_, told) = trail(&app, browser.sign_up(JANE)).await;
    assert_eq!(told, [asked("sign-up", "no_mail", JANE)], "three mails a minute");

    let code = app.code(JANE);
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let (_, told) = trail(&app, browser.finalize_magic_auth(JANE, wrong)).await;
    let refused = json!({
        "event": "finalize-magic-auth", "outcome": "code_rejected", "method": "magic_auth",
        "email_hash": hash(JANE),
    });
    assert_eq!(told, [refused]);
    let (_, told) = trail(&app, browser.finalize_magic_auth(JANE, &code)).await;
    let token = browser.token();
    let begun = json!({
        "event": "finalize-magic-auth", "outcome": "success", "effect": "session_begun", "method": "magic_auth",
        "email_hash": hash(JANE), "user_id": jane, "organization_id": MASADAS, "session": prefix(&token),
    });
    assert_eq!(told, [begun]);

    let (_, told) = trail(&app, browser.clone().sign_out()).await;
    let signed_out = json!({
        "event": "sign-out", "outcome": "success", "user_id": jane, "organization_id": MASADAS,
        "session": prefix(&token),
    });
    assert_eq!(told, [end("sign_out", &jane, Some(MASADAS), &token), signed_out]);
    let (_, told) = trail(&app, browser.sign_out()).await;
    assert_eq!(told, [json!({ "event": "sign-out", "outcome": "not_signed_in", "session": prefix(&token) })]);
}

#[tokio::test]
async fn a_sign_in_through_a_provider_is_told_from_the_redirect_to_the_session() {
    let app = App::start().await;
    let mut browser = app.browser();
    let (_, told) = trail(&app, browser.sign_in("ann@acme.test")).await;
    let sso = json!({
        "event": "sign-in", "outcome": "success", "effect": "redirect", "method": "sso",
        "email_hash": hash("ann@acme.test"),
    });
    assert_eq!(told, [sso]);
    let (answer, told) = trail(&app, browser.continue_with_google()).await;
    let redirect = json!({
        "event": "continue-with-google", "outcome": "success", "effect": "redirect", "method": "google_oauth",
    });
    assert_eq!(told, [redirect]);
    let back = app.at_provider(&answer.text("/authData/redirectURL"), JANE).await;
    let (_, told) = trail(&app, browser.clone().finalize_oauth("a_wrong_code", back.state.as_deref())).await;
    assert_eq!(told, [json!({ "event": "finalize-oauth", "outcome": "code_rejected" })]);
    let (_, told) = trail(&app, browser.finalize_oauth(back.code(), back.state.as_deref())).await;
    let begun = json!({
        "event": "finalize-oauth", "outcome": "success", "effect": "session_begun", "method": "google_oauth",
        "user_id": user(&app, JANE), "organization_id": MASADAS, "session": prefix(&browser.token()),
    });
    assert_eq!(told, [begun]);
}

#[tokio::test]
async fn choices_of_an_organization_and_switches_are_told() {
    let app = App::start().await;
    let (person, mut browser) = (user(&app, TWO_ORGANIZATIONS), app.browser());
    browser.sign_in(TWO_ORGANIZATIONS).await.is(200);
    let code = app.code(TWO_ORGANIZATIONS);
    let (answer, told) = trail(&app, browser.finalize_magic_auth(TWO_ORGANIZATIONS, &code)).await;
    let choose = json!({
        "event": "finalize-magic-auth", "outcome": "success", "effect": "choose_organization",
        "method": "magic_auth", "email_hash": hash(TWO_ORGANIZATIONS), "user_id": person,
    });
    assert_eq!(told, [choose]);
    let pending = answer.text("/user/pendingAuthenticationToken");
    let (_, told) = trail(&app, browser.select_organization(&pending, "org_foreign")).await;
    let refused = json!({
        "event": "select-organization", "outcome": "organization_not_allowed",
        "organization_id": "org_foreign",
    });
    assert_eq!(told, [refused]);
    let (_, told) = trail(&app, browser.select_organization(&pending, MASADAS)).await;
    let first = browser.token();
    let chosen = json!({
        "event": "select-organization", "outcome": "success", "effect": "session_begun", "method": "magic_auth",
        "user_id": person, "organization_id": MASADAS, "session": prefix(&first),
    });
    assert_eq!(told, [chosen]);

    let (_, told) = trail(&app, browser.switch_organization(TWO_ORGANIZATIONS, "org_foreign")).await;
    let refused = json!({
        "event": "switch-organization", "outcome": "organization_not_allowed", "user_id": person,
        "organization_id": "org_foreign", "session": prefix(&first),
    });
    assert_eq!(told, [refused]);
    let (_, told) = trail(&app, browser.switch_organization(TWO_ORGANIZATIONS, TAUNTA)).await;
    let second = browser.token();
    let switched = json!({
        "event": "switch-organization", "outcome": "success", "effect": "session_switched",
        "user_id": person, "organization_id": TAUNTA, "session": prefix(&second),
        "previous_session": prefix(&first),
    });
    assert_eq!(told, [switched]);

    app.workos().revoke_sessions(&person);
    let (_, told) = trail(&app, browser.switch_organization(TWO_ORGANIZATIONS, MASADAS)).await;
    let refused = json!({
        "event": "switch-organization", "outcome": "not_signed_in", "user_id": person,
        "organization_id": MASADAS, "session": prefix(&second),
    });
    assert_eq!(told, [end("workos", &person, Some(TAUNTA), &second), refused]);
}

/// Signs `browser` in again and returns the line of the session that it replaced.
async fn replaced(app: &App, browser: &mut Browser<'_>) -> Vec<Value> {
    let (answer, mut told) = trail(app, browser.dev_sign_in()).await;
    answer.is(200);
    let begun = told.pop().unwrap();
    assert_eq!((&begun["event"], &begun["effect"]), (&json!("dev-sign-in"), &json!("session_begun")));
    assert_eq!(begun["session"], prefix(&browser.token()));
    told
}

#[tokio::test]
async fn a_session_that_a_new_sign_in_replaces_is_told_if_it_was_live() {
    let app = App::start().await;
    let (jane, mut browser) = (user(&app, JANE), app.signed_in(JANE).await);
    let old = browser.clone();
    assert_eq!(replaced(&app, &mut browser).await, [end("replaced", &jane, Some(MASADAS), &old.token())]);
    // Its token is no session any more.
    assert!(replaced(&app, &mut old.clone()).await.is_empty());

    let mut expired = app.signed_in(JANE).await;
    app.edit_session(&expired, |item| item["last_seen_at"] = json!({ "N": "1" }));
    assert!(replaced(&app, &mut expired).await.is_empty());

    // A browser that missed a switch holds the old token, and the new session ends.
    let mut switched = signed_in_to(&app, TWO_ORGANIZATIONS, MASADAS).await;
    let mut late = switched.clone();
    switched.switch_organization(TWO_ORGANIZATIONS, TAUNTA).await.is(200);
    let person = user(&app, TWO_ORGANIZATIONS);
    assert_eq!(replaced(&app, &mut late).await, [end("replaced", &person, Some(TAUNTA), &switched.token())]);
}

#[tokio::test]
async fn a_sign_in_does_not_depend_on_reading_the_session_that_it_replaces() {
    let app = App::start().await;
    let mut browser = app.signed_in(JANE).await;
    let old = browser.clone();
    for fault in [
        Fault::new("GetItem", Effect::Drop),
        Fault::new("GetItem", Effect::Serve).delay(Duration::from_secs(20)),
    ] {
        app.dynamodb().proxy().inject(fault);
        assert!(replaced(&app, &mut browser).await.is_empty());
        app.dynamodb().proxy().clear_faults();
    }
    assert!(app.session_item(&old).is_none());
}

#[tokio::test]
async fn every_session_of_a_sign_out_is_told_even_if_another_one_remains() {
    let app = App::start().await;
    let (jane, mut browser) = (user(&app, JANE), app.signed_in(JANE).await);
    let other = signed_in_to(&app, TWO_ORGANIZATIONS, MASADAS).await;
    let person = user(&app, TWO_ORGANIZATIONS);
    browser.bearer = Some(other.token());
    let (answer, told) = trail(&app, browser.clone().sign_out()).await;
    answer.is(200);
    let [first, second, line] = told.as_slice() else { panic!("{told:?}") };
    let ends = [
        end("sign_out", &jane, Some(MASADAS), &browser.token()),
        end("sign_out", &person, Some(MASADAS), &other.token()),
    ];
    assert!(ends.contains(first) && ends.contains(second) && first != second, "{told:?}");
    assert_eq!((&line["event"], &line["outcome"]), (&json!("sign-out"), &json!("success")));

    // The deletion of one of the two fails.
    let mut browser = app.signed_in(JANE).await;
    browser.bearer = Some(app.signed_in("new.user@example.com").await.token());
    let fails = Fault::response("DeleteItem", 400, "{\"__type\":\"ValidationException\"}").times(1);
    app.dynamodb().proxy().inject(fails);
    let (answer, told) = trail(&app, browser.sign_out()).await;
    answer.refused(503, "sign_out_incomplete");
    let [ended, line] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((&ended["event"], &ended["cause"]), (&json!("session-end"), &json!("sign_out")));
    assert_eq!((&line["event"], &line["outcome"]), (&json!("sign-out"), &json!("sign_out_incomplete")));
}

#[tokio::test]
async fn a_session_that_workos_ended_is_told_and_a_verdict_is_not() {
    let app = App::start().await;
    let mut browser = app.signed_in(JANE).await;
    let jane = user(&app, JANE);
    app.cloud.logs().clear();
    browser.room_auth("Jane", "room").await.is(200);
    app.expire_access(&browser, 1);
    browser.room_auth("Jane", "room").await.is(200);
    app.browser().room_auth("Jane", "room").await.is(401);
    app.workos().revoke_sessions(&jane);
    app.expire_access(&browser, 1);
    browser.room_auth("Jane", "room").await.is(401);
    let is_end = |line: &LogLine| line.text.contains("session-end");
    app.cloud.logs().wait_for(Duration::from_secs(10), is_end).await.expect("the end is logged");
    // The authorizer runs in one process, whose lines arrive in order.
    let told = lines(&app);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["function_name"], "authorizer");
    assert_eq!(facts(told[0].clone()), end("workos", &jane, Some(MASADAS), &browser.token()));
}

#[tokio::test]
async fn an_interrupted_sign_in_and_its_discarded_session_are_told() {
    let app = App::start().await;
    let jane = user(&app, JANE);
    for (effect, is_stored) in [(Effect::Drop, false), (Effect::LoseResponse, true)] {
        let mut browser = app.browser();
        browser.sign_in(JANE).await.is(200);
        let code = app.code(JANE);
        // The first transaction counts the try.
        let fault = Fault { skip: 1, ..Fault::new("TransactWriteItems", effect) };
        app.dynamodb().proxy().inject(fault);
        let (answer, mut told) = trail(&app, browser.finalize_magic_auth(JANE, &code)).await;
        app.dynamodb().proxy().clear_faults();
        answer.refused(502, "sign_in_interrupted");
        let line = told.pop().unwrap();
        let interrupted = json!({
            "event": "finalize-magic-auth", "outcome": "sign_in_interrupted", "method": "magic_auth",
            "email_hash": hash(JANE), "user_id": jane, "organization_id": MASADAS, "session": line["session"],
        });
        assert_eq!(line, interrupted);
        let discarded = json!({
            "event": "session-end", "outcome": "success", "cause": "discarded", "user_id": jane,
            "organization_id": MASADAS, "session": line["session"],
        });
        assert_eq!(told, if is_stored { vec![discarded] } else { Vec::new() });
    }
}

#[tokio::test]
async fn every_request_above_a_limit_is_told() {
    let app = App::start().await;
    for (function, max, body) in limits::limited() {
        limits::count_source(&app, function, max);
        let mut browser = app.browser();
        let (answer, told) = trail(&app, browser.post(&format!("/auth/{function}"), body)).await;
        answer.refused(429, "rate_limited");
        let [line] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!((&line["event"], &line["outcome"]), (&function.into(), &json!("rate_limited")));
    }
}

#[test]
fn operations_lists_every_field_and_value() {
    let source = std::fs::read_to_string(root().join("shared/api/src/audit.rs")).unwrap();
    let values = source.split("=> \"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let fields = source.split_once("tracing::info!(").unwrap().1.split_once(");\n").unwrap().0;
    let fields = fields.lines().map(|line| line.split(['=', ',']).next().unwrap().trim());
    let fields = fields.filter(|field| !field.is_empty() && *field != "audit");
    let operations = std::fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let section = operations.split_once("\n## Audit trail\n").unwrap().1.split_once("\n## ").unwrap().0;
    let names: Vec<_> = fields.chain(values).collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        assert!(section.contains(&format!("`{name}`")), "{name} is not in the section");
    }
}
