//! Sign-ins that begin at WorkOS, which come to `GET /auth/login` first, and the way back from a provider without a code.

use serde_json::{Value, json};

use crate::app::{App, Browser, Return, query_value};

const JANE: &str = "jane.doe@example.com";
const ACME: &str = "org_01JACME0000000000000000000";
const ACME_CONNECTION: &str = "conn_01JACME0000000000000000000";

/// Visits our page at `url`, and returns where it redirects to. The page is on the host that front ends call: a browser
/// sends the flow's cookie to no other.
pub async fn visit_login(app: &App, browser: &mut Browser<'_>, url: &str) -> String {
    let api = app.url().replace("127.0.0.1", "localhost");
    let target = url.strip_prefix(&api).expect("a page of the API on localhost");
    let answer = browser.get(target).await.is(302);
    answer.header("location").expect("a location").to_owned()
}

#[tokio::test]
async fn login_starts_a_flow_without_any_call() {
    let app = App::start().await;
    let mut browser = app.browser().without_origin();
    let target = "/auth/login?login_hint=jane.doe%40example.com&organization_id=org_01K2Z1R2MEJK6B41WW7428G9YC\
                  &returnTo=%2Frooms&unknown=1&login_hint2=x";
    let answer = browser.get(target).await.is(302);
    assert_eq!(answer.body, json!({ "code": 302, "message": "Found" }));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    let [cookie] = answer.cookies.as_slice() else { panic!("{:?}", answer.cookies) };
    assert!(cookie.starts_with("__Host-oauth="), "{cookie}");
    let url = answer.header("location").unwrap().to_owned();
    assert!(url.starts_with(&format!("{}/user_management/authorize?", app.workos().url())), "{url}");
    for (name, expected) in [
        ("provider", "authkit"),
        ("login_hint", JANE),
        ("organization_id", "org_01K2Z1R2MEJK6B41WW7428G9YC"),
        ("redirect_uri", local::REDIRECT_URI),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(query_value(&url, name).as_deref(), Some(expected), "{name}");
    }
    assert!(query_value(&url, "state").is_some() && query_value(&url, "unknown").is_none());
    let calls = [app.workos().proxy().timed_calls().len(), app.dynamodb().proxy().timed_calls().len()];
    assert_eq!(calls, [0, 0]);

    let back = Return::of(&app.redirected(&url).await);
    let mut browser = browser.header("origin", crate::app::ORIGIN);
    let signed_in = browser.finalize_oauth(back.code(), back.state.as_deref()).await.is(200);
    assert_eq!((signed_in.text("/user/email"), signed_in.text("/returnTo")), (JANE.into(), "/rooms".into()));
    browser.room_auth("Jane", "room").await.is(200);
}

#[tokio::test]
async fn login_refuses_invalid_parameters_without_a_redirect() {
    let app = App::start().await;
    let long = "x".repeat(600);
    for (query, field) in [
        (format!("invitation_token={long}"), "invitation_token"),
        ("invitation_token=a%20b".to_owned(), "invitation_token"),
        (format!("login_hint={long}"), "login_hint"),
        ("login_hint=a%0ab".to_owned(), "login_hint"),
        ("organization_id=org%26provider%3Dx".to_owned(), "organization_id"),
        ("redirectUri=https%3A%2F%2Fevil.example".to_owned(), "redirectUri"),
        ("returnTo=%2F%2Fevil.example".to_owned(), "returnTo"),
    ] {
        let refused = app.browser().get(&format!("/auth/login?{query}")).await;
        let refused = refused.refused(400, "invalid_field").names(field);
        assert_eq!((refused.header("location"), refused.cookies.len()), (None, 0), "{query}");
    }
    // Parameters cannot be smuggled into the URL.
    let hint = "/auth/login?login_hint=a%26redirect_uri%3Dhttps%3A%2F%2Fevil.example%26state%3D1";
    let answer = app.browser().get(hint).await.is(302);
    let url = answer.header("location").unwrap();
    assert_eq!(query_value(url, "redirect_uri").as_deref(), Some(local::REDIRECT_URI));
    assert_eq!(
        query_value(url, "login_hint").as_deref(),
        Some("a&redirect_uri=https://evil.example&state=1")
    );
}

#[tokio::test]
async fn a_code_of_a_login_in_another_browser_is_refused() {
    let app = App::start().await;
    let mut attacker = app.browser();
    let answer = attacker.get("/auth/login?login_hint=mallory%40example.com").await.is(302);
    let theirs = Return::of(&app.redirected(answer.header("location").unwrap()).await);
    let mut victim = app.browser();
    victim.finalize_oauth(theirs.code(), theirs.state.as_deref()).await.refused(400, "flow_expired");
    victim.get("/auth/login").await.is(302);
    victim.finalize_oauth(theirs.code(), theirs.state.as_deref()).await.refused(400, "flow_expired");
    victim.finalize_oauth(theirs.code(), None).await.refused(400, "code_rejected");
    assert!(app.items_of("session#").is_empty());
}

#[tokio::test]
async fn a_sign_in_from_the_page_of_an_identity_provider_ends_in_a_session() {
    let app = App::start().await;
    let tile = app.workos().identity_provider_url(ACME_CONNECTION, "ann@acme.test");
    let mut browser = app.browser();
    let url = visit_login(&app, &mut browser, &app.redirected(&tile).await).await;
    let back = Return::of(&app.redirected(&url).await);
    let signed_in = browser.finalize_oauth(back.code(), back.state.as_deref()).await.is(200);
    assert_eq!(signed_in.text("/user/email"), "ann@acme.test");
    assert_eq!(app.context_of(&browser).await.unwrap()["organizationId"], ACME);
    browser.room_auth("Ann", "room").await.is(200);
}

/// Starts a sign-in that knows where to continue.
async fn started(browser: &mut Browser<'_>) -> (String, String) {
    let answer = browser.post("/auth/continue-with-google", json!({ "returnTo": "/rooms" })).await.is(200);
    (answer.text("/authData/redirectURL"), answer.text("/authData/state"))
}

async fn finalize(browser: &mut Browser<'_>, body: Value) -> catalog::Answer {
    browser.post("/auth/finalize-oauth", body).await
}

#[tokio::test]
async fn a_cancelled_or_refused_sign_in_says_so_and_uses_up_the_flow() {
    let app = App::start().await;
    for (error, reason) in [
        ("access_denied", "sign_in_cancelled"),
        ("oauth_failed", "sign_in_refused"),
        ("connection_invalid", "sign_in_refused"),
        ("server_error", "sign_in_refused"),
        ("leak-of-provider", "sign_in_refused"),
    ] {
        let mut browser = app.browser();
        let (_, other) = started(&mut browser).await;
        let (url, state) = started(&mut browser).await;
        let body = json!({ "error": error, "errorDescription": "leak-of-description", "state": state });
        let refused = finalize(&mut browser, body.clone()).await.refused(400, reason);
        assert!(!refused.body.to_string().contains("leak"), "{}", refused.body);
        assert_eq!(refused.text("/returnTo"), "/rooms");
        // The flow is used up, the other tab's is not.
        let back = app.at_provider(&url, JANE).await;
        browser.finalize_oauth(back.code(), Some(&state)).await.refused(400, "flow_expired");
        finalize(&mut browser, body).await.refused(400, "flow_expired");
        let body = json!({ "error": error, "state": other });
        finalize(&mut browser, body).await.refused(400, reason);
        assert!(!browser.cookies.contains_key("__Host-oauth") && !browser.is_signed_in());
    }
    assert_eq!(app.workos().proxy().count("authenticate.authorization_code"), 0, "WorkOS is not asked");
    assert!(app.logs().iter().all(|line| !line.contains("leak-of")), "the provider's words are not logged");
}

#[tokio::test]
async fn the_provider_redirects_with_an_error_that_finalize_oauth_understands() {
    let app = App::start().await;
    let mut browser = app.browser();
    let (url, _) = started(&mut browser).await;
    // "Cancel" on the provider's page.
    let page = crate::app::http().get(&url).send().await.unwrap().text().await.unwrap();
    let cancel = page.split("href=\"").find(|link| link.contains("access_denied")).unwrap();
    let cancel = cancel.split('"').next().unwrap().replace("&amp;", "&");
    let back = Return::of(&cancel);
    let description = query_value(&cancel, "error_description").unwrap();
    let body = json!({ "error": back.error, "errorDescription": description, "state": back.state });
    finalize(&mut browser, body).await.refused(400, "sign_in_cancelled");
}

#[tokio::test]
async fn an_incomplete_way_back_uses_up_nothing() {
    let app = App::start().await;
    let mut browser = app.browser();
    let (url, state) = started(&mut browser).await;
    for body in [json!({}), json!({ "state": state }), json!({ "code": null, "error": null, "state": state })]
    {
        finalize(&mut browser, body).await.refused(400, "missing_field").names("code");
    }
    let body = json!({ "error": "x".repeat(200), "state": state });
    finalize(&mut browser, body).await.refused(400, "invalid_field").names("error");
    // Nobody else can end it: another browser has no flow.
    let body = json!({ "error": "access_denied", "state": state });
    finalize(&mut app.browser(), body).await.refused(400, "flow_expired");
    let back = app.at_provider(&url, JANE).await;
    browser.finalize_oauth(back.code(), Some(&state)).await.is(200);
}
