//! Sessions: lifetimes to the second, new tokens, and what the table stores.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::app::{App, now};

const EMAIL: &str = "jane.doe@example.com";

#[tokio::test]
async fn an_idle_session_expires_to_the_second_with_ttl_off() {
    let app = App::with_env(&[("SESSION_IDLE_SECONDS", "3"), ("SESSION_ABSOLUTE_SECONDS", "60")]).await;
    let mut browser = app.signed_in(EMAIL).await;
    // Each use within three seconds extends it.
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(1100)).await;
        browser.room_auth("Jane", "room").await.is(200);
    }
    tokio::time::sleep(Duration::from_millis(3100)).await;
    browser.room_auth("Jane", "room").await.refused(401, "not_signed_in");
    assert_eq!(app.items_of("session#").len(), 1, "the item is still there: the expiry is checked on read");
}

#[tokio::test]
async fn a_session_in_use_expires_at_its_absolute_lifetime() {
    let app = App::with_env(&[("SESSION_IDLE_SECONDS", "4"), ("SESSION_ABSOLUTE_SECONDS", "4")]).await;
    let mut browser = app.signed_in(EMAIL).await;
    let began = app.items_of("session#")[0]["created_at"]["N"].as_str().unwrap().parse::<u64>().unwrap();
    let mut refused_at = None;
    let give_up = Instant::now() + Duration::from_secs(10);
    while refused_at.is_none() && Instant::now() < give_up {
        let before = now();
        let answer = browser.room_auth("Jane", "room").await;
        let after = now();
        match answer.status.as_u16() {
            200 => assert!(before < began + 4, "a session was accepted after its expiry"),
            401 => {
                assert!(after >= began + 4, "a session was refused before its expiry");
                refused_at = Some(after);
            }
            other => panic!("{other}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(refused_at.is_some());
}

#[tokio::test]
async fn every_sign_in_issues_a_new_token_and_ends_the_old_one() {
    let app = App::start().await;
    let mut browser = app.signed_in(EMAIL).await;
    let (old, old_browser) = (browser.token(), browser.clone());
    browser.dev_sign_in().await.is(200);
    assert_ne!(browser.token(), old);
    let mut old_browser = old_browser;
    old_browser.room_auth("Jane", "room").await.refused(401, "not_signed_in");
    browser.room_auth("Jane", "room").await.is(200);
    assert_eq!(app.items_of("session#").len(), 1);
}

#[tokio::test]
async fn sessions_of_one_person_are_independent() {
    let app = App::start().await;
    let (mut laptop, mut phone) = (app.signed_in(EMAIL).await, app.browser());
    phone.sign_in(EMAIL).await.is(200);
    phone.finalize_magic_auth(EMAIL, &app.code(EMAIL)).await.is(200);
    laptop.sign_out().await.is(200);
    laptop.room_auth("Jane", "room").await.refused(401, "not_signed_in");
    phone.room_auth("Jane", "room").await.is(200);
}

#[tokio::test]
async fn a_sign_out_takes_effect_at_once_on_every_function() {
    let app = App::start().await;
    let browser = app.signed_in(EMAIL).await;
    let body = json!({ "username": "Jane", "roomId": "room", "roomName": "room", "conferenceTopic": "t", "zoneId": "1",
        "participants": "a", "egressId": "EG_1" });
    browser.clone().sign_out().await.is(200);
    for path in [
        "/auth/sign-out",
        "/api/v1/livekit/room-auth",
        "/api/v1/livekit/start-recording",
        "/api/v1/livekit/stop-recording",
    ] {
        browser.clone().post(path, body.clone()).await.refused(401, "not_signed_in");
    }
    browser.clone().switch_organization(EMAIL, "org_1").await.refused(401, "not_signed_in");
}

#[tokio::test]
async fn the_session_cookie_is_bound_to_the_host_and_small() {
    let app = App::start().await;
    let mut browser = app.browser();
    let answer = browser.dev_sign_in().await.is(200);
    let cookie = answer.cookies.iter().find(|cookie| cookie.starts_with("__Host-session=")).unwrap();
    assert!(cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=2592000"), "{cookie}");
    assert!(cookie.len() < 4096);
    assert_eq!(browser.token().len(), 43, "256 bits as base64url");
}

#[tokio::test]
async fn the_table_holds_no_token_and_no_code() {
    let app = App::start().await;
    let browser = app.signed_in(EMAIL).await;
    let rows = app.items();
    assert!(rows.len() >= 3, "a session and limits");
    let text = Value::Array(rows).to_string();
    let code = app.code(EMAIL);
    assert!(!text.contains(&browser.token()));
    assert!(!text.contains(&format!("\"{code}\"")));
    assert!(!app.workos().refresh_tokens().is_empty());
    for token in app.workos().refresh_tokens() {
        assert!(!text.contains(&token), "a refresh token is stored in plain text");
        use base64::Engine as _;
        let encoded = base64::engine::general_purpose::STANDARD.encode(&token);
        assert!(!text.contains(encoded.trim_end_matches('=')));
    }
}

#[tokio::test]
async fn changed_and_unknown_tokens_are_refused() {
    let app = App::start().await;
    let browser = app.signed_in(EMAIL).await;
    let token = browser.token();
    let flipped: String = token.chars().rev().collect();
    for changed in
        [&token[1..], &format!("{token}A"), &flipped, "", "null", &"A".repeat(43), &"A".repeat(5000)]
    {
        let mut other = browser.clone();
        other.cookies.insert("__Host-session".into(), changed.to_owned());
        other.room_auth("Jane", "room").await.refused(401, "not_signed_in");
        let mut other = app.browser();
        other.bearer = Some(changed.to_owned());
        other.room_auth("Jane", "room").await.refused(401, "not_signed_in");
    }
}
