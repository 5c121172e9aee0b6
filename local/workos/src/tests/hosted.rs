//! Sign-ins that begin at WorkOS, and what the application's initiate-login URL makes of them.

use std::time::Duration;

use http::header;
use serde_json::json;

use super::{TestBed, TestResult, error};
use crate::{Options, Seed};

const UM: &str = "/user_management/authorize";
const JANE: &str = "jane.doe@example.com";
const ACME: &str = "org_01JACME0000000000000000000";
const LOGIN: &str = "https://api.example.com/auth/login";

async fn bed() -> Result<TestBed, Box<dyn std::error::Error>> {
    let initiate_login_uri = Some(LOGIN.to_owned());
    TestBed::with(Options { seed: Seed::bundled()?, initiate_login_uri, ..Options::default() }).await
}

fn path(url: &str, bed: &TestBed) -> String {
    url.trim_start_matches(bed.workos.url()).to_owned()
}

#[tokio::test]
async fn every_sign_in_that_begins_here_goes_to_the_application_first() -> TestResult {
    let bed = bed().await?;
    let token = bed.workos.invite("kim@example.com", None);
    let link = bed.workos.mails().pop().ok_or("no mail")?.code;
    let tile = bed.workos.identity_provider_url("conn_01JACME0000000000000000000", "ann@acme.test");
    let button = bed.workos.impersonation_url(JANE, "support@example.com", "Ticket 1");
    for (url, expected) in [
        (link, vec![("invitation_token", token.as_str())]),
        (tile, vec![("organization_id", ACME), ("login_hint", "ann@acme.test")]),
        (button, vec![]),
    ] {
        let response = bed.get(&path(&url, &bed)).await?;
        let location = response.headers.get(header::LOCATION).ok_or("no location")?.to_str()?;
        assert!(location.starts_with(LOGIN), "{location}");
        let pairs: Vec<_> = expected.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        assert_eq!(response.redirect()?, pairs);
    }
    for wrong in ["/invite?invitation_token=x", "/idp?connection_id=x", "/impersonate?email=x"] {
        assert_eq!(bed.get(wrong).await?.status, 400, "{wrong}");
    }
    let unconfigured = TestBed::new().await?;
    let button = unconfigured.workos.impersonation_url(JANE, "support@example.com", "Ticket 1");
    assert_eq!(unconfigured.get(&path(&button, &unconfigured)).await?.status, 400);
    Ok(())
}

#[tokio::test]
async fn an_impersonation_is_in_the_response_and_the_token_and_ends_after_an_hour() -> TestResult {
    let bed = bed().await?;
    let button = bed.workos.impersonation_url(JANE, "support@example.com", "Ticket 1");
    let dashboard = bed.get(&path(&button, &bed)).await?;
    let cookie = dashboard.headers.get(header::SET_COOKIE).ok_or("no cookie")?.to_str()?;
    let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
    for impersonates in [true, false] {
        let page = bed.authorize_with(UM, &[("provider", "authkit"), ("login_hint", JANE)], &cookie).await?;
        let session = bed.exchange(&page.redirected("code")?).await?;
        assert_eq!(session.body["user"]["email"], JANE);
        assert_eq!(session.body.get("impersonator").is_some(), impersonates, "the cookie works once");
        assert_eq!(session.claims()?.get("act").is_some(), impersonates);
        if impersonates {
            let person = json!({"email": "support@example.com", "reason": "Ticket 1"});
            assert_eq!(session.body["impersonator"], person);
            assert_eq!(session.claims()?["act"], json!({"sub": "support@example.com"}));
            assert_eq!(session.body["authentication_method"], "Impersonation");
            let refreshed = bed.refresh(session.text("refresh_token"), None).await?;
            assert_eq!(refreshed.claims()?["act"], json!({"sub": "support@example.com"}));
            bed.workos.advance(Duration::from_secs(60 * 60));
            let late = bed.refresh(refreshed.text("refresh_token"), None).await?;
            assert_eq!(error(&late), (400, "invalid_grant"));
        }
    }
    Ok(())
}

#[tokio::test]
async fn authkit_takes_an_organization_and_leads_to_its_identity_provider() -> TestResult {
    let bed = bed().await?;
    let authkit = ("provider", "authkit");
    let hint = ("login_hint", "ann@acme.test");
    let code = bed.authorize(UM, &[authkit, ("organization_id", ACME), hint]).await?.redirected("code")?;
    assert_eq!(bed.exchange(&code).await?.body["authentication_method"], "SSO");
    let unknown = bed.authorize(UM, &[authkit, ("organization_id", "org_unknown"), hint]).await?;
    assert_eq!(unknown.redirected("error")?, "organization_invalid");
    let google = [("provider", "GoogleOAuth"), ("organization_id", ACME), hint];
    assert_eq!(bed.authorize(UM, &google).await?.redirected("error")?, "invalid_connection_selector");
    Ok(())
}

#[tokio::test]
async fn a_wildcard_stands_for_the_port_of_a_loopback_address() -> TestResult {
    let redirect_uris = ["http://127.0.0.1:*/callback", "https://app.example.com:*/callback"];
    let redirect_uris = redirect_uris.map(str::to_owned).into();
    let bed = TestBed::with(Options { seed: Seed::bundled()?, redirect_uris, ..Options::default() }).await?;
    for (uri, status) in [
        ("http://127.0.0.1:51004/callback", 302),
        ("http://127.0.0.1:65536/callback", 400),
        ("http://127.0.0.1:1@evil.example/callback", 400),
        ("http://127.0.0.1:51004/other", 400),
        ("https://app.example.com:8443/callback", 400),
    ] {
        let pairs = [("provider", "GoogleOAuth"), ("login_hint", JANE), ("redirect_uri", uri)];
        assert_eq!(bed.authorize(UM, &pairs).await?.status, status, "{uri}");
    }
    Ok(())
}
