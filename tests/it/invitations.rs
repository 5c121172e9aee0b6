//! One box to sign in, which creates accounts too, and invitations, which let a person in where sign-up is closed.

use std::time::Duration;

use local_workos::Environment;
use serde_json::{Value, json};

use crate::app::{Answer, App, Browser, Return};
use crate::limits::same;
use crate::login::visit_login;

const JANE: &str = "jane.doe@example.com";
const INVITED: &str = "invited@example.com";
const NOBODY: &str = "nobody@example.com";
const MASADAS: &str = "org_01K2Z1R2MEJK6B41WW7428G9YC";

fn close_sign_up(app: &App) {
    app.workos().set_environment(Environment { sign_up_allowed: false, ..Environment::default() });
}

async fn sign_in(browser: &mut Browser<'_>, body: Value) -> Answer {
    browser.post("/auth/sign-in", body).await
}

async fn redeem(browser: &mut Browser<'_>, email: &str, code: &str, invitation: &str) -> Answer {
    let body = json!({ "email": email, "code": code, "invitationToken": invitation });
    browser.post("/auth/finalize-magic-auth", body).await
}

#[tokio::test]
async fn one_box_signs_in_and_signs_up() {
    let app = App::start().await;
    for (email, is_known) in [(JANE, true), (NOBODY, false)] {
        assert_eq!(app.workos().user_id(email).is_some(), is_known);
        let mut browser = app.browser();
        for body in [
            json!({ "email": email, "createAccount": false }),
            json!({ "email": email, "createAccount": null }),
        ] {
            sign_in(&mut browser, body).await.is(200);
            assert_eq!(app.workos().last_code(email).is_some(), is_known, "{email}");
        }
        app.reset_limits();
        let answer = sign_in(&mut browser, json!({ "email": email, "createAccount": true })).await.is(200);
        assert_eq!(answer.body, json!({ "authData": { "authMethod": "magic_auth" } }));
        let signed_in = browser.finalize_magic_auth(email, &app.code(email)).await.is(200);
        assert_eq!(signed_in.text("/user/email"), email);
        browser.room_auth("Somebody", "room").await.is(200);
    }
    // SSO comes first, for both.
    let body = json!({ "email": "newcomer@acme.test", "createAccount": true });
    let answer = sign_in(&mut app.browser(), body).await.is(200);
    assert_eq!(answer.body["authData"]["authMethod"], "sso");
    let body = json!({ "email": JANE, "createAccount": "yes" });
    sign_in(&mut app.browser(), body).await.refused(400, "invalid_field").names("createAccount");
}

#[tokio::test]
async fn known_and_unknown_addresses_look_alike_where_accounts_are_created() {
    for is_open in [true, false] {
        let app = App::start().await;
        if !is_open {
            close_sign_up(&app);
        }
        let foreign = app.workos().invite("somebody.else@example.com", None);
        // The first request for a domain asks about SSO.
        for path in ["/auth/sign-in", "/auth/sign-up"] {
            app.browser().post(path, json!({ "email": NOBODY, "invitationToken": "made-up" })).await;
        }
        let sent = app.workos().mails().len();
        let mut number = 0;
        for (path, field, value) in [
            ("/auth/sign-in", "createAccount", json!(true)),
            ("/auth/sign-in", "invitationToken", json!("made-up")),
            ("/auth/sign-in", "invitationToken", json!(foreign)),
            ("/auth/sign-up", "invitationToken", json!("made-up")),
            ("/auth/sign-up", "invitationToken", json!(foreign)),
        ] {
            // Until the budget of the address is used up, and after that.
            number += 1;
            let known = format!("known{number}@example.com");
            let unknown = format!("other{number}@example.com");
            app.workos().add_user(&known);
            for _ in 0..4 {
                let request = async |email: &str| {
                    app.workos().proxy().reset_calls();
                    let mut body = json!({ "email": email });
                    body[field] = value.clone();
                    let answer = app.browser().post(path, body).await;
                    let calls = app.workos().proxy().timed_calls().into_iter().map(|call| call.name);
                    (answer, calls.collect::<Vec<_>>())
                };
                let (one, other) = (request(&known).await, request(&unknown).await);
                same(path, &one.0, &other.0);
                // The time is alike as well: both make the same calls.
                assert_eq!(one.1, other.1, "{path} {field}");
            }
        }
        let mails = app.workos().mails().split_off(sent);
        assert!(mails.iter().all(|mail| mail.to == "known1@example.com" || mail.to == "other1@example.com"));
        assert_eq!(mails.len(), if is_open { 6 } else { 3 });
    }
}

#[tokio::test]
async fn an_invited_person_comes_in_where_sign_up_is_closed() {
    let app = App::start().await;
    close_sign_up(&app);
    for path in ["/auth/sign-in", "/auth/sign-up"] {
        let email = format!("invited.{}@example.com", path.trim_start_matches("/auth/"));
        let mut browser = app.browser();
        sign_in(&mut browser, json!({ "email": email, "createAccount": true })).await.is(200);
        assert!(app.workos().user_id(&email).is_none() && app.workos().last_code(&email).is_none());

        let invitation = app.workos().invite(&email, Some(MASADAS));
        let body = json!({ "email": email, "invitationToken": invitation });
        assert!(browser.post(path, body).await.status.is_success());
        let signed_in = redeem(&mut browser, &email, &app.code(&email), &invitation).await.is(200);
        assert_eq!(signed_in.text("/user/email"), email);
        assert_eq!(app.context_of(&browser).await.unwrap()["organizationId"], MASADAS);
        browser.room_auth("Invited", "room").await.is(200);
        assert!(app.logs().iter().all(|line| !line.contains(&invitation)), "the token is a secret");
    }
}

#[tokio::test]
async fn the_link_of_an_invitation_ends_in_a_session() {
    let app = App::start().await;
    close_sign_up(&app);
    let invitation = app.workos().invite(INVITED, Some(MASADAS));
    let link = app.workos().mails().pop().unwrap();
    assert_eq!(link.to, INVITED);
    let mut browser = app.browser();
    let url = visit_login(&app, &mut browser, &app.redirected(&link.code).await).await;
    let back = Return::of(&app.redirected(&url).await);
    let signed_in = browser.finalize_oauth(back.code(), back.state.as_deref()).await.is(200);
    assert_eq!(signed_in.text("/user/email"), INVITED);
    assert_eq!(app.context_of(&browser).await.unwrap()["organizationId"], MASADAS);
    browser.room_auth("Invited", "room").await.is(200);
    assert!(app.logs().iter().all(|line| !line.contains(&invitation)), "the token is a secret");
    // It works once.
    let response = crate::app::http().get(&link.code).send().await.unwrap();
    assert_eq!(response.status(), 400);
}

#[tokio::test]
async fn an_invitation_accepted_in_another_tab_is_refused_at_the_end() {
    let app = App::start().await;
    app.workos().invite(INVITED, None);
    let link = app.workos().mails().pop().unwrap().code;
    let mut tabs = Vec::new();
    for _ in 0..2 {
        let mut browser = app.browser();
        let url = visit_login(&app, &mut browser, &app.redirected(&link).await).await;
        tabs.push((browser, Return::of(&app.redirected(&url).await)));
    }
    let (mut second, back) = tabs.pop().unwrap();
    second.finalize_oauth(back.code(), None).await.is(200);
    let (mut first, back) = tabs.pop().unwrap();
    first.finalize_oauth(back.code(), None).await.refused(400, "invitation_invalid");
    assert!(!first.is_signed_in());
}

#[tokio::test]
async fn an_unusable_invitation_has_a_reason_of_its_own_that_tells_nothing_about_accounts() {
    let app = App::start().await;
    let foreign = app.workos().invite("somebody.else@example.com", None);
    let used = app.workos().invite(JANE, None);
    let mut browser = app.browser();
    browser.sign_in(JANE).await.is(200);
    redeem(&mut browser, JANE, &app.code(JANE), &used).await.is(200);
    for (invitation, reason) in [
        ("made-up", "invitation_invalid"),
        (used.as_str(), "invitation_invalid"),
        (foreign.as_str(), "invitation_email_mismatch"),
    ] {
        app.reset_limits();
        let mut browser = app.browser();
        browser.sign_in(JANE).await.is(200);
        let code = app.code(JANE);
        let wrong = if code == "000000" { "000001" } else { "000000" };
        // The same for a right and a wrong code, and for an unknown address.
        for (email, code) in [(JANE, wrong), (NOBODY, wrong), (JANE, code.as_str())] {
            let refused = redeem(&mut browser, email, code, invitation).await.refused(400, reason);
            assert!(!refused.body.to_string().contains(invitation), "{}", refused.body);
        }
        // The code is still good.
        browser.finalize_magic_auth(JANE, &code).await.is(200);
        assert!(app.logs().iter().all(|line| !line.contains(invitation)), "the token is a secret");
    }
    let late = app.workos().invite(JANE, None);
    app.workos().advance(Duration::from_secs(8 * 24 * 60 * 60));
    redeem(&mut app.browser(), JANE, "000000", &late).await.refused(400, "invitation_invalid");
}

#[tokio::test]
async fn an_invitation_buys_no_more_tries_of_a_code() {
    let app = App::start().await;
    let mut browser = app.browser();
    browser.sign_in(JANE).await.is(200);
    let code = app.code(JANE);
    for _ in 0..5 {
        redeem(&mut browser, JANE, "000000", "made-up").await.refused(400, "invitation_invalid");
    }
    browser.finalize_magic_auth(JANE, &code).await.refused(429, "rate_limited");
}
