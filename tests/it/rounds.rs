//! Round trips: the upstream calls of a request, and how many of them are sequential. `generated::rounds` checks the
//! budget of each endpoint's example; the tests here check requests that take other paths.
//!
//! Every call is delayed, so that concurrent calls overlap. The number of rounds is then the length of the longest
//! chain of calls that do not overlap.

use std::time::Duration;

use catalog::Answer;
use local_proxy::{Call, Effect, Fault, FaultProxy};

use crate::app::App;

/// Much longer than a busy machine needs to send two concurrent requests.
const DELAY: Duration = Duration::from_millis(150);

/// The upstream calls of one request.
pub struct Measured {
    /// The names of the calls, in alphabetical order.
    pub calls: Vec<String>,
    /// The number of sequential calls.
    pub rounds: usize,
}

/// Starts a measurement: forgets earlier calls and delays later ones.
pub fn begin(app: &App) {
    for proxy in proxies(app) {
        proxy.reset_calls();
        proxy.clear_faults();
        proxy.inject(Fault::new("*", Effect::Serve).delay(DELAY));
    }
}

/// Ends the measurement that [`begin`] started.
pub fn end(app: &App) -> Measured {
    let calls: Vec<Call> = proxies(app).iter().flat_map(|proxy| proxy.timed_calls()).collect();
    proxies(app).iter().for_each(|proxy| proxy.clear_faults());
    let mut names: Vec<_> = calls.iter().map(|call| call.name.clone()).collect();
    names.sort_unstable();
    Measured { rounds: longest_chain(&calls), calls: names }
}

fn proxies(app: &App) -> [&FaultProxy; 3] {
    [app.workos().proxy(), app.dynamodb().proxy(), app.livekit().proxy()]
}

/// Ends the measurement of one request and asserts its status, rounds and calls.
#[track_caller]
fn assert_cost(app: &App, response: Answer, status: u16, rounds: usize, calls: &[&str]) {
    let measured = end(app);
    response.is(status);
    assert_eq!(measured.calls, calls);
    assert_eq!(measured.rounds, rounds, "{calls:?}");
}

/// The length of the longest chain of calls, each started after the end of the previous one.
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

#[tokio::test]
async fn a_sign_in_makes_only_the_calls_that_its_domain_and_address_need() {
    let app = App::start().await;
    for email in ["one@example.com", "two@example.com", "two@two.test"] {
        app.workos().add_user(email);
    }
    let mut browser = app.browser();
    // The first request of a process also connects, which is not to be measured.
    browser.sign_in("one@example.com").await.is(200);
    // The source's limit and the address's budget in one round.
    let limits = ["TransactWriteItems"];
    let domain = ["connections.list", "organizations.list"];

    begin(&app);
    let response = browser.sign_in("two@example.com").await;
    assert_cost(&app, response, 200, 3, &[&limits[..], &["magic_auth.create", "users.list"]].concat());
    begin(&app);
    let response = browser.sign_in("two@two.test").await;
    let calls = [&limits[..], &["connections.list", "magic_auth.create", "organizations.list", "users.list"]];
    assert_cost(&app, response, 200, 3, &calls.concat());
    begin(&app);
    let response = browser.sign_in("nobody@example.com").await;
    assert_cost(&app, response, 200, 2, &[&limits[..], &["users.list"]].concat());
    begin(&app);
    let response = browser.sign_in("ann@acme.test").await;
    // No mail was sent, so the budget gets it back.
    assert_cost(&app, response, 200, 3, &[&limits[..], &["UpdateItem"], &domain, &["users.list"]].concat());
}

#[tokio::test]
async fn a_sign_in_in_a_signed_in_browser_replaces_the_session_in_one_transaction() {
    let app = App::start().await;
    let mut browser = app.browser();
    for measured in [false, true] {
        let url = browser.continue_with_google().await.is(200).text("/authData/redirectURL");
        let back = app.at_provider(&url, "jane.doe@example.com").await;
        begin(&app);
        let response = browser.finalize_oauth(back.code(), back.state.as_deref()).await;
        if measured {
            // The name of the organization is cached. The read is for the audit trail, and the only call more than in a browser without a session.
            let calls = ["GetItem", "TransactWriteItems", "UpdateItem", "authenticate.authorization_code"];
            assert_cost(&app, response, 200, 4, &calls);
        }
        end(&app);
    }
}

#[tokio::test]
async fn the_name_of_an_organization_costs_a_round_if_it_is_not_cached() {
    let app = App::start().await;
    // The first request of a process also connects and reads the key set.
    app.signed_in("new.user@example.com").await;
    let email = "jane.doe@example.com";
    app.browser().sign_in(email).await.is(200);
    let code = app.code(email);
    begin(&app);
    let response = app.browser().finalize_magic_auth(email, &code).await;
    let calls = [
        "TransactWriteItems",
        "TransactWriteItems",
        "UpdateItem",
        "UpdateItem",
        "authenticate.magic_auth",
        "organization_memberships.list",
    ];
    assert_cost(&app, response, 200, 4, &calls);
}

#[tokio::test]
async fn the_authorizer_makes_no_call_without_a_token_and_four_rounds_to_refresh() {
    let app = App::start().await;
    let browser = app.signed_in("jane.doe@example.com").await;
    begin(&app);
    let response = app.browser().room_auth("Jane", "room").await;
    assert_cost(&app, response, 401, 0, &[]);
    for measured in [false, true] {
        app.expire_access(&browser, 1);
        begin(&app);
        let response = browser.clone().room_auth("Jane", "room").await;
        if measured {
            let calls = ["GetItem", "UpdateItem", "UpdateItem", "authenticate.refresh_token"];
            assert_cost(&app, response, 200, 4, &calls);
        }
        end(&app);
    }
}
