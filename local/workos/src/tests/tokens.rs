//! Access tokens and the JWKS.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};

use super::{TestBed, TestResult};

/// The claims, verified against the JWKS.
async fn verify(bed: &TestBed, token: &str) -> Result<Value, Box<dyn std::error::Error>> {
    let keys = bed.get("/sso/jwks/client_local").await?;
    let keys: JwkSet = serde_json::from_value(keys.body)?;
    let kid = decode_header(token)?.kid.ok_or("no kid")?;
    let key = DecodingKey::from_jwk(keys.find(&kid).ok_or("unknown kid")?)?;
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_issuer(&[bed.workos.issuer()]);
    validation.validate_aud = false;
    validation.validate_nbf = true;
    Ok(decode::<Value>(token, &key, &validation)?.claims)
}

#[tokio::test]
async fn the_jwks_verifies_access_tokens_and_no_forgery() -> TestResult {
    let bed = TestBed::new().await?;
    let session = bed.sign_in("jane.doe@example.com").await?;
    let token = session.text("access_token");
    let claims = verify(&bed, token).await?;
    for claim in ["iss", "sub", "sid", "jti", "iat", "exp", "org_id", "role", "client_id", "auth_time"] {
        assert!(claims.get(claim).is_some(), "{claim}");
    }
    let sid = claims["sid"].as_str().unwrap_or_default();
    let good = bed.workos.claims(sid).ok_or("no session")?;
    assert!(verify(&bed, &bed.workos.sign(&good)).await.is_ok());

    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        bed.workos.sign(&claims)
    };
    let now = good["iat"].as_i64().unwrap_or_default();
    let kid = bed.workos.kid();
    let forgeries = [
        bed.workos.unsecured(&good),
        bed.workos.sign_hs256_with_public_key(&good),
        bed.workos.sign_with_foreign_key(&kid, &good),
        bed.workos.sign_with_foreign_key("foreign", &good),
        bed.workos.sign_with_header(&json!({"alg": "RS512", "kid": kid}), &good),
        with("iss", json!("https://evil.example")),
        with("exp", json!(now - 3600)),
        with("nbf", json!(now + 3600)),
    ];
    for (index, token) in forgeries.iter().enumerate() {
        assert!(verify(&bed, token).await.is_err(), "forgery {index} passed");
    }
    Ok(())
}

#[tokio::test]
async fn keys_rotate_with_or_without_the_old_one() -> TestResult {
    let bed = TestBed::new().await?;
    let session = bed.sign_in("jane.doe@example.com").await?;
    let (old, kid) = (session.text("access_token"), bed.workos.kid());
    bed.workos.rotate_keys(true);
    assert_ne!(bed.workos.kid(), kid);
    assert!(verify(&bed, old).await.is_ok());
    let next = bed.refresh(session.text("refresh_token"), None).await?;
    assert!(verify(&bed, next.text("access_token")).await.is_ok());
    bed.workos.rotate_keys(false);
    assert!(verify(&bed, old).await.is_err());
    assert_eq!(bed.get("/sso/jwks/client_other").await?.status, 404);
    assert_eq!(bed.get("/sso/jwks/client_local").await?.body["keys"].as_array().map(Vec::len), Some(1));
    Ok(())
}
