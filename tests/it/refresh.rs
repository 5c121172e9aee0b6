//! Refresh: one request of the whole fleet does it, no other waits for it, and a transient error ends no session.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use local_proxy::{Effect, Fault};
use serde_json::json;

use crate::app::{Answer, App, Browser, now};
use crate::organizations::called;

const EMAIL: &str = "jane.doe@example.com";
const REFRESH: &str = "authenticate.refresh_token";

/// A function's deadline, plus some time for the local cloud.
const DEADLINE: Duration = Duration::from_millis(9000);

/// The number of concurrent requests.
const BURST: usize = 100;

/// Sends `size` concurrent requests to a protected route, and measures how long all of them took.
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

/// Ends a lease or a pause early.
fn end_lease(app: &App, browser: &Browser<'_>) {
    app.edit_session(browser, |item| {
        for name in ["refresh_lease", "refresh_pause"] {
            item.as_object_mut().unwrap().remove(name);
        }
    });
}

fn number(app: &App, browser: &Browser<'_>, name: &str) -> Option<u64> {
    app.session_item(browser)?.get(name)?["N"].as_str()?.parse().ok()
}

/// The next request refreshes, and no later one does.
async fn refreshes_once(app: &App, browser: &mut Browser<'_>) {
    let before = app.workos().proxy().count(REFRESH);
    for _ in 0..3 {
        browser.room_auth("Jane", "room").await.is(200);
    }
    assert_eq!(app.workos().proxy().count(REFRESH), before + 1);
    assert!(number(app, browser, "access_expires_at").unwrap() > now() + 30, "it is refreshed");
    assert_eq!(number(app, browser, "refresh_lease"), None, "the lease is released");
}

#[tokio::test]
async fn a_hundred_concurrent_requests_cost_one_refresh_and_an_outage_of_workos_signs_nobody_out() {
    let app = App::start().await;
    let workos = app.workos().proxy();
    let mut healthy = app.signed_in(EMAIL).await;
    // Starts a process for each request, so that the times below do not include the start of 200 processes.
    all(&burst(&healthy, BURST).await.0, 200);
    assert_eq!(workos.count(REFRESH), 0);

    app.expire_access(&healthy, 1);
    let (answers, took) = burst(&healthy, BURST).await;
    all(&answers, 200);
    assert!(took < DEADLINE, "{took:?}");
    assert_eq!(workos.count(REFRESH), 1);
    refreshed_already(&app, &mut healthy).await;

    let plain = |status| Fault::response(REFRESH, status, "{\"message\":\"trouble\"}");
    let unanswered = [
        "a malformed success",
        "a dropped connection",
        "half a response",
        "a lost response",
        "a stall of 30 s",
    ];
    let mut troubled = Vec::new();
    for (what, fault) in [
        ("429", plain(429)),
        ("429 with Retry-After", plain(429).header("retry-after", "3600")),
        ("500", plain(500)),
        ("503", plain(503)),
        ("408", plain(408)),
        ("a page", Fault::response(REFRESH, 502, "<html>Bad gateway</html>")),
        ("a malformed success", Fault::response(REFRESH, 200, "<html>Welcome</html>")),
        ("an unknown error", Fault::response(REFRESH, 400, "{\"code\":\"of_next_year\"}")),
        ("a rejected API key", Fault::response(REFRESH, 401, "{\"error\":\"invalid_client\"}")),
        ("a dropped connection", Fault::new(REFRESH, Effect::Drop)),
        ("half a response", Fault::new(REFRESH, Effect::DropMidBody)),
        ("a lost response", Fault::new(REFRESH, Effect::LoseResponse)),
        ("a stall of 30 s", Fault::new(REFRESH, Effect::Serve).delay(Duration::from_secs(30))),
    ] {
        let session = app.signed_in(&format!("{}@example.com", troubled.len())).await;
        app.expire_access(&session, 1);
        workos.clear_faults();
        workos.inject(fault);
        let before = workos.count(REFRESH);
        // Four of these with all hundred requests; a dozen will do for the others.
        let size = if ["429", "500", "a dropped connection", "a stall of 30 s"].contains(&what) {
            BURST
        } else {
            12
        };
        let (answers, took) = burst(&session, size).await;
        all(&answers, 200);
        assert!(took < DEADLINE, "{what}: {took:?}");
        // One request tries, and repeats an unanswered try.
        let is_unanswered = unanswered.contains(&what);
        assert_eq!(workos.count(REFRESH), before + if is_unanswered { 2 } else { 1 }, "{what}");
        assert!(app.session_item(&session).is_some(), "{what}");
        let next = number(&app, &session, "refresh_pause").unwrap();
        assert!(next <= now() + 5, "{what}: the next attempt is at most five seconds away");
        troubled.push((what, session));
    }
    workos.clear_faults();
    for (what, session) in &mut troubled {
        end_lease(&app, session);
        let before = workos.count(REFRESH);
        let (answers, _) = burst(session, 5).await;
        all(&answers, 200);
        assert_eq!(workos.count(REFRESH), before + 1, "{what}: one refresh once WorkOS is back");
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
async fn short_lived_tokens_are_refreshed_on_every_request() {
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
async fn the_next_refresh_after_a_transient_error_waits_five_seconds() {
    let app = App::start().await;
    let mut browser = app.signed_in(EMAIL).await;
    app.expire_access(&browser, 1);
    app.workos().proxy().inject(Fault::response(REFRESH, 503, "{}").times(1));
    let failed_at = now();
    browser.room_auth("Jane", "room").await.is(200);
    assert_eq!(app.workos().proxy().count(REFRESH), 1);
    let patience = Instant::now() + Duration::from_secs(20);
    while app.workos().proxy().count(REFRESH) == 1 {
        assert!(Instant::now() < patience, "there is no second refresh");
        browser.room_auth("Jane", "room").await.is(200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(now() >= failed_at + 5, "refreshed again after {} s", now() - failed_at);
    refreshed_already(&app, &mut browser).await;
}

#[tokio::test]
async fn a_session_that_ended_at_workos_ends_here_at_the_next_refresh() {
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
        // Until the refresh, the cached claims are used.
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
        session.clone().room_auth("Jane", "room").await.refused(401, "not_signed_in");
        assert!(app.session_item(&session).is_none(), "{what}");
        all(&burst(&session, 5).await.0, 401);
    }
}

#[tokio::test]
async fn invalid_grant_ends_the_session_for_all_requests() {
    let app = App::start().await;
    let session = app.signed_in(EMAIL).await;
    all(&burst(&session, 30).await.0, 200);
    app.expire_access(&session, 1);
    let invalid = json!({ "error": "invalid_grant", "error_description": "Session has already ended." });
    app.workos().proxy().inject(Fault::response(REFRESH, 400, invalid.to_string()));
    // Requests that arrive before WorkOS responds continue with the cached claims.
    let (answers, took) = burst(&session, 30).await;
    assert!(answers.iter().all(|answer| [200, 401].contains(&answer.status.as_u16())));
    assert!(answers.iter().any(|answer| answer.status == 401) && took < DEADLINE);
    assert_eq!(app.workos().proxy().count(REFRESH), 1);
    assert!(app.session_item(&session).is_none());
    all(&burst(&session, 30).await.0, 401);
    assert_eq!(app.workos().proxy().count(REFRESH), 1);

    // Past the grace period, all of them wait for the response.
    let session = app.signed_in(EMAIL).await;
    app.expire_access(&session, 901);
    let (answers, took) = burst(&session, 30).await;
    all(&answers, 401);
    assert!(took < DEADLINE, "{took:?}");
    assert_eq!(app.workos().proxy().count(REFRESH), 2);
    assert!(app.session_item(&session).is_none());
}

#[tokio::test]
async fn past_the_grace_period_all_requests_wait_for_the_refresh() {
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
async fn past_the_grace_period_an_outage_is_an_error_and_still_ends_no_session() {
    let app = App::with_env(&[("REFRESH_GRACE_SECONDS", "60")]).await;
    let session = app.signed_in(EMAIL).await;
    all(&burst(&session, 10).await.0, 200);

    // Within the grace period, the cached claims are used.
    app.workos().proxy().inject(Fault::response(REFRESH, 503, "{}"));
    app.expire_access(&session, 50);
    all(&burst(&session, 10).await.0, 200);

    end_lease(&app, &session);
    app.expire_access(&session, 60);
    let (answers, took) = burst(&session, 10).await;
    assert!(took < DEADLINE, "{took:?}");
    for answer in answers {
        // An outage, not a sign-out, both for the request that refreshes and for those that wait.
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
async fn a_request_past_the_grace_period_takes_over_from_a_process_that_died() {
    let app = App::with_env(&[("REFRESH_GRACE_SECONDS", "60")]).await;
    let mut browser = app.signed_in(EMAIL).await;
    app.expire_access(&browser, 90);
    app.edit_session(&browser, |item| {
        item["refresh_owner"] = json!({ "S": "died" });
        item["refresh_lease"] = json!({ "N": (now() + 2).to_string() });
    });
    browser.room_auth("Jane", "room").await.is(200);
    assert_eq!(app.workos().proxy().count(REFRESH), 1);
}

#[tokio::test]
async fn a_refresh_whose_process_died_before_its_write_is_repeated_by_the_next_request() {
    let app = App::start().await;
    // Two sessions, so that the test waits for both leases at once.
    let (mut killed, mut lost) = (app.signed_in(EMAIL).await, app.signed_in("lost@example.com").await);
    killed.room_auth("Jane", "room").await.is(200);

    // The process is killed during its write: the first UpdateItem claims the lease, the second stores the result.
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
    // That request fails with its process: API Gateway's own response.
    assert_eq!(answer.status, 500, "{}", answer.body);
    assert_eq!(app.workos().refresh_tokens().len(), tokens + 1, "WorkOS has responded");
    assert_eq!(number(&app, &killed, "generation"), Some(0), "and nothing is stored");
    let lease = number(&app, &killed, "refresh_lease").expect("the lease is still held");

    // The claim succeeds, and every later write fails.
    app.expire_access(&lost, 1);
    dynamodb.inject(Fault::new("UpdateItem", Effect::Serve).times(1));
    dynamodb.inject(Fault::response("UpdateItem", 500, "{\"__type\":\"InternalServerError\"}"));
    lost.room_auth("Jane", "room").await.is(200);
    dynamodb.clear_faults();
    assert_eq!(number(&app, &lost, "generation"), Some(0));

    // Until the lease expires, the cached claims are used. Then the old refresh token returns the same new pair.
    let refreshes = app.workos().proxy().count(REFRESH);
    while number(&app, &killed, "generation") == Some(0) || number(&app, &lost, "generation") == Some(0) {
        assert!(now() <= lease + 10, "the refresh is not repeated");
        killed.room_auth("Jane", "room").await.is(200);
        lost.room_auth("Jane", "room").await.is(200);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(now() >= lease, "the refresh is repeated after the lease, not before");
    assert_eq!(app.workos().proxy().count(REFRESH), refreshes + 2);
    for session in [&mut killed, &mut lost] {
        app.expire_access(session, 1);
        session.room_auth("Jane", "room").await.is(200);
        assert_eq!(number(&app, session, "generation"), Some(2), "the new refresh token works");
    }
}

/// The number of refreshes with this outcome, by the metric.
fn refreshes(app: &App, outcome: &str) -> usize {
    let outcome = format!("\"Outcome\":\"{outcome}\",\"Refresh\":1");
    app.logs().iter().filter(|line| line.contains(&outcome)).count()
}

#[tokio::test]
async fn an_unanswered_refresh_is_repeated_within_the_request() {
    let app = App::start().await;
    let mut browser = app.signed_in(EMAIL).await;
    let workos = app.workos().proxy();
    for fault in [
        Fault::new(REFRESH, Effect::LoseResponse),
        Fault::new(REFRESH, Effect::Drop),
        Fault::new(REFRESH, Effect::Serve).delay(Duration::from_secs(4)),
    ] {
        app.expire_access(&browser, 1);
        let (before, generation) = (workos.count(REFRESH), number(&app, &browser, "generation").unwrap());
        workos.inject(fault.clone().times(1));
        browser.room_auth("Jane", "room").await.is(200);
        assert_eq!(workos.count(REFRESH), before + 2, "{fault:?}");
        assert_eq!(number(&app, &browser, "generation"), Some(generation + 1), "{fault:?}");
    }
    assert_eq!((refreshes(&app, "renewed"), refreshes(&app, "lost")), (3, 0));
}

#[tokio::test]
async fn invalid_grant_ends_no_session_if_it_answers_a_repeated_refresh() {
    let app = App::start().await;
    let mut browser = app.signed_in(EMAIL).await;
    app.expire_access(&browser, 1);
    let workos = app.workos().proxy();
    workos.inject(Fault::new(REFRESH, Effect::LoseResponse).times(1));
    workos.inject(Fault::response(REFRESH, 400, r#"{"error":"invalid_grant"}"#).times(1));
    browser.room_auth("Jane", "room").await.is(200);
    assert_eq!((workos.count(REFRESH), refreshes(&app, "lost")), (2, 1));

    // WorkOS still repeats its response to the first try.
    end_lease(&app, &browser);
    refreshes_once(&app, &mut browser).await;
}

#[tokio::test]
async fn a_refresh_is_stored_once_the_table_is_back() {
    let app = App::start().await;
    let mut browser = app.signed_in(EMAIL).await;
    app.expire_access(&browser, 1);
    let dynamodb = app.dynamodb().proxy();
    // The claim succeeds. Then the write fails four times, with three attempts of the SDK each.
    dynamodb.inject(Fault::new("UpdateItem", Effect::Serve).times(1));
    dynamodb.inject(Fault::response("UpdateItem", 500, "{\"__type\":\"InternalServerError\"}").times(12));
    browser.room_auth("Jane", "room").await.is(200);
    assert_eq!(number(&app, &browser, "generation"), Some(1));
    assert_eq!((refreshes(&app, "renewed"), refreshes(&app, "lost")), (1, 0));
}

#[tokio::test]
async fn a_slow_table_and_a_slow_workos_leave_the_cached_claims() {
    let app = App::start().await;
    let mut browser = app.signed_in(EMAIL).await;
    app.expire_access(&browser, 1);
    for call in ["GetItem", "UpdateItem"] {
        app.dynamodb().proxy().inject(Fault::new(call, Effect::Serve).delay(Duration::from_secs(1)));
    }
    app.workos().proxy().inject(Fault::new(REFRESH, Effect::Serve).delay(Duration::from_secs(30)));
    browser.room_auth("Jane", "room").await.is(200);
    assert!(app.session_item(&browser).is_some());
}

#[tokio::test]
async fn a_refresh_names_the_client_and_the_sessions_organization() {
    let app = App::start().await;
    let mut browser = app.signed_in(EMAIL).await;
    app.expire_access(&browser, 1);
    browser.room_auth("Jane", "room").await.is(200);
    let grant = app.workos().last_grant("refresh_token").unwrap();
    let organization = app.context_of(&browser).await.unwrap()["organizationId"].as_str().map(str::to_owned);
    assert!(organization.is_some());
    assert_eq!(grant.organization_id, organization);
    assert_eq!(grant.ip_address.as_deref(), Some("127.0.0.1"));
    assert_eq!(grant.user_agent.as_deref(), Some("Mozilla/5.0 (tests)"));
}

#[tokio::test]
async fn a_lease_lasts_ten_seconds_and_one_from_the_future_counts_for_no_longer() {
    let app = App::start().await;
    let mut browser = app.signed_in(EMAIL).await;
    app.expire_access(&browser, 1);
    let slow = Fault::new(REFRESH, Effect::Serve).delay(Duration::from_millis(600));
    app.workos().proxy().inject(slow.times(1));
    let mut caller = browser.clone();
    let (answer, lease) = tokio::join!(caller.room_auth("Jane", "room"), async {
        called(&app, REFRESH, 1).await;
        number(&app, &browser, "refresh_lease").unwrap()
    });
    answer.is(200);
    assert!((now() + 8..=now() + 10).contains(&lease), "{lease} at {}", now());

    // A sandbox whose clock is two minutes ahead took a lease, or noted a pause, and died.
    for (name, ahead) in [("refresh_lease", 130), ("refresh_pause", 185)] {
        app.expire_access(&browser, 1);
        app.edit_session(&browser, |item| item[name] = json!({ "N": (now() + ahead).to_string() }));
        let before = app.workos().proxy().count(REFRESH);
        browser.room_auth("Jane", "room").await.is(200);
        assert_eq!(app.workos().proxy().count(REFRESH), before + 1, "{name}");
    }
    // A lease of our own time counts.
    app.expire_access(&browser, 1);
    app.edit_session(&browser, |item| item["refresh_lease"] = json!({ "N": (now() + 9).to_string() }));
    let before = app.workos().proxy().count(REFRESH);
    browser.room_auth("Jane", "room").await.is(200);
    assert_eq!(app.workos().proxy().count(REFRESH), before);
}

/// The first request reads the clock, and a second later another one takes the lease, before the first one's claim arrives.
#[tokio::test]
async fn a_claim_that_arrives_late_takes_no_lease_from_a_request_that_has_it() {
    let app = App::start().await;
    let browser = app.signed_in(EMAIL).await;
    all(&burst(&browser, 2).await.0, 200);
    app.expire_access(&browser, 1);
    let late = Fault::new("UpdateItem", Effect::Serve).delay(Duration::from_millis(1400));
    app.dynamodb().proxy().inject(late.times(1));
    let slow = Fault::new(REFRESH, Effect::Serve).delay(Duration::from_millis(1500));
    app.workos().proxy().inject(slow);
    let (mut first, mut second) = (browser.clone(), browser.clone());
    let (first, second) = tokio::join!(first.room_auth("Jane", "room"), async {
        tokio::time::sleep(Duration::from_millis(1100)).await;
        second.room_auth("Jane", "room").await
    });
    all(&[first, second], 200);
    assert_eq!(app.workos().proxy().count(REFRESH), 1);
}

#[tokio::test]
async fn lost_responses_to_writes_do_no_harm() {
    let app = App::start().await;
    let mut browser = app.signed_in(EMAIL).await;
    let dynamodb = app.dynamodb().proxy();
    // The response to the claim, then the response to the write: the SDK retries and finds its own write.
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
async fn a_role_change_at_workos_takes_effect_at_the_next_refresh() {
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
async fn a_sign_out_during_a_refresh_is_final() {
    let app = App::start().await;
    let mut browser = app.signed_in(EMAIL).await;
    let mut other_tab = browser.clone();
    app.expire_access(&browser, 1);
    let slow = Fault::new(REFRESH, Effect::Serve).delay(Duration::from_millis(600));
    app.workos().proxy().inject(slow.times(1));
    let (_, signing_out) = tokio::join!(browser.room_auth("Jane", "room"), async {
        called(&app, REFRESH, 1).await;
        other_tab.sign_out().await
    });
    signing_out.is(200);
    assert!(app.items_of("session#").is_empty(), "the refresh does not restore the session");
    browser.room_auth("Jane", "room").await.refused(401, "not_signed_in");
}
