//! Faults of WorkOS, DynamoDB and LiveKit at every endpoint that calls them: the response is an error of ours with a
//! documented reason, in time, and the same request works once the fault is gone. The endpoints and what they call are
//! found by the survey of [`Stage`].

use std::time::{Duration, Instant};

use api::Reason;
use catalog::{Answer, Function};
use futures_util::future::join_all;
use local_proxy::{Effect, Fault, FaultProxy};
use serde_json::json;

use crate::app::App;
use crate::stage::{Ready, Stage, Survey, body};

/// A request of the product ends after 8 s, and the local cloud needs a moment around it.
const DEADLINE: Duration = Duration::from_millis(9000);

/// One endpoint of each kind, for faults that one place in the code reads: public, with a session of its own, protected.
const SOME: [&str; 4] = ["finalize-magic-auth", "switch-organization", "room-auth", "start-recording"];

async fn timed(ready: &mut Ready<'_>) -> (Answer, Duration) {
    let began = Instant::now();
    (ready.send().await, began.elapsed())
}

/// Whether the request redeems something before its first call to the table: if the table then fails, it is used up, and
/// the person starts over.
fn is_used_up(survey: &Survey, ready: &Ready<'_>) -> bool {
    let calls = &survey[ready.function().name];
    let redeems = calls.iter().position(|(_, call)| call.starts_with("authenticate."));
    let writes = calls.iter().position(|(upstream, _)| *upstream == "DynamoDB");
    let body = body(&ready.outgoing);
    let single_use = body.get("code").or(body.get("pendingAuthenticationToken")).is_some();
    single_use && redeems.zip(writes).is_some_and(|(redeems, writes)| redeems < writes)
}

/// Sends every request at once while the fault lasts, and again after it.
async fn survive(
    stage: &Stage,
    survey: &Survey,
    what: &str,
    endpoints: &[&'static Function],
    begin: impl Fn(&App),
    end: impl Fn(&App),
    expected: Reason,
) {
    assert!(!endpoints.is_empty(), "{what}: no endpoint");
    stage.reset_limits();
    let mut requests = Vec::new();
    for function in endpoints {
        requests.push(stage.ready(function).await);
    }
    begin(&stage.app);
    let answers = join_all(requests.iter_mut().map(timed)).await;
    end(&stage.app);
    for (request, (answer, took)) in requests.iter().zip(&answers) {
        let name = request.function().name;
        assert!(*took < DEADLINE, "{what}: {name} took {took:?}");
        let reason = answer.body["reason"].as_str().unwrap_or_default();
        let reason = Reason::named(reason).unwrap_or_else(|| panic!("{what}: {name}: {}", answer.body));
        assert_eq!(reason, expected, "{what}: {name}");
        assert_eq!(answer.status, reason.status(), "{what}: {name}");
        assert_eq!(answer.body["code"], reason.status());
        assert_eq!(answer.body["message"], reason.message());
        assert!(answer.body["requestId"].is_string() && answer.header("content-type").is_some());
        assert!(reason.retryable(), "{what}: {name}: {}", reason.name());
        assert_eq!(answer.header("retry-after").is_some(), reason.status() == 503, "{what}: {name}");
        assert!(!answer.body.to_string().contains("upstream-text"), "{what}: {name}: {}", answer.body);
    }
    let (used_up, same): (Vec<_>, Vec<_>) = requests
        .into_iter()
        .partition(|request| expected == Reason::StoreUnavailable && is_used_up(survey, request));
    join_all(same.into_iter().map(|request| works_again(what, request))).await;
    for request in used_up {
        assert!(!request.person.cookies.contains_key("__Host-session"), "{what}");
        stage.ready(request.function()).await.succeed().await;
    }
}

/// The client does as it is told: it tries again, later if the response says so.
async fn works_again(what: &str, mut request: Ready<'_>) {
    let patience = Instant::now() + Duration::from_secs(20);
    let name = request.function().name;
    loop {
        let answer = request.send().await;
        if answer.status.is_success() {
            return;
        }
        let wait = answer.header("retry-after").and_then(|seconds| seconds.parse().ok());
        let again = name == "switch-organization" && answer.body["reason"] == "session_changed";
        assert!(
            again && Instant::now() < patience,
            "{what}: {name} does not work again: {} {}",
            answer.status,
            answer.body
        );
        tokio::time::sleep(Duration::from_secs(wait.unwrap_or(1))).await;
    }
}

/// The endpoints that call an upstream.
fn calling(survey: &Survey, upstream: &str) -> Vec<&'static Function> {
    let calls = |function: &&Function| survey[function.name].iter().any(|(each, _)| *each == upstream);
    catalog::endpoints().into_iter().filter(calls).collect()
}

/// Those of [`SOME`] that call an upstream.
fn some_calling(survey: &Survey, upstream: &str) -> Vec<&'static Function> {
    calling(survey, upstream).into_iter().filter(|function| SOME.contains(&function.name)).collect()
}

/// Sets a variable of every function that has it.
fn point_at(app: &App, variable: &str, url: &str) {
    for function in app.functions() {
        let has_it =
            |function| app.cloud.environment_of(function).is_some_and(|all| all.contains_key(variable));
        if has_it(&function) {
            app.runtime().set_environment(&function, [(variable, Some(url))]).unwrap();
        }
    }
}

fn fault(proxy: &FaultProxy, status: u16, body: &str) {
    proxy.inject(Fault::response("*", status, body).header("content-type", "application/json"));
}

const PAGE: &str = "<!doctype html><html><body>upstream-text</body></html>";

#[tokio::test]
async fn faults_of_workos_lose_nothing() {
    let stage = Stage::open().await;
    let survey = stage.survey().await;
    let endpoints = calling(&survey, "WorkOS");
    let busy = Reason::WorkosBusy;
    let unavailable = Reason::WorkosUnavailable;
    let json = "{\"message\":\"upstream-text\"}";
    for (what, status, body, expected) in [
        ("429", 429, json, busy),
        ("503", 503, json, busy),
        ("500", 500, json, unavailable),
        ("malformed JSON", 200, "{\"user\":{\"id\":\"upstream-text", unavailable),
        ("an empty success", 200, "", unavailable),
        ("a page instead of success", 200, PAGE, unavailable),
        ("a page instead of an error", 502, PAGE, unavailable),
        ("an unknown error", 400, "{\"code\":\"upstream-text\",\"message\":\"upstream-text\"}", unavailable),
    ] {
        let begin = |app: &App| fault(app.workos().proxy(), status, body);
        survive(
            &stage,
            &survey,
            what,
            &endpoints,
            begin,
            |app| app.workos().proxy().clear_faults(),
            expected,
        )
        .await;
    }
    for (what, effect) in [("dropped", Effect::Drop), ("dropped mid-body", Effect::DropMidBody)] {
        let begin = |app: &App| app.workos().proxy().inject(Fault::new("*", effect.clone()));
        survive(
            &stage,
            &survey,
            what,
            &endpoints,
            begin,
            |app| app.workos().proxy().clear_faults(),
            unavailable,
        )
        .await;
    }
}

#[tokio::test]
async fn workos_stalling_or_gone_loses_nothing() {
    let stage = Stage::open().await;
    let survey = stage.survey().await;
    let endpoints = calling(&survey, "WorkOS");
    let unavailable = Reason::WorkosUnavailable;
    let stall = Fault::new("*", Effect::Serve).delay(Duration::from_secs(30));
    let begin = |app: &App| app.workos().proxy().inject(stall.clone());
    let end = |app: &App| app.workos().proxy().clear_faults();
    survive(&stage, &survey, "a stall", &endpoints, begin, end, unavailable).await;

    let url = stage.app.workos().url().to_owned();
    // The provider's pages stay where they are: browsers go there, not functions.
    let gone = |app: &App| point_at(app, "WORKOS_API_URL", "http://127.0.0.1:1");
    let end = |app: &App| point_at(app, "WORKOS_API_URL", &url);
    survive(&stage, &survey, "connection refused", &endpoints, gone, end, unavailable).await;
}

#[tokio::test]
async fn how_long_workos_asks_to_wait_is_passed_on() {
    let app = App::start().await;
    let (proxy, body) = (app.workos().proxy(), "{\"error\":\"too_many_requests\"}");
    for (header, expected) in [(None, "1"), (Some("7"), "7"), (Some("3600"), "60"), (Some("soon"), "1")] {
        let fault = Fault::response("*", 429, body);
        proxy.inject(match header {
            Some(seconds) => fault.header("retry-after", seconds),
            None => fault,
        });
        let answer = app.browser().dev_sign_in().await.refused(503, "workos_busy");
        assert_eq!(answer.header("retry-after"), Some(expected), "{header:?}");
        proxy.clear_faults();
    }
}

#[tokio::test]
async fn values_of_next_year_are_no_fault() {
    let app = App::start().await;
    let proxy = app.workos().proxy();
    // A method and fields that nobody knows yet.
    let mut browser = app.signed_in("jane.doe@example.com").await;
    let user_id = app.workos().user_id("jane.doe@example.com").unwrap();
    let claims = app.workos().claims(&app.workos().sessions(&user_id)[0]).unwrap();
    let answer = json!({
        "user": {
            "object": "user", "id": user_id, "email": "jane.doe@example.com", "email_verified": true,
            "first_name": null, "last_name": null, "profile_picture_url": null, "last_sign_in_at": null,
            "external_id": null, "metadata": {}, "locale": "xx-YY", "mood": "new",
            "created_at": "2026-01-01T00:00:00.000Z", "updated_at": "2026-01-01T00:00:00.000Z",
        },
        "access_token": app.workos().sign(&claims),
        "refresh_token": "refresh-1",
        "authentication_method": "Telepathy",
        "mood": { "new": true },
    });
    proxy.inject(Fault::response("authenticate.organization_selection", 200, answer.to_string()));
    let answer = app.browser().select_organization("pending", "org_1").await.is(200);
    assert_eq!(answer.body, json!({ "user": { "id": user_id, "email": "jane.doe@example.com" } }));
    browser.room_auth("Jane", "room").await.is(200);

    // A connection in a state and of a type that nobody knows yet is none that could be used.
    app.workos().add_user("kim@future.test");
    let domain =
        json!({ "object": "organization_domain", "id": "d", "domain": "future.test", "state": "verified" });
    let organizations =
        json!({ "object": "list", "data": [{ "id": "org_f", "name": "F", "domains": [domain] }] });
    let connection = |state: &str| {
        json!({ "object": "list", "data": [{
            "id": "conn_f", "organization_id": "org_f", "connection_type": "TelepathySAML", "name": "F",
            "state": state, "domains": [{ "domain": "future.test" }],
        }]})
    };
    proxy.inject(Fault::response("organizations.list", 200, organizations.to_string()));
    proxy.inject(Fault::response("connections.list", 200, connection("half_active").to_string()).times(1));
    proxy.inject(Fault::response("connections.list", 200, connection("active").to_string()));
    let answer = app.browser().sign_in("kim@future.test").await.is(200);
    assert_eq!(answer.body["authData"]["authMethod"], "magic_auth");
    app.runtime().kill("sign-in").await.unwrap();
    let answer = app.browser().sign_in("kim@future.test").await.is(200);
    assert_eq!(answer.body["authData"]["authMethod"], "sso", "an unknown type that is active can be used");
}

#[tokio::test]
async fn faults_of_dynamodb_lose_nothing() {
    let stage = Stage::open().await;
    let survey = stage.survey().await;
    let (all, some) = (calling(&survey, "DynamoDB"), some_calling(&survey, "DynamoDB"));
    let kind = |name: &str| {
        format!("{{\"__type\":\"com.amazonaws.dynamodb.v20120810#{name}\",\"message\":\"upstream-text\"}}")
    };
    let answer = |status, body: String| Effect::Response { status, headers: [].into(), body };
    for (what, endpoints, effect) in [
        ("throttling", &all, answer(400, kind("ProvisionedThroughputExceededException"))),
        ("dropped mid-body", &all, Effect::DropMidBody),
        ("500", &some, answer(500, kind("InternalServerError"))),
        ("503", &some, answer(503, String::new())),
        ("a transaction conflict", &some, answer(400, kind("TransactionConflictException"))),
        ("malformed JSON", &some, answer(200, "{\"Item\":{\"pk\":{\"S\":\"upstream-text".to_owned())),
        ("a page", &some, answer(502, PAGE.to_owned())),
        ("dropped", &some, Effect::Drop),
    ] {
        let begin = |app: &App| app.dynamodb().proxy().inject(Fault::new("*", effect.clone()));
        let end = |app: &App| app.dynamodb().proxy().clear_faults();
        survive(&stage, &survey, what, endpoints, begin, end, Reason::StoreUnavailable).await;
    }
}

#[tokio::test]
async fn dynamodb_stalling_or_gone_loses_nothing() {
    let stage = Stage::open().await;
    let survey = stage.survey().await;
    let endpoints = calling(&survey, "DynamoDB");
    let stall = Fault::new("*", Effect::Serve).delay(Duration::from_secs(30));
    let begin = |app: &App| app.dynamodb().proxy().inject(stall.clone());
    let end = |app: &App| app.dynamodb().proxy().clear_faults();
    survive(&stage, &survey, "a stall", &endpoints, begin, end, Reason::StoreUnavailable).await;

    let url = stage.app.dynamodb().url().to_owned();
    let gone = |app: &App| point_at(app, "AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1");
    let end = |app: &App| point_at(app, "AWS_ENDPOINT_URL_DYNAMODB", &url);
    let some = some_calling(&survey, "DynamoDB");
    survive(&stage, &survey, "connection refused", &some, gone, end, Reason::StoreUnavailable).await;
}

#[tokio::test]
async fn one_throttled_or_lost_call_to_dynamodb_goes_unnoticed() {
    let stage = Stage::open().await;
    let endpoints = calling(&stage.survey().await, "DynamoDB");
    let throttled = "{\"__type\":\"com.amazonaws.dynamodb.v20120810#ThrottlingException\"}";
    for fault in [
        Fault::response("*", 400, throttled),
        // The write has happened: sent again, it must recognise itself.
        Fault::new("*", Effect::LoseResponse),
    ] {
        stage.reset_limits();
        for function in &endpoints {
            let mut request = stage.ready(function).await;
            stage.app.dynamodb().proxy().inject(fault.clone().times(1));
            let answer = request.send().await;
            stage.app.dynamodb().proxy().clear_faults();
            assert!(
                answer.status.is_success(),
                "{} with {fault:?}: {} {}",
                function.name,
                answer.status,
                answer.body
            );
        }
    }
}

#[tokio::test]
async fn faults_of_livekit_lose_nothing() {
    let stage = Stage::open().await;
    let survey = stage.survey().await;
    let endpoints = calling(&survey, "LiveKit");
    let proxy = |app: &App| app.livekit().proxy().clone();
    for (what, effect) in [
        ("dropped", Effect::Drop),
        ("dropped mid-body", Effect::DropMidBody),
        ("a page", Effect::Response { status: 502, headers: [].into(), body: PAGE.to_owned() }),
    ] {
        let begin = |app: &App| proxy(app).inject(Fault::new("*", effect.clone()));
        let end = |app: &App| proxy(app).clear_faults();
        survive(&stage, &survey, what, &endpoints, begin, end, Reason::LivekitUnavailable).await;
    }
}
