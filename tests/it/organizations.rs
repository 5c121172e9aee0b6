//! Choosing an organization at sign-in, and switching to another one.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use local_proxy::{Effect, Fault};
use local_workos::ConnectionState;
use serde_json::{Value, json};

use crate::app::{Answer, App, Browser, now};

const EMAIL: &str = "123@gmail.com";
const USER: &str = "user_01JY16X8FCYMX981HC4GYQ6S01";
pub const MASADAS: &str = "org_01K2Z1R2MEJK6B41WW7428G9YC";
pub const TAUNTA: &str = "org_01K3BK4YS5SDH22RV4P9QYJR7Z";
const CAZZI: &str = "org_01HCNYM2R5T8W9C3K6V7X1B4DA";
pub const ACME: &str = "org_01JACME0000000000000000000";
const INITECH: &str = "org_01JN1TECH00000000000000000";
const GLOBEX: &str = "org_01JG00G1E00000000000000000";
const PENDING: &str = "/user/pendingAuthenticationToken";

/// Signs in with a mailed code, up to the choice of an organization.
async fn choosing(app: &App, browser: &mut Browser<'_>, email: &str) -> Answer {
    browser.sign_in(email).await.is(200);
    browser.finalize_magic_auth(email, &app.code(email)).await.is(200)
}

/// A browser in which `email` is signed in to `organization`.
pub async fn signed_in_to<'a>(app: &'a App, email: &str, organization: &str) -> Browser<'a> {
    let mut browser = app.browser();
    let pending = choosing(app, &mut browser, email).await.text(PENDING);
    browser.select_organization(&pending, organization).await.is(200);
    browser
}

/// The claims of a room token.
pub fn claims_of(room_token: &str) -> Value {
    let claims = URL_SAFE_NO_PAD.decode(room_token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&claims).unwrap()
}

/// The organization in a room token, which LiveKit shows to the other participants.
pub fn organization_of(room_token: &str) -> Value {
    claims_of(room_token)["attributes"]["organizationId"].clone()
}

/// Waits until WorkOS received `call` `times` times.
pub async fn called(app: &App, call: &str, times: usize) {
    let patience = tokio::time::Instant::now() + Duration::from_secs(8);
    while app.workos().proxy().count(call) < times {
        assert!(tokio::time::Instant::now() < patience, "{call} is not called");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn several_organizations_are_offered_by_mail_and_by_oauth() {
    let app = App::start().await;
    for by_mail in [true, false] {
        let mut browser = app.browser();
        let answer = if by_mail {
            choosing(&app, &mut browser, EMAIL).await
        } else {
            let url = browser.continue_with_google().await.is(200).text("/authData/redirectURL");
            let back = app.at_provider(&url, EMAIL).await;
            browser.finalize_oauth(back.code(), back.state.as_deref()).await.is(200)
        };
        let pending = answer.text(PENDING);
        let expected = json!({ "status": "choose_organization", "user": {
            "id": USER,
            "email": EMAIL,
            "pendingAuthenticationToken": pending,
            "organizations": [
                { "id": MASADAS, "name": "MASADAS" },
                { "id": TAUNTA, "name": "TAUNTA SCRE" },
            ],
        }});
        assert_eq!(answer.body, expected);
        assert!(!browser.is_signed_in(), "nobody is signed in yet: {:?}", browser.cookies);

        let answer = browser.select_organization(&pending, TAUNTA).await.is(200);
        let user =
            json!({ "id": USER, "email": EMAIL, "firstName": null, "lastName": null, "avatarURL": null });
        let organization = json!({ "id": TAUNTA, "name": "TAUNTA SCRE" });
        let expected = json!({ "status": "signed_in", "user": user, "organization": organization });
        assert_eq!(answer.body, expected);
        let context = app.context_of(&browser).await.unwrap();
        assert_eq!(context["organizationId"], TAUNTA);
        assert_eq!(context["role"], "admin");
        let room = browser.room_auth("Kim", "room123").await.is(200);
        assert_eq!(organization_of(&room.text("/token")), TAUNTA);
    }
}

#[tokio::test]
async fn a_foreign_organization_is_refused_and_the_choice_stays_open() {
    let app = App::start().await;
    let mut browser = app.browser();
    let pending = choosing(&app, &mut browser, EMAIL).await.text(PENDING);
    for wrong in [CAZZI, ACME, "org_unknown", "MASADAS"] {
        browser.select_organization(&pending, wrong).await.refused(403, "organization_not_allowed");
        assert!(!browser.is_signed_in());
    }
    browser.select_organization(&pending, MASADAS).await.is(200);
    assert_eq!(app.context_of(&browser).await.unwrap()["organizationId"], MASADAS);
}

#[tokio::test]
async fn a_pending_sign_in_is_accepted_once_and_expires() {
    let app = App::start().await;
    let mut browser = app.browser();
    let pending = choosing(&app, &mut browser, EMAIL).await.text(PENDING);
    browser.select_organization(&pending, MASADAS).await.is(200);
    app.browser().select_organization(&pending, MASADAS).await.refused(400, "selection_expired");

    let pending = choosing(&app, &mut app.browser(), EMAIL).await.text(PENDING);
    app.workos().expire_codes();
    app.browser().select_organization(&pending, MASADAS).await.refused(400, "selection_expired");
    app.browser().select_organization("made-up", MASADAS).await.refused(400, "selection_expired");
    assert_eq!(app.items_of("session#").len(), 1);
}

#[tokio::test]
async fn a_selection_ends_the_old_session_of_the_browser() {
    let app = App::start().await;
    let mut browser = app.signed_in("jane.doe@example.com").await;
    let mut before = browser.clone();
    let pending = choosing(&app, &mut browser, EMAIL).await.text(PENDING);
    before.room_auth("Jane", "room").await.is(200);
    browser.select_organization(&pending, MASADAS).await.is(200);
    assert_ne!(browser.token(), before.token());
    before.room_auth("Jane", "room").await.refused(401, "not_signed_in");
    assert_eq!(app.items_of("session#").len(), 1);
}

#[tokio::test]
async fn a_selected_organization_can_require_another_step() {
    let app = App::start().await;
    let mut browser = app.browser();
    let pending = choosing(&app, &mut browser, "sam@example.com").await.text(PENDING);

    let answer = browser.select_organization(&pending, INITECH).await.refused(403, "mfa_enrollment");
    assert!(!answer.text("/pendingAuthenticationToken").is_empty());
    let answer = browser.select_organization(&pending, GLOBEX).await;
    answer.refused(403, "authentication_method_not_allowed");
    let answer = browser.select_organization(&pending, ACME).await.refused(403, "sso_required");
    goes_through_sso(&app, &mut browser, &answer, "sam@example.com").await;
}

/// Asserts that the response redirects to Acme's identity provider, and signs in to Acme there.
async fn goes_through_sso(app: &App, browser: &mut Browser<'_>, answer: &Answer, email: &str) {
    let auth_data = answer.body["authData"].as_object().unwrap();
    assert_eq!(auth_data.keys().collect::<Vec<_>>(), ["authMethod", "redirectURL", "state"]);
    assert_eq!(auth_data["authMethod"], "sso");
    let url = answer.text("/authData/redirectURL");
    assert!(url.contains("connection_id=conn_01JACME0000000000000000000"), "{url}");
    let back = app.at_provider(&url, email).await;
    assert_eq!(back.state, Some(answer.text("/authData/state")));
    browser.finalize_oauth(back.code(), back.state.as_deref()).await.is(200);
    assert_eq!(app.context_of(browser).await.unwrap()["organizationId"], ACME);
}

#[tokio::test]
async fn a_switch_issues_a_new_token_with_the_new_role_and_permissions() {
    let app = App::start().await;
    app.workos().set_profile(USER, "Kim", "Park", "https://example.com/kim.png");
    let mut browser = signed_in_to(&app, EMAIL, MASADAS).await;
    let context = app.context_of(&browser).await.unwrap();
    assert_eq!(context["organizationId"], MASADAS);
    assert_eq!((&context["role"], &context["permissions"]), (&json!("member"), &json!(["rooms:join"])));
    let session_id = context["sessionId"].clone();

    let mut before = browser.clone();
    let answer = browser.switch_organization("123@GMAIL.com", TAUNTA).await.is(200);
    let user = json!({
        "id": USER,
        "email": EMAIL,
        "firstName": "Kim",
        "lastName": "Park",
        "avatarURL": "https://example.com/kim.png",
    });
    let organization = json!({ "id": TAUNTA, "name": "TAUNTA SCRE" });
    let expected = json!({ "status": "signed_in", "user": user, "organization": organization });
    assert_eq!(answer.body, expected);
    let [cookie] = answer.cookies.as_slice() else { panic!("{:?}", answer.cookies) };
    assert!(cookie.starts_with("__Host-session=") && cookie.contains("; Secure; HttpOnly; "), "{cookie}");
    assert_ne!(browser.token(), before.token());

    let context = app.context_of(&browser).await.unwrap();
    let permissions = json!(["members:manage", "recordings:manage", "rooms:join"]);
    assert_eq!(context["organizationId"], TAUNTA);
    assert_eq!((&context["role"], &context["permissions"]), (&json!("admin"), &permissions));
    assert_eq!(context["sessionId"], session_id, "at WorkOS it is the same session");
    let room = browser.room_auth("Kim", "room123").await.is(200);
    assert_eq!(organization_of(&room.text("/token")), TAUNTA);

    before.switch_organization(EMAIL, MASADAS).await.refused(401, "not_signed_in");

    // The session can be switched back, and refreshed there.
    browser.switch_organization(EMAIL, MASADAS).await.is(200);
    app.expire_access(&browser, 1);
    assert_eq!(app.context_of(&browser).await.unwrap()["organizationId"], MASADAS);
}

/// Asserts that the session of `browser` is unchanged: it can be used and refreshed.
async fn still_works(app: &App, browser: &mut Browser<'_>, token: &str, home: &str) {
    assert_eq!(browser.token(), token);
    browser.room_auth("Sam", "room").await.is(200);
    let context = app.context_of(browser).await.unwrap();
    assert_eq!(context["organizationId"], home);
    let refreshes = app.workos().proxy().count("authenticate.refresh_token");
    app.expire_access(browser, 1);
    let context = app.context_of(browser).await.unwrap();
    assert_eq!(context["organizationId"], home);
    assert_eq!(app.workos().proxy().count("authenticate.refresh_token"), refreshes + 1);
    let access: u64 =
        app.session_item(browser).unwrap()["access_expires_at"]["N"].as_str().unwrap().parse().unwrap();
    assert!(access > now(), "the refused switch has not used up the refresh token");
}

#[tokio::test]
async fn a_refused_switch_leaves_the_session_unchanged() {
    let app = App::start().await;
    let sam = "sam@example.com";
    let mut browser = signed_in_to(&app, sam, MASADAS).await;
    let token = browser.token();

    for (organization, reason) in [
        (CAZZI, "organization_not_allowed"),
        ("org_unknown", "organization_not_allowed"),
        (GLOBEX, "authentication_method_not_allowed"),
        (INITECH, "mfa_enrollment"),
    ] {
        browser.switch_organization(sam, organization).await.refused(403, reason);
        still_works(&app, &mut browser, &token, MASADAS).await;
    }

    let calls = app.workos().proxy().calls().len();
    browser.switch_organization("jane.doe@example.com", TAUNTA).await.refused(403, "email_mismatch");
    assert_eq!(app.workos().proxy().calls().len(), calls, "WorkOS is not asked");
    still_works(&app, &mut browser, &token, MASADAS).await;

    app.browser().switch_organization(sam, ACME).await.refused(401, "not_signed_in");
    let mut wrong = app.browser();
    wrong.bearer = Some("A".repeat(43));
    wrong.switch_organization(sam, ACME).await.refused(401, "not_signed_in");
    still_works(&app, &mut browser, &token, MASADAS).await;

    // Last, because it signs in to another organization.
    let answer = browser.switch_organization(sam, ACME).await.refused(403, "sso_required");
    still_works(&app, &mut browser, &token, MASADAS).await;
    goes_through_sso(&app, &mut browser, &answer, sam).await;
}

#[tokio::test]
async fn an_inactive_membership_does_not_count() {
    let app = App::start().await;
    let mut browser = signed_in_to(&app, EMAIL, MASADAS).await;
    let token = browser.token();
    app.workos().deactivate_membership(USER, TAUNTA);
    browser.switch_organization(EMAIL, TAUNTA).await.refused(403, "organization_not_allowed");
    still_works(&app, &mut browser, &token, MASADAS).await;
}

#[tokio::test]
async fn an_organization_that_requires_sso_without_a_connection_is_refused() {
    let app = App::start().await;
    let sam = "sam@example.com";
    let mut browser = signed_in_to(&app, sam, MASADAS).await;
    let token = browser.token();
    // WorkOS then responds with a message without a code.
    app.workos().set_connection_state("conn_01JACME0000000000000000000", ConnectionState::Inactive);
    let answer = browser.switch_organization(sam, ACME).await;
    answer.refused(403, "authentication_method_not_allowed");
    still_works(&app, &mut browser, &token, MASADAS).await;
}

#[tokio::test]
async fn a_switch_does_not_extend_the_absolute_lifetime() {
    let app = App::with_env(&[("SESSION_IDLE_SECONDS", "100"), ("SESSION_ABSOLUTE_SECONDS", "100")]).await;
    let mut browser = signed_in_to(&app, EMAIL, MASADAS).await;
    let began = now() - 50;
    app.edit_session(&browser, |item| item["created_at"] = json!({ "N": began.to_string() }));
    browser.switch_organization(EMAIL, TAUNTA).await.is(200);
    let item = app.session_item(&browser).unwrap();
    assert_eq!(item["created_at"]["N"], began.to_string());
    assert_eq!(item["expires_at"]["N"], (began + 100).to_string());
    browser.room_auth("Kim", "room").await.is(200);
    app.edit_session(&browser, |item| item["created_at"] = json!({ "N": (now() - 100).to_string() }));
    browser.room_auth("Kim", "room").await.refused(401, "not_signed_in");
    browser.switch_organization(EMAIL, MASADAS).await.refused(401, "not_signed_in");
}

#[tokio::test]
async fn a_switch_waits_for_a_refresh_in_progress() {
    let app = App::start().await;
    let mut browser = signed_in_to(&app, EMAIL, MASADAS).await;
    let mut other_tab = browser.clone();
    app.expire_access(&browser, 1);
    let slow = Fault::new("authenticate.refresh_token", Effect::Serve).delay(Duration::from_millis(600));
    app.workos().proxy().inject(slow.times(1));
    let (refreshing, switching) = tokio::join!(other_tab.room_auth("Kim", "room"), async {
        called(&app, "authenticate.refresh_token", 1).await;
        browser.switch_organization(EMAIL, TAUNTA).await
    });
    refreshing.is(200);
    switching.is(200);
    assert_eq!(app.workos().proxy().count("authenticate.refresh_token"), 2);
    assert_eq!(app.context_of(&browser).await.unwrap()["organizationId"], TAUNTA);
}

#[tokio::test]
async fn requests_during_a_switch_use_the_cached_claims() {
    let app = App::start().await;
    let mut browser = signed_in_to(&app, EMAIL, MASADAS).await;
    let mut other_tab = browser.clone();
    app.expire_access(&browser, 1);
    let slow = Fault::new("authenticate.refresh_token", Effect::Serve).delay(Duration::from_millis(600));
    app.workos().proxy().inject(slow.times(1));
    let (switching, beside) = tokio::join!(browser.switch_organization(EMAIL, TAUNTA), async {
        called(&app, "authenticate.refresh_token", 1).await;
        other_tab.room_auth("Kim", "room").await
    });
    switching.is(200);
    assert_eq!(organization_of(&beside.is(200).text("/token")), MASADAS);
    assert_eq!(
        app.workos().proxy().count("authenticate.refresh_token"),
        1,
        "no other request refreshed meanwhile"
    );
    assert_eq!(app.context_of(&browser).await.unwrap()["organizationId"], TAUNTA);
}

#[tokio::test]
async fn of_two_concurrent_switches_one_wins_and_the_other_sets_no_cookie() {
    let app = App::start().await;
    let mut browser = signed_in_to(&app, EMAIL, MASADAS).await;
    let mut twice = browser.clone();
    let (one, other) =
        tokio::join!(browser.switch_organization(EMAIL, TAUNTA), twice.switch_organization(EMAIL, TAUNTA));
    let (won, lost) = if one.status == 200 { (one, other) } else { (other, one) };
    won.is(200);
    let lost = lost.refused(401, "not_signed_in");
    assert!(lost.cookies.is_empty(), "it would clear the winner's cookie: {:?}", lost.cookies);
    assert_eq!(app.items_of("session#").len(), 2, "the old session, readable for a while, and one new one");
}

#[tokio::test]
async fn a_sign_out_during_a_switch_is_final() {
    let app = App::start().await;
    let mut browser = signed_in_to(&app, EMAIL, MASADAS).await;
    let mut other_tab = browser.clone();
    let slow = Fault::new("authenticate.refresh_token", Effect::Serve).delay(Duration::from_millis(600));
    app.workos().proxy().inject(slow.times(1));
    let (switching, signing_out) = tokio::join!(browser.switch_organization(EMAIL, TAUNTA), async {
        called(&app, "authenticate.refresh_token", 1).await;
        other_tab.sign_out().await
    });
    signing_out.is(200);
    switching.refused(401, "not_signed_in");
    assert!(app.items_of("session#").is_empty());
}

#[tokio::test]
async fn a_switch_with_a_lost_response_can_be_retried() {
    let app = App::start().await;
    let mut browser = signed_in_to(&app, EMAIL, MASADAS).await;
    let token = browser.token();
    // The request itself repeats the switch once.
    app.workos().proxy().inject(Fault::new("authenticate.refresh_token", Effect::LoseResponse).times(2));
    browser.switch_organization(EMAIL, TAUNTA).await.refused(502, "workos_unavailable");
    assert_eq!(browser.token(), token);
    browser.room_auth("Kim", "room").await.is(200);
    // The client retries, as the response tells it to.
    let patience = now() + 15;
    loop {
        let answer = browser.switch_organization(EMAIL, TAUNTA).await;
        if answer.status == 200 {
            break;
        }
        answer.refused(409, "session_changed");
        assert!(now() < patience);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(app.context_of(&browser).await.unwrap()["organizationId"], TAUNTA);
}
