//! The main flow: sign-up with a mailed code, session, room token, sign-out; and the limits on codes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use crate::app::App;

const EMAIL: &str = "new.user@example.com";

#[tokio::test]
async fn from_sign_up_to_sign_out() {
    sign_up_to_sign_out(&App::start().await).await;
}

/// The flow, against the local cloud or a deployment.
pub async fn sign_up_to_sign_out(app: &App) {
    let mut browser = app.browser();

    let answer = browser.sign_up(EMAIL).await.is(201);
    assert_eq!(answer.body, json!({ "code": 201, "message": "Created" }));

    let code = app.code(EMAIL);
    let answer = browser.finalize_magic_auth(EMAIL, &code).await.is(200);
    assert_eq!(answer.body["user"]["email"], EMAIL);
    let user_id = answer.text("/user/id");

    let answer = browser.room_auth("Jane Doe", "room123").await.is(200);
    assert_eq!(answer.body.as_object().unwrap().len(), 1);
    let claims = livekit_claims(&answer.text("/token"));
    assert_eq!(claims["sub"], user_id);
    assert_eq!(claims["name"], "Jane Doe");
    let lifetime = claims["exp"].as_u64().unwrap() - claims["nbf"].as_u64().unwrap();
    // Ten minutes, and the 150 s by which LiveKit's clock may be behind.
    assert_eq!(lifetime, 600 + 150, "{claims}");
    let grants: Vec<_> =
        claims["video"].as_object().unwrap().iter().filter(|(_, value)| **value != false).collect();
    for (grant, value) in grants {
        match grant.as_str() {
            "room" => assert_eq!(value, "room123"),
            "roomJoin" | "canPublish" | "canSubscribe" | "canPublishData" => assert_eq!(value, true),
            other => assert!(value == "" || value == &json!([]), "{other} is granted: {value}"),
        }
    }

    let (token, before) = (browser.token(), browser.clone());
    let answer = browser.sign_out().await.is(200);
    let url = answer.text("/authData/redirectURL");
    let (base, query) = url.split_once("?").unwrap();
    assert_eq!(base, format!("{}/user_management/sessions/logout", app.workos().url()));
    let (return_to, session_id) = query.split_once('&').unwrap();
    assert!(
        return_to.starts_with("return_to=http") && session_id.starts_with("session_id=session_"),
        "{query}"
    );
    let kept: Vec<_> = browser.cookies.keys().collect();
    assert_eq!(kept, ["__Host-device", "__Host-pending"], "the session's cookies are cleared");

    let mut by_cookie = before;
    by_cookie.room_auth("Jane", "room123").await.refused(401, "not_signed_in");
    let mut by_bearer = app.browser().without_origin();
    by_bearer.bearer = Some(token);
    by_bearer.room_auth("Jane", "room123").await.refused(401, "not_signed_in");
    by_bearer.sign_out().await.refused(401, "not_signed_in");
}

#[tokio::test]
async fn a_client_without_cookies_sends_the_session_as_bearer() {
    session_as_bearer(&App::start().await).await;
}

/// The flow, against the local cloud or a deployment.
pub async fn session_as_bearer(app: &App) {
    let browser = app.signed_in(EMAIL).await;
    let mut client = app.browser().without_origin();
    client.bearer = Some(browser.token());
    client.room_auth("Jane", "room123").await.is(200);
    client.sign_out().await.is(200);
    client.room_auth("Jane", "room123").await.refused(401, "not_signed_in");
}

#[tokio::test]
async fn sign_in_sends_a_code_to_a_known_address_regardless_of_case() {
    let app = App::start().await;
    let mut browser = app.browser();
    let answer = browser.sign_in("JANE.Doe@Example.com").await.is(200);
    assert_eq!(answer.body, json!({ "authData": { "authMethod": "magic_auth" } }));
    let code = app.code("jane.doe@example.com");
    browser.finalize_magic_auth("Jane.Doe@EXAMPLE.com", &code).await.is(200);
    browser.room_auth("Jane", "room123").await.is(200);
}

#[tokio::test]
async fn a_resent_code_works() {
    let app = App::start().await;
    let mut browser = app.browser();
    browser.sign_in("jane.doe@example.com").await.is(200);
    let answer = browser.resend_magic_auth("jane.doe@example.com").await.is(200);
    assert_eq!(answer.body, json!({ "code": 200, "message": "OK" }));
    let code = app.code("jane.doe@example.com");
    browser.finalize_magic_auth("jane.doe@example.com", &code).await.is(200);
}

#[tokio::test]
async fn dev_sign_in_begins_a_real_session() {
    let app = App::start().await;
    let mut browser = app.browser();
    let answer = browser.dev_sign_in().await.is(200);
    assert_eq!(answer.body["user"]["email"], "admin@cazzi.com");
    assert_eq!(answer.body["organization"]["name"], "Cazzi");
    browser.room_auth("Admin", "room123").await.is(200);
}

#[tokio::test]
async fn a_code_is_accepted_once_and_a_wrong_one_never() {
    let app = App::start().await;
    let mut browser = app.browser();
    browser.sign_in("jane.doe@example.com").await.is(200);
    let code = app.code("jane.doe@example.com");
    let wrong = if code == "000000" { "000001" } else { "000000" };
    browser.finalize_magic_auth("jane.doe@example.com", wrong).await.refused(400, "code_rejected");
    browser.finalize_magic_auth("jane.doe@example.com", &code).await.is(200);
    app.browser().finalize_magic_auth("jane.doe@example.com", &code).await.refused(400, "code_rejected");
}

#[tokio::test]
async fn one_source_cannot_try_many_addresses() {
    let app = App::start().await;
    let mut refused = 0;
    for number in 0..70 {
        let answer = app.browser().finalize_magic_auth(&format!("p{number}@example.com"), "000000").await;
        match answer.status.as_u16() {
            400 => drop(answer.refused(400, "code_rejected")),
            _ => {
                answer.refused(429, "rate_limited");
                refused += 1;
            }
        }
    }
    // Sixty attempts pass per window. If a window ends during the test, there are two.
    assert!(refused >= 10 || app.items_of("limit#finalize-magic-auth#source").len() > 1, "{refused}");
}

/// The claims of a room token, verified with LiveKit's secret.
fn livekit_claims(token: &str) -> Value {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    assert_eq!(header["alg"], "HS256");
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_issuer(&["devkey"]);
    validation.validate_nbf = true;
    jsonwebtoken::decode::<Value>(token, &DecodingKey::from_secret(b"secret"), &validation).unwrap().claims
}
