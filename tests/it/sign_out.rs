//! Sign-out: it ends whatever session the client holds, as long as the table can be written.

use std::time::Duration;

use local_proxy::{Effect, Fault};
use serde_json::json;

use crate::app::{Answer, App};
use crate::rounds;

const JANE: &str = "jane.doe@example.com";
const JOHN: &str = "john.roe@example.com";

/// The WorkOS session that the response's URL ends.
fn redirected(answer: &Answer) -> String {
    let url = answer.text("/authData/redirectURL");
    url.split_once("session_id=").expect("a session id").1.to_owned()
}

#[track_caller]
fn clears_cookies(answer: &Answer) {
    let mut cleared: Vec<_> = answer.cookies.iter().map(|cookie| cookie.split_once('=').unwrap()).collect();
    cleared.sort_unstable();
    let names: Vec<_> = cleared.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["__Host-oauth", "__Host-session"]);
    assert!(cleared.iter().all(|(_, value)| value.starts_with("; ") && value.ends_with("; Max-Age=0")));
}

#[tokio::test]
async fn a_cookie_and_a_bearer_token_both_end() {
    let app = App::start().await;
    let workos = app.workos();
    for fault in [
        None,
        Some(Fault::response("sessions.revoke", 500, "{}")),
        Some(Fault::new("sessions.revoke", Effect::Drop)),
        Some(Fault::new("sessions.revoke", Effect::Serve).delay(Duration::from_secs(20))),
    ] {
        let (mut browser, other) = (app.signed_in(JANE).await, app.signed_in(JOHN).await);
        let cookies_session = app.context_of(&browser).await.unwrap()["sessionId"].clone();
        let johns = workos.user_id(JOHN).unwrap();
        let (before, revoked) = (workos.sessions(&johns).len(), workos.proxy().count("sessions.revoke"));
        workos.proxy().inject(fault.clone().unwrap_or(Fault::new("none", Effect::Serve)));

        browser.bearer = Some(other.token());
        let answer = browser.sign_out().await.is(200);
        clears_cookies(&answer);
        assert_eq!(redirected(&answer), cookies_session.as_str().unwrap());
        assert!(app.items_of("session#").is_empty(), "{fault:?}");
        assert!(workos.proxy().count("sessions.revoke") > revoked, "{fault:?}");
        if fault.is_none() {
            assert_eq!(workos.sessions(&johns).len(), before - 1, "the bearer's session ends at WorkOS");
        }
        workos.proxy().clear_faults();
    }
}

#[tokio::test]
async fn it_works_while_workos_is_down_and_the_claims_are_too_old() {
    let app = App::start().await;
    let mut browser = app.signed_in(JANE).await;
    app.expire_access(&browser, 100_000);
    app.workos().proxy().inject(Fault::new("*", Effect::Drop));
    browser.clone().room_auth("Jane", "room").await.refused(502, "workos_unavailable");
    let answer = browser.sign_out().await.is(200);
    clears_cookies(&answer);
    assert!(redirected(&answer).starts_with("session_"));
    assert!(app.items_of("session#").is_empty());
}

#[tokio::test]
async fn it_works_while_the_authorizer_cannot_read_the_table() {
    let app = App::start().await;
    let mut browser = app.signed_in(JANE).await;
    app.dynamodb().proxy().inject(Fault::new("GetItem", Effect::Drop));
    browser.clone().room_auth("Jane", "room").await.refused(503, "store_unavailable");
    clears_cookies(&browser.sign_out().await.is(200));
    assert!(app.items_of("session#").is_empty());
}

#[tokio::test]
async fn without_a_live_session_it_is_401_and_clears_the_cookies() {
    let app = App::start().await;
    clears_cookies(&app.browser().sign_out().await.refused(401, "not_signed_in"));
    let browser = app.signed_in(JANE).await;
    clears_cookies(&browser.clone().sign_out().await.is(200));
    clears_cookies(&browser.clone().sign_out().await.refused(401, "not_signed_in"));
    // An expired session that the table still has is removed.
    let mut browser = app.signed_in(JANE).await;
    app.edit_session(&browser, |item| item["last_seen_at"] = json!({ "N": "1000" }));
    clears_cookies(&browser.sign_out().await.refused(401, "not_signed_in"));
    assert!(app.items_of("session#").is_empty());
}

#[tokio::test]
async fn without_the_table_it_clears_the_cookies_and_says_that_the_session_may_remain() {
    let app = App::start().await;
    let browser = app.signed_in(JANE).await;
    for call in ["*", "DeleteItem"] {
        let mut browser = browser.clone();
        app.dynamodb().proxy().inject(Fault::new(call, Effect::Drop));
        let answer = browser.sign_out().await.refused(503, "sign_out_incomplete");
        clears_cookies(&answer);
        assert_eq!(answer.body["retryable"], false);
        assert!(answer.header("retry-after").is_none(), "a retry would have no cookie");
        assert!(!browser.is_signed_in());
        app.dynamodb().proxy().clear_faults();
    }
    browser.clone().sign_out().await.is(200);
}

#[tokio::test]
async fn a_deletion_whose_response_is_lost_is_a_sign_out() {
    let app = App::start().await;
    let mut browser = app.signed_in(JANE).await;
    let id = app.context_of(&browser).await.unwrap()["sessionId"].clone();
    app.dynamodb().proxy().inject(Fault::new("DeleteItem", Effect::LoseResponse).times(1));
    let answer = browser.sign_out().await.is(200);
    assert_eq!(redirected(&answer), id.as_str().unwrap());
    assert!(app.items_of("session#").is_empty());
}

#[tokio::test]
async fn a_deletion_that_meets_a_transaction_is_repeated() {
    let app = App::start().await;
    let mut browser = app.signed_in(JANE).await;
    let conflict =
        r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionConflictException","message":"m"}"#;
    app.dynamodb().proxy().inject(Fault::response("DeleteItem", 400, conflict).times(2));
    browser.sign_out().await.is(200);
    assert!(app.items_of("session#").is_empty());
}

#[tokio::test]
async fn it_takes_one_round_and_two_after_a_switch() {
    let app = App::start().await;
    for (switches, rounds) in [(false, 1), (false, 1), (true, 2)] {
        let mut browser =
            crate::organizations::signed_in_to(&app, "123@gmail.com", crate::organizations::MASADAS).await;
        if switches {
            browser.switch_organization("123@gmail.com", crate::organizations::TAUNTA).await.is(200);
        }
        rounds::begin(&app);
        let answer = browser.sign_out().await;
        let measured = rounds::end(&app);
        answer.is(200);
        // The authorizer reads first. The note that meetings go on is written together with the first deletion.
        assert_eq!(measured.rounds, 1 + rounds, "{:?}", measured.calls);
        assert_eq!(
            measured.calls.iter().filter(|call| *call != "DeleteItem").collect::<Vec<_>>(),
            ["GetItem", "UpdateItem"]
        );
        assert!(app.items_of("session#").is_empty());
    }
}
