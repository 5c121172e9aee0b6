//! Recent authentication: what a thief of a session would do takes another sign-in in the same browser.

use std::time::Duration;

use serde_json::{Value, json};

use crate::app::{Answer, App, Browser, query_value, session_key};
use crate::organizations::ACME;
use crate::person::age_sign_in;

const JANE: &str = "jane.doe@example.com";
const ANN: &str = "ann@acme.test";

fn id_of(browser: &Browser<'_>) -> String {
    session_key(&browser.token()).strip_prefix("session#").unwrap().to_owned()
}

/// Asserts that both endpoints are refused. Returns the response of one.
async fn is_refused(browser: &mut Browser<'_>, id: &str) -> Answer {
    browser.sign_out_everywhere(true).await.refused(403, "reauthentication_required");
    browser.end_session(id).await.refused(403, "reauthentication_required")
}

#[tokio::test]
async fn a_person_who_signed_in_by_mail_signs_in_by_mail_again() {
    let app = App::start().await;
    let (mut laptop, mut phone) = (app.signed_in(JANE).await, app.signed_in(JANE).await);
    age_sign_in(&app, &laptop);
    let refused = is_refused(&mut laptop, &id_of(&phone)).await;
    assert_eq!(refused.body["next"], "sign_in");
    assert_eq!(refused.body["authData"], json!({ "authMethod": "magic_auth" }));
    assert_eq!(refused.body["retryable"], false);
    phone.session().await.is(200);

    let mut replaced = laptop.clone();
    laptop.sign_in(JANE).await.is(200);
    laptop.finalize_magic_auth(JANE, &app.code(JANE)).await.is(200);
    replaced.session().await.refused(401, "not_signed_in");
    laptop.end_session(&id_of(&phone)).await.is(200);
    phone.session().await.refused(401, "not_signed_in");
}

#[tokio::test]
async fn a_person_who_signed_in_by_sso_proves_it_to_the_identity_provider_again() {
    let app = App::start().await;
    let ann = app.workos().user_id(ANN).unwrap_or_else(|| app.workos().add_user(ANN));
    let (mut laptop, mut phone) = (app.browser(), app.browser());
    for browser in [&mut laptop, &mut phone] {
        by_sso(&app, browser).await;
    }
    age_sign_in(&app, &laptop);
    let refused = is_refused(&mut laptop, &id_of(&phone)).await;
    assert_eq!(
        (&refused.body["next"], &refused.body["authData"]["authMethod"]),
        (&json!("redirect"), &json!("sso"))
    );
    let url = refused.text("/authData/redirectURL");
    let value = |name| query_value(&url, name);
    assert_eq!(value("max_age").as_deref(), Some("0"), "{url}");
    assert_eq!(value("login_hint").as_deref(), Some(ANN), "{url}");
    assert_eq!(value("organization_id").as_deref(), Some(ACME), "{url}");
    assert_eq!(value("state"), Some(refused.text("/authData/state")));

    // The browser is still known at WorkOS: a plain sign-in asks for no proof, and proves nothing.
    app.workos().remember_sign_in(&ann, Duration::from_secs(3600));
    by_sso(&app, &mut laptop).await;
    let url = is_refused(&mut laptop, &id_of(&phone)).await.text("/authData/redirectURL");

    let back = app.at_provider(&url, ANN).await;
    let signed_in = laptop.finalize_oauth(back.code(), back.state.as_deref()).await.is(200);
    assert_eq!(
        (signed_in.text("/user/email"), signed_in.text("/organization/id")),
        (ANN.into(), ACME.into())
    );
    laptop.end_session(&id_of(&phone)).await.is(200);
    phone.session().await.refused(401, "not_signed_in");
}

/// Signs Ann in through the identity provider of her organization.
async fn by_sso(app: &App, browser: &mut Browser<'_>) {
    app.reset_limits();
    let url = browser.sign_in(ANN).await.is(200).text("/authData/redirectURL");
    let back = app.at_provider(&url, ANN).await;
    browser.finalize_oauth(back.code(), back.state.as_deref()).await.is(200);
}

#[tokio::test]
async fn a_person_who_signed_in_with_google_or_microsoft_proves_it_to_authkit() {
    let app = App::start().await;
    for google in [true, false] {
        let mut laptop = app.browser();
        let started = match google {
            true => laptop.continue_with_google().await,
            false => laptop.continue_with_microsoft().await,
        };
        let back = app.at_provider(&started.is(200).text("/authData/redirectURL"), JANE).await;
        laptop.finalize_oauth(back.code(), back.state.as_deref()).await.is(200);
        let phone = app.signed_in(JANE).await;
        age_sign_in(&app, &laptop);
        let refused = is_refused(&mut laptop, &id_of(&phone)).await;
        let auth_data = &refused.body["authData"];
        assert_eq!((&refused.body["next"], auth_data.get("authMethod")), (&json!("redirect"), None));
        let url = refused.text("/authData/redirectURL");
        assert_eq!(query_value(&url, "provider").as_deref(), Some("authkit"), "{url}");
        assert_eq!(query_value(&url, "max_age").as_deref(), Some("0"), "{url}");
        let back = app.at_provider(&url, JANE).await;
        laptop.finalize_oauth(back.code(), back.state.as_deref()).await.is(200);
        laptop.end_session(&id_of(&phone)).await.is(200);
    }
}

#[tokio::test]
async fn the_step_up_leads_where_the_request_says() {
    let app = App::with_env(&[("OAUTH_REDIRECT_URIS", "com.example.app:/callback")]).await;
    let mut laptop = app.browser();
    by_sso(&app, &mut laptop).await;
    age_sign_in(&app, &laptop);
    let body = json!({ "redirectUri": "com.example.app:/callback", "returnTo": "/settings" });
    let path = "/auth/sign-out-everywhere";
    let refused = laptop.post(path, body).await.refused(403, "reauthentication_required");
    let url = refused.text("/authData/redirectURL");
    assert_eq!(query_value(&url, "redirect_uri").as_deref(), Some("com.example.app:/callback"));
    for (field, value) in [("redirectUri", "https://evil.example/"), ("returnTo", "https://evil.example/")] {
        laptop.post(path, json!({ (field): value })).await.refused(400, "invalid_field").names(field);
    }
}

#[tokio::test]
async fn a_switch_and_a_refresh_are_no_authentication() {
    let app = App::start().await;
    let (email, [masadas, taunta]) =
        ("123@gmail.com", [crate::organizations::MASADAS, crate::organizations::TAUNTA]);
    let mut browser = crate::organizations::signed_in_to(&app, email, masadas).await;
    age_sign_in(&app, &browser);
    app.expire_access(&browser, 1);
    browser.sign_out_everywhere(true).await.refused(403, "reauthentication_required");
    browser.switch_organization(email, taunta).await.is(200);
    browser.sign_out_everywhere(true).await.refused(403, "reauthentication_required");
}

#[tokio::test]
async fn a_sign_in_is_recent_for_as_long_as_is_configured() {
    let app = App::with_env(&[("REAUTHENTICATION_SECONDS", "1200")]).await;
    let mut browser = app.signed_in(JANE).await;
    age_sign_in(&app, &browser);
    browser.sign_out_everywhere(true).await.is(200);
}

#[tokio::test]
async fn an_authorizer_of_an_earlier_release_makes_no_sign_in_recent() {
    let app = App::start().await;
    let text =
        std::fs::read_to_string(crate::events::folder().join("sign-out-everywhere/sign-out-everywhere.json"));
    let mut event: Value = serde_json::from_str(&text.unwrap()).unwrap();
    let context = event["requestContext"]["authorizer"]["lambda"].as_object_mut().unwrap();
    for field in ["session", "authenticatedAt"] {
        assert!(context.remove(field).is_some());
    }
    let answer = app.invoke("sign-out-everywhere", &event.to_string()).await;
    assert_eq!(answer["statusCode"], 403, "{answer}");
    assert!(answer["body"].as_str().unwrap().contains("reauthentication_required"));
}
