//! A member of the team signs in as somebody else, from WorkOS' dashboard. Every part of the product knows, and it ends
//! after an hour.

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use serde_json::{Value, json};

use crate::app::{Answer, App, Browser, Return, now};
use crate::login::visit_login;
use crate::organizations::{MASADAS, TAUNTA, claims_of};

const JANE: &str = "jane.doe@example.com";
const TWO_ORGANIZATIONS: &str = "123@gmail.com";
const SUPPORT: &str = "support@example.com";
const REASON: &str = "Ticket 4711";

/// Begins in the dashboard and returns with what `finalize-oauth` responds.
pub async fn impersonate<'a>(app: &'a App, email: &str) -> (Browser<'a>, Answer) {
    let button = app.workos().impersonation_url(email, SUPPORT, REASON);
    let dashboard = crate::app::http().get(button).send().await.unwrap();
    let header = |name| dashboard.headers()[name].to_str().unwrap().to_owned();
    let (login, cookie) = (header(LOCATION), header(SET_COOKIE));
    let mut browser = app.browser();
    let url = visit_login(app, &mut browser, &login).await;
    let cookie = cookie.split(';').next().unwrap();
    let page = crate::app::http().get(url).header(COOKIE, cookie).send().await.unwrap();
    let back = Return::of(page.headers()[LOCATION].to_str().unwrap());
    let answer = browser.finalize_oauth(back.code(), back.state.as_deref()).await;
    (browser, answer)
}

/// Asserts that the session, the authorizer's context, `GET /auth/session` and a room token name the impersonator.
async fn names_the_impersonator(app: &App, browser: &mut Browser<'_>) {
    let item = app.session_item(browser).unwrap();
    assert_eq!(item["impersonator"]["S"], SUPPORT, "{item}");
    assert_eq!(item["impersonation_reason"]["S"], REASON, "{item}");
    let context = app.context_of(browser).await.unwrap();
    assert_eq!(context["impersonator"], json!({ "email": SUPPORT, "reason": REASON }));
    let session = browser.get("/auth/session").await.is(200).body;
    assert_eq!(session["impersonator"], json!({ "email": SUPPORT, "reason": REASON }));
    let lifetime = session["expiresAt"].as_u64().unwrap() - session["createdAt"].as_u64().unwrap();
    assert!(lifetime <= 3600, "{session}");
    let token = browser.room_auth("Somebody", "room").await.is(200).text("/token");
    assert_eq!(claims_of(&token)["attributes"]["impersonator"], SUPPORT);
}

/// The `Max-Age` of the session cookie that a response sets.
fn max_age(answer: &Answer) -> u64 {
    let cookie = answer.cookies.iter().find(|cookie| cookie.starts_with("__Host-session=")).unwrap();
    cookie.split("Max-Age=").nth(1).unwrap().split(';').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_impersonation_from_the_dashboard_ends_in_a_session_that_says_so() {
    let app = App::start().await;
    let (mut browser, answer) = impersonate(&app, JANE).await;
    let answer = answer.is(200);
    assert_eq!(answer.text("/user/email"), JANE);
    assert_eq!(max_age(&answer), 3600);
    names_the_impersonator(&app, &mut browser).await;

    // The audit trail has the hash of the address, and neither the address nor the reason.
    browser.sign_out().await.is(200);
    let logs = app.logs();
    let lines = logs.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let hash = api::EmailAddress::parse(SUPPORT).unwrap().hash();
    let named: Vec<_> = lines.filter(|line| line["impersonator_hash"] == hash).collect();
    let events: Vec<_> = named.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["finalize-oauth", "session-end", "sign-out"], "{named:?}");
    assert!(logs.iter().all(|line| !line.contains(SUPPORT) && !line.contains(REASON)));

    // The person's own session says nothing of the kind.
    let mut own = app.signed_in(JANE).await;
    assert!(app.session_item(&own).unwrap().get("impersonator").is_none());
    assert!(app.context_of(&own).await.unwrap().get("impersonator").is_none());
    assert!(own.get("/auth/session").await.is(200).body.get("impersonator").is_none());
    let token = own.room_auth("Jane", "room").await.is(200).text("/token");
    assert!(claims_of(&token)["attributes"].get("impersonator").is_none());
}

#[tokio::test]
async fn an_impersonation_ends_after_an_hour_however_much_it_is_used() {
    let app = App::start().await;
    let (browser, answer) = impersonate(&app, JANE).await;
    answer.is(200);
    let expires_at = app.session_item(&browser).unwrap()["expires_at"]["N"].as_str().unwrap().to_owned();
    assert!(expires_at.parse::<u64>().unwrap() <= now() + 3600, "DynamoDB removes it then");
    for (age, status) in [(3590, 200), (3600, 401)] {
        app.edit_session(&browser, |item| {
            item["created_at"] = json!({ "N": (now() - age).to_string() });
            item["last_seen_at"] = json!({ "N": now().to_string() });
        });
        browser.clone().room_auth("Jane", "room").await.is(status);
    }
    browser.clone().switch_organization(JANE, MASADAS).await.refused(401, "not_signed_in");
}

#[tokio::test]
async fn a_shorter_absolute_lifetime_stands() {
    let app = App::with_env(&[("SESSION_IDLE_SECONDS", "600"), ("SESSION_ABSOLUTE_SECONDS", "900")]).await;
    let (_, answer) = impersonate(&app, JANE).await;
    assert_eq!(max_age(&answer.is(200)), 900);
}

#[tokio::test]
async fn neither_a_choice_nor_a_refresh_nor_a_switch_loses_the_impersonator() {
    let app = App::start().await;
    let (mut browser, answer) = impersonate(&app, TWO_ORGANIZATIONS).await;
    let pending = answer.is(200).text("/user/pendingAuthenticationToken");
    let answer = browser.select_organization(&pending, MASADAS).await.is(200);
    assert_eq!(max_age(&answer), 3600);
    names_the_impersonator(&app, &mut browser).await;

    let refreshes = app.workos().proxy().count("authenticate.refresh_token");
    app.expire_access(&browser, 1);
    names_the_impersonator(&app, &mut browser).await;
    assert_eq!(app.workos().proxy().count("authenticate.refresh_token"), refreshes + 1);

    // The hour goes on.
    app.edit_session(&browser, |item| item["created_at"] = json!({ "N": (now() - 3000).to_string() }));
    let answer = browser.switch_organization(TWO_ORGANIZATIONS, TAUNTA).await.is(200);
    assert!((590..=600).contains(&max_age(&answer)), "{}", max_age(&answer));
    names_the_impersonator(&app, &mut browser).await;
    app.expire_access(&browser, 1);
    names_the_impersonator(&app, &mut browser).await;
    app.edit_session(&browser, |item| item["created_at"] = json!({ "N": (now() - 3600).to_string() }));
    browser.room_auth("Somebody", "room").await.refused(401, "not_signed_in");
}
