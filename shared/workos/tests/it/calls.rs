//! Users, codes, grants, refresh and switch.

use std::time::{Duration, Instant};

use api::{Reason, Secret};
use local_proxy::{Effect, Fault};
use local_workos::{ConnectionState, DomainState, Environment, Method, Policy};
use workos::{
    AuthCode, MagicAuthError, MagicCode, OrganizationId, PendingToken, RefreshError, Selector, SignIn,
};

use crate::{Bed, bed, bed_with, client, complete, email};

fn organization(id: &str) -> OrganizationId {
    OrganizationId::parse(id).unwrap()
}

/// Jane, in two organizations.
async fn jane() -> (Bed, String, [OrganizationId; 2]) {
    let bed = bed().await;
    let user = bed.double.add_user("jane@example.com");
    let [first, second] = ["First", "Second"].map(|name| {
        let id = bed.double.add_organization(name, &[]);
        bed.double.add_membership(&user, &id, "admin", &["rooms:record"]);
        organization(&id)
    });
    (bed, user, [first, second])
}

#[tokio::test]
async fn a_user_is_found_regardless_of_case() {
    let bed = bed().await;
    let id = bed.double.add_user("Jane@example.com");
    assert_eq!(bed.workos.find_user(&email("jANE@example.com")).await.unwrap(), Some(id));
    assert_eq!(bed.workos.find_user(&email("joe@example.com")).await.unwrap(), None);
}

#[tokio::test]
async fn a_mailed_code_signs_in_once() {
    let bed = bed().await;
    let id = bed.double.add_user("jane@example.com");
    bed.double.set_profile(&id, "Jane", "", "https://example.com/jane.png");
    let code = bed.mailed_code("jane@example.com").await;
    let redeem = || bed.workos.redeem_magic_code_of("jane@example.com", &code);
    let signed_in = complete(redeem().await.unwrap());
    assert_eq!((signed_in.user.id.as_str(), signed_in.claims.user_id.as_str()), (id.as_str(), id.as_str()));
    assert_eq!(signed_in.user.first_name.as_deref(), Some("Jane"));
    assert_eq!(signed_in.user.last_name, None);
    assert_eq!(signed_in.method.as_deref(), Some("MagicAuth"));
    assert!(bed.double.sessions(&id).contains(&signed_in.claims.session_id));
    assert_eq!(redeem().await.unwrap_err().reason(), Reason::CodeRejected);
}

/// Shorter than the call itself in the tests that make it often.
trait Redeem {
    async fn redeem_magic_code_of(&self, address: &str, code: &MagicCode) -> Result<SignIn, api::ApiError>;
}

impl Redeem for workos::WorkOs {
    async fn redeem_magic_code_of(&self, address: &str, code: &MagicCode) -> Result<SignIn, api::ApiError> {
        self.redeem_magic_code(&email(address), code, &client()).await
    }
}

#[tokio::test]
async fn a_wrong_code_and_an_unknown_address_look_alike() {
    let bed = bed().await;
    bed.double.add_user("jane@example.com");
    let code = MagicCode::parse("000000").unwrap();
    for address in ["jane@example.com", "nobody@example.com"] {
        let error = bed.workos.redeem_magic_code_of(address, &code).await.unwrap_err();
        assert_eq!(error.reason(), Reason::CodeRejected, "{address}");
    }
}

#[tokio::test]
async fn policies_that_forbid_a_code_are_told_apart_from_failures() {
    let bed = bed().await;
    bed.double.set_environment(Environment { sign_up_allowed: false, ..Environment::default() });
    let error = bed.workos.create_magic_auth(&email("new@example.com"), &client()).await.unwrap_err();
    assert!(matches!(error, MagicAuthError::Refused(_)), "{error:?}");

    bed.double
        .proxy()
        .inject(Fault::response("magic_auth.create", 404, r#"{"message":"User not found"}"#).times(1));
    let error = bed.workos.create_magic_auth(&email("new@example.com"), &client()).await.unwrap_err();
    assert!(matches!(error, MagicAuthError::UnknownAddress(_)), "{error:?}");

    bed.double
        .proxy()
        .inject(Fault::response("magic_auth.create", 429, "").header("retry-after", "7").times(1));
    let Err(MagicAuthError::Failed(error)) =
        bed.workos.create_magic_auth(&email("new@example.com"), &client()).await
    else {
        panic!("not a failure")
    };
    assert_eq!((error.reason(), error.wait()), (Reason::WorkosBusy, Some(7)));
}

#[tokio::test]
async fn sending_a_code_never_tells_who_has_an_account() {
    let bed = bed().await;
    let address = email("jane@example.com");
    let refusals = [
        (400, r#"{"error":"sign_up_not_allowed"}"#),
        (400, r#"{"error":"authentication_method_not_allowed"}"#),
        (400, r#"{"code":"email_domain_not_deliverable"}"#),
        (404, r#"{"message":"User not found"}"#),
    ];
    for (status, body) in refusals {
        bed.double.proxy().inject(Fault::response("magic_auth.create", status, body).times(1));
        bed.workos.send_code(&address, &client()).await.unwrap();
    }
    bed.double.proxy().inject(Fault::response("magic_auth.create", 500, "").times(1));
    let error = bed.workos.send_code(&address, &client()).await.unwrap_err();
    assert_eq!(error.reason(), Reason::WorkosUnavailable);
}

#[tokio::test]
async fn an_invitation_creates_the_account_where_the_provider_does_not() {
    let bed = bed().await;
    let not_found = Fault::response("magic_auth.create", 404, r#"{"message":"User not found"}"#);
    bed.double.proxy().inject(not_found.times(1));
    bed.workos.invite(&email("new@example.com"), &client()).await.unwrap();
    assert!(bed.double.user_id("new@example.com").is_some());
    assert!(bed.double.last_code("new@example.com").is_some());
    // One call is enough where it does.
    bed.double.proxy().reset_calls();
    bed.workos.invite(&email("newer@example.com"), &client()).await.unwrap();
    assert_eq!(bed.double.proxy().calls(), ["magic_auth.create"]);

    let undeliverable = r#"{"code":"email_domain_not_deliverable","message":"m"}"#;
    bed.double.proxy().inject(Fault::response("magic_auth.create", 400, undeliverable));
    let error = bed.workos.invite(&email("new@example.org"), &client()).await.unwrap_err();
    assert_eq!(error.reason(), Reason::InvalidEmail);
}

#[tokio::test]
async fn creating_a_user_twice_is_fine() {
    let bed = bed().await;
    bed.workos.create_user(&email("new@example.com")).await.unwrap();
    bed.workos.create_user(&email("new@example.com")).await.unwrap();
    assert!(bed.double.user_id("new@example.com").is_some());
    bed.double.proxy().inject(Fault::response(
        "users.create",
        400,
        r#"{"code":"user_creation_error","message":"m"}"#,
    ));
    bed.workos.create_user(&email("new@example.com")).await.unwrap();
}

#[tokio::test]
async fn a_domain_with_an_active_connection_goes_to_sso_and_is_remembered() {
    let bed = bed().await;
    let owner = bed.double.add_organization("Corp", &[("corp.example", DomainState::Verified)]);
    let connection = bed.double.add_connection(&owner, ConnectionState::Active);
    for _ in 0..3 {
        let found = bed.workos.sso_connection("Corp.example").await.unwrap().unwrap();
        assert_eq!(found.as_str(), connection);
        assert_eq!(bed.workos.sso_connection("other.example").await.unwrap(), None);
    }
    assert_eq!(bed.double.proxy().count("connections.list"), 2);
    assert_eq!(bed.double.proxy().count("organizations.list"), 2);
}

#[tokio::test]
async fn an_unproven_domain_or_a_connection_that_is_off_is_none() {
    let bed = bed().await;
    let pending = bed.double.add_organization("Pending", &[("pending.example", DomainState::Pending)]);
    bed.double.add_connection(&pending, ConnectionState::Active);
    let off = bed.double.add_organization("Off", &[("off.example", DomainState::Verified)]);
    bed.double.add_connection(&off, ConnectionState::Inactive);
    assert_eq!(bed.workos.sso_connection("pending.example").await.unwrap(), None);
    assert_eq!(bed.workos.sso_connection("off.example").await.unwrap(), None);
}

#[tokio::test]
async fn a_failed_lookup_is_not_remembered() {
    let bed = bed().await;
    let owner = bed.double.add_organization("Corp", &[("corp.example", DomainState::Verified)]);
    bed.double.add_connection(&owner, ConnectionState::Active);
    for status in [400, 401, 403, 404, 422, 500] {
        bed.double
            .proxy()
            .inject(Fault::response("connections.list", status, r#"{"message":"no"}"#).times(1));
        let error = bed.workos.sso_connection("corp.example").await.unwrap_err();
        assert_eq!(error.reason(), Reason::WorkosUnavailable, "{status}");
    }
    assert!(bed.workos.sso_connection("corp.example").await.unwrap().is_some());
}

#[tokio::test]
async fn a_code_is_redeemed_with_the_verifier_of_its_flow_only() {
    let bed = bed().await;
    bed.double.add_user("jane@example.com");
    let (code, verifier) = bed.authorized(Selector::Google, "jane@example.com").await;
    let signed_in = complete(bed.workos.redeem_code(&code, &verifier, &client()).await.unwrap());
    assert_eq!(signed_in.method.as_deref(), Some("GoogleOAuth"));

    let (code, _) = bed.authorized(Selector::Microsoft, "jane@example.com").await;
    let error = bed.workos.redeem_code(&code, &verifier, &client()).await.unwrap_err();
    assert_eq!(error.reason(), Reason::CodeRejected);
    let unknown = AuthCode::parse("unknown").unwrap();
    let error = bed.workos.redeem_code(&unknown, &verifier, &client()).await.unwrap_err();
    assert_eq!(error.reason(), Reason::CodeRejected);
}

#[tokio::test]
async fn sso_works_through_either_endpoint() {
    for endpoint in ["user_management", "sso"] {
        let bed = bed_with(&[("SSO_AUTHORIZE_ENDPOINT", endpoint)]).await;
        let owner = bed.double.add_organization("Corp", &[("corp.example", DomainState::Verified)]);
        bed.double.add_connection(&owner, ConnectionState::Active);
        let connection = bed.workos.sso_connection("corp.example").await.unwrap().unwrap();
        let (code, verifier) = bed.authorized(Selector::Connection(connection), "jane@corp.example").await;
        let signed_in = complete(bed.workos.redeem_code(&code, &verifier, &client()).await.unwrap());
        assert_eq!(signed_in.claims.organization_id, Some(owner), "{endpoint}");
    }
}

#[tokio::test]
async fn several_organizations_are_a_choice() {
    let (bed, user, [first, _]) = jane().await;
    let SignIn::ChooseOrganization(selection) = bed.sign_in("jane@example.com").await else {
        panic!("no choice")
    };
    assert_eq!((selection.id.as_str(), selection.email.as_str()), (user.as_str(), "jane@example.com"));
    assert_eq!(selection.organizations.len(), 2);
    let pending = PendingToken::parse(selection.pending_authentication_token.expose()).unwrap();

    let stranger = organization(&bed.double.add_organization("Stranger", &[]));
    for id in [&stranger, &organization("org_none")] {
        let error = bed.workos.select_organization(&pending, id, &client()).await.unwrap_err();
        assert_eq!(error.reason(), Reason::OrganizationNotAllowed);
    }
    let signed_in = complete(bed.workos.select_organization(&pending, &first, &client()).await.unwrap());
    assert_eq!(signed_in.claims.organization_id.as_deref(), Some(first.as_str()));
    assert_eq!(signed_in.claims.role.as_deref(), Some("admin"));
    assert_eq!(signed_in.claims.permissions, ["rooms:record"]);

    let error = bed.workos.select_organization(&pending, &first, &client()).await.unwrap_err();
    assert_eq!(error.reason(), Reason::SelectionExpired);
}

#[tokio::test]
async fn an_organization_that_wants_sso_names_its_connection() {
    let (bed, _, [first, second]) = jane().await;
    let connection = bed.double.add_connection(first.as_str(), ConnectionState::Active);
    bed.double.set_policy(first.as_str(), Policy { sso_required: true, ..Policy::default() });
    let SignIn::ChooseOrganization(selection) = bed.sign_in("jane@example.com").await else {
        panic!("no choice")
    };
    let pending = PendingToken::parse(selection.pending_authentication_token.expose()).unwrap();
    let select = async |organization| bed.workos.select_organization(&pending, organization, &client()).await;
    let SignIn::SsoRequired(required) = select(&first).await.unwrap() else { panic!("no SSO") };
    assert_eq!(required.connection_id.as_str(), connection);

    // The bare message names none: the organization's is looked up.
    bed.double.proxy().inject(Fault::response("authenticate.organization_selection", 400, BARE).times(1));
    let SignIn::SsoRequired(required) = select(&first).await.unwrap() else { panic!("no SSO") };
    assert_eq!(required.connection_id.as_str(), connection);

    // And where there is none, SSO is no way on.
    bed.double.set_policy(second.as_str(), Policy { sso_required: true, ..Policy::default() });
    assert_eq!(select(&second).await.unwrap_err().reason(), Reason::AuthenticationMethodNotAllowed);
}

const BARE: &str = r#"{"message":"Must use SSO for selected organization"}"#;

#[tokio::test]
async fn step_ups_have_their_reason_and_the_pending_token() {
    let (bed, user, [first, second]) = jane().await;
    bed.double.deactivate_membership(&user, second.as_str());
    bed.double.set_policy(first.as_str(), Policy { mfa_required: true, ..Policy::default() });
    let code = bed.mailed_code("jane@example.com").await;
    let error = bed.workos.redeem_magic_code_of("jane@example.com", &code).await.unwrap_err();
    assert_eq!(error.reason(), Reason::MfaEnrollment);
    assert!(error.details().pending_authentication_token.is_some());

    bed.double.enroll_totp(&user);
    let code = bed.mailed_code("jane@example.com").await;
    let error = bed.workos.redeem_magic_code_of("jane@example.com", &code).await.unwrap_err();
    assert_eq!(error.reason(), Reason::MfaChallenge);

    let google_only = Policy { authentication_methods: Some(vec![Method::GoogleOauth]), ..Policy::default() };
    bed.double.set_policy(first.as_str(), google_only);
    let code = bed.mailed_code("jane@example.com").await;
    let error = bed.workos.redeem_magic_code_of("jane@example.com", &code).await.unwrap_err();
    assert_eq!(error.reason(), Reason::AuthenticationMethodNotAllowed);
}

#[tokio::test]
async fn a_refresh_rotates_the_token_and_a_switch_changes_the_organization() {
    let (bed, user, [first, second]) = jane().await;
    let SignIn::ChooseOrganization(selection) = bed.sign_in("jane@example.com").await else {
        panic!("no choice")
    };
    let pending = PendingToken::parse(selection.pending_authentication_token.expose()).unwrap();
    let signed_in = complete(bed.workos.select_organization(&pending, &first, &client()).await.unwrap());

    let refreshed = bed.workos.refresh(&signed_in.refresh_token, None, &client()).await.unwrap();
    assert_ne!(refreshed.refresh_token, signed_in.refresh_token);
    let claims = refreshed.claims.unwrap();
    assert_eq!(claims.session_id, signed_in.claims.session_id);
    assert_eq!(claims.organization_id.as_deref(), Some(first.as_str()));

    let switched = bed.workos.refresh(&refreshed.refresh_token, Some(&second), &client()).await.unwrap();
    assert_eq!(switched.claims.unwrap().organization_id.as_deref(), Some(second.as_str()));
    assert_eq!(switched.user.id, user);

    // A refused switch leaves the session as it was.
    let stranger = organization(&bed.double.add_organization("Stranger", &[]));
    for id in [&stranger, &organization("org_none")] {
        let error = bed.workos.refresh(&switched.refresh_token, Some(id), &client()).await.unwrap_err();
        let RefreshError::Refused(error) = error else { panic!("{error:?}") };
        assert_eq!(error.reason(), Reason::OrganizationNotAllowed);
    }
    let connection = bed.double.add_connection(first.as_str(), ConnectionState::Active);
    bed.double.set_policy(first.as_str(), Policy { sso_required: true, ..Policy::default() });
    let error = bed.workos.refresh(&switched.refresh_token, Some(&first), &client()).await.unwrap_err();
    let RefreshError::SsoRequired(required) = error else { panic!("{error:?}") };
    assert_eq!(required.connection_id.as_str(), connection);
    let refreshed = bed.workos.refresh(&switched.refresh_token, None, &client()).await.unwrap();

    bed.double.revoke_sessions(&user);
    let error = bed.workos.refresh(&refreshed.refresh_token, None, &client()).await.unwrap_err();
    assert!(
        matches!(&error, RefreshError::Ended(error) if error.reason() == Reason::NotSignedIn),
        "{error:?}"
    );
}

#[tokio::test]
async fn trouble_never_ends_a_session() {
    let bed = bed().await;
    bed.double.add_user("jane@example.com");
    let token = complete(bed.sign_in("jane@example.com").await).refresh_token;
    let grant = "authenticate.refresh_token";
    let mut faults = vec![
        Fault::new(grant, Effect::Drop),
        Fault::new(grant, Effect::DropMidBody),
        Fault::response(grant, 200, "<html>all is well</html>"),
        Fault::response(grant, 200, r#"{"user":{}}"#),
        Fault::response(grant, 400, r#"{"error":"something_new"}"#),
        Fault::response(grant, 401, r#"{"error":"invalid_client"}"#),
    ];
    faults.extend(
        [408, 429, 500, 502, 503]
            .map(|status| Fault::response(grant, status, r#"{"error":"invalid_grant"}"#)),
    );
    for fault in faults {
        bed.double.proxy().inject(fault.clone().times(1));
        let error = bed.workos.refresh(&token, None, &client()).await.unwrap_err();
        assert!(matches!(error, RefreshError::Transient(_)), "{fault:?}: {error:?}");
    }
    // An answer that was lost can be had again.
    bed.double.proxy().inject(Fault::new(grant, Effect::LoseResponse).times(1));
    let error = bed.workos.refresh(&token, None, &client()).await.unwrap_err();
    assert!(matches!(error, RefreshError::Transient(_)), "{error:?}");
    assert!(bed.workos.refresh(&token, None, &client()).await.unwrap().claims.is_some());
}

#[tokio::test]
async fn a_stalled_call_ends_after_five_seconds() {
    let bed = bed().await;
    bed.double.proxy().inject(Fault::response("users.list", 200, "{}").delay(Duration::from_secs(30)));
    let started = Instant::now();
    let error = bed.workos.find_user(&email("jane@example.com")).await.unwrap_err();
    assert_eq!(error.reason(), Reason::WorkosUnavailable);
    assert!(started.elapsed() < Duration::from_secs(6));
}

#[tokio::test]
async fn a_refused_key_is_our_fault_and_not_the_persons() {
    let bed = bed_with(&[("WORKOS_API_KEY", "sk_wrong")]).await;
    let error = bed.workos.find_user(&email("jane@example.com")).await.unwrap_err();
    assert_eq!(error.reason(), Reason::WorkosUnavailable);
    let code = AuthCode::parse("code").unwrap();
    let error = bed.workos.redeem_code(&code, &Secret::new("v"), &client()).await.unwrap_err();
    assert_eq!(error.reason(), Reason::WorkosUnavailable);
}

#[tokio::test]
async fn only_an_active_membership_counts() {
    let (bed, user, [first, second]) = jane().await;
    bed.double.deactivate_membership(&user, second.as_str());
    assert!(bed.workos.is_member(&user, &first).await.unwrap());
    assert!(!bed.workos.is_member(&user, &second).await.unwrap());
    assert!(!bed.workos.is_member(&user, &organization("org_none")).await.unwrap());
    bed.double.proxy().inject(Fault::response("organization_memberships.list", 500, ""));
    assert_eq!(bed.workos.is_member(&user, &first).await.unwrap_err().reason(), Reason::WorkosUnavailable);
}

#[tokio::test]
async fn nothing_that_is_printed_holds_a_secret() {
    let bed = bed().await;
    bed.double.add_user("jane@example.com");
    let code = bed.mailed_code("jane@example.com").await;
    let signed_in = complete(bed.workos.redeem_magic_code_of("jane@example.com", &code).await.unwrap());
    let printed = format!("{:?} {code:?} {signed_in:?}", bed.workos);
    for secret in [code.as_str(), signed_in.refresh_token.expose(), &bed.double.api_key()] {
        assert!(!printed.contains(secret), "{printed}");
    }
}
