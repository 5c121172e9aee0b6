//! Choosing an organization, changing it, and what an organization can demand.

use serde_json::json;

use super::client::Client;
use super::main_job::{ROOM_AUTH, room_claims};
use super::tour::Tour;
use crate::cli::Failure;

const EMAIL: &str = "123@gmail.com";
const MASADAS: &str = "org_01K2Z1R2MEJK6B41WW7428G9YC";
const TAUNTA_SCRE: &str = "org_01K3BK4YS5SDH22RV4P9QYJR7Z";

const GUARDED: &str = "sam@example.com";
const ACME: &str = "org_01JACME0000000000000000000";

/// Gives the browser of 123@gmail.com, signed in to MASADAS.
pub(super) async fn tell<'a>(tour: &'a Tour<'a>) -> Result<Client<'a>, Failure> {
    let mut browser = tour.browser()?;
    browser
        .post("She signs in with a code", "/auth/sign-in", &json!({ "email": EMAIL }))
        .await?
        .is(200, &json!({ "authData": { "authMethod": "magic_auth" } }))?;
    let code = tour.mailed_code(EMAIL)?;
    let pending = browser
        .post(
            "She belongs to two organizations: the answer is the list, and no session yet",
            "/auth/finalize-magic-auth",
            &json!({ "email": EMAIL, "code": code }),
        )
        .await?
        .is(
            200,
            &json!({ "user": {
                "id": "user_…",
                "email": EMAIL,
                "pendingAuthenticationToken": "…",
                "organizations": [
                    { "id": MASADAS, "name": "MASADAS" },
                    { "id": TAUNTA_SCRE, "name": "TAUNTA SCRE" },
                ],
            } }),
        )?
        .text("/user/pendingAuthenticationToken")?;
    if browser.is_signed_in() {
        return Err("a session began before an organization was chosen".into());
    }
    let person = json!({ "user": { "id": "user_…", "email": EMAIL } });
    browser
        .post(
            "She chooses one",
            "/auth/select-organization",
            &json!({ "pendingAuthenticationToken": pending, "organizationId": TAUNTA_SCRE }),
        )
        .await?
        .is(200, &person)?;
    organization_of_room_token(tour, &mut browser, TAUNTA_SCRE).await?;

    let mut left_behind = browser.clone();
    browser
        .post(
            "She changes to the other: a new session token",
            "/auth/switch-organization",
            &json!({ "email": EMAIL, "organizationId": MASADAS }),
        )
        .await?
        .is(200, &person)?;
    organization_of_room_token(tour, &mut browser, MASADAS).await?;
    left_behind
        .post(
            "The token from before the change is dead",
            ROOM_AUTH,
            &json!({ "username": "Gail", "roomId": "weekly" }),
        )
        .await?
        .is(403, &json!({ "message": "Forbidden" }))?;
    browser
        .post(
            "An organization that she does not belong to is refused, and her session stays as it is",
            "/auth/switch-organization",
            &json!({ "email": EMAIL, "organizationId": ACME }),
        )
        .await?
        .refused(403, "Forbidden", "organization_not_allowed")?;

    single_sign_on_demanded(tour).await?;
    Ok(browser)
}

/// Room tokens carry the organization: that is where a client can see it.
async fn organization_of_room_token(
    tour: &Tour<'_>,
    browser: &mut Client<'_>,
    organization: &str,
) -> Result<(), Failure> {
    let token = browser
        .post("A room token of this session", ROOM_AUTH, &json!({ "username": "Gail", "roomId": "weekly" }))
        .await?
        .is(200, &json!({ "token": "ey…" }))?
        .text("/token")?;
    let claims = room_claims(tour, &token)?;
    let attributes = claims.pointer("/claims/attributes").cloned().unwrap_or_default();
    tour.look("It carries the organization", &attributes, &json!({ "organizationId": organization }))
}

async fn single_sign_on_demanded(tour: &Tour<'_>) -> Result<(), Failure> {
    let mut browser = tour.browser()?;
    browser
        .post("Sam belongs to Acme among others", "/auth/sign-in", &json!({ "email": GUARDED }))
        .await?
        .is(200, &json!({ "authData": { "authMethod": "magic_auth" } }))?;
    let code = tour.mailed_code(GUARDED)?;
    let organization = json!({ "id": "org_…", "name": "…" });
    let pending = browser
        .post("He gets his list", "/auth/finalize-magic-auth", &json!({ "email": GUARDED, "code": code }))
        .await?
        .is(
            200,
            &json!({ "user": {
                "id": "user_…",
                "email": GUARDED,
                "pendingAuthenticationToken": "…",
                "organizations": [organization, organization, organization, organization],
            } }),
        )?
        .text("/user/pendingAuthenticationToken")?;
    browser
        .post(
            "Acme demands single sign-on: the refusal says where to go on",
            "/auth/select-organization",
            &json!({ "pendingAuthenticationToken": pending, "organizationId": ACME }),
        )
        .await?
        .is(
            403,
            &json!({
                "code": 403,
                "message": "Forbidden",
                "reason": "sso_required",
                "requestId": "…",
                "authData": { "authMethod": "sso", "redirectURL": format!("{}/…", tour.workos.url()), "state": "…" },
            }),
        )?;
    Ok(())
}
