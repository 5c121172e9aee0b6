//! Refreshing sessions: one request of the whole fleet does it, nobody waits for it, and trouble ends no session.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use local_proxy::{Effect, Fault};
use serde_json::json;

use crate::app::{Answer, App, Browser, now};

const EMAIL: &str = "jane.doe@example.com";
const REFRESH: &str = "authenticate.refresh_token";

/// A request of the product ends by then, and the local cloud needs a moment around it.
const DEADLINE: Duration = Duration::from_millis(9000);

/// How many requests come at once.
const BURST: usize = 100;

/// Protected requests at the same time, and how long the slowest took.
async fn burst(browser: &Browser<'_>, size: usize) -> (Vec<Answer>, Duration) {
    let began = Instant::now();
    let mut browsers = vec![browser.clone(); size];
    let requests = browsers.iter_mut().map(|browser| browser.room_auth("Jane", "room"));
    let answers = join_all(requests).await;
    (answers, began.elapsed())
}

#[track_caller]
fn all(answers: &[Answer], status: u16) {
    for answer in answers {
        assert_eq!(answer.status.as_u16(), status, "{}", answer.body);
    }
}

/// The same as the passing of the time for which an election or a pause holds.
fn end_lease(app: &App, browser: &Browser<'_>) {
    app.edit_session(browser, |item| {
        if item.get("refresh_lease").is_some() {
            item["refresh_lease"] = json!({ "N": now().to_string() });
        }
    });
}

fn number(app: &App, browser: &Browser<'_>, name: &str) -> Option<u64> {
    app.session_item(browser)?.get(name)?["N"].as_str()?.parse().ok()
}

/// The next request refreshes, once, and is served.
async fn refreshes_once(app: &App, browser: &mut Browser<'_>) {
    let before = app.workos().proxy().count(REFRESH);
    for _ in 0..3 {
        browser.room_auth("Jane", "room").await.is(200);
    }
    assert_eq!(app.workos().proxy().count(REFRESH), before + 1);
    assert!(number(app, browser, "access_expires_at").unwrap() > now() + 30, "it is refreshed");
    assert_eq!(number(app, browser, "refresh_lease"), None, "the election is over");
}

#[tokio::test]
async fn a_hundred_requests_at_once_cost_one_refresh_and_trouble_at_workos_signs_nobody_out() {
    let app = App::start().await;
    let workos = app.workos().proxy();
    let mut healthy = app.signed_in(EMAIL).await;
    // A process for each request, so that what is measured below is the product and not the start of 200 processes.
    all(&burst(&healthy, BURST).await.0, 200);
    assert_eq!(workos.count(REFRESH), 0);

    app.expire_access(&healthy, 1);
    let (answers, took) = burst(&healthy, BURST).await;
    all(&answers, 200);
    assert!(took < DEADLINE, "{took:?}");
    assert_eq!(workos.count(REFRESH), 1);
    refreshed_already(&app, &mut healthy).await;

    let plain = |status| Fault::response(REFRESH, status, "{\"message\":\"trouble\"}");
    let mut troubled = Vec::new();
    for (what, fault) in [
        ("429", plain(429)),
        ("429 with Retry-After", plain(429).header("retry-after", "3600")),
        ("500", plain(500)),
        ("503", plain(503)),
        ("408", plain(408)),
        ("a page", Fault::response(REFRESH, 502, "<html>Bad gateway</html>")),
        ("success that is none", Fault::response(REFRESH, 200, "<html>Welcome</html>")),
        ("an error that nobody knows", Fault::response(REFRESH, 400, "{\"code\":\"of_next_year\"}")),
        ("our key is not accepted", Fault::response(REFRESH, 401, "{\"error\":\"invalid_client\"}")),
        ("a dropped connection", Fault::new(REFRESH, Effect::Drop)),
        ("half an answer", Fault::new(REFRESH, Effect::DropMidBody)),
        ("a lost answer", Fault::new(REFRESH, Effect::LoseResponse)),
        ("a stall of 30 s", Fault::new(REFRESH, Effect::Serve).delay(Duration::from_secs(30))),
    ] {
        let session = app.signed_in(&format!("{}@example.com", troubled.len())).await;
        app.expire_access(&session, 1);
        workos.clear_faults();
        workos.inject(fault);
        let before = workos.count(REFRESH);
        // The issue names these four for all hundred; for the others a dozen shows the same.
        let size = if ["429", "500", "a dropped connection", "a stall of 30 s"].contains(&what) {
            BURST
        } else {
            12
        };
        let (answers, took) = burst(&session, size).await;
        all(&answers, 200);
        assert!(took < DEADLINE, "{what}: {took:?}");
        assert_eq!(workos.count(REFRESH), before + 1, "{what}: one request tried");
        assert!(app.session_item(&session).is_some(), "{what}");
        let next = number(&app, &session, "refresh_lease").unwrap();
        assert!(next <= now() + 5, "{what}: nobody tries for five seconds");
        troubled.push((what, session));
    }
    workos.clear_faults();
    for (what, session) in &mut troubled {
        end_lease(&app, session);
        let before = workos.count(REFRESH);
        let (answers, _) = burst(session, 5).await;
        all(&answers, 200);
        assert_eq!(workos.count(REFRESH), before + 1, "{what}: WorkOS is back, and one refresh does it");
        assert!(number(&app, session, "access_expires_at").unwrap() > now() + 30, "{what}");
    }
}

async fn refreshed_already(app: &App, browser: &mut Browser<'_>) {
    let before = app.workos().proxy().count(REFRESH);
    browser.room_auth("Jane", "room").await.is(200);
    assert_eq!(app.workos().proxy().count(REFRESH), before);
    assert!(number(app, browser, "access_expires_at").unwrap() > now() + 30);
    assert_eq!(number(app, browser, "generation"), Some(1));
}

#[tokio::test]
async fn a_token_is_refreshed_thirty_seconds_before_its_end() {
    let app = App::start().await;
    let mut browser = app.signed_in(EMAIL).await;
    let access = |at: u64| {
        app.edit_session(&browser, |item| item["access_expires_at"] = json!({ "N": at.to_string() }))
    };
    access(now() + 60);
    browser.clone().room_auth("Jane", "room").await.is(200);
    assert_eq!(app.workos().proxy().count(REFRESH), 0);
    access(now() + 29);
    refreshes_once(&app, &mut browser).await;
}

#[tokio::test]
async fn short_lived_tokens_are_refreshed_again_and_again() {
    let app = App::start().await;
    app.workos().set_access_token_lifetime(Duration::from_secs(20));
    let mut browser = app.signed_in(EMAIL).await;
    for round in 1..=3 {
        browser.room_auth("Jane", "room").await.is(200);
        assert_eq!(app.workos().proxy().count(REFRESH), round);
    }
    app.workos().set_next_refreshed_lifetime(Duration::from_secs(300));
    browser.room_auth("Jane", "room").await.is(200);
    browser.room_auth("Jane", "room").await.is(200);
    assert_eq!(app.workos().proxy().count(REFRESH), 4);
}

#[tokio::test]
async fn within_five_seconds_of_trouble_nobody_asks_again_and_after_them_somebody_does() {
    let app = App::start().await;
    let mut browser = app.signed_in(EMAIL).await;
    app.expire_access(&browser, 1);
    app.workos().proxy().inject(Fault::response(REFRESH, 503, "{}").times(1));
    let failed_at = now();
    browser.room_auth("Jane", "room").await.is(200);
    assert_eq!(app.workos().proxy().count(REFRESH), 1);
    let patience = Instant::now() + Duration::from_secs(20);
    while app.workos().proxy().count(REFRESH) == 1 {
        assert!(Instant::now() < patience, "nobody refreshes again");
        browser.room_auth("Jane", "room").await.is(200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(now() >= failed_at + 5, "asked again after {} s", now() - failed_at);
    refreshed_already(&app, &mut browser).await;
}

#[tokio::test]
async fn what_ends_at_workos_ends_here_at_the_next_refresh() {
    let app = App::start().await;
    let workos = app.workos();
    for what in
        ["revoked", "the user deleted", "the membership switched off", "SSO demanded", "a factor demanded"]
    {
        let email = format!("{}@example.com", what.replace(' ', "-"));
        let user = workos.add_user(&email);
        let organization = workos.add_organization(what, &[]);
        workos.add_membership(&user, &organization, "member", &[]);
        let session = app.signed_in(&email).await;
        // Until then the claims at hand count.
        all(&burst(&session, 2).await.0, 200);
        match what {
            "revoked" => assert_eq!(workos.revoke_sessions(&user), 1),
            "the user deleted" => workos.delete_user(&user),
            "the membership switched off" => workos.deactivate_membership(&user, &organization),
            "SSO demanded" => {
                let policy = local_workos::Policy { sso_required: true, ..Default::default() };
                workos.set_policy(&organization, policy);
            }
            _ => {
                let policy = local_workos::Policy { mfa_required: true, ..Default::default() };
                workos.set_policy(&organization, policy);
            }
        }
        app.expire_access(&session, 1);
        session.clone().room_auth("Jane", "room").await.is(403);
        assert!(app.session_item(&session).is_none(), "{what}");
        all(&burst(&session, 5).await.0, 403);
    }
}

#[tokio::test]
async fn invalid_grant_ends_the_session_for_everybody() {
    let app = App::start().await;
    let session = app.signed_in(EMAIL).await;
    all(&burst(&session, 30).await.0, 200);
    app.expire_access(&session, 1);
    let invalid = json!({ "error": "invalid_grant", "error_description": "Session has already ended." });
    app.workos().proxy().inject(Fault::response(REFRESH, 400, invalid.to_string()));
    // Those who come before WorkOS' word is there go on with the claims at hand, for this once.
    let (answers, took) = burst(&session, 30).await;
    assert!(answers.iter().all(|answer| [200, 403].contains(&answer.status.as_u16())));
    assert!(answers.iter().any(|answer| answer.status == 403) && took < DEADLINE);
    assert_eq!(app.workos().proxy().count(REFRESH), 1);
    assert!(app.session_item(&session).is_none());
    all(&burst(&session, 30).await.0, 403);
    assert_eq!(app.workos().proxy().count(REFRESH), 1);

    // Beyond the grace all of them wait for that word.
    let session = app.signed_in(EMAIL).await;
    app.expire_access(&session, 901);
    let (answers, took) = burst(&session, 30).await;
    all(&answers, 403);
    assert!(took < DEADLINE, "{took:?}");
    assert_eq!(app.workos().proxy().count(REFRESH), 2);
    assert!(app.session_item(&session).is_none());
}

#[tokio::test]
async fn beyond_the_grace_everybody_waits_for_the_one_who_refreshes() {
    let app = App::start().await;
    let session = app.signed_in(EMAIL).await;
    all(&burst(&session, 30).await.0, 200);
    app.expire_access(&session, 901);
    let slow = Fault::new(REFRESH, Effect::Serve).delay(Duration::from_millis(700));
    app.workos().proxy().inject(slow.times(1));
    let (answers, took) = burst(&session, 30).await;
    all(&answers, 200);
    assert!(took > Duration::from_millis(700) && took < DEADLINE, "{took:?}");
    assert_eq!(app.workos().proxy().count(REFRESH), 1);
}

#[tokio::test]
async fn beyond_the_grace_trouble_is_an_error_and_still_ends_no_session() {
    let app = App::with_env(&[("REFRESH_GRACE_SECONDS", "60")]).await;
    let session = app.signed_in(EMAIL).await;
    all(&burst(&session, 10).await.0, 200);

    // Within the grace, to the second, the claims at hand do.
    app.workos().proxy().inject(Fault::response(REFRESH, 503, "{}"));
    app.expire_access(&session, 50);
    all(&burst(&session, 10).await.0, 200);

    end_lease(&app, &session);
    app.expire_access(&session, 60);
    let (answers, took) = burst(&session, 10).await;
    assert!(took < DEADLINE, "{took:?}");
    for answer in answers {
        // Whether one tried or waited for the one who did: an outage, not a sign-out.
        let reason = answer.body["reason"].as_str().unwrap_or_default().to_owned();
        let documented = matches!(
            (answer.status.as_u16(), reason.as_str()),
            (503, "workos_busy") | (502, "workos_unavailable")
        );
        assert!(documented, "{} {}", answer.status, answer.body);
    }
    assert!(app.session_item(&session).is_some());
    app.workos().proxy().clear_faults();
    end_lease(&app, &session);
    all(&burst(&session, 10).await.0, 200);
}

#[tokio::test]
async fn a_process_that_dies_between_workos_answer_and_our_write_is_healed_by_the_next_request() {
    let app = App::start().await;
    // Two sessions at once, so that one lease's time passes for both.
    let (mut killed, mut lost) = (app.signed_in(EMAIL).await, app.signed_in("lost@example.com").await);
    killed.room_auth("Jane", "room").await.is(200);

    // The process is killed while its write is under way: the first UpdateItem is the election, the second the write.
    app.expire_access(&killed, 1);
    let dynamodb = app.dynamodb().proxy();
    let tokens = app.workos().refresh_tokens().len();
    dynamodb.reset_calls();
    dynamodb.inject(Fault::new("UpdateItem", Effect::Serve).times(1));
    dynamodb.inject(Fault::new("UpdateItem", Effect::Drop).delay(Duration::from_secs(60)).times(1));
    let mut caller = killed.clone();
    let (answer, ()) = tokio::join!(caller.room_auth("Jane", "room"), async {
        let patience = Instant::now() + Duration::from_secs(8);
        while dynamodb.count("UpdateItem") < 2 {
            assert!(Instant::now() < patience, "{:?}", dynamodb.calls());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        app.runtime().kill("authorizer").await.unwrap();
    });
    dynamodb.clear_faults();
    // That request is lost with its process: API Gateway's own answer.
    assert_eq!(answer.status, 500, "{}", answer.body);
    assert_eq!(app.workos().refresh_tokens().len(), tokens + 1, "WorkOS has answered");
    assert_eq!(number(&app, &killed, "generation"), Some(0), "and we have not written");
    let lease = number(&app, &killed, "refresh_lease").expect("the election stands");

    // Every write of the refresh fails, while the election goes through.
    app.expire_access(&lost, 1);
    dynamodb.inject(Fault::new("UpdateItem", Effect::Serve).times(1));
    dynamodb.inject(Fault::response("UpdateItem", 500, "{\"__type\":\"InternalServerError\"}"));
    lost.room_auth("Jane", "room").await.is(200);
    dynamodb.clear_faults();
    assert_eq!(number(&app, &lost, "generation"), Some(0));

    // Until the lease is over the claims at hand do, and then the old refresh token gives the same pair once more.
    let refreshes = app.workos().proxy().count(REFRESH);
    while number(&app, &killed, "generation") == Some(0) || number(&app, &lost, "generation") == Some(0) {
        assert!(now() <= lease + 10, "nobody heals it");
        killed.room_auth("Jane", "room").await.is(200);
        lost.room_auth("Jane", "room").await.is(200);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(now() >= lease, "the lease holds");
    assert_eq!(app.workos().proxy().count(REFRESH), refreshes + 2);
    for session in [&mut killed, &mut lost] {
        app.expire_access(session, 1);
        session.room_auth("Jane", "room").await.is(200);
        assert_eq!(number(&app, session, "generation"), Some(2), "the new refresh token is good");
    }
}

#[tokio::test]
async fn writes_whose_answers_are_lost_do_no_harm() {
    let app = App::start().await;
    let mut browser = app.signed_in(EMAIL).await;
    let dynamodb = app.dynamodb().proxy();
    // The election's answer, and then the answer to the write: the SDK asks again, and finds its own.
    for writes_before in [0, 1] {
        app.expire_access(&browser, 1);
        let before = app.workos().proxy().count(REFRESH);
        if writes_before > 0 {
            dynamodb.inject(Fault::new("UpdateItem", Effect::Serve).times(writes_before));
        }
        dynamodb.inject(Fault::new("UpdateItem", Effect::LoseResponse).times(1));
        browser.room_auth("Jane", "room").await.is(200);
        dynamodb.clear_faults();
        assert_eq!(app.workos().proxy().count(REFRESH), before + 1);
        assert!(number(&app, &browser, "access_expires_at").unwrap() > now() + 30);
    }
}

#[tokio::test]
async fn a_role_that_changed_at_workos_holds_from_the_next_refresh() {
    let app = App::start().await;
    let browser = app.signed_in(EMAIL).await;
    assert_eq!(app.context_of(&browser).await.unwrap()["role"], "member");
    let user = app.workos().user_id(EMAIL).unwrap();
    let organization = app.context_of(&browser).await.unwrap()["organizationId"].as_str().unwrap().to_owned();
    app.workos().add_membership(&user, &organization, "admin", &["recordings:manage"]);
    assert_eq!(app.context_of(&browser).await.unwrap()["role"], "member");
    app.expire_access(&browser, 1);
    let context = app.context_of(&browser).await.unwrap();
    assert_eq!((&context["role"], &context["permissions"]), (&json!("admin"), &json!(["recordings:manage"])));
}

#[tokio::test]
async fn a_sign_out_during_a_refresh_holds() {
    let app = App::start().await;
    let mut browser = app.signed_in(EMAIL).await;
    let mut other_tab = browser.clone();
    app.expire_access(&browser, 1);
    let slow = Fault::new(REFRESH, Effect::Serve).delay(Duration::from_millis(600));
    app.workos().proxy().inject(slow.times(1));
    let (_, signing_out) = tokio::join!(browser.room_auth("Jane", "room"), async {
        let patience = Instant::now() + Duration::from_secs(8);
        while app.workos().proxy().count(REFRESH) == 0 {
            assert!(Instant::now() < patience);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        other_tab.sign_out().await
    });
    signing_out.is(200);
    assert!(app.items_of("session#").is_empty(), "the refresh brings nothing back");
    browser.room_auth("Jane", "room").await.is(403);
}
