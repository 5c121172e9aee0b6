//! Sign-in through the identity provider of an organization.

use local::REDIRECT_URI;
use serde_json::json;
use url::Url;

use super::main_job::ROOM_AUTH;
use super::tour::Tour;
use crate::cli::Failure;

const EMAIL: &str = "ann@acme.test";

pub(super) async fn tell(tour: &Tour<'_>) -> Result<(), Failure> {
    let mut browser = tour.browser()?;
    let authorize = format!("{}/user_management/authorize?…", tour.workos.url());
    let sign_in = browser
        .post(
            "acme.test is verified and has a connection: the answer is where to send the browser",
            "/auth/sign-in",
            &json!({ "email": EMAIL }),
        )
        .await?
        .is(200, &json!({ "authData": { "authMethod": "sso", "redirectURL": authorize, "state": "…" } }))?;

    let landing = browser
        .visit(
            "The identity provider knows Ann by login_hint and sends her back to the front end with a code",
            &sign_in.text("/authData/redirectURL")?,
        )
        .await?
        .redirects(&format!("{REDIRECT_URI}?code=…&state=…"))?;
    let (code, state) = code_and_state(&landing)?;
    if state != sign_in.text("/authData/state")? {
        return Err("the state that came back is another one".into());
    }

    let finalize = json!({ "code": code, "state": state });
    tour.browser()?
        .post(
            "In another browser the code is worth nothing: the cookie of the browser that began is missing",
            "/auth/finalize-oauth",
            &finalize,
        )
        .await?
        .refused(400, "Bad request", "flow_expired")?;
    browser.post("In Ann's browser it begins a session", "/auth/finalize-oauth", &finalize).await?.is(
        200,
        &json!({ "user": { "id": "user_…", "email": EMAIL, "firstName": "Ann", "lastName": "Archer" } }),
    )?;
    browser
        .post("The session works", ROOM_AUTH, &json!({ "username": "Ann", "roomId": "acme-standup" }))
        .await?
        .is(200, &json!({ "token": "ey…" }))?;
    Ok(())
}

/// What the front end finds in its own address when the browser is back.
pub(super) fn code_and_state(landing: &Url) -> Result<(String, String), Failure> {
    let of = |wanted: &str| {
        let found = landing.query_pairs().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.into_owned()).ok_or_else(|| format!("no {wanted} came back"))
    };
    Ok((of("code")?, of("state")?))
}
