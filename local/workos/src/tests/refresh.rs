//! Refresh tokens: rotation, replay, switching organizations, ended sessions.

use std::time::Duration;

use serde_json::json;

use super::{TestBed, TestResult, error};
use crate::Policy;

const JANE: &str = "jane.doe@example.com";

#[tokio::test]
async fn a_replayed_refresh_returns_the_same_pair_for_thirty_seconds() -> TestResult {
    let bed = TestBed::new().await?;
    let session = bed.sign_in(JANE).await?;
    let first = session.text("refresh_token");
    let next = bed.refresh(first, None).await?;
    assert_eq!(next.status, 200, "{}", next.text);
    assert_ne!(next.text("refresh_token"), first);
    assert_eq!(next.claims()?["sid"], session.claims()?["sid"]);
    assert_eq!(next.claims()?["auth_time"], session.claims()?["auth_time"]);

    let replay = bed.refresh(first, None).await?;
    assert_eq!(replay.body, next.body);
    assert_eq!(error(&bed.refresh(first, Some("org_other")).await?), (400, "invalid_grant"));
    bed.workos.advance(Duration::from_secs(31));
    assert_eq!(error(&bed.refresh(first, None).await?), (400, "invalid_grant"));
    assert_eq!(bed.refresh(next.text("refresh_token"), None).await?.status, 200);
    assert_eq!(error(&bed.refresh("made-up", None).await?), (400, "invalid_grant"));
    Ok(())
}

#[tokio::test]
async fn a_switch_applies_the_new_membership_to_later_refreshes() -> TestResult {
    let bed = TestBed::new().await?;
    let session = bed.sign_in(JANE).await?;
    let user = bed.workos.user_id(JANE).unwrap_or_default();
    let organization = bed.workos.add_organization("Second", &[]);
    bed.workos.add_membership(&user, &organization, "admin", &["a:b"]);

    let switched = bed.refresh(session.text("refresh_token"), Some(&organization)).await?;
    assert_eq!(switched.body["organization_id"], organization.as_str());
    assert_eq!(switched.claims()?["role"], "admin");
    assert_eq!(switched.claims()?["permissions"], json!(["a:b"]));
    let stays = bed.refresh(switched.text("refresh_token"), None).await?;
    assert_eq!(stays.claims()?["org_id"], organization.as_str());
    Ok(())
}

#[tokio::test]
async fn a_refused_switch_leaves_the_refresh_token_unused() -> TestResult {
    let bed = TestBed::new().await?;
    let session = bed.sign_in(JANE).await?;
    let token = session.text("refresh_token");
    let user = bed.workos.user_id(JANE).unwrap_or_default();

    let foreign = bed.workos.add_organization("Foreign", &[]);
    assert_eq!(error(&bed.refresh(token, Some(&foreign)).await?), (400, "organization_membership_not_found"));
    assert_eq!(bed.refresh(token, Some("org_unknown")).await?.status, 404);

    bed.workos.add_membership(&user, "org_01JACME0000000000000000000", "member", &[]);
    let sso = bed.refresh(token, Some("org_01JACME0000000000000000000")).await?;
    assert_eq!(error(&sso), (400, "sso_required"));
    assert_eq!(sso.body["connection_ids"], json!(["conn_01JACME0000000000000000000"]));
    assert_eq!(sso.body["email"], JANE);

    bed.workos.add_membership(&user, &foreign, "member", &[]);
    bed.workos.set_policy(&foreign, Policy { sso_required: true, ..Policy::default() });
    let bare = bed.refresh(token, Some(&foreign)).await?;
    assert_eq!(bare.status, 400);
    assert_eq!(bare.body, json!({"message": "Must use SSO for selected organization"}));

    bed.workos.set_policy(&foreign, Policy { mfa_required: true, ..Policy::default() });
    assert_eq!(error(&bed.refresh(token, Some(&foreign)).await?), (400, "mfa_enrollment"));

    assert_eq!(bed.refresh(token, None).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn an_ended_session_cannot_be_refreshed() -> TestResult {
    let bed = TestBed::new().await?;
    let user = bed.workos.user_id(JANE).unwrap_or_default();

    let revoked = bed.sign_in(JANE).await?;
    let sid = revoked.claims()?["sid"].as_str().unwrap_or_default().to_owned();
    let listed = bed.get(&format!("/user_management/users/{user}/sessions")).await?;
    assert_eq!(listed.body["data"][0]["id"], sid.as_str());
    assert_eq!(bed.post("/user_management/sessions/revoke", json!({"session_id": sid})).await?.status, 200);
    let twice = bed.post("/user_management/sessions/revoke", json!({"session_id": sid})).await?;
    assert_eq!(twice.status, 400);
    assert_eq!(error(&bed.refresh(revoked.text("refresh_token"), None).await?), (400, "invalid_grant"));

    let logged_out = bed.sign_in(JANE).await?;
    let sid = logged_out.claims()?["sid"].as_str().unwrap_or_default().to_owned();
    let path =
        format!("/user_management/sessions/logout?return_to=http%3A%2F%2Flocalhost%3A3000&session_id={sid}");
    let gone = bed.get(&path).await?;
    assert_eq!(gone.status, 302);
    assert_eq!(gone.headers["location"], "http://localhost:3000");
    assert_eq!(error(&bed.refresh(logged_out.text("refresh_token"), None).await?), (400, "invalid_grant"));
    assert_eq!(bed.get(&path).await?.status, 302, "an ended session still redirects");
    let elsewhere = bed.get(&path.replace("localhost", "evil.example")).await?;
    assert_eq!(elsewhere.status, 400);

    let removed = bed.sign_in(JANE).await?;
    bed.workos.deactivate_membership(&user, "org_01K2Z1R2MEJK6B41WW7428G9YC");
    assert_eq!(error(&bed.refresh(removed.text("refresh_token"), None).await?), (400, "invalid_grant"));

    let deleted = bed.sign_in(JANE).await?;
    bed.workos.delete_user(&user);
    assert_eq!(error(&bed.refresh(deleted.text("refresh_token"), None).await?), (400, "invalid_grant"));
    Ok(())
}

#[tokio::test]
async fn the_next_refreshed_token_can_be_short() -> TestResult {
    let bed = TestBed::new().await?;
    let session = bed.sign_in(JANE).await?;
    bed.workos.set_next_refreshed_lifetime(Duration::from_secs(5));
    let lifetime = |claims: &serde_json::Value| Some(claims["exp"].as_i64()? - claims["iat"].as_i64()?);
    let short = bed.refresh(session.text("refresh_token"), None).await?;
    assert_eq!(lifetime(&short.claims()?), Some(5));
    let usual = bed.refresh(short.text("refresh_token"), None).await?;
    assert_eq!(lifetime(&usual.claims()?), Some(300));
    Ok(())
}
