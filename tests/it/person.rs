//! All sessions of a person: listed, and ended from one of them, here and at WorkOS.

use std::time::Duration;

use local_proxy::{Effect, Fault};
use serde_json::{Value, json};

use crate::app::{Answer, App, Browser, now, session_key};
use crate::impersonation::impersonate;
use crate::organizations::{MASADAS, TAUNTA, signed_in_to};

const JANE: &str = "jane.doe@example.com";
const TWO_ORGANIZATIONS: &str = "123@gmail.com";
const REVOKE: &str = "sessions.revoke";

/// The id of a session that was never switched.
fn id_of(browser: &Browser<'_>) -> String {
    session_key(&browser.token()).strip_prefix("session#").unwrap().to_owned()
}

/// The person's listed sessions.
async fn listed(browser: &mut Browser<'_>) -> Vec<Value> {
    let answer = browser.sessions().await.is(200);
    answer.body["sessions"].as_array().unwrap().clone()
}

/// The live sessions of a person at WorkOS.
fn at_workos(app: &App, email: &str) -> usize {
    app.workos().sessions(&app.workos().user_id(email).unwrap()).len()
}

/// Sessions that WorkOS still has to revoke.
fn unconfirmed(app: &App) -> usize {
    let items = app.items_of("ending#");
    items.iter().map(|item| item["sessions"]["SS"].as_array().map_or(0, Vec::len)).sum()
}

/// Lets the sign-in of a session be too long ago.
pub fn age_sign_in(app: &App, browser: &Browser<'_>) {
    let at = (now() - 1000).to_string();
    app.edit_session(browser, |item| item["authenticated_at"] = json!({ "N": at }));
}

async fn refuses(browser: &mut Browser<'_>) {
    browser.room_auth("Jane", "room").await.refused(401, "not_signed_in");
}

#[tokio::test]
async fn the_list_says_where_a_person_is_signed_in() {
    let app = App::start().await;
    let began = now();
    let mut laptop = app.signed_in("new.user@example.com").await;
    let mut phone = app.browser().header("user-agent", &"Phone ä".repeat(60));
    phone.sign_in("new.user@example.com").await.is(200);
    phone.finalize_magic_auth("new.user@example.com", &app.code("new.user@example.com")).await.is(200);
    let mut old = app.signed_in(JANE).await;
    app.edit_session(&phone, |item| item["last_seen_at"] = json!({ "N": (began - 60).to_string() }));

    let session = |browser: &Browser<'_>, current: bool| {
        let item = app.session_item(browser).unwrap();
        let number = |name: &str| item[name]["N"].as_str().unwrap().parse::<u64>().unwrap();
        json!({
            "id": id_of(browser),
            "current": current,
            "createdAt": number("created_at"),
            "lastSeenAt": number("last_seen_at"),
            "method": "magic_auth",
            "ipAddress": "127.0.0.1",
            "userAgent": item["user_agent"]["S"],
            "organization": null,
        })
    };
    assert_eq!(listed(&mut laptop).await, [session(&laptop, true), session(&phone, false)]);
    // The session of the request comes first, whatever was stored last.
    assert_eq!(listed(&mut phone).await, [session(&phone, true), session(&laptop, false)]);
    let agent = listed(&mut phone).await[0]["userAgent"].as_str().unwrap().to_owned();
    assert!((250..=256).contains(&agent.len()) && agent.starts_with("Phone ä"), "{agent}");
    assert_eq!(listed(&mut old).await[0]["organization"], json!({ "id": MASADAS, "name": "MASADAS" }));

    phone.sign_out().await.is(200);
    assert_eq!(listed(&mut laptop).await.len(), 1);
    laptop.sign_out().await.is(200);
    laptop.sessions().await.refused(401, "not_signed_in");
}

#[tokio::test]
async fn an_ended_session_is_refused_at_once_and_revoked_at_workos() {
    let app = App::start().await;
    let (mut laptop, mut phone) = (app.signed_in(JANE).await, app.signed_in(JANE).await);
    laptop.end_session(&id_of(&phone)).await.is(200);
    refuses(&mut phone).await;
    phone.session().await.refused(401, "not_signed_in");
    assert_eq!((at_workos(&app, JANE), unconfirmed(&app)), (1, 0));
    assert_eq!(listed(&mut laptop).await.len(), 1);
    laptop.end_session(&id_of(&phone)).await.refused(404, "session_not_found");

    let lines = app.logs();
    let ends: Vec<_> = lines.iter().filter(|line| line.contains("\"session-end\"")).collect();
    assert!(ends.len() == 1 && ends[0].contains("\"cause\":\"elsewhere\""), "{ends:?}");
}

#[tokio::test]
async fn a_session_keeps_its_id_through_switches_and_ends_by_it() {
    let app = App::start().await;
    let mut laptop = signed_in_to(&app, TWO_ORGANIZATIONS, MASADAS).await;
    app.reset_limits();
    let mut phone = signed_in_to(&app, TWO_ORGANIZATIONS, MASADAS).await;
    let id = id_of(&phone);
    let mut tokens = vec![phone.clone()];
    for organization in [TAUNTA, MASADAS, TAUNTA] {
        phone.switch_organization(TWO_ORGANIZATIONS, organization).await.is(200);
        let shown = listed(&mut laptop).await;
        assert_eq!((shown.len(), &shown[1]["id"]), (2, &json!(id)), "{shown:?}");
        assert_eq!(shown[1]["organization"]["id"], organization);
        tokens.push(phone.clone());
    }
    assert!(listed(&mut phone).await[0]["current"].as_bool().unwrap());
    // The key of a later token is no id.
    laptop.end_session(&id_of(&phone)).await.refused(404, "session_not_found");
    laptop.end_session(&id).await.is(200);
    for mut token in tokens {
        refuses(&mut token).await;
    }
    assert_eq!(listed(&mut laptop).await.len(), 1);
}

#[tokio::test]
async fn unknown_foreign_and_malformed_ids_get_the_same_404() {
    let app = App::start().await;
    let mut jane = signed_in_to(&app, TWO_ORGANIZATIONS, MASADAS).await;
    // A colleague, and somebody in another organization.
    let (mut colleague, mut stranger) =
        (app.signed_in(JANE).await, app.signed_in("new.user@example.com").await);
    let mut bodies = Vec::new();
    for id in [
        id_of(&colleague).as_str(),
        &id_of(&stranger),
        &"A".repeat(43),
        "x",
        "session#",
        &"é".repeat(20),
        &format!("session#{}", id_of(&colleague)),
        &colleague.token(),
    ] {
        let mut body = jane.end_session(id).await.refused(404, "session_not_found").body;
        body.as_object_mut().unwrap().remove("requestId");
        bodies.push(body);
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{bodies:?}");
    jane.end_session(&"A".repeat(129)).await.refused(400, "invalid_field").names("sessionId");
    jane.end_session(" ").await.refused(400, "missing_field").names("sessionId");
    jane.sign_out_everywhere(true).await.is(200);
    for browser in [&mut jane, &mut colleague, &mut stranger] {
        browser.session().await.is(200);
    }
    assert_eq!(app.workos().proxy().count(REVOKE), 0);
}

#[tokio::test]
async fn all_sessions_of_a_person_can_be_ended() {
    let app = App::start().await;
    let (mut laptop, mut phone, mut tablet) =
        (app.signed_in(JANE).await, app.signed_in(JANE).await, app.signed_in(JANE).await);
    let mut other = app.signed_in("new.user@example.com").await;
    let answer = laptop.sign_out_everywhere(true).await.is(200);
    assert_eq!(answer.body, json!({ "code": 200, "message": "OK" }));
    refuses(&mut phone).await;
    refuses(&mut tablet).await;
    laptop.session().await.is(200);
    assert_eq!((at_workos(&app, JANE), unconfirmed(&app)), (1, 0));

    let mut phone = app.signed_in(JANE).await;
    let own = app.context_of(&laptop).await.unwrap()["sessionId"].as_str().unwrap().to_owned();
    let mut copy = laptop.clone();
    let answer = laptop.send("/auth/sign-out-everywhere", None).await.is(200);
    let url = answer.text("/authData/redirectURL");
    assert!(url.ends_with(&format!("session_id={own}")), "{url}");
    assert!(!laptop.is_signed_in(), "the cookie is cleared");
    refuses(&mut copy).await;
    refuses(&mut phone).await;
    other.session().await.is(200);
    app.redirected(&url).await;
    assert_eq!((at_workos(&app, JANE), unconfirmed(&app)), (0, 0));
}

#[tokio::test]
async fn the_own_session_ends_like_by_a_sign_out() {
    let app = App::start().await;
    let (mut laptop, mut phone) = (app.signed_in(JANE).await, app.signed_in(JANE).await);
    age_sign_in(&app, &laptop);
    let mut copy = laptop.clone();
    app.workos().proxy().inject(Fault::new("*", Effect::Drop));
    let answer = laptop.end_session(&id_of(&laptop)).await.is(200);
    app.workos().proxy().clear_faults();
    assert!(!laptop.is_signed_in());
    refuses(&mut copy).await;
    app.redirected(&answer.text("/authData/redirectURL")).await;
    assert_eq!(at_workos(&app, JANE), 1);
    phone.session().await.is(200);
}

#[tokio::test]
async fn while_workos_is_down_sessions_end_here_and_the_response_says_how_to_go_on() {
    let app = App::start().await;
    let workos = app.workos().proxy();
    for fault in [
        Fault::new(REVOKE, Effect::Drop),
        Fault::response(REVOKE, 500, "{}"),
        Fault::response(REVOKE, 429, "{}"),
        Fault::response(REVOKE, 400, r#"{"message":"Something new."}"#),
        Fault::new(REVOKE, Effect::LoseResponse),
        Fault::new(REVOKE, Effect::Serve).delay(Duration::from_secs(30)),
    ] {
        for everywhere in [false, true] {
            app.reset_limits();
            app.dynamodb().proxy().reset_calls();
            let what = format!("{fault:?}, everywhere: {everywhere}");
            let (mut laptop, mut phone) = (app.signed_in(JANE).await, app.signed_in(JANE).await);
            let id = id_of(&phone);
            workos.inject(fault.clone());
            for _ in 0..2 {
                let answer = match everywhere {
                    true => laptop.sign_out_everywhere(false).await,
                    false => laptop.end_session(&id).await,
                };
                let answer = answer.refused(503, "sessions_remain");
                assert_eq!(answer.body["retryable"], true, "{what}");
                refuses(&mut phone).await;
                assert!(laptop.is_signed_in(), "{what}: the request can be sent again");
                assert_eq!(listed(&mut laptop).await.len(), 1, "{what}");
                assert_eq!(unconfirmed(&app), 1, "{what}");
            }
            workos.clear_faults();
            match everywhere {
                true => laptop.sign_out_everywhere(true).await.is(200),
                false => laptop.end_session(&id).await.is(200),
            };
            assert_eq!((at_workos(&app, JANE), unconfirmed(&app)), (1, 0), "{what}");
            laptop.sign_out_everywhere(false).await.is(200);
            app.workos().revoke_sessions(&app.workos().user_id(JANE).unwrap());
        }
    }
}

#[tokio::test]
async fn a_limit_of_workos_says_when_to_go_on() {
    let app = App::start().await;
    let (mut laptop, phone) = (app.signed_in(JANE).await, app.signed_in(JANE).await);
    let busy = Effect::Response {
        status: 429,
        headers: [("retry-after".into(), "7".into())].into(),
        body: "{}".into(),
    };
    app.workos().proxy().inject(Fault::new(REVOKE, busy));
    let answer = laptop.end_session(&id_of(&phone)).await.refused(503, "sessions_remain");
    assert_eq!(answer.header("retry-after"), Some("7"));
}

/// 199 other sessions, all of which WorkOS knows.
async fn with_two_hundred_sessions(app: &App) -> Browser<'_> {
    let mut browser = app.browser();
    for number in 0..200 {
        if number % 50 == 0 {
            app.reset_limits();
        }
        browser = app.browser();
        browser.dev_sign_in().await.is(200);
    }
    browser
}

#[tokio::test]
async fn two_hundred_sessions_end_or_the_response_says_how_to_go_on() {
    let app = App::start().await;
    let developer = "admin@cazzi.com";
    let mut browser = with_two_hundred_sessions(&app).await;
    assert_eq!((listed(&mut browser).await.len(), at_workos(&app, developer)), (200, 200));

    // Ten at a time, 0.6 s each: WorkOS cannot revoke all of them within the deadline.
    app.workos().proxy().inject(Fault::new(REVOKE, Effect::Serve).delay(Duration::from_millis(600)));
    browser.sign_out_everywhere(false).await.refused(503, "sessions_remain");
    assert_eq!(app.items_of("session#").len(), 1, "all others have ended here");
    let (left, noted) = (at_workos(&app, developer) - 1, unconfirmed(&app));
    assert!(0 < left && left <= noted && noted < 199, "{left} of 199 are left, and {noted} noted");

    app.workos().proxy().clear_faults();
    let answer = browser.sign_out_everywhere(false).await.is(200);
    app.redirected(&answer.text("/authData/redirectURL")).await;
    assert_eq!((app.items_of("session#").len(), at_workos(&app, developer), unconfirmed(&app)), (0, 0, 0));
}

#[tokio::test]
async fn two_hundred_sessions_end_without_one_left() {
    let app = App::start().await;
    let mut browser = with_two_hundred_sessions(&app).await;
    let mut requests = 0;
    loop {
        let answer = browser.sign_out_everywhere(true).await;
        requests += 1;
        if answer.status == 200 {
            break;
        }
        // On a busy machine.
        answer.refused(503, "sessions_remain");
        assert!(requests < 10, "each request ends some");
    }
    assert_eq!(
        (app.items_of("session#").len(), at_workos(&app, "admin@cazzi.com"), unconfirmed(&app)),
        (1, 1, 0)
    );
}

#[tokio::test]
async fn a_session_that_is_switched_meanwhile_ends() {
    let app = App::start().await;
    for everywhere in [false, true] {
        app.reset_limits();
        let mut laptop = signed_in_to(&app, TWO_ORGANIZATIONS, MASADAS).await;
        let mut phone = signed_in_to(&app, TWO_ORGANIZATIONS, MASADAS).await;
        let (id, mut before) = (id_of(&phone), phone.clone());
        let (table, workos) = (app.dynamodb().proxy(), app.workos().proxy());
        table.reset_calls();
        let slow = |call: &str| Fault::new(call, Effect::Serve).delay(Duration::from_secs(2)).times(1);
        table.inject(slow("DeleteItem"));
        workos.inject(slow(REVOKE));
        let end = async {
            match everywhere {
                true => laptop.sign_out_everywhere(true).await.is(200),
                false => laptop.end_session(&id).await.is(200),
            }
        };
        let switch = async {
            while table.count("DeleteItem") == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            phone.switch_organization(TWO_ORGANIZATIONS, TAUNTA).await.is(200);
        };
        tokio::join!(end, switch);
        workos.clear_faults();
        assert_ne!(id_of(&phone), id, "the switch came first");
        refuses(&mut phone).await;
        refuses(&mut before).await;
        assert_eq!(unconfirmed(&app), 0);
        laptop.sign_out().await.is(200);
    }
}

#[tokio::test]
async fn two_requests_end_a_session_at_once() {
    let app = App::start().await;
    for _ in 0..5 {
        app.reset_limits();
        let (laptop, mut phone) = (app.signed_in(JANE).await, app.signed_in(JANE).await);
        let (mut one, mut two, id) = (laptop.clone(), laptop.clone(), id_of(&phone));
        let answers: [Answer; 2] = tokio::join!(one.end_session(&id), two.end_session(&id)).into();
        let mut statuses = answers.map(|answer| answer.status.as_u16());
        statuses.sort_unstable();
        // The second one is too late if the first has finished.
        assert!([[200, 200], [200, 404]].contains(&statuses), "{statuses:?}");
        refuses(&mut phone).await;
        assert_eq!(unconfirmed(&app), 0);
        let (mut one, mut two) = (laptop.clone(), laptop.clone());
        let answers: [Answer; 2] =
            tokio::join!(one.sign_out_everywhere(false), two.sign_out_everywhere(false)).into();
        let statuses = answers.map(|answer| answer.status.as_u16());
        assert!(
            statuses.contains(&200) && statuses.iter().all(|status| [200, 401].contains(status)),
            "{statuses:?}"
        );
        assert_eq!((app.items_of("session#").len(), unconfirmed(&app)), (0, 0));
    }
}

#[tokio::test]
async fn what_the_table_interrupts_is_finished_by_the_next_request() {
    let app = App::start().await;
    for (call, skipped) in [("UpdateItem", 0), ("DeleteItem", 0), ("DeleteItem", 1)] {
        for everywhere in [false, true] {
            app.reset_limits();
            let (mut laptop, phone) = (app.signed_in(JANE).await, app.signed_in(JANE).await);
            let tablet = app.signed_in(JANE).await;
            let id = id_of(&phone);
            if !everywhere && skipped > 0 {
                continue;
            }
            app.dynamodb().proxy().inject(Fault::new(call, Effect::Drop).skip(skipped));
            let answer = match everywhere {
                true => laptop.sign_out_everywhere(true).await,
                false => laptop.end_session(&id).await,
            };
            answer.refused(503, "store_unavailable");
            app.dynamodb().proxy().clear_faults();
            match everywhere {
                true => laptop.sign_out_everywhere(true).await.is(200),
                false => laptop.end_session(&id).await.is(200),
            };
            refuses(&mut phone.clone()).await;
            tablet.clone().session().await.is(if everywhere { 401 } else { 200 });
            assert_eq!(unconfirmed(&app), 0, "{call} {skipped}");
            laptop.sign_out_everywhere(false).await.is(200);
        }
    }
}

#[tokio::test]
async fn a_workos_session_that_the_caller_shares_goes_on() {
    let app = App::start().await;
    let (mut laptop, mut phone) = (app.signed_in(JANE).await, app.signed_in(JANE).await);
    let own = app.session_item(&laptop).unwrap()["workos_session_id"].clone();
    app.edit_session(&phone, |item| item["workos_session_id"] = own);
    laptop.sign_out_everywhere(true).await.is(200);
    refuses(&mut phone).await;
    assert_eq!((app.workos().proxy().count(REVOKE), unconfirmed(&app)), (0, 0));
    app.expire_access(&laptop, 1);
    laptop.session().await.is(200);
}

#[tokio::test]
async fn somebody_who_acts_as_a_person_neither_sees_nor_ends_their_sessions() {
    let app = App::start().await;
    let mut own = app.signed_in(JANE).await;
    let (mut support, answer) = impersonate(&app, JANE).await;
    answer.is(200);
    support.sessions().await.refused(403, "not_while_impersonating");
    app.cloud.logs().clear();
    support.end_session(&id_of(&own)).await.refused(403, "not_while_impersonating");
    support.sign_out_everywhere(false).await.refused(403, "not_while_impersonating");
    let told = app
        .logs()
        .iter()
        .filter(|line| {
            line.contains("\"audit\":true")
                && line.contains("impersonator_hash")
                && line.contains("not_while_impersonating")
        })
        .count();
    assert_eq!(told, 2);

    // The person sees who acts as them, and ends it.
    let shown = listed(&mut own).await;
    let impersonated = shown.iter().find(|session| session.get("impersonator").is_some()).unwrap();
    assert_eq!(impersonated["impersonator"]["email"], "support@example.com");
    own.end_session(impersonated["id"].as_str().unwrap()).await.is(200);
    support.session().await.refused(401, "not_signed_in");

    // They may leave.
    let (mut support, answer) = impersonate(&app, JANE).await;
    answer.is(200);
    support.end_session(&id_of(&support)).await.is(200);
    own.session().await.is(200);
}
