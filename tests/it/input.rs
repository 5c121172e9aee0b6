//! Invalid input: clear errors, and no side effects.

use serde_json::{Value, json};

use crate::app::App;

const PUBLIC: [&str; 3] = ["/auth/sign-up", "/auth/sign-in", "/auth/resend-magic-auth"];

#[tokio::test]
async fn a_body_that_is_not_a_json_object_is_refused() {
    let app = App::start().await;
    let mut browser = app.browser();
    for path in PUBLIC {
        browser.send(path, None).await.refused(400, "missing_field").names("email");
        browser
            .send(path, Some((Vec::new(), "application/json")))
            .await
            .refused(400, "missing_field")
            .names("email");
        for body in ["{", "[]", "\"text\"", "null", "{\"email\":\"a@b.cc\"}}", "\u{feff}{}"] {
            let response = browser.send(path, Some((body.into(), "application/json"))).await;
            response.refused(400, "invalid_json");
        }
        browser.send(path, Some((vec![0xff, 0xfe], "application/json"))).await.refused(400, "invalid_json");
    }
    assert!(app.workos().proxy().calls().is_empty(), "no call was made for invalid input");
    assert!(app.items().is_empty(), "nothing was written");
}

#[tokio::test]
async fn an_invalid_field_is_named() {
    let app = App::start().await;
    let mut browser = app.browser();
    let long = "x".repeat(5000);
    let cases: [(Value, &str); 9] = [
        (json!({}), "missing_field"),
        (json!({ "email": null }), "missing_field"),
        (json!({ "email": "" }), "missing_field"),
        (json!({ "email": "   " }), "missing_field"),
        (json!({ "email": 7 }), "invalid_field"),
        (json!({ "email": ["jane.doe@example.com"] }), "invalid_field"),
        (json!({ "email": { "a": 1 } }), "invalid_field"),
        (json!({ "email": "jane" }), "invalid_email"),
        (json!({ "email": format!("{long}@example.com") }), "invalid_email"),
    ];
    for path in PUBLIC {
        for (body, reason) in &cases {
            browser.post(path, body.clone()).await.refused(400, reason).names("email");
        }
    }
    let email = "jane.doe@example.com";
    for code in [json!(null), json!(""), json!(123_456), json!(long), json!("12345a\n")] {
        let body = json!({ "email": email, "code": code });
        browser.post("/auth/finalize-magic-auth", body).await.is(400).names("code");
    }
}

#[tokio::test]
async fn fields_of_room_auth_are_checked() {
    let app = App::start().await;
    let mut browser = app.browser();
    browser.dev_sign_in().await.is(200);
    let path = "/api/v1/livekit/room-auth";
    browser.post(path, json!({ "username": "Jane" })).await.refused(400, "missing_field").names("roomId");
    browser.post(path, json!({ "roomId": "r" })).await.refused(400, "missing_field").names("username");
    for invalid in [json!("x".repeat(5000)), json!("line\nbreak"), json!("\u{0}"), json!(1)] {
        let body = json!({ "username": "Jane", "roomId": invalid });
        browser.post(path, body).await.refused(400, "invalid_field").names("roomId");
        let body = json!({ "username": invalid, "roomId": "room" });
        browser.post(path, body).await.refused(400, "invalid_field").names("username");
    }
    browser.room_auth("Zoë 林 🎥", "wöchentliches Treffen 1").await.is(200);
}

#[tokio::test]
async fn unknown_fields_are_ignored_and_a_base64_body_is_decoded() {
    let app = App::start().await;
    let mut browser = app.browser();
    browser.post("/auth/sign-up", json!({ "email": "a@example.com", "admin": true })).await.is(201);
    // API Gateway encodes a body in base64 unless it recognizes the content type as text.
    let event = std::fs::read_to_string(crate::events::folder().join("sign-up/base64-body.json")).unwrap();
    let response = app.invoke("sign-up", &event).await;
    assert_eq!(response["statusCode"], 201, "{response}");
}

#[tokio::test]
async fn only_json_is_read() {
    let app = App::start().await;
    let mut browser = app.browser();
    let body = b"email=jane.doe%40example.com".to_vec();
    let form = "application/x-www-form-urlencoded";
    browser.send("/auth/sign-up", Some((body, form))).await.refused(415, "json_required");
    let body = br#"{"email":"jane.doe@example.com"}"#.to_vec();
    browser.send("/auth/sign-up", Some((body.clone(), "text/plain"))).await.refused(415, "json_required");
    browser.send("/auth/sign-up", Some((body, "Application/JSON; charset=UTF-8"))).await.is(201);
}

#[tokio::test]
async fn large_bodies_are_refused() {
    let app = App::start().await;
    let mut browser = app.browser();
    let body = json!({ "email": "jane.doe@example.com", "padding": "x".repeat(40 * 1024) });
    browser.post("/auth/sign-up", body).await.refused(413, "body_too_large");
    let body = json!({ "email": "a@example.com", "padding": "x".repeat(15 * 1024) });
    browser.post("/auth/sign-up", body).await.is(201);
}

#[tokio::test]
async fn a_foreign_origin_is_refused_before_anything_else() {
    let app = App::start().await;
    let signed_in = app.signed_in("jane.doe@example.com").await;
    let calls = app.workos().proxy().calls().len();
    for origin in
        ["https://evil.example", "null", "http://localhost:5173.evil.example", "HTTP://LOCALHOST:5173"]
    {
        let mut browser = signed_in.clone().header("origin", origin);
        for path in PUBLIC.iter().chain(&["/auth/sign-out", "/auth/dev-sign-in", "/api/v1/livekit/room-auth"])
        {
            let response = browser.send(path, Some((b"{".to_vec(), "text/plain"))).await;
            let response = response.refused(403, "origin_not_allowed");
            assert!(response.header("access-control-allow-origin").is_none());
        }
    }
    assert_eq!(app.workos().proxy().calls().len(), calls);
    let mut browser = signed_in;
    let response = browser.room_auth("Jane", "room").await.is(200);
    assert_eq!(response.header("access-control-allow-origin"), Some(crate::app::ORIGIN));
    assert_eq!(response.header("access-control-allow-credentials"), Some("true"));
}

#[tokio::test]
async fn other_methods_and_unknown_routes_are_not_found() {
    let app = App::start().await;
    let http = crate::app::http();
    for method in ["GET", "PUT", "DELETE", "PATCH", "HEAD"] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let url = format!("{}/auth/sign-in", app.cloud.url());
        assert_eq!(http.request(method, url).send().await.unwrap().status(), 404);
    }
    for path in ["/", "/auth", "/auth/sign-in/", "/auth/nothing", "/auth/../auth/sign-in%2f", "/authorizer"] {
        let url = format!("{}{path}", app.cloud.url());
        assert_eq!(http.post(url).send().await.unwrap().status(), 404, "{path}");
    }
}

#[tokio::test]
async fn addresses_in_headers_change_nothing() {
    let app = App::start().await;
    let mut spoofing =
        app.browser().header("x-forwarded-for", "198.51.100.9").header("x-real-ip", "198.51.100.9");
    spoofing.sign_up("a@example.com").await.is(201);
    let keys: Vec<_> = app.items_of("limit#sign-up#source:");
    assert_eq!(keys.len(), 1);
    assert!(keys[0]["pk"]["S"].as_str().unwrap().contains("source:127.0.0.1#"), "{keys:?}");
}

#[tokio::test]
async fn security_headers_are_on_every_answer() {
    let app = App::start().await;
    let mut browser = app.browser();
    let responses = [
        browser.sign_up("a@example.com").await.is(201),
        browser.sign_up("a").await.is(400),
        browser.send("/auth/sign-up", Some((b"a".to_vec(), "text/plain"))).await.is(415),
        browser.clone().header("origin", "https://evil.example").sign_up("a@example.com").await.is(403),
    ];
    for response in responses {
        let expected = [
            ("content-type", "application/json; charset=utf-8"),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("strict-transport-security", "max-age=63072000; includeSubDomains"),
            ("referrer-policy", "no-referrer"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ];
        for (name, value) in expected {
            assert_eq!(response.header(name), Some(value), "{}", response.body);
        }
    }
}
