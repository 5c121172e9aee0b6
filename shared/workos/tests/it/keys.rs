//! The key set of access tokens, when it fails.

use api::{ApiError, Reason, Secret};
use local_proxy::{Effect, Fault};
use upstream::{Http, Roots};
use workos::Grants;
use workos::verifier::{Rejection, Verifier};

use crate::{bed, client, complete, email, env};

#[tokio::test]
async fn a_failed_fetch_is_retried_and_keeps_the_old_keys() {
    let bed = bed().await;
    bed.double.add_user("jane@example.com");
    let signed_in = complete(bed.sign_in("jane@example.com").await);
    let claims = bed.double.claims(&signed_in.claims.session_id).unwrap();
    let token = Secret::new(bed.double.sign(&claims));
    let verifier = Verifier::load(&env(&bed.double), Http::new("WorkOS", Roots::Public).unwrap()).unwrap();

    bed.double.proxy().reset_calls();
    bed.double.proxy().inject(Fault::response("jwks", 500, "").times(1));
    verifier.warm().await;
    verifier.warm().await;
    assert_eq!(bed.double.proxy().count("jwks"), 1, "no second fetch within a second");
    // The token is single use: waiting for the second fetch is better than rejecting the token.
    assert!(verifier.verify(&token).await.is_ok());

    bed.double.proxy().inject(Fault::new("jwks", Effect::Drop));
    let foreign = Secret::new(bed.double.sign_with_foreign_key("foreign", &claims));
    assert_eq!(verifier.verify(&foreign).await.unwrap_err(), Rejection::NoKeys);
    assert!(verifier.verify(&token).await.is_ok(), "the old keys stay");
}

#[tokio::test]
async fn without_keys_nobody_signs_in_and_a_refresh_keeps_its_new_token() {
    let bed = bed().await;
    bed.double.add_user("jane@example.com");
    let token = complete(bed.sign_in("jane@example.com").await).refresh_token;

    let cold = Grants::load(&env(&bed.double)).unwrap();
    bed.double.proxy().inject(Fault::response("jwks", 500, ""));
    let code = bed.code("jane@example.com").await;
    let error = cold.redeem_magic_code(&email("jane@example.com"), &code, None, &client()).await.unwrap_err();
    assert_eq!(ApiError::from(error).reason(), Reason::SignInInterrupted);
    let refreshed = cold.refresh(&token, None, &client()).await.unwrap();
    assert!(refreshed.claims.is_none());
    assert_ne!(refreshed.refresh_token, token);
}
