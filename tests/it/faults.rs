//! Faults of WorkOS and of DynamoDB, at every endpoint that calls them: the answer is an error of ours with a
//! documented reason, in time, and the same request works once the fault is gone.

use std::time::{Duration, Instant};

use api::Reason;
use futures_util::future::join_all;
use local_proxy::{Effect, Fault, FaultProxy};
use serde_json::{Value, json};

use crate::app::{Answer, App, Browser};

/// A request of the product ends after 8 s, and the local cloud needs a moment around it.
const DEADLINE: Duration = Duration::from_millis(9000);

/// Endpoints that need WorkOS.
const WORKOS: [&str; 8] = [
    "sign-in",
    "sign-up",
    "resend-magic-auth",
    "finalize-magic-auth",
    "finalize-oauth",
    "select-organization",
    "switch-organization",
    "dev-sign-in",
];

/// Endpoints that need the table.
const TABLE: [&str; 12] = [
    "sign-in",
    "sign-up",
    "resend-magic-auth",
    "finalize-magic-auth",
    "finalize-oauth",
    "select-organization",
    "switch-organization",
    "dev-sign-in",
    "room-auth",
    "start-recording",
    "stop-recording",
    "sign-out",
];

/// One endpoint of each kind: public, with a session of its own, protected.
const SOME: [&str; 4] = ["finalize-magic-auth", "switch-organization", "room-auth", "start-recording"];

/// Functions with the table in their environment, the authorizer included.
const STORES: [&str; 11] = [
    "authorizer",
    "sign-in",
    "sign-up",
    "resend-magic-auth",
    "finalize-magic-auth",
    "finalize-oauth",
    "select-organization",
    "switch-organization",
    "dev-sign-in",
    "sign-out",
    "start-recording",
];

const ROOM: &str = "room";

/// A request that works while nothing is wrong, with all that it needs.
struct Prepared<'a> {
    endpoint: &'static str,
    browser: Browser<'a>,
    path: String,
    body: Value,
}

impl Prepared<'_> {
    async fn send(&mut self) -> (Answer, Duration) {
        let began = Instant::now();
        let answer = self.browser.post(&self.path, self.body.clone()).await;
        (answer, began.elapsed())
    }
}

/// Two organizations for everybody who needs a choice.
struct Stage {
    app: App,
    organizations: [String; 2],
    number: u32,
}

impl Stage {
    async fn open() -> Self {
        let app = App::start().await;
        let organizations = ["One", "Two"].map(|name| app.workos().add_organization(name, &[]));
        Self { app, organizations, number: 0 }
    }

    /// A new person, in both organizations or in none.
    fn person(&mut self, member: bool) -> String {
        self.number += 1;
        let email = format!("person{}@example.com", self.number);
        let user = self.app.workos().add_user(&email);
        for organization in self.organizations.iter().filter(|_| member) {
            self.app.workos().add_membership(&user, organization, "member", &["rooms:join"]);
        }
        email
    }

    async fn choosing(&self, browser: &mut Browser<'_>, email: &str) -> String {
        browser.sign_up(email).await.is(201);
        let answer = browser.finalize_magic_auth(email, &self.app.code(email)).await.is(200);
        answer.text("/user/pendingAuthenticationToken")
    }

    async fn prepare(&mut self, endpoint: &'static str) -> Prepared<'_> {
        let several = ["select-organization", "switch-organization"].contains(&endpoint);
        let email = self.person(several);
        let (app, [here, there]) = (&self.app, &self.organizations);
        let mut browser = app.browser();
        let mut path = format!("/auth/{endpoint}");
        let body = match endpoint {
            "sign-in" | "sign-up" | "resend-magic-auth" => json!({ "email": email }),
            "finalize-magic-auth" => {
                browser.sign_up(&email).await.is(201);
                json!({ "email": email, "code": app.code(&email) })
            }
            "finalize-oauth" => {
                let url = browser.continue_with_google().await.is(200).text("/authData/redirectURL");
                let back = app.at_provider(&url, &email).await;
                json!({ "code": back.code, "state": back.state })
            }
            "select-organization" => {
                let pending = self.choosing(&mut browser, &email).await;
                json!({ "pendingAuthenticationToken": pending, "organizationId": here })
            }
            "switch-organization" => {
                let pending = self.choosing(&mut browser, &email).await;
                browser.select_organization(&pending, here).await.is(200);
                json!({ "email": email, "organizationId": there })
            }
            // WorkOS limits the mails to one address.
            "dev-sign-in" => {
                let email = [("DEV_SIGN_IN_EMAIL", Some(email.as_str()))];
                app.runtime().set_environment("dev-sign-in", email).unwrap();
                json!({})
            }
            _ => {
                browser = app.signed_in(&email).await;
                path = match endpoint {
                    "sign-out" => path,
                    _ => format!("/api/v1/livekit/{endpoint}"),
                };
                let room = format!("{ROOM}{}", self.number);
                match endpoint {
                    "room-auth" => json!({ "username": "Kim", "roomId": room }),
                    "sign-out" => json!({}),
                    _ => {
                        let token = browser.room_auth("Kim", &room).await.is(200).text("/token");
                        app.livekit().join(&token).expect("Kim joins");
                        let start = json!({
                            "roomName": room, "conferenceTopic": "T", "zoneId": "1", "participants": "a",
                        });
                        if endpoint == "start-recording" {
                            start
                        } else {
                            let egress = browser.start_recording(start).await.is(200).text("/egressId");
                            json!({ "roomName": room, "egressId": egress, "zoneId": "1" })
                        }
                    }
                }
            }
        };
        Prepared { endpoint, browser, path, body }
    }
}

/// Grants that come before the first call to the table: where that fails they are spent, and the person begins again.
const SPENT: [&str; 2] = ["finalize-oauth", "select-organization"];

/// Owns what the requests of one round borrow.
async fn prepare_all(stage: &mut Stage, endpoints: &[&'static str]) -> Vec<(&'static str, Kept)> {
    let mut kept = Vec::new();
    for endpoint in endpoints {
        let Prepared { endpoint, browser, path, body } = stage.prepare(endpoint).await;
        kept.push((endpoint, Kept { cookies: browser.cookies.clone(), path, body }));
    }
    kept
}

/// A prepared request without its loan of the stage.
struct Kept {
    cookies: std::collections::BTreeMap<String, String>,
    path: String,
    body: Value,
}

impl Kept {
    fn on<'a>(self, app: &'a App, endpoint: &'static str) -> Prepared<'a> {
        let mut browser = app.browser();
        browser.cookies = self.cookies;
        Prepared { endpoint, browser, path: self.path, body: self.body }
    }
}

/// Sends every request at once while the fault lasts, and again after it.
async fn survive(
    stage: &mut Stage,
    what: &str,
    endpoints: &[&'static str],
    begin: impl Fn(&App),
    end: impl Fn(&App),
    expected: Reason,
) {
    forget_limits(&stage.app);
    let kept = prepare_all(stage, endpoints).await;
    let app = &stage.app;
    let mut prepared: Vec<_> = kept.into_iter().map(|(endpoint, kept)| kept.on(app, endpoint)).collect();
    begin(app);
    let answers = join_all(prepared.iter_mut().map(Prepared::send)).await;
    end(app);
    for (request, (answer, took)) in prepared.iter().zip(&answers) {
        let endpoint = request.endpoint;
        assert!(*took < DEADLINE, "{what}: {endpoint} took {took:?}");
        let name = answer.body["reason"].as_str().unwrap_or_default();
        let reason = Reason::named(name).unwrap_or_else(|| panic!("{what}: {endpoint}: {}", answer.body));
        assert_eq!(answer.status, reason.status(), "{what}: {endpoint}");
        assert_eq!(answer.body["code"], reason.status());
        assert_eq!(answer.body["message"], reason.message());
        assert!(answer.body["requestId"].is_string() && answer.header("content-type").is_some());
        assert!(reason.retryable(), "{what}: {endpoint}: {name}");
        assert_eq!(answer.header("retry-after").is_some(), reason.status() == 503, "{what}: {endpoint}");
        assert_eq!(reason, expected, "{what}: {endpoint}");
        assert!(!answer.body.to_string().contains("upstream-text"), "{what}: {endpoint}: {}", answer.body);
    }
    let (spent, same): (Vec<_>, Vec<_>) = prepared
        .into_iter()
        .partition(|request| expected == Reason::StoreUnavailable && SPENT.contains(&request.endpoint));
    join_all(same.into_iter().map(|request| works_again(what, request))).await;
    let spent: Vec<_> = spent
        .into_iter()
        .inspect(|request| assert!(!request.browser.cookies.contains_key("__Host-session"), "{what}"))
        .map(|request| request.endpoint)
        .collect();
    for endpoint in spent {
        let (answer, _) = stage.prepare(endpoint).await.send().await;
        answer.is(200);
    }
}

/// All tests come from one address, and there is a limit for that.
fn forget_limits(app: &App) {
    let table = app.cloud.table().expect("a table");
    for mut item in app.items_of("limit#").into_iter().filter(|item| item.get("requests").is_some()) {
        item["requests"] = json!({ "N": "0" });
        app.dynamodb().put(table, &item).expect("the item is taken");
    }
}

/// The client does as it is told: it tries again, later where the answer says so.
async fn works_again(what: &str, mut request: Prepared<'_>) {
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        let (answer, _) = request.send().await;
        if answer.status.is_success() {
            return;
        }
        let wait = answer.header("retry-after").and_then(|seconds| seconds.parse().ok());
        let again = request.endpoint == "switch-organization" && answer.body["reason"] == "session_changed";
        assert!(
            again && Instant::now() < patience,
            "{what}: {} does not work again: {} {}",
            request.endpoint,
            answer.status,
            answer.body
        );
        tokio::time::sleep(Duration::from_secs(wait.unwrap_or(1))).await;
    }
}

fn fault(proxy: &FaultProxy, status: u16, body: &str) {
    proxy.inject(Fault::response("*", status, body).header("content-type", "application/json"));
}

const PAGE: &str = "<!doctype html><html><body>upstream-text</body></html>";

#[tokio::test]
async fn faults_of_workos_lose_nothing() {
    let mut stage = Stage::open().await;
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
        survive(&mut stage, what, &WORKOS, begin, |app| app.workos().proxy().clear_faults(), expected).await;
    }
    for (what, effect) in [("dropped", Effect::Drop), ("dropped mid-body", Effect::DropMidBody)] {
        let begin = |app: &App| app.workos().proxy().inject(Fault::new("*", effect.clone()));
        survive(&mut stage, what, &WORKOS, begin, |app| app.workos().proxy().clear_faults(), unavailable)
            .await;
    }
}

#[tokio::test]
async fn workos_stalling_or_gone_loses_nothing() {
    let mut stage = Stage::open().await;
    let unavailable = Reason::WorkosUnavailable;
    let stall = Fault::new("*", Effect::Serve).delay(Duration::from_secs(30));
    let begin = |app: &App| app.workos().proxy().inject(stall.clone());
    survive(&mut stage, "a stall", &WORKOS, begin, |app| app.workos().proxy().clear_faults(), unavailable)
        .await;

    let url = stage.app.workos().url().to_owned();
    let point_at = |app: &App, url: &str| {
        for function in WORKOS {
            app.runtime().set_environment(function, [("WORKOS_API_URL", Some(url))]).unwrap();
        }
    };
    let gone = |app: &App| point_at(app, "http://127.0.0.1:1");
    survive(&mut stage, "connection refused", &WORKOS, gone, |app| point_at(app, &url), unavailable).await;
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
    let mut stage = Stage::open().await;
    let kind = |name: &str| {
        format!("{{\"__type\":\"com.amazonaws.dynamodb.v20120810#{name}\",\"message\":\"upstream-text\"}}")
    };
    let answer = |status, body: String| Effect::Response { status, headers: [].into(), body };
    for (what, endpoints, effect) in [
        ("throttling", &TABLE[..], answer(400, kind("ProvisionedThroughputExceededException"))),
        ("dropped mid-body", &TABLE[..], Effect::DropMidBody),
        // One place reads what the table answers: some endpoints speak for all.
        ("500", &SOME[..], answer(500, kind("InternalServerError"))),
        ("503", &SOME[..], answer(503, String::new())),
        ("a transaction conflict", &SOME[..], answer(400, kind("TransactionConflictException"))),
        ("malformed JSON", &SOME[..], answer(200, "{\"Item\":{\"pk\":{\"S\":\"upstream-text".to_owned())),
        ("a page", &SOME[..], answer(502, PAGE.to_owned())),
        ("dropped", &SOME[..], Effect::Drop),
    ] {
        let begin = |app: &App| app.dynamodb().proxy().inject(Fault::new("*", effect.clone()));
        let end = |app: &App| app.dynamodb().proxy().clear_faults();
        survive(&mut stage, what, endpoints, begin, end, Reason::StoreUnavailable).await;
    }
}

#[tokio::test]
async fn dynamodb_stalling_or_gone_loses_nothing() {
    let mut stage = Stage::open().await;
    let stall = Fault::new("*", Effect::Serve).delay(Duration::from_secs(30));
    let begin = |app: &App| app.dynamodb().proxy().inject(stall.clone());
    let end = |app: &App| app.dynamodb().proxy().clear_faults();
    survive(&mut stage, "a stall", &TABLE, begin, end, Reason::StoreUnavailable).await;

    let url = stage.app.dynamodb().url().to_owned();
    let point_at = |app: &App, url: &str| {
        for function in STORES.into_iter().chain(["stop-recording"]) {
            app.runtime().set_environment(function, [("AWS_ENDPOINT_URL_DYNAMODB", Some(url))]).unwrap();
        }
    };
    let gone = |app: &App| point_at(app, "http://127.0.0.1:1");
    let end = |app: &App| point_at(app, &url);
    survive(&mut stage, "connection refused", &SOME, gone, end, Reason::StoreUnavailable).await;
}

fn request_app<'a>(request: &Prepared<'a>) -> &'a App {
    request.browser.app()
}

#[tokio::test]
async fn one_throttled_or_lost_call_to_dynamodb_is_not_even_seen() {
    let mut stage = Stage::open().await;
    let throttled = "{\"__type\":\"com.amazonaws.dynamodb.v20120810#ThrottlingException\"}";
    for fault in [
        Fault::response("*", 400, throttled),
        // The write has happened: sent again, it must not take itself for somebody else's.
        Fault::new("*", Effect::LoseResponse),
    ] {
        forget_limits(&stage.app);
        for endpoint in TABLE {
            let mut request = stage.prepare(endpoint).await;
            let app = request_app(&request);
            app.dynamodb().proxy().inject(fault.clone().times(1));
            let (answer, _) = request.send().await;
            app.dynamodb().proxy().clear_faults();
            assert!(
                answer.status.is_success(),
                "{endpoint} with {fault:?}: {} {}",
                answer.status,
                answer.body
            );
        }
    }
}
