//! Round trips: the calls of every function and how many of them follow one another, against the budget.
//!
//! Every call is delayed, so that calls which are made together overlap. The longest chain of calls that do not overlap
//! is then the number of rounds.

use std::time::Duration;

use local_proxy::{Call, Effect, Fault, FaultProxy};
use serde_json::{Value, json};

use crate::app::{Answer, App};

/// Long against the time in which a busy machine sends two requests that are made together.
const DELAY: Duration = Duration::from_millis(150);

/// What a request may cost. The times of the authorizer are in those of protected endpoints: one read before all else.
struct Budget {
    request: &'static str,
    rounds: usize,
    calls: &'static [&'static str],
}

const fn budget(request: &'static str, rounds: usize, calls: &'static [&'static str]) -> Budget {
    Budget { request, rounds, calls }
}

/// The budget of the design, on a warm process; calls in alphabetical order.
const BUDGETS: [Budget; 20] = [
    budget(
        "sign-in",
        2,
        &[
            "UpdateItem",
            "UpdateItem",
            "connections.list",
            "magic_auth.create",
            "organizations.list",
            "users.list",
        ],
    ),
    budget("sign-in, domain remembered", 2, &["UpdateItem", "UpdateItem", "magic_auth.create", "users.list"]),
    budget("sign-in, nobody", 1, &["UpdateItem", "UpdateItem", "users.list"]),
    budget(
        "sign-in, sso",
        1,
        &["UpdateItem", "UpdateItem", "connections.list", "organizations.list", "users.list"],
    ),
    budget("sign-up", 2, &["UpdateItem", "UpdateItem", "magic_auth.create"]),
    budget("resend-magic-auth", 2, &["UpdateItem", "UpdateItem", "magic_auth.create", "users.list"]),
    budget("finalize-magic-auth", 3, &["PutItem", "UpdateItem", "UpdateItem", "authenticate.magic_auth"]),
    budget("finalize-oauth", 2, &["PutItem", "authenticate.authorization_code"]),
    budget("finalize-oauth, signed in", 2, &["TransactWriteItems", "authenticate.authorization_code"]),
    budget("select-organization", 2, &["PutItem", "authenticate.organization_selection"]),
    budget(
        "switch-organization",
        4,
        &[
            "GetItem",
            "TransactWriteItems",
            "UpdateItem",
            "authenticate.refresh_token",
            "organization_memberships.list",
        ],
    ),
    budget("continue-with-google", 0, &[]),
    budget("continue-with-microsoft", 0, &[]),
    budget("dev-sign-in", 3, &["PutItem", "authenticate.magic_auth", "magic_auth.create"]),
    budget("room-auth", 1, &["GetItem"]),
    budget(
        "room-auth, refreshing",
        4,
        &["GetItem", "UpdateItem", "UpdateItem", "authenticate.refresh_token"],
    ),
    budget("room-auth, nobody", 0, &[]),
    budget("sign-out", 2, &["DeleteItem", "GetItem"]),
    budget(
        "start-recording",
        5,
        &[
            "GetItem",
            "GetItem",
            "GetParticipant",
            "ListEgress",
            "PutItem",
            "StartRoomCompositeEgress",
            "TransactWriteItems",
        ],
    ),
    budget(
        "stop-recording",
        4,
        &["DeleteItem", "GetItem", "GetItem", "GetParticipant", "StopEgress", "UpdateItem", "UpdateItem"],
    ),
];

fn proxies(app: &App) -> [&FaultProxy; 3] {
    [app.workos().proxy(), app.dynamodb().proxy(), app.livekit().proxy()]
}

/// Checks what the request that was just made cost, against its line of the table.
#[track_caller]
fn check(app: &App, request: &str, answer: Answer, status: u16) {
    let calls: Vec<Call> = proxies(app).iter().flat_map(|proxy| proxy.timed_calls()).collect();
    let budget = BUDGETS.iter().find(|budget| budget.request == request).expect("a budget");
    let mut names: Vec<_> = calls.iter().map(|call| call.name.as_str()).collect();
    names.sort_unstable();
    answer.is(status);
    assert_eq!(names, budget.calls, "{request}");
    assert_eq!(longest_chain(&calls), budget.rounds, "{request}: {names:?}");
}

/// How many calls at most follow one another, each begun after the one before had ended.
fn longest_chain(calls: &[Call]) -> usize {
    let mut times: Vec<_> =
        calls.iter().map(|call| (call.ended.expect("the call has ended"), call.began)).collect();
    times.sort_unstable();
    let mut chain = 0;
    let mut free_at = None;
    for (ended, began) in times {
        if free_at.is_none_or(|at| began >= at) {
            chain += 1;
            free_at = Some(ended);
        }
    }
    chain
}

/// Forgets the calls so far: what follows is measured.
fn measure(app: &App) {
    for proxy in proxies(app) {
        proxy.reset_calls();
        proxy.clear_faults();
        proxy.inject(Fault::new("*", Effect::Serve).delay(DELAY));
    }
}

/// What follows is preparation.
fn prepare(app: &App) {
    proxies(app).iter().for_each(|proxy| proxy.clear_faults());
}

#[tokio::test]
async fn signing_in_costs_what_the_budget_says() {
    let app = App::start().await;
    let email = |name: &str| format!("{name}@example.com");
    for name in ["one", "two", "three"] {
        app.workos().add_user(&email(name));
        app.workos().add_user(&format!("{name}@{name}.test"));
    }
    let mut browser = app.browser();

    // The first request of each process connects and reads the keys; that is not what is measured.
    browser.sign_in(&email("one")).await.is(200);
    measure(&app);
    let answer = browser.sign_in(&email("two")).await;
    check(&app, "sign-in, domain remembered", answer, 200);
    measure(&app);
    let answer = browser.sign_in("two@two.test").await;
    check(&app, "sign-in", answer, 200);
    measure(&app);
    let answer = browser.sign_in(&email("nobody")).await;
    check(&app, "sign-in, nobody", answer, 200);
    measure(&app);
    let answer = browser.sign_in("ann@acme.test").await;
    check(&app, "sign-in, sso", answer, 200);

    prepare(&app);
    browser.sign_up("new.one@example.com").await.is(201);
    measure(&app);
    let answer = browser.sign_up("new.two@example.com").await;
    check(&app, "sign-up", answer, 201);

    prepare(&app);
    browser.resend_magic_auth(&email("one")).await.is(200);
    measure(&app);
    let answer = browser.resend_magic_auth(&email("two")).await;
    check(&app, "resend-magic-auth", answer, 200);

    prepare(&app);
    app.browser().finalize_magic_auth(&email("one"), &app.code(&email("one"))).await.is(200);
    measure(&app);
    let answer = app.browser().finalize_magic_auth(&email("two"), &app.code(&email("two"))).await;
    check(&app, "finalize-magic-auth", answer, 200);

    prepare(&app);
    app.browser().dev_sign_in().await.is(200);
    measure(&app);
    let answer = app.browser().dev_sign_in().await;
    check(&app, "dev-sign-in", answer, 200);
}

#[tokio::test]
async fn signing_in_through_the_browser_costs_what_the_budget_says() {
    let app = App::start().await;
    let mut browser = app.browser();
    for request in ["continue-with-google", "continue-with-microsoft"] {
        measure(&app);
        let answer = browser.send(&format!("/auth/{request}"), None).await;
        check(&app, request, answer, 200);
    }
    prepare(&app);
    let mut browser = app.browser();
    for (number, request) in ["warm", "finalize-oauth", "finalize-oauth, signed in"].into_iter().enumerate() {
        prepare(&app);
        if number == 1 {
            browser = app.browser();
        }
        let url = browser.continue_with_google().await.is(200).text("/authData/redirectURL");
        let back = app.at_provider(&url, "jane.doe@example.com").await;
        measure(&app);
        let answer = browser.finalize_oauth(back.code(), back.state.as_deref()).await;
        if number > 0 {
            check(&app, request, answer, 200);
        }
    }

    let email = "123@gmail.com";
    let mut browser = app.browser();
    for measured in [false, true] {
        prepare(&app);
        browser = app.browser();
        browser.sign_in(email).await.is(200);
        let choice = browser.finalize_magic_auth(email, &app.code(email)).await.is(200);
        let pending = choice.text("/user/pendingAuthenticationToken");
        measure(&app);
        let answer = browser.select_organization(&pending, &choice.text("/user/organizations/0/id")).await;
        if measured {
            check(&app, "select-organization", answer, 200);
        }
    }

    let organizations = ["org_01K3BK4YS5SDH22RV4P9QYJR7Z", "org_01K2Z1R2MEJK6B41WW7428G9YC"];
    prepare(&app);
    browser.switch_organization(email, organizations[0]).await.is(200);
    measure(&app);
    let answer = browser.switch_organization(email, organizations[1]).await;
    check(&app, "switch-organization", answer, 200);
}

#[tokio::test]
async fn protected_requests_cost_what_the_budget_says() {
    let app = App::start().await;
    app.livekit().set_webhook_url(None);
    let mut browser = app.signed_in("jane.doe@example.com").await;
    let token = browser.room_auth("Jane", "room").await.is(200).text("/token");
    measure(&app);
    let answer = browser.room_auth("Jane", "room").await;
    check(&app, "room-auth", answer, 200);
    measure(&app);
    let answer = app.browser().room_auth("Jane", "room").await;
    check(&app, "room-auth, nobody", answer, 403);

    prepare(&app);
    for measured in [false, true] {
        app.expire_access(&browser, 1);
        measure(&app);
        let answer = browser.room_auth("Jane", "room").await;
        if measured {
            check(&app, "room-auth, refreshing", answer, 200);
        }
    }

    prepare(&app);
    app.livekit().join(&token).expect("Jane joins");
    let start = json!({ "roomName": "room", "conferenceTopic": "T", "zoneId": "1", "participants": "a,b" });
    let stop = |answer: &Answer| -> Value {
        json!({ "roomName": "room", "egressId": answer.body["egressId"], "zoneId": "1" })
    };
    let warm = browser.start_recording(start.clone()).await.is(200);
    browser.stop_recording(stop(&warm)).await.is(200);
    measure(&app);
    let answer = browser.start_recording(start).await;
    let body = stop(&answer);
    check(&app, "start-recording", answer, 200);
    measure(&app);
    let answer = browser.stop_recording(body).await;
    check(&app, "stop-recording", answer, 200);

    prepare(&app);
    let mut other = app.browser();
    other.dev_sign_in().await.is(200);
    other.sign_out().await.is(200);
    measure(&app);
    let answer = browser.sign_out().await;
    check(&app, "sign-out", answer, 200);
}
