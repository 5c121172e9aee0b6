//! Sign-in of a known address by mail code.

use serde_json::json;

use super::client::Client;
use super::tour::Tour;
use crate::cli::Failure;

const EMAIL: &str = "jane.doe@example.com";

/// Gives Jane's browser, signed in.
pub(super) async fn tell<'a>(tour: &'a Tour<'a>) -> Result<Client<'a>, Failure> {
    let mut browser = tour.browser()?;
    let by_mail = json!({ "authData": { "authMethod": "magic_auth" } });
    browser
        .post("A known address gets a code by mail", "/auth/sign-in", &json!({ "email": EMAIL }))
        .await?
        .is(200, &by_mail)?;
    browser
        .post(
            "An unknown address gets the same answer and no mail: nobody learns who has an account",
            "/auth/sign-in",
            &json!({ "email": "nobody@example.com" }),
        )
        .await?
        .is(200, &by_mail)?;
    if tour.workos.last_code("nobody@example.com").is_some() {
        return Err("a mail was sent to an unknown address".into());
    }
    browser
        .post(
            "The mail did not come: send another one",
            "/auth/resend-magic-auth",
            &json!({ "email": EMAIL }),
        )
        .await?
        .is(200, &json!({ "code": 200, "message": "OK" }))?;
    let limited = browser
        .post(
            "Not more than one a minute: Retry-After says when",
            "/auth/resend-magic-auth",
            &json!({ "email": EMAIL }),
        )
        .await?
        .refused(429, "Too many requests", "rate_limited")?;
    let wait = limited.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
    if !wait.is_some_and(|seconds| (1..=60).contains(&seconds)) {
        return Err(format!("Retry-After is {wait:?} and not within a minute").into());
    }

    let code = tour.mailed_code(EMAIL)?;
    let wrong = if code == "123456" { "654321" } else { "123456" };
    browser
        .post(
            "A wrong code is refused",
            "/auth/finalize-magic-auth",
            &json!({ "email": EMAIL, "code": wrong }),
        )
        .await?
        .refused(400, "Bad request", "code_rejected")?;
    browser
        .post("The right one signs her in", "/auth/finalize-magic-auth", &json!({ "email": EMAIL, "code": code }))
        .await?
        .is(
            200,
            &json!({ "user": {
                "id": "user_…", "email": EMAIL, "firstName": "Jane", "lastName": "Doe", "avatarURL": "https://…",
            } }),
        )?;
    tour.browser()?
        .post("A code counts once", "/auth/finalize-magic-auth", &json!({ "email": EMAIL, "code": code }))
        .await?
        .refused(400, "Bad request", "code_rejected")?;
    Ok(browser)
}
