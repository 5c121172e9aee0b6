//! Magic Auth, organization selection, authorization codes with PKCE.

use std::time::Duration;

use http::{Method, header};
use serde_json::{Value, json};

use super::{TestBed, TestResult, VERIFIER, error};
use crate::{Options, Seed};

const JANE: &str = "jane.doe@example.com";
const MASADAS: &str = "org_01K2Z1R2MEJK6B41WW7428G9YC";
const TAUNTA: &str = "org_01K3BK4YS5SDH22RV4P9QYJR7Z";

#[tokio::test]
async fn a_mailed_code_works_once() -> TestResult {
    let bed = TestBed::new().await?;
    let made = bed.post("/user_management/magic_auth", json!({"email": JANE})).await?;
    assert_eq!(made.status, 201);
    assert_eq!(made.body["object"], "magic_auth");
    let code = made.text("code");
    assert_eq!(bed.workos.last_code(JANE).as_deref(), Some(code));

    let session = bed.redeem("JANE.doe@Example.com", code).await?;
    assert_eq!(session.status, 200, "{}", session.text);
    assert_eq!(session.body["user"]["first_name"], "Jane");
    assert_eq!(session.body["organization_id"], MASADAS);
    assert_eq!(session.body["authentication_method"], "MagicAuth");
    let claims = session.claims()?;
    assert_eq!(claims["org_id"], MASADAS);
    assert_eq!(claims["role"], "member");
    assert_eq!(claims["permissions"], json!(["rooms:join"]));
    assert_eq!(claims["iss"], bed.workos.issuer());
    assert_eq!(claims["exp"].as_i64(), claims["iat"].as_i64().map(|iat| iat + 300));

    assert_eq!(error(&bed.redeem(JANE, code).await?), (400, "one_time_code_previously_used"));
    Ok(())
}

#[tokio::test]
async fn wrong_and_expired_codes_fail_and_count() -> TestResult {
    let bed = TestBed::new().await?;
    let made = bed.post("/user_management/magic_auth", json!({"email": JANE})).await?;
    let wrong = if made.text("code") == "000000" { "000001" } else { "000000" };
    for _ in 0..10 {
        assert_eq!(error(&bed.redeem(JANE, wrong).await?), (400, "invalid_one_time_code"));
    }
    assert_eq!(error(&bed.redeem(JANE, made.text("code")).await?), (400, "one_time_code_too_many_attempts"));

    let other = bed.post("/user_management/magic_auth", json!({"email": "admin@cazzi.com"})).await?;
    bed.workos.advance(Duration::from_secs(600));
    let late = bed.redeem("admin@cazzi.com", other.text("code")).await?;
    assert_eq!(error(&late), (400, "one_time_code_expired"));
    Ok(())
}

#[tokio::test]
async fn magic_auth_creates_the_user_and_redeeming_verifies_the_address() -> TestResult {
    let bed = TestBed::new().await?;
    let email = "New.User@example.com";
    bed.post("/user_management/magic_auth", json!({"email": email})).await?;
    let path = "/user_management/users?email=new.user%40EXAMPLE.com&limit=1";
    let before = bed.get(path).await?;
    assert_eq!(before.body["data"][0]["email"], email);
    assert_eq!(before.body["data"][0]["email_verified"], false);

    let code = bed.workos.last_code(email).unwrap_or_default();
    let session = bed.redeem(email, &code).await?;
    assert_eq!(session.body["user"]["email_verified"], true);
    assert_eq!(session.body.get("organization_id"), None);
    assert_eq!(session.claims()?.get("org_id"), None);
    Ok(())
}

#[tokio::test]
async fn several_memberships_require_a_valid_choice() -> TestResult {
    let bed = TestBed::new().await?;
    let asked = bed.sign_in("123@gmail.com").await?;
    assert_eq!(error(&asked), (403, "organization_selection_required"));
    assert_eq!(asked.body["user"]["id"], "user_01JY16X8FCYMX981HC4GYQ6S01");
    assert_eq!(
        asked.body["organizations"],
        json!([{"id": MASADAS, "name": "MASADAS"}, {"id": TAUNTA, "name": "TAUNTA SCRE"}])
    );
    let pending = asked.text("pending_authentication_token");

    let unknown = bed.select(pending, "org_unknown").await?;
    assert_eq!(unknown.status, 404);
    assert_eq!(unknown.body, json!({"message": "Organization not found: 'org_unknown'."}));
    let foreign = bed.workos.add_organization("Foreign", &[]);
    assert_eq!(error(&bed.select(pending, &foreign).await?), (400, "organization_membership_not_found"));

    let session = bed.select(pending, TAUNTA).await?;
    assert_eq!(session.status, 200, "{}", session.text);
    assert_eq!(session.claims()?["role"], "admin");
    let again = bed.select(pending, TAUNTA).await?;
    assert_eq!(error(&again), (400, "invalid_pending_authentication_token"));
    Ok(())
}

#[tokio::test]
async fn a_code_is_bound_to_its_verifier_and_works_once() -> TestResult {
    let bed = TestBed::new().await?;
    let code = bed.google(JANE).await?;
    let session = bed.exchange(&code).await?;
    assert_eq!(session.status, 200, "{}", session.text);
    assert_eq!(session.body["authentication_method"], "GoogleOAuth");
    assert_eq!(error(&bed.exchange(&code).await?), (400, "invalid_grant"));

    let code = bed.google(JANE).await?;
    let wrong = json!({"code": code, "code_verifier": "another-verifier-another-verifier-another-00"});
    assert_eq!(error(&bed.grant("authorization_code", wrong).await?), (400, "invalid_grant"));
    let code = bed.google(JANE).await?;
    let without = bed.grant("authorization_code", json!({"code": code})).await?;
    assert_eq!(error(&without), (400, "invalid_grant"));
    let code = bed.google(JANE).await?;
    bed.workos.expire_codes();
    assert_eq!(error(&bed.exchange(&code).await?), (400, "invalid_grant"));
    Ok(())
}

#[tokio::test]
async fn a_verifier_needs_a_challenge_and_a_public_client_needs_a_verifier() -> TestResult {
    let bed = TestBed::new().await?;
    let plain = [
        ("provider", "GoogleOAuth"),
        ("login_hint", JANE),
        ("code_challenge", ""),
        ("code_challenge_method", ""),
    ];
    let code = bed.authorize("/user_management/authorize", &plain).await?.redirected("code")?;
    assert_eq!(error(&bed.exchange(&code).await?), (400, "code_challenge_not_found"));

    let code = bed.google(JANE).await?;
    let public = |verifier: Value| {
        json!({
            "client_id": "client_local", "client_secret": null, "grant_type": "authorization_code",
            "code": code, "code_verifier": verifier,
        })
    };
    let path = "/user_management/authenticate";
    assert_eq!(error(&bed.post(path, public(Value::Null)).await?), (400, "invalid_request"));
    assert_eq!(bed.post(path, public(VERIFIER.into())).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn authenticate_accepts_forms_and_checks_the_client() -> TestResult {
    let bed = TestBed::new().await?;
    let code = bed.google(JANE).await?;
    let form = |client: &str, secret: &str, grant: &str| {
        url::form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", client)
            .append_pair("client_secret", secret)
            .append_pair("grant_type", grant)
            .append_pair("code", &code)
            .append_pair("code_verifier", VERIFIER)
            .finish()
    };
    let cases = [
        ("client_other", "sk_test_default", "authorization_code", (400, "invalid_client")),
        ("client_local", "sk_test_other", "authorization_code", (400, "invalid_client")),
        ("client_local", "sk_test_default", "client_credentials", (400, "invalid_request")),
        ("", "sk_test_default", "authorization_code", (422, "invalid_request_parameters")),
        ("client_local", "sk_test_default", "authorization_code", (200, "")),
    ];
    for (client, secret, grant, expected) in cases {
        let request = bed
            .request(Method::POST, "/user_management/authenticate")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let response = bed.send(request, form(client, secret, grant)).await?;
        assert_eq!(error(&response), expected, "{}", response.text);
    }
    let counted = bed.workos.proxy().count("authenticate.authorization_code");
    assert_eq!(counted, 4, "{:?}", bed.workos.proxy().calls());
    Ok(())
}

#[tokio::test]
async fn the_documented_limits_per_address_can_be_switched_on() -> TestResult {
    let bed =
        TestBed::with(Options { rate_limits: true, seed: Seed::bundled()?, ..Options::default() }).await?;
    for _ in 0..3 {
        assert_eq!(bed.post("/user_management/magic_auth", json!({"email": JANE})).await?.status, 201);
    }
    let refused = bed.post("/user_management/magic_auth", json!({"email": JANE})).await?;
    assert_eq!(error(&refused), (429, "too_many_requests"));
    assert!(refused.headers.contains_key(header::RETRY_AFTER));
    bed.workos.advance(Duration::from_secs(60));
    assert_eq!(bed.post("/user_management/magic_auth", json!({"email": JANE})).await?.status, 201);
    Ok(())
}
