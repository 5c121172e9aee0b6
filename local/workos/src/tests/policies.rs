//! The conditions for a session.

use serde_json::json;

use super::{TestBed, TestResult, error};
use crate::{Environment, Method};

const ACME: &str = "org_01JACME0000000000000000000";
const INITECH: &str = "org_01JN1TECH00000000000000000";
const GLOBEX: &str = "org_01JG00G1E00000000000000000";

#[tokio::test]
async fn sso_required_names_the_connection() -> TestResult {
    let bed = TestBed::new().await?;
    let refused = bed.sign_in("ann@acme.test").await?;
    assert_eq!(error(&refused), (400, "sso_required"));
    assert_eq!(refused.body["connection_ids"], json!(["conn_01JACME0000000000000000000"]));
    assert_eq!(refused.body["email"], "ann@acme.test");
    Ok(())
}

#[tokio::test]
async fn the_policy_of_the_chosen_organization_applies() -> TestResult {
    let bed = TestBed::new().await?;
    let asked = bed.sign_in("sam@example.com").await?;
    let pending = asked.text("pending_authentication_token");
    assert_eq!(error(&bed.select(pending, ACME).await?), (400, "sso_required"));
    assert_eq!(error(&bed.select(pending, INITECH).await?), (403, "mfa_enrollment"));
    let methods = bed.select(pending, GLOBEX).await?;
    assert_eq!(error(&methods), (400, "organization_authentication_methods_required"));
    assert_eq!(methods.body["auth_methods"]["google_oauth"], true);
    assert_eq!(methods.body["auth_methods"]["magic_auth"], false);
    assert_eq!(bed.select(pending, "org_01K2Z1R2MEJK6B41WW7428G9YC").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn an_authenticator_app_completes_the_challenge() -> TestResult {
    let bed = TestBed::new().await?;
    let asked = bed.sign_in("max@example.com").await?;
    assert_eq!(error(&asked), (403, "mfa_challenge"));
    let factor = asked.body["authentication_factors"][0]["id"].as_str().unwrap_or_default();
    let challenge = bed.post(&format!("/auth/factors/{factor}/challenge"), json!({})).await?;
    assert_eq!(challenge.status, 201);

    let user = bed.workos.user_id("max@example.com").unwrap_or_default();
    let right = bed.workos.totp_code(&user).unwrap_or_default();
    let grant = |code: &str| {
        let fields = json!({
            "code": code,
            "pending_authentication_token": asked.text("pending_authentication_token"),
            "authentication_challenge_id": challenge.text("id"),
        });
        bed.grant("urn:workos:oauth:grant-type:mfa-totp", fields)
    };
    assert_eq!(error(&grant("not-it").await?), (400, "invalid_one_time_code"));
    let session = grant(&right).await?;
    assert_eq!(session.status, 200, "{}", session.text);
    assert_eq!(session.claims()?["org_id"], INITECH);
    assert_eq!(bed.refresh(session.text("refresh_token"), None).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn an_unverified_address_needs_a_code_first() -> TestResult {
    let bed = TestBed::new().await?;
    let code = bed.google("eve@umbrella.test").await?;
    let asked = bed.exchange(&code).await?;
    assert_eq!(error(&asked), (403, "email_verification_required"));
    assert_eq!(asked.body["email"], "eve@umbrella.test");
    assert!(asked.text("email_verification_id").starts_with("email_verification_"));
    let pending = asked.text("pending_authentication_token");
    let verify = |code: String| {
        let fields = json!({"code": code, "pending_authentication_token": pending});
        bed.grant("urn:workos:oauth:grant-type:email-verification:code", fields)
    };
    assert_eq!(error(&verify("not-it".to_owned()).await?), (400, "invalid_one_time_code"));
    let mailed = bed.workos.last_code("eve@umbrella.test").unwrap_or_default();
    let session = verify(mailed).await?;
    assert_eq!(session.status, 200, "{}", session.text);
    assert_eq!(session.body["user"]["email_verified"], true);
    Ok(())
}

#[tokio::test]
async fn the_environment_can_disable_methods_and_sign_up() -> TestResult {
    let bed = TestBed::new().await?;
    let code = bed.google("jane.doe@example.com").await?;
    bed.workos.set_environment(Environment {
        sign_up_allowed: false,
        authentication_methods: vec![Method::MagicAuth],
        ..Environment::default()
    });
    assert_eq!(error(&bed.exchange(&code).await?), (403, "authentication_method_not_allowed"));
    let path = "/user_management/magic_auth";
    let unknown = bed.post(path, json!({"email": "nobody@example.com"})).await?;
    assert_eq!(error(&unknown), (400, "sign_up_not_allowed"));
    assert!(unknown.body["error_description"].is_string());

    bed.workos
        .set_environment(Environment { authentication_methods: vec![Method::Sso], ..Environment::default() });
    let refused = bed.post(path, json!({"email": "jane.doe@example.com"})).await?;
    assert_eq!(error(&refused), (400, "authentication_method_not_allowed"));
    Ok(())
}
