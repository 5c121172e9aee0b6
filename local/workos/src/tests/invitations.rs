//! Invitations.

use std::time::Duration;

use serde_json::json;

use super::{TestBed, TestResult, error};
use crate::Environment;

const UM: &str = "/user_management/authorize";
const INVITATIONS: &str = "/user_management/invitations";
const MASADAS: &str = "org_01K2Z1R2MEJK6B41WW7428G9YC";
const KIM: &str = "kim@example.com";

async fn closed() -> Result<TestBed, Box<dyn std::error::Error>> {
    let bed = TestBed::new().await?;
    bed.workos.set_environment(Environment { sign_up_allowed: false, ..Environment::default() });
    Ok(bed)
}

#[tokio::test]
async fn an_invited_person_signs_up_while_sign_up_is_closed_and_joins_the_organization() -> TestResult {
    let bed = closed().await?;
    let magic_auth = "/user_management/magic_auth";
    assert_eq!(error(&bed.post(magic_auth, json!({"email": KIM})).await?), (400, "sign_up_not_allowed"));
    let invited = json!({"email": KIM, "organization_id": MASADAS, "role_slug": "admin"});
    let invitation = bed.post(INVITATIONS, invited).await?;
    assert_eq!(invitation.status, 201, "{}", invitation.text);
    let token = invitation.text("token");
    let code = bed.post(magic_auth, json!({"email": KIM, "invitation_token": token})).await?;
    let fields = json!({"email": KIM, "code": code.text("code"), "invitation_token": token});
    let session = bed.grant("urn:workos:oauth:grant-type:magic-auth:code", fields).await?;
    assert_eq!((session.status.as_u16(), session.text("organization_id")), (200, MASADAS));
    assert_eq!(session.claims()?["role"], "admin");
    let accepted = bed.get(&format!("{INVITATIONS}/{}", invitation.text("id"))).await?;
    assert_eq!(accepted.text("state"), "accepted");
    assert_eq!(accepted.text("accepted_user_id"), session.body["user"]["id"].as_str().unwrap_or_default());
    Ok(())
}

#[tokio::test]
async fn an_invitation_works_once_in_time_and_for_its_address() -> TestResult {
    let bed = closed().await?;
    let redeem = async |email: &str, token: &str| {
        bed.post("/user_management/magic_auth", json!({"email": "jane.doe@example.com"})).await?;
        let code = bed.workos.last_code("jane.doe@example.com").ok_or("no mail")?;
        let fields = json!({"email": email, "code": code, "invitation_token": token});
        bed.grant("urn:workos:oauth:grant-type:magic-auth:code", fields).await
    };
    let token = bed.workos.invite("jane.doe@example.com", None);
    let foreign = redeem(KIM, &token).await?;
    assert_eq!(error(&foreign), (400, "invitation_cannot_be_used_for_email"));
    assert_eq!(redeem("jane.doe@example.com", &token).await?.status, 200);
    assert_eq!(error(&redeem("jane.doe@example.com", &token).await?), (400, "invitation_invalid"));

    let id = bed.post(INVITATIONS, json!({"email": KIM})).await?;
    let revoke = format!("{INVITATIONS}/{}/revoke", id.text("id"));
    assert_eq!(bed.post(&revoke, json!({})).await?.text("state"), "revoked");
    assert_eq!(error(&redeem(KIM, id.text("token")).await?), (400, "invitation_invalid"));

    let late = bed.workos.invite("jane.doe@example.com", None);
    bed.workos.advance(Duration::from_secs(7 * 24 * 60 * 60));
    assert_eq!(error(&redeem("jane.doe@example.com", &late).await?), (400, "invitation_invalid"));
    Ok(())
}

#[tokio::test]
async fn the_sign_in_page_accepts_an_invitation_for_its_address_only() -> TestResult {
    let bed = closed().await?;
    let token = bed.workos.invite(KIM, Some(MASADAS));
    let invitation = ("invitation_token", token.as_str());
    for (pair, hint) in [(invitation, "jane.doe@example.com"), (("invitation_token", "made-up"), KIM)] {
        let page = bed.authorize(UM, &[("provider", "authkit"), pair, ("login_hint", hint)]).await?;
        assert_eq!(page.status, 400, "{}", page.text);
    }
    // The address is that of the invitation.
    let code = bed.authorize(UM, &[("provider", "authkit"), invitation]).await?.redirected("code")?;
    let session = bed.exchange(&code).await?;
    assert_eq!(session.body["user"]["email"], KIM);
    assert_eq!(session.body["organization_id"], MASADAS);
    Ok(())
}
