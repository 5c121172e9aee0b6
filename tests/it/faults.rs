//! Faults of WorkOS, DynamoDB and LiveKit at every endpoint that calls them: the response is a documented error, within
//! the deadline, and the same request succeeds after the fault. If a code may be redeemed, a new sign-in does.
//! [`Stage::survey`] finds the endpoints and their calls.

use std::time::{Duration, Instant};

use api::Reason;
use catalog::{Answer, Function};
use futures_util::future::join_all;
use local_proxy::{Effect, Fault, FaultProxy};
use serde_json::{Value, json};

use crate::app::App;
use crate::stage::{Ready, Stage, Survey};

/// A function responds within 8 s. The local cloud adds a little.
const DEADLINE: Duration = Duration::from_millis(9000);

/// One endpoint of each kind, for faults that are handled in one place: public, with its own session check, protected.
const SOME: [&str; 4] = ["finalize-magic-auth", "switch-organization", "room-auth", "start-recording"];

async fn timed(ready: &mut Ready<'_>) -> (Answer, Duration) {
    let started = Instant::now();
    (ready.send().await, started.elapsed())
}

/// Whether a fault of `upstream` interrupts a sign-in: WorkOS may have redeemed the code or token when it strikes.
fn is_interrupted(survey: &Survey, ready: &Ready<'_>, upstream: &str) -> bool {
    let calls = &survey[ready.function().name];
    let redeems = calls.iter().position(|(_, call)| call.starts_with("authenticate."));
    let strikes = calls.iter().position(|(each, _)| *each == upstream);
    redeems.zip(strikes).is_some_and(|(redeems, strikes)| redeems <= strikes)
}

/// Sends the examples of `endpoints` concurrently during a fault and expects the error `expected`. Sends them again
/// after the fault and expects success. If the fault is one of `interrupting`, it interrupts the sign-ins in which a
/// code may be redeemed: these are started over.
#[expect(clippy::too_many_arguments, reason = "a fault, and what is expected of it")]
async fn survive(
    stage: &Stage,
    survey: &Survey,
    fault: &str,
    endpoints: &[&'static Function],
    begin: impl Fn(&App),
    end: impl Fn(&App),
    expected: Reason,
    interrupting: Option<&str>,
) {
    assert!(!endpoints.is_empty(), "{fault}: no endpoint");
    stage.app.reset_limits();
    let mut requests = Vec::new();
    for function in endpoints {
        requests.push(stage.ready(function).await);
    }
    begin(&stage.app);
    let responses = join_all(requests.iter_mut().map(timed)).await;
    end(&stage.app);
    let interrupts =
        |request: &Ready<'_>| interrupting.is_some_and(|upstream| is_interrupted(survey, request, upstream));
    for (request, (response, took)) in requests.iter().zip(&responses) {
        let expected = if interrupts(request) { Reason::SignInInterrupted } else { expected };
        let name = request.function().name;
        assert!(*took < DEADLINE, "{fault}: {name} took {took:?}");
        let reason = response.body["reason"].as_str().unwrap_or_default();
        let reason = Reason::named(reason).unwrap_or_else(|| panic!("{fault}: {name}: {}", response.body));
        // A sign-out has cleared the cookies, so its error is final.
        let is_sign_out = request.function().route.any_verdict;
        // Sessions that have ended here remain at WorkOS.
        let remain = request.function().route.all_reasons().contains(&Reason::SessionsRemain)
            && [Reason::WorkosBusy, Reason::WorkosUnavailable].contains(&expected);
        let expected = match (is_sign_out, remain) {
            (true, _) => Reason::SignOutIncomplete,
            (_, true) => Reason::SessionsRemain,
            _ => expected,
        };
        assert_eq!(reason, expected, "{fault}: {name}");
        assert_eq!(response.status, reason.status(), "{fault}: {name}");
        assert_eq!(response.body["code"], reason.status());
        assert_eq!(response.body["message"], reason.message());
        assert!(response.body["requestId"].is_string() && response.header("content-type").is_some());
        let is_final = is_sign_out || interrupts(request);
        assert_eq!(reason.retryable(), !is_final, "{fault}: {name}: {}", reason.name());
        let must_wait = reason.status() == 503 && !is_final;
        assert_eq!(response.header("retry-after").is_some(), must_wait, "{fault}: {name}");
        assert!(!response.body.to_string().contains("upstream-text"), "{fault}: {name}: {}", response.body);
    }
    let (interrupted, same): (Vec<_>, Vec<_>) = requests.into_iter().partition(interrupts);
    join_all(same.into_iter().map(|request| retry(fault, request))).await;
    for request in interrupted {
        for cookie in ["__Host-session", "__Host-oauth"] {
            assert!(!request.person.cookies.contains_key(cookie), "{fault}: {cookie}");
        }
        stage.ready(request.function()).await.succeed().await;
    }
}

/// Sends the request again, as a client would. It must succeed at once, unless the session is still being refreshed.
async fn retry(fault: &str, mut request: Ready<'_>) {
    let give_up_at = Instant::now() + Duration::from_secs(20);
    let name = request.function().name;
    loop {
        let response = request.send().await;
        if response.status.is_success() {
            return;
        }
        let wait = response.header("retry-after").and_then(|seconds| seconds.parse().ok());
        let is_refreshing = name == "switch-organization" && response.body["reason"] == "session_changed";
        assert!(
            is_refreshing && Instant::now() < give_up_at,
            "{fault}: {name} still fails after the fault: {} {}",
            response.status,
            response.body
        );
        tokio::time::sleep(Duration::from_secs(wait.unwrap_or(1))).await;
    }
}

/// The endpoints that call an upstream.
fn endpoints_calling(survey: &Survey, upstream: &str) -> Vec<&'static Function> {
    let calls = |function: &&Function| survey[function.name].iter().any(|(each, _)| *each == upstream);
    catalog::endpoints().into_iter().filter(calls).collect()
}

/// Those of [`SOME`] that call an upstream.
fn some_calling(survey: &Survey, upstream: &str) -> Vec<&'static Function> {
    endpoints_calling(survey, upstream).into_iter().filter(|function| SOME.contains(&function.name)).collect()
}

/// Sets a variable for every function that has it.
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
    let endpoints = endpoints_calling(&survey, "WorkOS");
    let busy = Reason::WorkosBusy;
    let unavailable = Reason::WorkosUnavailable;
    let json = "{\"message\":\"upstream-text\"}";
    for (what, status, body, expected) in [
        // Nothing was redeemed, and the same code can be sent again.
        ("429", 429, json, busy),
        ("503", 503, json, busy),
        ("500", 500, json, unavailable),
        ("malformed JSON", 200, "{\"user\":{\"id\":\"upstream-text", unavailable),
        ("an empty 200", 200, "", unavailable),
        ("an HTML page with 200", 200, PAGE, unavailable),
        ("an HTML page with 502", 502, PAGE, unavailable),
        ("an unknown error", 400, "{\"code\":\"upstream-text\",\"message\":\"upstream-text\"}", unavailable),
    ] {
        let mut endpoints = endpoints.clone();
        // Whether WorkOS mails less to some addresses must not be seen: known and unknown ones get a success.
        endpoints.retain(|function| (status, function.name) != (429, "sign-up"));
        // A revocation's response says nothing but its status.
        endpoints.retain(|function| {
            status != 200 || !function.route.all_reasons().contains(&Reason::SessionsRemain)
        });
        let begin = |app: &App| fault(app.workos().proxy(), status, body);
        survive(
            &stage,
            &survey,
            what,
            &endpoints,
            begin,
            |app| app.workos().proxy().clear_faults(),
            expected,
            (status != 429).then_some("WorkOS"),
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
            Some("WorkOS"),
        )
        .await;
    }
}

#[tokio::test]
async fn workos_stalling_or_gone_loses_nothing() {
    let stage = Stage::open().await;
    let survey = stage.survey().await;
    let endpoints = endpoints_calling(&survey, "WorkOS");
    let unavailable = Reason::WorkosUnavailable;
    let stall = Fault::new("*", Effect::Serve).delay(Duration::from_secs(30));
    let begin = |app: &App| app.workos().proxy().inject(stall.clone());
    let end = |app: &App| app.workos().proxy().clear_faults();
    survive(&stage, &survey, "a stall", &endpoints, begin, end, unavailable, Some("WorkOS")).await;

    let url = stage.app.workos().url().to_owned();
    // The provider's pages stay reachable: browsers visit them, not functions.
    let gone = |app: &App| point_at(app, "WORKOS_API_URL", "http://127.0.0.1:1");
    let end = |app: &App| point_at(app, "WORKOS_API_URL", &url);
    // Nothing was sent.
    survive(&stage, &survey, "connection refused", &endpoints, gone, end, unavailable, None).await;
}

#[tokio::test]
async fn the_retry_after_of_workos_is_passed_on() {
    let app = App::start().await;
    let (proxy, body) = (app.workos().proxy(), "{\"error\":\"too_many_requests\"}");
    for (header, expected) in [(None, "1"), (Some("7"), "7"), (Some("3600"), "60"), (Some("soon"), "1")] {
        let fault = Fault::response("*", 429, body);
        proxy.inject(match header {
            Some(seconds) => fault.header("retry-after", seconds),
            None => fault,
        });
        let response = app.browser().dev_sign_in().await.refused(503, "workos_busy");
        assert_eq!(response.header("retry-after"), Some(expected), "{header:?}");
        proxy.clear_faults();
    }
}

#[tokio::test]
async fn unknown_fields_and_values_of_workos_are_accepted() {
    let app = App::start().await;
    let proxy = app.workos().proxy();
    // An authentication method and fields that do not exist yet.
    let mut browser = app.signed_in("jane.doe@example.com").await;
    let user_id = app.workos().user_id("jane.doe@example.com").unwrap();
    let claims = app.workos().claims(&app.workos().sessions(&user_id)[0]).unwrap();
    let grant = json!({
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
    proxy.inject(Fault::response("authenticate.organization_selection", 200, grant.to_string()));
    let response = app.browser().select_organization("pending", "org_1").await.is(200);
    assert_eq!(response.body["user"]["id"], user_id);
    assert_eq!(response.body["user"]["firstName"], Value::Null);
    browser.room_auth("Jane", "room").await.is(200);

    // A connection of an unknown type is used, but not one in an unknown state.
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
    let response = app.browser().sign_in("kim@future.test").await.is(200);
    assert_eq!(response.body["authData"]["authMethod"], "magic_auth");
    app.runtime().kill("sign-in").await.unwrap();
    let response = app.browser().sign_in("kim@future.test").await.is(200);
    assert_eq!(response.body["authData"]["authMethod"], "sso", "an active connection of an unknown type");
}

#[tokio::test]
async fn faults_of_dynamodb_lose_nothing() {
    let stage = Stage::open().await;
    let survey = stage.survey().await;
    let (all, some) = (endpoints_calling(&survey, "DynamoDB"), some_calling(&survey, "DynamoDB"));
    let error = |name: &str| {
        format!("{{\"__type\":\"com.amazonaws.dynamodb.v20120810#{name}\",\"message\":\"upstream-text\"}}")
    };
    let response = |status, body: String| Effect::Response { status, headers: [].into(), body };
    for (what, endpoints, effect) in [
        ("throttling", &all, response(400, error("ProvisionedThroughputExceededException"))),
        ("dropped mid-body", &all, Effect::DropMidBody),
        ("500", &some, response(500, error("InternalServerError"))),
        ("503", &some, response(503, String::new())),
        ("a transaction conflict", &some, response(400, error("TransactionConflictException"))),
        ("malformed JSON", &some, response(200, "{\"Item\":{\"pk\":{\"S\":\"upstream-text".to_owned())),
        ("an HTML page", &some, response(502, PAGE.to_owned())),
        ("dropped", &some, Effect::Drop),
    ] {
        let begin = |app: &App| app.dynamodb().proxy().inject(Fault::new("*", effect.clone()));
        let end = |app: &App| app.dynamodb().proxy().clear_faults();
        survive(&stage, &survey, what, endpoints, begin, end, Reason::StoreUnavailable, Some("DynamoDB"))
            .await;
    }
}

#[tokio::test]
async fn dynamodb_stalling_or_gone_loses_nothing() {
    let stage = Stage::open().await;
    let survey = stage.survey().await;
    let endpoints = endpoints_calling(&survey, "DynamoDB");
    let stall = Fault::new("*", Effect::Serve).delay(Duration::from_secs(30));
    let begin = |app: &App| app.dynamodb().proxy().inject(stall.clone());
    let end = |app: &App| app.dynamodb().proxy().clear_faults();
    survive(&stage, &survey, "a stall", &endpoints, begin, end, Reason::StoreUnavailable, Some("DynamoDB"))
        .await;

    let url = stage.app.dynamodb().url().to_owned();
    let gone = |app: &App| point_at(app, "AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1");
    let end = |app: &App| point_at(app, "AWS_ENDPOINT_URL_DYNAMODB", &url);
    let some = some_calling(&survey, "DynamoDB");
    survive(
        &stage,
        &survey,
        "connection refused",
        &some,
        gone,
        end,
        Reason::StoreUnavailable,
        Some("DynamoDB"),
    )
    .await;
}

#[tokio::test]
async fn one_throttled_or_lost_dynamodb_call_is_retried() {
    let stage = Stage::open().await;
    let endpoints = endpoints_calling(&stage.survey().await, "DynamoDB");
    let throttled = "{\"__type\":\"com.amazonaws.dynamodb.v20120810#ThrottlingException\"}";
    for fault in [
        Fault::response("*", 400, throttled),
        // The write succeeded: the retry must recognize it as its own.
        Fault::new("*", Effect::LoseResponse),
    ] {
        stage.app.reset_limits();
        for function in &endpoints {
            let mut request = stage.ready(function).await;
            stage.app.dynamodb().proxy().inject(fault.clone().times(1));
            let response = request.send().await;
            stage.app.dynamodb().proxy().clear_faults();
            assert!(
                response.status.is_success(),
                "{} with {fault:?}: {} {}",
                function.name,
                response.status,
                response.body
            );
        }
    }
}

#[tokio::test]
async fn faults_of_livekit_lose_nothing() {
    let stage = Stage::open().await;
    let survey = stage.survey().await;
    let endpoints = endpoints_calling(&survey, "LiveKit");
    let proxy = |app: &App| app.livekit().proxy().clone();
    for (what, effect) in [
        ("dropped", Effect::Drop),
        ("dropped mid-body", Effect::DropMidBody),
        ("an HTML page", Effect::Response { status: 502, headers: [].into(), body: PAGE.to_owned() }),
    ] {
        let begin = |app: &App| proxy(app).inject(Fault::new("*", effect.clone()));
        let end = |app: &App| proxy(app).clear_faults();
        survive(&stage, &survey, what, &endpoints, begin, end, Reason::LivekitUnavailable, None).await;
    }
}
