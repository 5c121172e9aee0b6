//! The sign-in that needs nobody.

use serde_json::json;

use super::client::Client;
use super::main_job::ROOM_AUTH;
use super::tour::Tour;
use crate::cli::Failure;

/// Gives the administrator's browser.
pub(super) async fn tell<'a>(tour: &'a Tour<'a>) -> Result<Client<'a>, Failure> {
    let mut browser = tour.browser()?;
    browser
        .post("Signed in as DEV_SIGN_IN_EMAIL", "/auth/dev-sign-in", &json!({}))
        .await?
        .is(200, &json!({ "user": { "id": "user_…", "email": "admin@cazzi.com" } }))?;
    browser
        .post("The session is like any other", ROOM_AUTH, &json!({ "username": "Ada", "roomId": "lobby" }))
        .await?
        .is(200, &json!({ "token": "ey…" }))?;
    Ok(browser)
}
