//! Round trips: the upstream calls of a request and how many of them follow one another, against the budget. The budget
//! of each endpoint's example is its own, see `Route::rounds`; here are the requests that take another way.
//!
//! Every call is delayed, so that calls which are made together overlap. The longest chain of calls that do not overlap
//! is then the number of rounds.

use std::time::Duration;

use catalog::Answer;
use local_proxy::{Call, Effect, Fault, FaultProxy};

use crate::app::App;

/// Long compared with the time in which a busy machine sends two requests that are made together.
const DELAY: Duration = Duration::from_millis(150);

/// The upstream calls of one request.
pub struct Measured {
    /// Their names, in alphabetical order.
    pub calls: Vec<String>,
    /// How many at most follow one another.
    pub rounds: usize,
}

/// Forgets the calls so far and delays those to come: what follows is measured.
pub fn begin(app: &App) {
    for proxy in proxies(app) {
        proxy.reset_calls();
        proxy.clear_faults();
        proxy.inject(Fault::new("*", Effect::Serve).delay(DELAY));
    }
}

/// Ends what [`begin`] began.
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

/// Checks what the request that was just made cost.
#[track_caller]
fn costs(app: &App, answer: Answer, status: u16, rounds: usize, calls: &[&str]) {
    let measured = end(app);
    answer.is(status);
    assert_eq!(measured.calls, calls);
    assert_eq!(measured.rounds, rounds, "{calls:?}");
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

#[tokio::test]
async fn a_sign_in_costs_what_the_domain_and_the_address_need() {
    let app = App::start().await;
    for email in ["one@example.com", "two@example.com", "two@two.test"] {
        app.workos().add_user(email);
    }
    let mut browser = app.browser();
    // The first request of a process connects; that is not what is measured.
    browser.sign_in("one@example.com").await.is(200);
    let limits = ["UpdateItem", "UpdateItem"];
    let domain = ["connections.list", "organizations.list"];

    begin(&app);
    let answer = browser.sign_in("two@example.com").await;
    costs(&app, answer, 200, 2, &[&limits[..], &["magic_auth.create", "users.list"]].concat());
    begin(&app);
    let answer = browser.sign_in("two@two.test").await;
    let calls = [&limits[..], &["connections.list", "magic_auth.create", "organizations.list", "users.list"]];
    costs(&app, answer, 200, 2, &calls.concat());
    begin(&app);
    let answer = browser.sign_in("nobody@example.com").await;
    costs(&app, answer, 200, 1, &[&limits[..], &["users.list"]].concat());
    begin(&app);
    let answer = browser.sign_in("ann@acme.test").await;
    costs(&app, answer, 200, 1, &[&limits[..], &domain, &["users.list"]].concat());
}

#[tokio::test]
async fn a_sign_in_in_a_signed_in_browser_replaces_the_session_in_one_transaction() {
    let app = App::start().await;
    let mut browser = app.browser();
    for measured in [false, true] {
        let url = browser.continue_with_google().await.is(200).text("/authData/redirectURL");
        let back = app.at_provider(&url, "jane.doe@example.com").await;
        begin(&app);
        let answer = browser.finalize_oauth(back.code(), back.state.as_deref()).await;
        if measured {
            costs(&app, answer, 200, 2, &["TransactWriteItems", "authenticate.authorization_code"]);
        }
        end(&app);
    }
}

#[tokio::test]
async fn the_authorizer_costs_nothing_without_a_token_and_three_more_rounds_to_refresh() {
    let app = App::start().await;
    let browser = app.signed_in("jane.doe@example.com").await;
    begin(&app);
    let answer = app.browser().room_auth("Jane", "room").await;
    costs(&app, answer, 403, 0, &[]);
    for measured in [false, true] {
        app.expire_access(&browser, 1);
        begin(&app);
        let answer = browser.clone().room_auth("Jane", "room").await;
        if measured {
            let calls = ["GetItem", "UpdateItem", "UpdateItem", "authenticate.refresh_token"];
            costs(&app, answer, 200, 4, &calls);
        }
        end(&app);
    }
}
