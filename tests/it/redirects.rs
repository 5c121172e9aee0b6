//! More than one front end, and native apps: where a sign-in and a sign-out may send the browser, and where the front
//! end continues.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::app::{Answer, App, Browser, Return, query_value};

const JANE: &str = "jane.doe@example.com";
const TWO_ORGANIZATIONS: &str = "123@gmail.com";
const ADMIN_ORIGIN: &str = "http://localhost:3001";
const ADMIN: &str = "http://localhost:3001/callback";
pub const NATIVE: &str = "com.example.app:/callback";

/// The endpoints that take `redirectUri` and `returnTo`, each with its other fields.
fn starts() -> [(&'static str, Value); 8] {
    [
        ("/auth/sign-in", json!({ "email": JANE })),
        ("/auth/sign-up", json!({ "email": JANE })),
        ("/auth/resend-magic-auth", json!({ "email": JANE })),
        ("/auth/continue-with-google", json!({})),
        ("/auth/continue-with-microsoft", json!({})),
        ("/auth/finalize-magic-auth", json!({ "email": JANE, "code": "123456" })),
        (
            "/auth/select-organization",
            json!({ "pendingAuthenticationToken": "pending", "organizationId": "org_1" }),
        ),
        ("/auth/switch-organization", json!({ "email": JANE, "organizationId": "org_1" })),
    ]
}

/// Sends a field in addition to an endpoint's own.
async fn start_with(browser: &mut Browser<'_>, path: &str, own: &Value, field: &str, value: &str) -> Answer {
    let mut body = own.clone();
    body[field] = value.into();
    browser.post(path, body).await
}

async fn login_with(browser: &mut Browser<'_>, field: &str, value: &str) -> Answer {
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair(field, value).finish();
    browser.get(&format!("/auth/login?{query}")).await
}

/// Signs in at the provider behind `url`, which must send the browser to `redirect_uri`.
pub async fn at_provider(app: &App, url: &str, email: &str, redirect_uri: &str) -> Return {
    assert_eq!(query_value(url, "redirect_uri").as_deref(), Some(redirect_uri));
    let location = app.redirected(&format!("{url}&login_hint={email}")).await;
    let (before, _) = location.split_once('?').unwrap();
    assert_eq!(before, redirect_uri);
    Return::of(&location)
}

#[tokio::test]
async fn two_front_ends_sign_in_on_their_own_pages() {
    let app = App::start().await;
    for (origin, requested, redirect_uri) in [
        (crate::app::ORIGIN, None, local::REDIRECT_URI),
        (crate::app::ORIGIN, Some(local::REDIRECT_URI), local::REDIRECT_URI),
        (ADMIN_ORIGIN, Some(ADMIN), ADMIN),
    ] {
        let google = ("/auth/continue-with-google", json!({}), JANE);
        let microsoft = ("/auth/continue-with-microsoft", json!({}), JANE);
        let sso = ("/auth/sign-in", json!({ "email": "ann@acme.test" }), "ann@acme.test");
        for (path, mut body, email) in [google, microsoft, sso] {
            let mut browser = app.browser().header("origin", origin);
            body["redirectUri"] = requested.into();
            let started = browser.post(path, body).await.is(200);
            let url = started.text("/authData/redirectURL");
            let back = at_provider(&app, &url, email, redirect_uri).await;
            let signed_in = browser.finalize_oauth(back.code(), back.state.as_deref()).await.is(200);
            assert_eq!(signed_in.body["user"]["email"], email);
            browser.room_auth("Jane", "room").await.is(200);
        }
    }
}

#[tokio::test]
async fn a_native_app_comes_back_to_its_own_scheme_and_to_any_loopback_port() {
    let app = App::start().await;
    for redirect_uri in [NATIVE, "http://127.0.0.1:51004/callback", "http://127.0.0.1:1/callback"] {
        let mut native = app.browser().without_origin();
        let body = json!({ "redirectUri": redirect_uri });
        let url = native.post("/auth/continue-with-google", body).await.is(200).text("/authData/redirectURL");
        let back = at_provider(&app, &url, JANE, redirect_uri).await;
        native.finalize_oauth(back.code(), back.state.as_deref()).await.is(200);
        // Without cookies from here on.
        let mut client = app.browser().without_origin();
        client.bearer = Some(native.token());
        client.room_auth("Jane", "room").await.is(200);
    }
}

#[tokio::test]
async fn an_address_that_is_not_listed_is_refused_and_nothing_happens() {
    let app = App::start().await;
    let mut browser = app.browser();
    let long = format!("https://app.example.com/{}", "x".repeat(300));
    for uri in [
        "https://evil.example/callback",
        "http://localhost:5173/callback/",
        "http://localhost:5174/callback",
        "http://localhost:5173@evil.example/callback",
        "http://127.0.0.1:51004/other",
        "http://127.0.0.1:51004@evil.example/callback",
        "http://127.0.0.1.evil.example/callback",
        "http://127.0.0.1:99999/callback",
        "com.example.app:/callback/../evil",
        "com.example.other:/callback",
        "javascript:alert(1)",
        "//evil.example",
        &long,
    ] {
        for (path, own) in starts() {
            let answer = start_with(&mut browser, path, &own, "redirectUri", uri).await;
            let refused = answer.refused(400, "invalid_field").names("redirectUri");
            assert!(refused.cookies.is_empty(), "{path}: {:?}", refused.cookies);
        }
        let refused = login_with(&mut browser, "redirectUri", uri).await;
        let refused = refused.refused(400, "invalid_field").names("redirectUri");
        assert_eq!((refused.header("location"), refused.cookies.len()), (None, 0));
    }
    assert!(app.workos().mails().is_empty() && app.items().is_empty());
    assert_eq!(app.workos().proxy().timed_calls().len(), 0);
}

#[tokio::test]
async fn a_flow_that_continues_elsewhere_keeps_its_destination() {
    let app = App::start().await;
    let mut browser = app.browser().header("origin", ADMIN_ORIGIN);
    let body = json!({ "redirectUri": ADMIN, "returnTo": "/rooms/7?tab=chat" });
    let url = browser.post("/auth/continue-with-google", body).await.is(200).text("/authData/redirectURL");
    let back = at_provider(&app, &url, "ann@acme.test", ADMIN).await;
    // Her organization allows SSO only.
    let refused = browser.finalize_oauth(back.code(), back.state.as_deref()).await;
    let url = refused.refused(403, "sso_required").text("/authData/redirectURL");
    let back = at_provider(&app, &url, "ann@acme.test", ADMIN).await;
    let signed_in = browser.finalize_oauth(back.code(), back.state.as_deref()).await.is(200);
    assert_eq!(signed_in.text("/returnTo"), "/rooms/7?tab=chat");

    // So do those that begin with a code by mail.
    let mut browser = app.browser().header("origin", ADMIN_ORIGIN);
    app.workos().set_policy("org_01K2Z1R2MEJK6B41WW7428G9YC", local_workos::Policy::default());
    browser.sign_in("sam@example.com").await.is(200);
    let code = app.code("sam@example.com");
    let choice = browser.finalize_magic_auth("sam@example.com", &code).await.is(200);
    let pending = choice.text("/user/pendingAuthenticationToken");
    let chosen = json!({
        "pendingAuthenticationToken": pending,
        "organizationId": "org_01JACME0000000000000000000",
        "redirectUri": ADMIN,
        "returnTo": "/acme",
    });
    let refused = browser.post("/auth/select-organization", chosen).await.refused(403, "sso_required");
    let url = refused.text("/authData/redirectURL");
    assert_eq!(query_value(&url, "redirect_uri").as_deref(), Some(ADMIN));
    let back = Return::of(&app.redirected(&url).await);
    let signed_in = browser.finalize_oauth(back.code(), back.state.as_deref()).await.is(200);
    assert_eq!(signed_in.text("/returnTo"), "/acme");
}

#[tokio::test]
async fn a_flow_ends_with_the_configuration_that_allowed_it() {
    let listed = App::start().await;
    let mut browser = listed.browser();
    let body = json!({ "redirectUri": ADMIN });
    browser.post("/auth/continue-with-google", body).await.is(200);
    let flow = browser.cookies["__Host-oauth"].clone();

    let unlisted = App::with_env(&[("OAUTH_REDIRECT_URIS", "")]).await;
    let mut browser = unlisted.browser();
    browser.cookies.insert("__Host-oauth".to_owned(), flow);
    browser.finalize_oauth("code", None).await.refused(400, "flow_expired");
    assert!(!browser.cookies.contains_key("__Host-oauth"), "the flow is used up");
    assert_eq!(unlisted.workos().proxy().count("authenticate.authorization_code"), 0);
}

#[tokio::test]
async fn sign_out_returns_to_a_listed_page() {
    let app = App::start().await;
    for (body, expected) in [
        (None, local::SIGN_OUT_RETURN_TO),
        (Some(json!({})), local::SIGN_OUT_RETURN_TO),
        (Some(json!({ "returnTo": null })), local::SIGN_OUT_RETURN_TO),
        (Some(json!({ "returnTo": "http://localhost:3001" })), "http://localhost:3001"),
        (Some(json!({ "returnTo": "com.example.app:/signed-out" })), "com.example.app:/signed-out"),
    ] {
        let mut browser = app.signed_in(JANE).await;
        for unlisted in
            ["https://evil.example", "http://localhost:3001/", "http://localhost:3001@evil.example"]
        {
            let refused = browser.post("/auth/sign-out", json!({ "returnTo": unlisted })).await;
            let refused = refused.refused(400, "invalid_field").names("returnTo");
            assert!(refused.cookies.is_empty(), "{:?}", refused.cookies);
        }
        browser.room_auth("Jane", "room").await.is(200);
        let answer = match body {
            Some(body) => browser.post("/auth/sign-out", body).await,
            None => browser.sign_out().await,
        };
        let url = answer.is(200).text("/authData/redirectURL");
        assert_eq!(query_value(&url, "return_to").as_deref(), Some(expected));
        assert_eq!(app.redirected(&url).await.trim_end_matches('/'), expected.trim_end_matches('/'));
        browser.room_auth("Jane", "room").await.refused(401, "not_signed_in");
    }
}

#[tokio::test]
async fn return_to_comes_back_from_finalize_oauth() {
    let app = App::start().await;
    for (return_to, email) in [
        ("/", JANE),
        ("/räume/ü?tab=chat&next=https://evil.example#top", JANE),
        ("http://localhost:5173/rooms", JANE),
        ("http://localhost:3001", JANE),
        ("/choose", TWO_ORGANIZATIONS),
    ] {
        let mut browser = app.browser();
        let started = browser.post("/auth/continue-with-google", json!({ "returnTo": return_to })).await;
        let url = started.is(200).text("/authData/redirectURL");
        assert!(
            !url.contains("evil") && query_value(&url, "return_to").is_none(),
            "WorkOS is not told: {url}"
        );
        let back = app.at_provider(&url, email).await;
        let answer = browser.finalize_oauth(back.code(), back.state.as_deref()).await.is(200);
        assert_eq!(answer.text("/returnTo"), return_to);
        app.reset_limits();
    }
    // Without one there is none, and an error has it too.
    let mut browser = app.browser();
    let url = browser.continue_with_google().await.is(200).text("/authData/redirectURL");
    let back = app.at_provider(&url, JANE).await;
    let answer = browser.finalize_oauth(back.code(), None).await.is(200);
    assert!(answer.body.get("returnTo").is_none(), "{}", answer.body);
    browser.post("/auth/continue-with-google", json!({ "returnTo": "/rooms" })).await.is(200);
    let refused = browser.finalize_oauth("wrong", None).await.refused(400, "code_rejected");
    assert_eq!(refused.text("/returnTo"), "/rooms");
}

#[tokio::test]
async fn return_to_never_leaves_the_front_ends() {
    let app = App::start().await;
    let mut browser = app.browser();
    let (longest, longer) = (format!("/{}", "x".repeat(511)), format!("/{}", "x".repeat(512)));
    for return_to in [
        "rooms",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "/\r\n/evil.example",
        "\t//evil.example",
        "/\u{0}/evil.example",
        "/%09/evil.example",
        "/%0D%0ASet-Cookie:a=b",
        "/%2f/evil.example",
        "/%5Cevil.example",
        "https://evil.example/",
        "http://localhost:5173@evil.example/",
        "http://localhost:5173.evil.example/",
        "http://localhost:51730/",
        "https://localhost:5173/",
        "http://user@localhost:5173/",
        "http:localhost:5173",
        "javascript:alert(1)",
        "javascript://localhost:5173/%0aalert(1)",
        "data:text/html,x",
        &longer,
    ] {
        for (path, own) in starts() {
            let answer = start_with(&mut browser, path, &own, "returnTo", return_to).await;
            let refused = answer.refused(400, "invalid_field").names("returnTo");
            assert!(refused.cookies.is_empty(), "{path} {return_to:?}: {:?}", refused.cookies);
        }
        let refused = login_with(&mut browser, "returnTo", return_to).await;
        refused.refused(400, "invalid_field").names("returnTo");

        // It is checked again at the end: a browser may send any cookie.
        browser.continue_with_google().await.is(200);
        let flow = browser.cookies["__Host-oauth"].split('~').next().unwrap().to_owned();
        let forged = format!("{flow}.{}", URL_SAFE_NO_PAD.encode(return_to));
        browser.cookies.insert("__Host-oauth".to_owned(), forged);
        browser.finalize_oauth("code", None).await.refused(400, "flow_expired");
        browser.cookies.clear();
        app.reset_limits();
    }
    assert_eq!(app.workos().proxy().count("authenticate.authorization_code"), 0);
    let url = browser.post("/auth/continue-with-google", json!({ "returnTo": longest })).await.is(200);
    let back = app.at_provider(&url.text("/authData/redirectURL"), JANE).await;
    let answer = browser.finalize_oauth(back.code(), None).await.is(200);
    assert_eq!(answer.text("/returnTo"), longest);
}

#[tokio::test]
async fn four_flows_with_the_longest_destinations_fit_into_a_cookie() {
    let path = format!("/{}", "x".repeat(180 - "http://127.0.0.1/".len()));
    let listed = format!("http://127.0.0.1{path}");
    let app = App::with_env(&[("OAUTH_REDIRECT_URIS", listed.as_str()), ("COOKIE_SAME_SITE", "none")]).await;
    let redirect_uri = format!("http://127.0.0.1:65535{path}");
    let return_to = format!("/{}", "x".repeat(511));
    let mut browser = app.browser();
    let mut flows = Vec::new();
    for _ in 0..5 {
        let body = json!({ "redirectUri": redirect_uri, "returnTo": return_to });
        let started = browser.post("/auth/continue-with-google", body).await.is(200);
        let size = started.cookies.iter().map(String::len).max().unwrap();
        assert!(size <= 4096, "{size} bytes");
        let url = started.text("/authData/redirectURL");
        flows.push(at_provider(&app, &url, JANE, &redirect_uri).await);
    }
    // The oldest had to go.
    let oldest = browser.finalize_oauth(flows[0].code(), flows[0].state.as_deref()).await;
    oldest.refused(400, "flow_expired");
    for back in &flows[1..] {
        let answer = browser.finalize_oauth(back.code(), back.state.as_deref()).await.is(200);
        assert_eq!(answer.text("/returnTo"), return_to);
    }
    assert!(!browser.cookies.keys().any(|name| name.starts_with("__Host-oauth")));
}
