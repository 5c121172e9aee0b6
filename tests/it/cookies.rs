//! The cookie parser: which bytes of a `Cookie` header are our cookies.

use reqwest::header::HeaderValue;
use serde_json::{Value, json};

use crate::app::{Answer, App};
use crate::organizations::claims_of;

const MALLORY: &str = "mallory@example.com";
const VICTIM: &str = "victim@example.com";

/// Bytes that a browser removes from neither end of a cookie's name. `str::trim` removes the first four.
const LOOKALIKES: [&str; 6] = ["\u{2000}", "\u{a0}", "\u{85}", "\u{3000}", "\u{feff}", "x"];

/// Posts with exactly these bytes as the `Cookie` header.
async fn post(app: &App, path: &str, cookies: &[u8], body: Value) -> Answer {
    let request = crate::app::http().post(format!("{}{path}", app.url()));
    let cookies = HeaderValue::from_bytes(cookies).unwrap();
    Answer::read(request.header("cookie", cookies).json(&body).send().await.unwrap()).await.unwrap()
}

async fn join(app: &App, cookies: &[u8]) -> Answer {
    post(app, "/api/v1/livekit/room-auth", cookies, json!({ "username": "Jane", "roomId": "room" })).await
}

async fn sign_out(app: &App, cookies: &[u8]) -> Answer {
    post(app, "/auth/sign-out", cookies, json!({})).await
}

#[tokio::test]
async fn a_session_is_found_beside_cookies_of_any_bytes() {
    for other in [&b"theme=caf\xc3\xa9"[..], b"theme=caf\xe9\xff", b"caf\xe9", b"a=\tb"] {
        let app = App::start().await;
        let mut browser = app.signed_in(VICTIM).await;
        let session = format!("__Host-session={}", browser.token());
        let cookies = [other, b"; ", session.as_bytes()].concat();
        join(&app, &cookies).await.is(200);
        sign_out(&app, &cookies).await.is(200);
        browser.room_auth("Jane", "room").await.refused(401, "not_signed_in");
        assert!(app.items_of("session#").is_empty(), "{other:?}");

        // A new sign-in ends the session as well.
        let session = format!("__Host-session={}", app.signed_in(VICTIM).await.token());
        let cookies = [session.as_bytes(), b"; ", other].concat();
        let answer = post(&app, "/auth/dev-sign-in", &cookies, json!({})).await.is(200);
        assert_eq!(app.items_of("session#").len(), 1, "{other:?}");
        let (new, _) = answer.cookies[0].split_once(';').unwrap();
        sign_out(&app, new.as_bytes()).await.is(200);
    }
}

/// No HTTP server forwards a control character, but JSON can hold it.
#[tokio::test]
async fn a_session_is_found_beside_control_characters() {
    let app = App::start().await;
    let session = format!("__Host-session={}", app.signed_in(VICTIM).await.token());
    let event = std::fs::read_to_string(crate::events::folder().join("sign-out/no-authorizer.json")).unwrap();
    let mut event: Value = serde_json::from_str(&event).unwrap();
    event["cookies"] = json!(["theme=\u{1}\u{7f}\r\n", session]);
    let response = app.invoke("sign-out", &event.to_string()).await;
    assert_eq!(response["statusCode"], 200, "{response}");
    assert!(app.items_of("session#").is_empty());
}

#[tokio::test]
async fn a_cookie_whose_name_resembles_ours_is_not_a_session() {
    let app = App::start().await;
    let (mallory, victim) = (app.signed_in(MALLORY).await.token(), app.signed_in(VICTIM).await.token());
    let victims_id = app.workos().user_id(VICTIM).unwrap();
    for prefix in LOOKALIKES {
        let planted = format!("{prefix}__Host-session={mallory}");
        for cookies in [
            format!("{planted}; __Host-session={victim}"),
            format!("__Host-session={victim};{planted}"),
            format!("a=1; {planted};__Host-session={victim}"),
        ] {
            let answer = join(&app, cookies.as_bytes()).await.is(200);
            assert_eq!(claims_of(&answer.text("/token"))["sub"], victims_id.as_str(), "{cookies:?}");
        }
        join(&app, planted.as_bytes()).await.refused(401, "not_signed_in");
        sign_out(&app, planted.as_bytes()).await.refused(401, "not_signed_in");
    }
    for planted in [format!("__Host-session ={mallory}"), format!("__host-session={mallory}")] {
        join(&app, planted.as_bytes()).await.refused(401, "not_signed_in");
    }
    assert_eq!(app.items_of("session#").len(), 2);
}

#[tokio::test]
async fn a_cookie_whose_name_resembles_ours_holds_no_flow() {
    let app = App::start().await;
    for prefix in LOOKALIKES {
        let mut mallory = app.browser();
        let url = mallory.continue_with_google().await.is(200).text("/authData/redirectURL");
        let code = app.at_provider(&url, MALLORY).await.code().to_owned();
        let planted = format!("{prefix}__Host-oauth={}", mallory.cookies["__Host-oauth"]);
        let mut victim = app.browser();
        victim.continue_with_google().await.is(200);
        let own = format!("__Host-oauth={}", victim.cookies["__Host-oauth"]);

        let finish = async |cookies: String| {
            post(&app, "/auth/finalize-oauth", cookies.as_bytes(), json!({ "code": code })).await
        };
        finish(planted.clone()).await.refused(400, "flow_expired");
        finish(format!("{planted}; {own}")).await.refused(400, "code_rejected");
        assert!(app.items_of("session#").is_empty(), "{prefix:?}");
    }
}

#[tokio::test]
async fn two_session_cookies_are_nobody_and_a_sign_out_ends_both() {
    let app = App::start().await;
    for separator in ["; ", ";\t", ";", "; \t "] {
        let (one, two) = (app.signed_in(MALLORY).await.token(), app.signed_in(VICTIM).await.token());
        let cookies = format!("__Host-session={one}{separator}__Host-session={two}");
        join(&app, cookies.as_bytes()).await.refused(401, "not_signed_in");
        let answer = sign_out(&app, cookies.as_bytes()).await.is(200);
        assert_eq!(answer.cookies.len(), 2, "both cookies are cleared: {:?}", answer.cookies);
        assert!(app.items_of("session#").is_empty(), "{separator:?}");
    }
    // The same token twice, and one that is invalid, are two cookies as well.
    let token = app.signed_in(VICTIM).await.token();
    for other in [token.as_str(), "", "junk"] {
        let cookies = format!("__Host-session={token}; __Host-session={other}");
        join(&app, cookies.as_bytes()).await.refused(401, "not_signed_in");
    }
}

#[tokio::test]
async fn two_flow_cookies_are_none() {
    let app = App::start().await;
    let mut browser = app.browser();
    let url = browser.continue_with_google().await.is(200).text("/authData/redirectURL");
    let code = app.at_provider(&url, VICTIM).await.code().to_owned();
    let own = format!("__Host-oauth={}", browser.cookies["__Host-oauth"]);
    let cookies = format!("{own};\t{own}");
    let body = json!({ "code": code });
    post(&app, "/auth/finalize-oauth", cookies.as_bytes(), body.clone()).await.refused(400, "flow_expired");
    post(&app, "/auth/finalize-oauth", own.as_bytes(), body).await.is(200);
}

#[tokio::test]
async fn long_cookies_are_accepted() {
    let app = App::start().await;
    let token = app.signed_in(VICTIM).await.token();
    let padding = "x".repeat(8 * 1024 - 100);
    join(&app, format!("padding={padding}; __Host-session={token}").as_bytes()).await.is(200);
    join(&app, format!("__Host-session={padding}").as_bytes()).await.refused(401, "not_signed_in");
}
