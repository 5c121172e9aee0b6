//! Sign-in through the browser with Google, Microsoft and SSO. A code is accepted only in the browser that started.

use local_workos::{ConnectionState, DomainState};
use serde_json::{Value, json};

use crate::app::{Answer, App, Browser, Return, now};

const EMAIL: &str = "jane.doe@example.com";
const ACME_CONNECTION: &str = "conn_01JACME0000000000000000000";

/// A flow, as a tab sees it.
struct Tab {
    state: String,
    back: Return,
}

/// Starts a sign-in with Google in another tab of `browser` and completes it at the provider.
async fn tab(app: &App, browser: &mut Browser<'_>, email: &str) -> Tab {
    let answer = browser.continue_with_google().await.is(200);
    let back = app.at_provider(&answer.text("/authData/redirectURL"), email).await;
    Tab { state: answer.text("/authData/state"), back }
}

fn value(url: &str, name: &str) -> Option<String> {
    let url: url::Url = url.parse().unwrap();
    url.query_pairs().find(|(each, _)| each == name).map(|(_, value)| value.into_owned())
}

/// Asserts that nobody is signed in: no session cookie in the response or the browser, and no session in the table.
#[track_caller]
fn nobody(app: &App, browser: &Browser<'_>, answer: &Answer) {
    assert!(!answer.cookies.iter().any(|cookie| cookie.starts_with("__Host-session")), "{answer:?}");
    assert!(!browser.cookies.contains_key("__Host-session"));
    assert!(app.items_of("session#").is_empty());
}

#[tokio::test]
async fn google_and_microsoft_sign_in() {
    through_google_and_microsoft(&App::start().await).await;
}

/// The flow, against the local cloud or a deployment.
pub async fn through_google_and_microsoft(app: &App) {
    let jane = json!({
        "id": "user_01JXJANE0000000000000000D0",
        "email": EMAIL,
        "firstName": "Jane",
        "lastName": "Doe",
        "avatarURL": "https://example.com/avatar.png",
    });
    for provider in ["GoogleOAuth", "MicrosoftOAuth"] {
        let mut browser = app.browser();
        let answer = match provider {
            "GoogleOAuth" => browser.continue_with_google().await,
            _ => browser.continue_with_microsoft().await,
        };
        let answer = answer.is(200);
        let (url, state) = (answer.text("/authData/redirectURL"), answer.text("/authData/state"));
        assert_eq!(answer.body, json!({ "authData": { "redirectURL": url, "state": state } }));
        assert!(url.starts_with(&format!("{}/user_management/authorize?", app.workos().url())), "{url}");
        assert_eq!(value(&url, "provider").as_deref(), Some(provider));
        assert_eq!(value(&url, "state").as_deref(), Some(state.as_str()));
        assert_eq!(value(&url, "redirect_uri").as_deref(), Some(local::REDIRECT_URI));

        let back = app.at_provider(&url, EMAIL).await;
        assert_eq!(back.state, Some(state));
        let answer = browser.finalize_oauth(back.code(), back.state.as_deref()).await.is(200);
        assert_eq!((&answer.body["status"], &answer.body["user"]), (&json!("signed_in"), &jane));
        assert!(answer.body["organization"]["name"].is_string(), "{}", answer.body);
        assert!(!browser.cookies.contains_key("__Host-oauth"), "the flow is used up and its cookie cleared");
        browser.room_auth("Jane", "room123").await.is(200);
    }
}

#[tokio::test]
async fn a_code_without_state_is_enough() {
    let app = App::start().await;
    let mut browser = app.browser();
    let tab = tab(&app, &mut browser, EMAIL).await;
    browser.finalize_oauth(tab.back.code(), None).await.is(200);
    browser.room_auth("Jane", "room123").await.is(200);
}

#[tokio::test]
async fn the_flow_cookie_is_bound_to_the_host_and_small() {
    let app = App::start().await;
    let mut browser = app.browser();
    // More tabs than the cookie holds.
    for _ in 0..6 {
        let answer = browser.continue_with_google().await.is(200);
        let [cookie] = answer.cookies.as_slice() else { panic!("{:?}", answer.cookies) };
        assert!(cookie.starts_with("__Host-oauth="), "{cookie}");
        assert!(cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600"), "{cookie}");
        assert!(cookie.len() < 4096, "{}", cookie.len());
        let url = answer.text("/authData/redirectURL");
        let newest = browser.cookies["__Host-oauth"].split('~').next().unwrap().to_owned();
        let verifier = newest.split_once('.').unwrap().1;
        assert_eq!(verifier.len(), 43, "256 bits as base64url");
        assert!(!url.contains(verifier) && !answer.text("/authData/state").contains(verifier));
    }
    assert_eq!(browser.cookies["__Host-oauth"].split('~').count(), 4);
}

#[tokio::test]
async fn a_code_from_another_browser_is_always_refused() {
    let app = App::start().await;
    let mut attacker = app.browser();

    // The victim's browser has no flow.
    let theirs = tab(&app, &mut attacker, "bob@example.com").await;
    let mut victim = app.browser();
    for state in [None, Some(theirs.state.as_str())] {
        let answer = victim.finalize_oauth(theirs.back.code(), state).await.refused(400, "flow_expired");
        nobody(&app, &victim, &answer);
    }
    assert_eq!(app.workos().proxy().count("authenticate.authorization_code"), 0, "WorkOS was not asked");

    // The victim's browser has its own flow, which does not match the attacker's state.
    let mut victim = app.browser();
    victim.continue_with_google().await.is(200);
    let answer = victim.finalize_oauth(theirs.back.code(), Some(&theirs.state)).await;
    nobody(&app, &victim, &answer.refused(400, "flow_expired"));
    assert_eq!(app.workos().proxy().count("authenticate.authorization_code"), 0, "WorkOS was not asked");

    // The victim's own flow is used, without state or with its own state: PKCE refuses the code.
    for with_state in [false, true] {
        let theirs = tab(&app, &mut attacker, "bob@example.com").await;
        let mut victim = app.browser();
        let own = victim.continue_with_google().await.is(200).text("/authData/state");
        let state = with_state.then_some(own.as_str());
        let answer = victim.finalize_oauth(theirs.back.code(), state).await;
        nobody(&app, &victim, &answer.refused(400, "code_rejected"));
    }
    assert_eq!(app.workos().proxy().count("authenticate.authorization_code"), 2);

    // A victim who is signed in keeps their session.
    let theirs = tab(&app, &mut attacker, "bob@example.com").await;
    let mut victim = app.signed_in(EMAIL).await;
    victim.continue_with_google().await.is(200);
    let token = victim.token();
    victim.finalize_oauth(theirs.back.code(), None).await.refused(400, "code_rejected");
    assert_eq!(victim.token(), token);
    assert_eq!(app.context_of(&victim).await.unwrap()["email"], EMAIL);
}

#[tokio::test]
async fn sso_codes_from_another_browser_are_refused_on_both_endpoints() {
    for endpoint in ["user_management", "sso"] {
        let app = App::with_env(&[("SSO_AUTHORIZE_ENDPOINT", endpoint)]).await;
        let mut attacker = app.browser();
        let url = attacker.sign_in("ann@acme.test").await.is(200).text("/authData/redirectURL");
        let theirs = app.at_provider(&url, "ann@acme.test").await;
        let mut victim = app.browser();
        let answer = victim.finalize_oauth(theirs.code(), None).await.refused(400, "flow_expired");
        nobody(&app, &victim, &answer);
        victim.continue_with_google().await.is(200);
        let answer = victim.finalize_oauth(theirs.code(), None).await.refused(400, "code_rejected");
        nobody(&app, &victim, &answer);
    }
}

#[tokio::test]
async fn a_stale_flow_is_refused() {
    let app = App::start().await;
    let mut browser = app.browser();
    let tab = tab(&app, &mut browser, EMAIL).await;
    let cookie = browser.cookies["__Host-oauth"].clone();
    let (_, verifier) = cookie.split_once('.').unwrap();
    // A browser may keep an expired cookie, and an attacker may set any.
    for begun in [now() - 750, now() - 6000, 0, now() + 3600] {
        browser.cookies.insert("__Host-oauth".into(), format!("{begun}.{verifier}"));
        for state in [None, Some(tab.state.as_str())] {
            let answer = browser.finalize_oauth(tab.back.code(), state).await.refused(400, "flow_expired");
            nobody(&app, &browser, &answer);
        }
    }
    assert_eq!(app.workos().proxy().count("authenticate.authorization_code"), 0);
    // The flow itself was valid.
    browser.cookies.insert("__Host-oauth".into(), cookie);
    browser.finalize_oauth(tab.back.code(), Some(&tab.state)).await.is(200);
}

#[tokio::test]
async fn a_malformed_flow_cookie_is_refused_and_then_replaced() {
    let app = App::start().await;
    let long = "~".repeat(3000);
    for junk in ["", "x", "~~~", "1.2.3", &format!("{}.short", now()), &long] {
        let mut browser = app.browser();
        browser.cookies.insert("__Host-oauth".into(), junk.to_owned());
        browser.finalize_oauth("code", None).await.refused(400, "flow_expired");
        let tab = tab(&app, &mut browser, EMAIL).await;
        browser.finalize_oauth(tab.back.code(), Some(&tab.state)).await.is(200);
    }
}

#[tokio::test]
async fn a_code_is_accepted_once() {
    let app = App::start().await;
    let mut browser = app.browser();
    let tab = tab(&app, &mut browser, EMAIL).await;
    let before = browser.clone();
    browser.finalize_oauth(tab.back.code(), Some(&tab.state)).await.is(200);
    // In the same browser the flow is used up; in one that kept its cookie, the code is.
    browser.finalize_oauth(tab.back.code(), Some(&tab.state)).await.refused(400, "flow_expired");
    let mut again = before;
    again.finalize_oauth(tab.back.code(), Some(&tab.state)).await.refused(400, "code_rejected");
    assert!(!again.cookies.contains_key("__Host-session"));
    assert_eq!(app.items_of("session#").len(), 1);
    browser.room_auth("Jane", "room123").await.is(200);
}

#[tokio::test]
async fn a_wrong_code_uses_up_the_flow() {
    let app = App::start().await;
    let mut browser = app.browser();
    let tab = tab(&app, &mut browser, EMAIL).await;
    browser.finalize_oauth("wrong-code", Some(&tab.state)).await.refused(400, "code_rejected");
    assert!(!browser.cookies.contains_key("__Host-oauth"));
    browser.finalize_oauth(tab.back.code(), Some(&tab.state)).await.refused(400, "flow_expired");
}

#[tokio::test]
async fn four_tabs_are_finished_in_any_order_with_state() {
    let app = App::start().await;
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
        let mut browser = app.browser();
        let mut tabs = Vec::new();
        for _ in 0..4 {
            tabs.push(tab(&app, &mut browser, EMAIL).await);
        }
        for index in order {
            let Tab { state, back }: &Tab = &tabs[index];
            browser.finalize_oauth(back.code(), Some(state)).await.is(200);
        }
        assert!(!browser.cookies.contains_key("__Host-oauth"));
        browser.room_auth("Jane", "room123").await.is(200);
    }
}

#[tokio::test]
async fn without_state_the_newest_flow_is_used() {
    let app = App::start().await;
    let mut browser = app.browser();
    let older = tab(&app, &mut browser, EMAIL).await;
    let newest = tab(&app, &mut browser, EMAIL).await;
    let held = browser.clone();
    browser.finalize_oauth(newest.back.code(), None).await.is(200);
    // The older one needs its state.
    let mut other = held;
    other.finalize_oauth(older.back.code(), None).await.refused(400, "code_rejected");
    // Once the newest is used up, the older one is the newest.
    let older = {
        let mut fresh = app.browser();
        let first = tab(&app, &mut fresh, EMAIL).await;
        let second = tab(&app, &mut fresh, EMAIL).await;
        fresh.finalize_oauth(second.back.code(), Some(&second.state)).await.is(200);
        fresh.finalize_oauth(first.back.code(), None).await
    };
    older.is(200);
}

#[tokio::test]
async fn a_fifth_tab_replaces_the_oldest() {
    let app = App::start().await;
    let mut browser = app.browser();
    let mut tabs = Vec::new();
    for _ in 0..5 {
        tabs.push(tab(&app, &mut browser, EMAIL).await);
    }
    let Tab { state, back } = &tabs[0];
    browser.finalize_oauth(back.code(), Some(state)).await.refused(400, "flow_expired");
    for Tab { state, back } in &tabs[1..] {
        browser.finalize_oauth(back.code(), Some(state)).await.is(200);
    }
}

#[tokio::test]
async fn a_verified_domain_with_a_connection_is_sent_to_its_identity_provider() {
    let app = App::start().await;
    let mut browser = app.browser();
    let answer = browser.sign_in("ann@ACME.test").await.is(200);
    let (url, state) = (answer.text("/authData/redirectURL"), answer.text("/authData/state"));
    let expected = json!({ "authData": { "authMethod": "sso", "redirectURL": url, "state": state } });
    assert_eq!(answer.body, expected);
    assert!(url.starts_with(&format!("{}/user_management/authorize?", app.workos().url())), "{url}");
    assert_eq!(value(&url, "connection_id").as_deref(), Some(ACME_CONNECTION));
    assert_eq!(value(&url, "login_hint").as_deref(), Some("ann@acme.test"));
    for absent in ["connection", "organization_id", "provider", "domain_hint"] {
        assert_eq!(value(&url, absent), None, "{absent}");
    }
    assert!(app.workos().mails().is_empty(), "no code is mailed");

    let back = app.at_provider(&url, "ann@acme.test").await;
    let answer = browser.finalize_oauth(back.code(), back.state.as_deref()).await.is(200);
    assert_eq!(answer.body["user"]["email"], "ann@acme.test");
    let context = app.context_of(&browser).await.unwrap();
    assert_eq!(context["organizationId"], "org_01JACME0000000000000000000");
    assert_eq!(context["role"], "member");

    // An unknown address of the same domain: the identity provider decides.
    let answer = app.browser().sign_in("newcomer@acme.test").await.is(200);
    assert_eq!(answer.body["authData"]["authMethod"], "sso");
}

#[tokio::test]
async fn the_sso_endpoint_can_be_configured() {
    let app = App::with_env(&[("SSO_AUTHORIZE_ENDPOINT", "sso")]).await;
    let mut browser = app.browser();
    let answer = browser.sign_in("ann@acme.test").await.is(200);
    let url = answer.text("/authData/redirectURL");
    assert!(url.starts_with(&format!("{}/sso/authorize?client_id=", app.workos().url())), "{url}");
    assert_eq!(value(&url, "connection").as_deref(), Some(ACME_CONNECTION));
    assert_eq!(value(&url, "connection_id"), None);
    let back = app.at_provider(&url, "ann@acme.test").await;
    browser.finalize_oauth(back.code(), back.state.as_deref()).await.is(200);
    browser.room_auth("Ann", "room123").await.is(200);
}

#[tokio::test]
async fn unusable_sso_falls_back_to_a_code_by_mail() {
    let app = App::start().await;
    let workos = app.workos();
    for (domain, domain_state, connection, expected) in [
        ("active.test", DomainState::Verified, Some(ConnectionState::Active), "sso"),
        ("legacy.test", DomainState::LegacyVerified, Some(ConnectionState::Active), "sso"),
        ("pending.test", DomainState::Pending, Some(ConnectionState::Active), "magic_auth"),
        ("failed.test", DomainState::Failed, Some(ConnectionState::Active), "magic_auth"),
        ("inactive.test", DomainState::Verified, Some(ConnectionState::Inactive), "magic_auth"),
        ("draft.test", DomainState::Verified, Some(ConnectionState::Draft), "magic_auth"),
        ("validating.test", DomainState::Verified, Some(ConnectionState::Validating), "magic_auth"),
        ("none.test", DomainState::Verified, None, "magic_auth"),
    ] {
        let organization = workos.add_organization(domain, &[(domain, domain_state)]);
        if let Some(state) = connection {
            workos.add_connection(&organization, state);
        }
        let email = format!("kim@{domain}");
        workos.add_user(&email);
        let answer = app.browser().sign_in(&email).await.is(200);
        assert_eq!(answer.body["authData"]["authMethod"], expected, "{domain}");
        assert_eq!(workos.last_code(&email).is_some(), expected == "magic_auth", "{domain}");
    }
}

#[tokio::test]
async fn an_organization_with_two_connections_is_entered_by_one_of_them() {
    let app = App::start().await;
    let workos = app.workos();
    let organization = workos.add_organization("Two", &[("two.test", DomainState::Verified)]);
    let connections = [
        workos.add_connection(&organization, ConnectionState::Active),
        workos.add_connection(&organization, ConnectionState::Active),
    ];
    let mut browser = app.browser();
    let url = browser.sign_in("kim@two.test").await.is(200).text("/authData/redirectURL");
    assert!(connections.contains(&value(&url, "connection_id").unwrap()));
    let back = app.at_provider(&url, "kim@two.test").await;
    browser.finalize_oauth(back.code(), back.state.as_deref()).await.is(200);
}

#[tokio::test]
async fn the_connection_of_a_domain_is_looked_up_once_a_minute() {
    let app = App::start().await;
    let lookups = || app.workos().proxy().count("connections.list");
    for email in ["ann@acme.test", "bob@acme.test", "bob@ACME.test"] {
        app.browser().sign_in(email).await.is(200);
    }
    assert_eq!(lookups(), 1, "a connection is cached");
    for email in ["a@plain.test", "b@plain.test"] {
        app.browser().sign_in(email).await.is(200);
    }
    assert_eq!(lookups(), 2, "a missing connection is cached");
}

#[tokio::test]
async fn a_sign_in_that_fails_at_the_provider_begins_no_session() {
    let app = App::start().await;
    let mut browser = app.browser();
    let url = browser.sign_in("ann@acme.test").await.is(200).text("/authData/redirectURL");
    // Sign in as another person at that identity provider.
    let back = app.at_provider(&url.replace("ann%40acme.test", "eve%40evil.test"), "").await;
    assert_eq!(back.error.as_deref(), Some("profile_not_allowed_outside_organization"));
    assert_eq!((back.code.clone(), back.state.is_some()), (None, true));
    browser.post("/auth/finalize-oauth", json!({ "state": back.state })).await.refused(400, "missing_field");
    assert_eq!(app.items_of("session#"), Vec::<Value>::new());
}
