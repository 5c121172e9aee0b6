//! The authorize endpoints and their sign-in page.

use super::{TestBed, TestResult, error};
use crate::ConnectionState;

const UM: &str = "/user_management/authorize";
const SSO: &str = "/sso/authorize";
const ACME: &str = "org_01JACME0000000000000000000";
const ACME_CONNECTION: &str = "conn_01JACME0000000000000000000";

#[tokio::test]
async fn sso_signs_in_to_the_organization_of_the_connection() -> TestResult {
    let bed = TestBed::new().await?;
    for (path, selector) in [(UM, ("connection_id", ACME_CONNECTION)), (SSO, ("connection", ACME_CONNECTION))]
    {
        let back = bed.authorize(path, &[selector, ("login_hint", "ann@acme.test")]).await?;
        assert_eq!(back.status, 302, "{}", back.text);
        assert_eq!(back.redirected("state")?, "xyz");
        let session = bed.exchange(&back.redirected("code")?).await?;
        assert_eq!(session.body["authentication_method"], "SSO", "{}", session.text);
        assert_eq!(session.body["organization_id"], ACME);
        assert_eq!(bed.refresh(session.text("refresh_token"), None).await?.status, 200);
    }
    Ok(())
}

#[tokio::test]
async fn the_first_sso_sign_in_creates_the_user_and_the_membership() -> TestResult {
    let bed = TestBed::new().await?;
    let pairs = [("organization_id", ACME), ("login_hint", "carl@acme.test")];
    let code = bed.authorize(UM, &pairs).await?.redirected("code")?;
    let session = bed.exchange(&code).await?;
    assert_eq!(session.status, 200, "{}", session.text);
    assert_eq!(session.claims()?["role"], "member");

    let outsider = bed.authorize(UM, &[("organization_id", ACME), ("login_hint", "x@else.test")]).await?;
    assert_eq!(outsider.redirected("error")?, "profile_not_allowed_outside_organization");
    Ok(())
}

#[tokio::test]
async fn errors_go_to_the_redirect_uri() -> TestResult {
    let bed = TestBed::new().await?;
    let hint = ("login_hint", "ann@acme.test");
    let cases: [(&[(&str, &str)], &str); 8] = [
        (&[hint], "invalid_connection_selector"),
        (
            &[hint, ("provider", "GoogleOAuth"), ("connection_id", ACME_CONNECTION)],
            "invalid_connection_selector",
        ),
        (&[hint, ("provider", "MySpaceOAuth")], "invalid_connection_selector"),
        (&[hint, ("connection_id", "conn_unknown")], "connection_invalid"),
        (&[hint, ("organization_id", "org_unknown")], "organization_invalid"),
        (&[hint, ("provider", "GoogleOAuth"), ("response_type", "token")], "unsupported_response_type"),
        (&[hint, ("provider", "GoogleOAuth"), ("code_challenge_method", "plain")], "invalid_request"),
        (&[hint, ("connection", ACME_CONNECTION)], "invalid_connection_selector"),
    ];
    for (pairs, error) in cases {
        let back = bed.authorize(UM, pairs).await?;
        assert_eq!((back.status.as_u16(), back.redirected("error")?.as_str()), (302, error));
        assert_eq!(back.redirected("state")?, "xyz");
        assert!(!back.redirected("error_description")?.is_empty());
    }

    bed.workos.add_connection(ACME, ConnectionState::Active);
    let ambiguous = bed.authorize(UM, &[hint, ("organization_id", ACME)]).await?;
    assert_eq!(ambiguous.redirected("error")?, "ambiguous_connection_selector");
    bed.workos.set_connection_state(ACME_CONNECTION, ConnectionState::Inactive);
    let inactive = bed.authorize(UM, &[hint, ("connection_id", ACME_CONNECTION)]).await?;
    assert_eq!(inactive.redirected("error")?, "connection_unlinked");
    Ok(())
}

#[tokio::test]
async fn an_unknown_client_or_redirect_uri_is_not_redirected() -> TestResult {
    let bed = TestBed::new().await?;
    for pair in [("redirect_uri", "https://evil.example/callback"), ("client_id", "client_other")] {
        let response =
            bed.authorize(UM, &[pair, ("provider", "GoogleOAuth"), ("login_hint", "a@b.test")]).await?;
        assert_eq!((response.status.as_u16(), response.headers.get("location")), (400, None));
    }
    Ok(())
}

#[tokio::test]
async fn the_page_lists_the_users_and_escapes_its_input() -> TestResult {
    let bed = TestBed::new().await?;
    let page = bed.authorize(UM, &[("provider", "GoogleOAuth"), ("state", "\"><script>x</script>")]).await?;
    assert_eq!(page.status, 200);
    assert!(page.headers["content-type"].to_str()?.starts_with("text/html"));
    assert!(page.text.contains("Jane Doe"));
    assert!(!page.text.contains("<script>"));

    let page = bed.authorize(SSO, &[("connection", ACME_CONNECTION)]).await?;
    assert!(page.text.contains("ann@acme.test") && !page.text.contains("jane.doe@example.com"));
    // Each user is a link to the same request with a login_hint.
    let link = page.text.split("href=\"").find(|part| part.contains("login_hint=ann")).unwrap_or_default();
    let path = link.split('"').next().unwrap_or_default().replace("&amp;", "&");
    let code = bed.get(&path).await?.redirected("code")?;
    assert_eq!(bed.exchange(&code).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn google_creates_the_user_if_sign_up_is_allowed() -> TestResult {
    let bed = TestBed::new().await?;
    let code = bed.google("fresh@example.com").await?;
    assert_eq!(bed.exchange(&code).await?.body["user"]["email_verified"], true);
    let dead = bed.google("fresh@example.com").await?;
    bed.workos.delete_user(&bed.workos.user_id("fresh@example.com").unwrap_or_default());
    assert_eq!(error(&bed.exchange(&dead).await?), (400, "invalid_grant"));
    Ok(())
}

#[tokio::test]
async fn max_age_asks_a_known_user_for_proof_at_authkit_only() -> TestResult {
    let bed = TestBed::new().await?;
    let ann = bed.workos.add_user("ann@acme.test");
    let hint = ("login_hint", "ann@acme.test");
    let authkit = [("provider", "authkit"), ("organization_id", ACME), hint];
    let by_connection = [("connection_id", ACME_CONNECTION), hint, ("max_age", "0")];
    bed.workos.remember_sign_in(&ann, std::time::Duration::from_secs(1000));
    for (pairs, is_proof) in [
        (authkit.to_vec(), false),
        ([&authkit[..], &[("max_age", "0")]].concat(), true),
        ([&authkit[..], &[("max_age", "900")]].concat(), true),
        ([&authkit[..], &[("max_age", "1100")]].concat(), false),
        (by_connection.to_vec(), false),
    ] {
        let code = bed.authorize(UM, &pairs).await?.redirected("code")?;
        let claims = bed.exchange(&code).await?.claims()?;
        let age = claims["iat"].as_i64().zip(claims["auth_time"].as_i64()).map(|(iat, at)| iat - at);
        assert_eq!(age.is_some_and(|age| age < 900), is_proof, "{pairs:?}: {claims}");
    }
    let back = bed.authorize(UM, &[&authkit[..], &[("max_age", "soon")]].concat()).await?;
    assert_eq!(back.redirected("error")?, "invalid_request");
    Ok(())
}
