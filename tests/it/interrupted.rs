//! Sign-ins that are interrupted after WorkOS may have redeemed their code: the write of the session is tried to the
//! deadline, an error says whether the same request can succeed, and nothing is left behind.

use local_proxy::{Effect, Fault};

use crate::app::{Answer, App, Browser};

const EMAIL: &str = "jane.doe@example.com";

/// A fault of the transaction that begins a session at this endpoint.
fn writes_fail(app: &App, name: &str, times: Option<u32>) {
    let fault = Fault::response("TransactWriteItems", 500, "{\"__type\":\"InternalServerError\"}");
    // The first transaction of `finalize-magic-auth` counts the try.
    let skip = u32::from(name == "finalize-magic-auth");
    app.dynamodb().proxy().inject(Fault { skip, times, ..fault });
}

/// The sign-ins that redeem something, each ready to redeem it.
const SIGN_INS: [&str; 4] = ["finalize-magic-auth", "finalize-oauth", "select-organization", "dev-sign-in"];

/// Signs `browser` in up to the request that redeems, and sends it after `fault` is set.
async fn redeem(
    app: &App,
    browser: &mut Browser<'_>,
    name: &str,
    email: &str,
    fault: impl FnOnce(),
) -> Answer {
    match name {
        "finalize-magic-auth" => {
            browser.sign_up(email).await.is(201);
            let code = app.code(email);
            fault();
            browser.finalize_magic_auth(email, &code).await
        }
        "finalize-oauth" => {
            let url = browser.continue_with_google().await.is(200).text("/authData/redirectURL");
            let back = app.at_provider(&url, email).await;
            fault();
            browser.finalize_oauth(back.code(), back.state.as_deref()).await
        }
        "select-organization" => {
            let user = app.workos().add_user(email);
            for organization in ["One", "Two"] {
                let organization = app.workos().add_organization(organization, &[]);
                app.workos().add_membership(&user, &organization, "member", &[]);
            }
            browser.sign_in(email).await.is(200);
            let choice = browser.finalize_magic_auth(email, &app.code(email)).await.is(200);
            let pending = choice.text("/user/pendingAuthenticationToken");
            let organization = choice.text("/user/organizations/0/id");
            fault();
            browser.select_organization(&pending, &organization).await
        }
        _ => {
            fault();
            browser.dev_sign_in().await
        }
    }
}

#[tokio::test]
async fn a_redeemed_code_waits_for_the_table() {
    let app = App::start().await;
    for name in SIGN_INS {
        let mut browser = app.browser();
        // Four tries, with three attempts of the SDK each.
        let table_fails = || writes_fail(&app, name, Some(12));
        let answer = redeem(&app, &mut browser, name, &format!("{name}@example.com"), table_fails).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.body);
        app.dynamodb().proxy().clear_faults();
        browser.room_auth("Jane", "room").await.is(200);
    }
}

#[tokio::test]
async fn a_sign_in_without_a_table_leaves_no_session_at_workos() {
    let app = App::start().await;
    for name in SIGN_INS {
        let email = format!("{name}@example.com");
        let mut browser = app.browser();
        let answer = redeem(&app, &mut browser, name, &email, || writes_fail(&app, name, None)).await;
        answer.refused(502, "sign_in_interrupted");
        for cookie in ["__Host-session", "__Host-oauth"] {
            assert!(!browser.cookies.contains_key(cookie), "{name}: {cookie}");
        }
        assert!(app.items_of("session#").is_empty(), "{name}");
        let email = if name == "dev-sign-in" { "admin@cazzi.com" } else { &email };
        let user = app.workos().user_id(email).unwrap();
        assert!(app.workos().sessions(&user).is_empty(), "{name}");
        app.dynamodb().proxy().clear_faults();
    }
    // The person starts over.
    app.signed_in("finalize-oauth@example.com").await;
}

#[tokio::test]
async fn a_sign_in_whose_token_cannot_be_verified_leaves_no_session_at_workos() {
    let app = App::start().await;
    let mut browser = app.browser();
    let no_keys = || app.workos().proxy().inject(Fault::response("jwks", 500, ""));
    let answer = redeem(&app, &mut browser, "finalize-oauth", EMAIL, no_keys).await;
    answer.refused(502, "sign_in_interrupted");
    assert!(browser.cookies.is_empty());
    let user = app.workos().user_id(EMAIL).unwrap();
    assert!(app.workos().sessions(&user).is_empty());
}

#[tokio::test]
async fn a_flow_is_kept_only_if_its_code_was_not_redeemed() {
    let app = App::start().await;
    let call = "authenticate.authorization_code";

    for (fault, status, reason) in [
        (Fault::response(call, 429, "{}"), 503, "workos_busy"),
        (Fault::response(call, 503, "{}"), 502, "sign_in_interrupted"),
        (Fault::response(call, 500, "{}"), 502, "sign_in_interrupted"),
        (Fault::response(call, 200, "{}"), 502, "sign_in_interrupted"),
        (Fault::new(call, Effect::LoseResponse), 502, "sign_in_interrupted"),
    ] {
        let mut browser = app.browser();
        let url = browser.continue_with_google().await.is(200).text("/authData/redirectURL");
        let back = app.at_provider(&url, EMAIL).await;
        app.workos().proxy().inject(fault.clone().times(1));
        let answer = browser.finalize_oauth(back.code(), back.state.as_deref()).await;
        answer.refused(status, reason);
        let is_kept = reason == "workos_busy";
        assert_eq!(browser.cookies.contains_key("__Host-oauth"), is_kept, "{fault:?}");
        if is_kept {
            browser.finalize_oauth(back.code(), back.state.as_deref()).await.is(200);
        }
    }
}

#[tokio::test]
async fn every_sign_in_names_the_client() {
    let app = App::start().await;
    for (name, grant) in [
        ("finalize-magic-auth", "magic_auth"),
        ("finalize-oauth", "authorization_code"),
        ("select-organization", "organization_selection"),
    ] {
        redeem(&app, &mut app.browser(), name, &format!("{name}@example.com"), || {}).await.is(200);
        let grant = app.workos().last_grant(grant).unwrap();
        assert_eq!(grant.ip_address.as_deref(), Some("127.0.0.1"), "{name}");
        assert_eq!(grant.user_agent.as_deref(), Some("Mozilla/5.0 (tests)"), "{name}");
    }
}

#[tokio::test]
async fn a_flow_that_began_on_a_clock_two_minutes_off_can_be_finished() {
    let app = App::start().await;
    for shift in [-700_i64, 120] {
        let mut browser = app.browser();
        let url = browser.continue_with_google().await.is(200).text("/authData/redirectURL");
        let back = app.at_provider(&url, EMAIL).await;
        let cookie = browser.cookies.get_mut("__Host-oauth").unwrap();
        let (began, verifier) = cookie.split_once('.').unwrap();
        *cookie = format!("{}.{verifier}", began.parse::<i64>().unwrap() + shift);
        browser.finalize_oauth(back.code(), back.state.as_deref()).await.is(200);
    }
}
