//! Sign-in with Google and with Microsoft.

use http::Method;
use local::REDIRECT_URI;
use serde_json::{Value, json};
use url::Url;

use super::single_sign_on::code_and_state;
use super::tour::Tour;
use crate::cli::Failure;

pub(super) async fn tell(tour: &Tour<'_>) -> Result<(), Failure> {
    let person = json!({ "user": {
        "id": "user_…", "email": "jane.doe@example.com", "firstName": "Jane", "lastName": "Doe", "avatarURL": "https://…",
    } });
    sign_in_with(tour, "Google", "/auth/continue-with-google", "jane.doe@example.com", &person).await?;

    let person = json!({ "user": { "id": "user_…", "email": "bill@example.com" } });
    sign_in_with(tour, "Microsoft", "/auth/continue-with-microsoft", "bill@example.com", &person).await
}

async fn sign_in_with(
    tour: &Tour<'_>,
    provider: &str,
    path: &str,
    email: &str,
    person: &Value,
) -> Result<(), Failure> {
    let mut browser = tour.browser()?;
    let authorize = format!("{}/user_management/authorize?…provider={provider}OAuth…", tour.workos.url());
    let url = browser
        .call(&format!("Continue with {provider}: where to send the browser"), Method::POST, path)
        .await?
        .is(200, &json!({ "authData": { "redirectURL": authorize, "state": "…" } }))?
        .text("/authData/redirectURL")?;
    browser
        .visit(&format!("{provider} asks who it is (the double shows a page with the people it knows)"), &url)
        .await?
        .shows_page(&format!("Sign in with {provider}"))?;

    let mut chosen = Url::parse(&url)?;
    chosen.query_pairs_mut().append_pair("login_hint", email);
    let landing = browser
        .visit(&format!("{email} is chosen, and the browser comes back with a code"), chosen.as_str())
        .await?
        .redirects(&format!("{REDIRECT_URI}?code=…&state=…"))?;
    let (code, state) = code_and_state(&landing)?;
    browser
        .post("The code begins a session", "/auth/finalize-oauth", &json!({ "code": code, "state": state }))
        .await?
        .is(200, person)?;
    Ok(())
}
