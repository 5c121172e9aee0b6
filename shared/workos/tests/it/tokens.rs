//! Access tokens: what is accepted and what is not, and when the key set is read.

use api::{Reason, Secret};
use local_proxy::{Effect, Fault};
use local_workos::WorkOs as Double;
use serde_json::{Value, json};
use upstream::{Http, Roots};
use workos::verifier::{Rejection, Verifier};

use crate::{Bed, bed, client, complete, env};

/// A session's claims, and a verifier of its own.
async fn claims() -> (Bed, Value, Verifier) {
    let bed = bed().await;
    bed.double.add_user("jane@example.com");
    let signed_in = complete(bed.sign_in("jane@example.com").await);
    let claims = bed.double.claims(&signed_in.claims.session_id).unwrap();
    let verifier = verifier(&bed.double);
    bed.double.proxy().reset_calls();
    (bed, claims, verifier)
}

fn verifier(double: &Double) -> Verifier {
    Verifier::load(&env(double, &[]), Http::new("WorkOS", Roots::Public).unwrap()).unwrap()
}

async fn rejection(verifier: &Verifier, token: String) -> Rejection {
    verifier.verify(&Secret::new(token)).await.unwrap_err()
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

fn without(claims: &Value, name: &str) -> Value {
    let mut claims = claims.clone();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

#[tokio::test]
async fn a_token_of_workos_is_accepted() {
    let (bed, claims, verifier) = claims().await;
    let verified = verifier.verify(&Secret::new(bed.double.sign(&claims))).await.unwrap();
    assert_eq!(verified.user_id, claims["sub"]);
    assert_eq!(verified.session_id, claims["sid"]);
    assert_eq!(verified.expires_at, claims["exp"]);
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let (bed, claims, verifier) = claims().await;
    let kid = bed.double.kid();
    assert_eq!(rejection(&verifier, bed.double.unsecured(&claims)).await, Rejection::Invalid);
    assert_eq!(
        rejection(&verifier, bed.double.sign_hs256_with_public_key(&claims)).await,
        Rejection::Invalid
    );
    assert_eq!(bed.double.proxy().count("jwks"), 0, "no key is looked for");
    assert_eq!(
        rejection(&verifier, bed.double.sign_with_foreign_key(&kid, &claims)).await,
        Rejection::Invalid
    );
    let foreign = bed.double.sign_with_foreign_key("foreign", &claims);
    assert_eq!(rejection(&verifier, foreign).await, Rejection::UnknownKey);
    for header in [json!({"alg": "RS512", "kid": kid}), json!({"alg": "RS256"}), json!({"kid": kid})] {
        let token = bed.double.sign_with_header(&header, &claims);
        assert_eq!(rejection(&verifier, token).await, Rejection::Invalid, "{header}");
    }
    for text in ["", "a.b.c", "..", "not a token"] {
        assert_eq!(rejection(&verifier, text.to_owned()).await, Rejection::Invalid, "{text}");
    }
}

#[tokio::test]
async fn claims_that_do_not_fit_are_refused() {
    let (bed, claims, verifier) = claims().await;
    let now = api::clock::now();
    for (claims, expected) in [
        (with(&claims, "iss", json!("https://evil.example")), Rejection::Issuer),
        (with(&claims, "exp", json!(now - 10)), Rejection::Expired),
        (with(&claims, "nbf", json!(now + 120)), Rejection::Early),
        (with(&claims, "iat", json!(now + 120)), Rejection::Early),
        (without(&claims, "iss"), Rejection::Invalid),
        (without(&claims, "exp"), Rejection::Invalid),
        (without(&claims, "sub"), Rejection::Invalid),
        (without(&claims, "sid"), Rejection::Invalid),
        (with(&claims, "sid", json!("")), Rejection::Invalid),
        (with(&claims, "exp", json!("soon")), Rejection::Invalid),
    ] {
        assert_eq!(rejection(&verifier, bed.double.sign(&claims)).await, expected, "{claims}");
    }
}

#[tokio::test]
async fn unknown_keys_cost_one_read_however_many_there_are() {
    let (bed, claims, verifier) = claims().await;
    verifier.warm().await;
    for number in 0..20 {
        let token = bed.double.sign_with_foreign_key(&format!("kid_{number}"), &claims);
        assert_eq!(rejection(&verifier, token).await, Rejection::UnknownKey);
    }
    assert_eq!(bed.double.proxy().count("jwks"), 2);
}

#[tokio::test]
async fn a_new_key_is_found_at_once() {
    let (bed, claims, verifier) = claims().await;
    verifier.warm().await;
    bed.double.rotate_keys(true);
    assert!(verifier.verify(&Secret::new(bed.double.sign(&claims))).await.is_ok());
}

#[tokio::test]
async fn a_read_that_fails_leaves_the_keys_in_place_and_is_tried_again() {
    let (bed, claims, verifier) = claims().await;
    let token = Secret::new(bed.double.sign(&claims));
    bed.double.proxy().inject(Fault::response("jwks", 500, "").times(1));
    verifier.warm().await;
    verifier.warm().await;
    assert_eq!(bed.double.proxy().count("jwks"), 1, "no second read within a second");
    // The token is at hand: rather wait for the second to pass than refuse it.
    assert!(verifier.verify(&token).await.is_ok());

    bed.double.proxy().inject(Fault::new("jwks", Effect::Drop));
    let foreign = bed.double.sign_with_foreign_key("foreign", &claims);
    assert_eq!(rejection(&verifier, foreign).await, Rejection::NoKeys);
    assert!(verifier.verify(&token).await.is_ok());
}

#[tokio::test]
async fn the_key_set_is_read_beside_the_first_grant_and_then_kept() {
    let bed = bed().await;
    bed.double.add_user("jane@example.com");
    for _ in 0..3 {
        complete(bed.sign_in("jane@example.com").await);
    }
    assert_eq!(bed.double.proxy().count("jwks"), 1);
}

#[tokio::test]
async fn without_keys_nobody_signs_in_and_a_renewal_keeps_its_new_token() {
    let bed = bed().await;
    bed.double.add_user("jane@example.com");
    let token = complete(bed.sign_in("jane@example.com").await).refresh_token;

    let cold = workos::WorkOs::load(&env(&bed.double, &[])).unwrap();
    bed.double.proxy().inject(Fault::response("jwks", 500, ""));
    let code = bed.mailed_code("jane@example.com").await;
    let address = crate::email("jane@example.com");
    let error = cold.redeem_magic_code(&address, &code, &client()).await.unwrap_err();
    assert_eq!(error.reason(), Reason::WorkosUnavailable);
    let refreshed = cold.refresh(&token, None, &client()).await.unwrap();
    assert!(refreshed.claims.is_none());
    assert_ne!(refreshed.refresh_token, token);
}

#[tokio::test]
async fn a_token_of_somebody_else_is_not_believed() {
    let (bed, claims, _) = claims().await;
    let other = bed.double.sign(&with(&claims, "sub", json!("user_other")));
    let answer = json!({
        "user": {"object": "user", "id": claims["sub"], "email": "jane@example.com", "email_verified": true,
                 "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"},
        "access_token": other,
        "refresh_token": "refresh",
        "authentication_method": "SomethingNew",
    });
    let code = workos::AuthCode::parse("code").unwrap();
    bed.double.proxy().inject(Fault::response("authenticate.authorization_code", 200, answer.to_string()));
    let error = bed.workos.redeem_code(&code, &Secret::new("verifier"), &client()).await.unwrap_err();
    assert_eq!(error.reason(), Reason::WorkosUnavailable);
}
