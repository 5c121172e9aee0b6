//! Codes, lookups and grants.

use api::{ApiError, Reason};
use local_proxy::Fault;
use local_workos::{ConnectionState, DomainState, Policy};
use workos::{OrganizationId, PendingToken, SignIn};

use crate::{bed, client, complete, email};

const USER_NOT_FOUND: &str = r#"{"message":"User not found"}"#;

#[tokio::test]
async fn sending_a_sign_in_code_never_reveals_whether_an_account_exists() {
    let bed = bed().await;
    let send = async || bed.workos().send_sign_in_code(&email("jane@example.com"), &client()).await;
    for (status, body) in [
        (400, r#"{"error":"sign_up_not_allowed"}"#),
        (400, r#"{"error":"authentication_method_not_allowed"}"#),
        (400, r#"{"code":"email_domain_not_deliverable"}"#),
        (404, USER_NOT_FOUND),
    ] {
        bed.double.proxy().inject(Fault::response("magic_auth.create", status, body).times(1));
        send().await.unwrap();
    }
    bed.double.proxy().inject(Fault::response("magic_auth.create", 500, "").times(1));
    assert_eq!(send().await.unwrap_err().reason(), Reason::WorkosUnavailable);
}

#[tokio::test]
async fn a_sign_up_creates_the_user_if_workos_does_not() {
    let bed = bed().await;
    let sign_up =
        async |address: &str| bed.workos().send_sign_up_code(&email(address), None, &client()).await;
    let not_found = || Fault::response("magic_auth.create", 404, USER_NOT_FOUND).times(1);

    sign_up("new@example.com").await.unwrap();
    assert_eq!(bed.double.proxy().calls(), ["magic_auth.create"], "WorkOS creates the user");

    bed.double.proxy().inject(not_found());
    sign_up("newer@example.com").await.unwrap();
    assert!(bed.double.user_id("newer@example.com").is_some());
    assert!(bed.double.last_code("newer@example.com").is_some());
}

#[tokio::test]
async fn a_sign_up_accepts_a_user_who_exists_already() {
    let bed = bed().await;
    bed.double.add_user("jane@example.com");
    let exists = r#"{"code":"user_creation_error","message":"m"}"#;
    for create in [None, Some(Fault::response("users.create", 400, exists).times(1))] {
        bed.double.proxy().inject(Fault::response("magic_auth.create", 404, USER_NOT_FOUND).times(1));
        if let Some(fault) = create {
            bed.double.proxy().inject(fault);
        }
        bed.workos().send_sign_up_code(&email("jane@example.com"), None, &client()).await.unwrap();
    }
    assert_eq!(bed.double.proxy().count("users.create"), 2);
}

#[tokio::test]
async fn a_sign_up_with_an_undeliverable_address_is_an_error() {
    let bed = bed().await;
    let undeliverable = r#"{"code":"email_domain_not_deliverable","message":"m"}"#;
    bed.double.proxy().inject(Fault::response("magic_auth.create", 400, undeliverable));
    let error = bed.workos().send_sign_up_code(&email("new@example.org"), None, &client()).await.unwrap_err();
    assert_eq!(error.reason(), Reason::InvalidEmail);
}

#[tokio::test]
async fn a_failed_connection_lookup_is_an_outage_and_not_cached() {
    let bed = bed().await;
    let owner = bed.double.add_organization("Corp", &[("corp.example", DomainState::Verified)]);
    bed.double.add_connection(&owner, ConnectionState::Active);
    for status in [400, 401, 403, 404, 422, 500] {
        bed.double
            .proxy()
            .inject(Fault::response("connections.list", status, r#"{"message":"no"}"#).times(1));
        let error = bed.workos().sso_connection("corp.example").await.unwrap_err();
        assert_eq!(error.reason(), Reason::WorkosUnavailable, "{status}");
    }
    assert!(bed.workos().sso_connection("corp.example").await.unwrap().is_some());
}

#[tokio::test]
async fn a_sign_in_reports_its_authentication_method() {
    let bed = bed().await;
    bed.double.add_user("jane@example.com");
    let signed_in = complete(bed.sign_in("jane@example.com").await);
    assert_eq!(signed_in.method.as_deref(), Some("magic_auth"));
}

#[tokio::test]
async fn sso_required_without_a_connection_uses_that_of_the_organization() {
    let bed = bed().await;
    let user = bed.double.add_user("jane@example.com");
    let organizations = ["First", "Second"].map(|name| bed.double.add_organization(name, &[]));
    for organization in &organizations {
        bed.double.add_membership(&user, organization, "member", &[]);
        bed.double.set_policy(organization, Policy { sso_required: true, ..Policy::default() });
    }
    let connection = bed.double.add_connection(&organizations[0], ConnectionState::Active);
    let SignIn::ChooseOrganization(selection) = bed.sign_in("jane@example.com").await else {
        panic!("no choice")
    };
    let pending = PendingToken::parse(selection.pending_authentication_token.expose()).unwrap();
    let bare = r#"{"message":"Must use SSO for selected organization"}"#;
    bed.double.proxy().inject(Fault::response("authenticate.organization_selection", 400, bare));
    let [first, second] = organizations.map(|id| OrganizationId::parse(&id).unwrap());

    let sign_in = bed.grants.select_organization(&pending, &first, &client()).await.unwrap();
    let SignIn::SsoRequired(required) = sign_in else { panic!("{sign_in:?}") };
    assert_eq!(required.connection_id.as_str(), connection);

    let error = bed.grants.select_organization(&pending, &second, &client()).await.unwrap_err();
    assert_eq!(ApiError::from(error).reason(), Reason::AuthenticationMethodNotAllowed);
}

#[tokio::test]
async fn debug_prints_no_secret() {
    let bed = bed().await;
    bed.double.add_user("jane@example.com");
    let code = bed.code("jane@example.com").await;
    let signed_in = complete(
        bed.grants.redeem_magic_code(&email("jane@example.com"), &code, None, &client()).await.unwrap(),
    );
    let printed = format!("{:?} {code:?} {signed_in:?}", bed.grants);
    for secret in [code.as_str(), signed_in.refresh_token.expose(), &bed.double.api_key()] {
        assert!(!printed.contains(secret), "{printed}");
    }
}
