//! What a switch does to other tabs, to a sign-out, and to itself when the table fails.

use std::time::Duration;

use futures_util::future::join_all;
use local_proxy::{Effect, Fault};
use serde_json::{Value, json};

use crate::app::{App, Browser, now};
use crate::organizations::{MASADAS, TAUNTA, called, organization_of, signed_in_to};

const EMAIL: &str = "123@gmail.com";
const REFRESH: &str = "authenticate.refresh_token";
const DELAY: Duration = Duration::from_millis(600);
const CONFLICT: &str = r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","message":"m",
    "CancellationReasons":[{"Code":"None"},{"Code":"TransactionConflict","Message":"m"}]}"#;

/// A browser that has switched, and another tab that still sends the old token.
async fn switched(app: &App) -> (Browser<'_>, Browser<'_>) {
    let mut browser = signed_in_to(app, EMAIL, MASADAS).await;
    let other_tab = browser.clone();
    browser.switch_organization(EMAIL, TAUNTA).await.is(200);
    assert_ne!(browser.token(), other_tab.token());
    (browser, other_tab)
}

/// Waits until the table received `call`.
async fn sent(app: &App, call: &str, times: usize) {
    while app.dynamodb().proxy().count(call) < times {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn delayed(call: &str) -> Fault {
    Fault::new(call, Effect::Serve).delay(DELAY).times(1)
}

#[tokio::test]
async fn a_replaced_token_is_read_only_for_thirty_seconds() {
    let app = App::start().await;
    let (mut browser, mut other_tab) = switched(&app).await;
    let before = app.session_item(&other_tab).unwrap();
    assert!(before.get("sealed_refresh_token").is_none(), "it could be replayed at WorkOS: {before}");
    let refreshes = app.workos().proxy().count(REFRESH);

    // Its claims are those of the old organization, and it is neither refreshed nor touched when that is due.
    app.edit_session(&other_tab, |item| {
        item["access_expires_at"] = json!({ "N": (now() - 60).to_string() });
        item["last_seen_at"] = json!({ "N": (now() - 100_000).to_string() });
    });
    let edited = app.session_item(&other_tab).unwrap();
    let room = other_tab.room_auth("Kim", "room").await.is(200);
    assert_eq!(organization_of(&room.text("/token")), MASADAS);
    assert_eq!(app.context_of(&other_tab).await.unwrap()["role"], "member");
    assert_eq!(app.workos().proxy().count(REFRESH), refreshes);
    assert_eq!(app.session_item(&other_tab).unwrap(), edited);
    other_tab.clone().switch_organization(EMAIL, TAUNTA).await.refused(401, "not_signed_in");

    // The window ends by the time in the item, whether or not DynamoDB has removed it.
    app.edit_session(&other_tab, |item| item["replaced_at"] = json!({ "N": (now() - 30).to_string() }));
    other_tab.room_auth("Kim", "room").await.refused(401, "not_signed_in");
    let room = browser.room_auth("Kim", "room").await.is(200);
    assert_eq!(organization_of(&room.text("/token")), TAUNTA);
    let number = |item: &Value, name: &str| item[name]["N"].as_str().unwrap().parse::<u64>().unwrap();
    assert_eq!(number(&before, "expires_at"), number(&before, "replaced_at") + 30);
}

#[tokio::test]
async fn requests_around_a_switch_stay_signed_in() {
    let app = App::start().await;
    let mut browser = signed_in_to(&app, EMAIL, MASADAS).await;
    let other_tab = browser.clone();
    // The switch is stored while these requests wait for their reads, and the last ones are sent after it.
    app.dynamodb().proxy().inject(delayed("GetItem"));
    let before = join_all((0..20).map(|_| async { other_tab.clone().room_auth("Kim", "room").await }));
    let (before, switching) = tokio::join!(before, browser.switch_organization(EMAIL, TAUNTA));
    switching.is(200);
    let after = join_all((0..40).map(|_| async { other_tab.clone().room_auth("Kim", "room").await })).await;
    for answer in before.into_iter().chain(after) {
        assert_eq!(organization_of(&answer.is(200).text("/token")), MASADAS);
    }
}

#[tokio::test]
async fn a_sign_out_with_the_old_or_the_new_token_ends_both() {
    let app = App::start().await;
    for with_old in [true, false] {
        let (browser, other_tab) = switched(&app).await;
        assert_eq!(app.items_of("session#").len(), 2);
        let mut signing_out = if with_old { other_tab.clone() } else { browser.clone() };
        signing_out.sign_out().await.is(200);
        assert!(app.items_of("session#").is_empty());
        for mut each in [browser, other_tab] {
            each.room_auth("Kim", "room").await.refused(401, "not_signed_in");
        }
    }
}

#[tokio::test]
async fn a_sign_out_ends_a_chain_of_switches_from_anywhere() {
    let app = App::start().await;
    for from in 0..3 {
        let (mut browser, first) = switched(&app).await;
        let second = browser.clone();
        browser.switch_organization(EMAIL, MASADAS).await.is(200);
        assert_eq!(app.items_of("session#").len(), 3);
        let tabs = [first, second, browser];
        tabs[from].clone().sign_out().await.is(200);
        assert!(app.items_of("session#").is_empty(), "from token {from}");
    }
}

#[tokio::test]
async fn a_sign_out_before_a_switch_is_stored_is_final() {
    let app = App::start().await;
    let mut browser = signed_in_to(&app, EMAIL, MASADAS).await;
    let mut other_tab = browser.clone();
    app.dynamodb().proxy().reset_calls();
    app.dynamodb().proxy().inject(delayed("TransactWriteItems"));
    let (switching, signing_out) = tokio::join!(browser.switch_organization(EMAIL, TAUNTA), async {
        sent(&app, "TransactWriteItems", 1).await;
        other_tab.sign_out().await
    });
    signing_out.is(200);
    let refused = switching.refused(401, "not_signed_in");
    assert!(refused.cookies.is_empty(), "{:?}", refused.cookies);
    assert!(app.items_of("session#").is_empty());
}

#[tokio::test]
async fn a_sign_out_that_a_switch_overtakes_ends_the_new_session() {
    let app = App::start().await;
    let mut browser = signed_in_to(&app, EMAIL, MASADAS).await;
    let mut other_tab = browser.clone();
    app.dynamodb().proxy().reset_calls();
    app.dynamodb().proxy().inject(delayed("DeleteItem"));
    let (signing_out, switching) = tokio::join!(other_tab.sign_out(), async {
        sent(&app, "DeleteItem", 1).await;
        browser.switch_organization(EMAIL, TAUNTA).await
    });
    switching.is(200);
    signing_out.is(200);
    assert!(app.items_of("session#").is_empty());
    browser.room_auth("Kim", "room").await.refused(401, "not_signed_in");
}

#[tokio::test]
async fn a_storm_of_switches_and_sign_outs_leaves_no_session() {
    for round in 0..8_u64 {
        let app = App::start().await;
        let browser = signed_in_to(&app, EMAIL, MASADAS).await;
        app.dynamodb().proxy().inject(Fault::new("*", Effect::Serve).delay(Duration::from_millis(round * 3)));
        let (mut switching, mut signing_out) = (browser.clone(), browser);
        let (switched, signed_out) =
            tokio::join!(switching.switch_organization(EMAIL, TAUNTA), signing_out.sign_out());
        signed_out.is(200);
        assert!([200, 401].contains(&switched.status.as_u16()), "{}", switched.body);
        assert!(app.items_of("session#").is_empty(), "round {round}");
    }
}

#[tokio::test]
async fn a_sign_in_with_a_replaced_token_ends_its_successor() {
    let app = App::start().await;
    let (browser, mut other_tab) = switched(&app).await;
    other_tab.dev_sign_in().await.is(200);
    assert_eq!(app.items_of("session#").len(), 1);
    assert!(app.session_item(&other_tab).is_some(), "the new session is stored");
    browser.clone().room_auth("Kim", "room").await.refused(401, "not_signed_in");
    other_tab.room_auth("Kim", "room").await.is(200);
}

#[tokio::test]
async fn conflicts_of_a_switch_and_of_a_sign_in_are_retried() {
    let app = App::start().await;
    app.dynamodb().proxy().inject(Fault::response("TransactWriteItems", 400, CONFLICT).times(6));
    let (mut browser, _) = switched(&app).await;
    let single = CONFLICT.replace("TransactionCanceledException", "TransactionConflictException");
    app.dynamodb().proxy().inject(Fault::response("TransactWriteItems", 400, single).times(6));
    browser.dev_sign_in().await.is(200);
    assert_eq!(app.items_of("session#").len(), 1);
}

#[tokio::test]
async fn a_switch_that_cannot_be_stored_keeps_the_rotated_refresh_token() {
    let app = App::start().await;
    let mut browser = signed_in_to(&app, EMAIL, MASADAS).await;
    let table = app.dynamodb().proxy();
    table.inject(Fault::response("TransactWriteItems", 400, CONFLICT));
    // The first attempts to store the token fail as well. The claim of the lease comes before them.
    table.reset_calls();
    let failing = async {
        called(&app, REFRESH, 1).await;
        table.inject(Fault::response("UpdateItem", 400, r#"{"__type":"x#InternalServerError"}"#).times(4));
    };
    let (switching, ()) = tokio::join!(browser.switch_organization(EMAIL, TAUNTA), failing);
    let refused = switching.refused(503, "store_unavailable");
    assert!(refused.cookies.is_empty());
    table.clear_faults();

    // WorkOS would no longer repeat its response to the old refresh token.
    app.workos().expire_replays();
    app.expire_access(&browser, 1);
    let context = app.context_of(&browser).await.unwrap();
    assert_eq!(context["organizationId"], MASADAS, "a refresh names the session's own organization");
    let access = app.session_item(&browser).unwrap()["access_expires_at"]["N"].clone();
    assert!(access.as_str().unwrap().parse::<u64>().unwrap() > now(), "it was refreshed");
    browser.switch_organization(EMAIL, TAUNTA).await.is(200);
    assert_eq!(app.context_of(&browser).await.unwrap()["organizationId"], TAUNTA);
}

#[tokio::test]
async fn a_switch_whose_every_response_is_lost_is_found_in_the_table() {
    let app = App::start().await;
    let mut browser = signed_in_to(&app, EMAIL, MASADAS).await;
    app.dynamodb().proxy().inject(Fault::new("TransactWriteItems", Effect::LoseResponse));
    browser.switch_organization(EMAIL, TAUNTA).await.is(200);
    app.dynamodb().proxy().clear_faults();
    assert_eq!(app.context_of(&browser).await.unwrap()["organizationId"], TAUNTA);
    assert_eq!(app.items_of("session#").len(), 2);
}
