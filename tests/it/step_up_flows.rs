//! Sign-ins that need a verified address, a second factor or another method, from the first click to a room token; and
//! what must not be possible on the way.

use std::time::Duration;

use local_proxy::{Effect, Fault};
use local_workos::{Environment, Policy};
use serde_json::{Value, json};

use crate::app::{Answer, App, Browser};

const ACME: &str = "org_01JACME0000000000000000000";
const GLOBEX: &str = "org_01JG00G1E00000000000000000";
const INITECH: &str = "org_01JN1TECH00000000000000000";
const MASADAS: &str = "org_01K2Z1R2MEJK6B41WW7428G9YC";
const EVE: &str = "eve@umbrella.test";
const MAX: &str = "max@example.com";
const SAM: &str = "sam@example.com";

/// Signs in with a mailed code. Returns the last response.
async fn by_mail(app: &App, browser: &mut Browser<'_>, email: &str) -> Answer {
    app.reset_limits();
    browser.sign_in(email).await.is(200);
    browser.finalize_magic_auth(email, &app.code(email)).await
}

/// Signs in with Google. Returns the last response.
async fn by_google(app: &App, browser: &mut Browser<'_>, email: &str) -> Answer {
    let url = browser.continue_with_google().await.is(200).text("/authData/redirectURL");
    back_from(app, browser, &url, email).await
}

/// Signs in behind `url`, and finishes the flow.
async fn back_from(app: &App, browser: &mut Browser<'_>, url: &str, email: &str) -> Answer {
    let back = app.at_provider(url, email).await;
    browser.finalize_oauth(back.code(), back.state.as_deref()).await
}

/// The pending sign-in of a response that asks for `next`.
#[track_caller]
fn pending(answer: &Answer, next: &str) -> String {
    assert_eq!(answer.body["next"], next, "{answer:?}");
    answer.text("/pendingAuthenticationToken")
}

/// The session of `browser` gets a room token.
async fn enters_a_room(browser: &mut Browser<'_>) {
    assert!(!browser.room_auth("Somebody", "room").await.is(200).text("/token").is_empty());
}

/// The number of calls to WorkOS with this name.
fn calls(app: &App, name: &str) -> usize {
    app.workos().proxy().timed_calls().iter().filter(|call| call.name == name).count()
}

/// A member of an organization that requires a second factor.
fn with_mfa(app: &App, email: &str) -> String {
    let user = app.workos().add_user(email);
    app.workos().add_membership(&user, INITECH, "member", &["rooms:join"]);
    user
}

/// Enrolls an app for a pending sign-in and completes the sign-in with its first code.
async fn enroll(app: &App, browser: &mut Browser<'_>, pending: &str) -> Answer {
    let enrolled = browser.step("enroll-mfa", pending).await.is(200);
    let code = app.workos().totp_code_of(&enrolled.text("/secret"));
    browser.verify_mfa(pending, &enrolled.text("/challengeId"), &code).await
}

/// Completes a pending sign-in with the app of `user`.
async fn challenge(app: &App, browser: &mut Browser<'_>, pending: &str, user: &str) -> Answer {
    let challenged = browser.step("challenge-mfa", pending).await.is(200);
    let code = app.workos().totp_code(user).expect("an app");
    browser.verify_mfa(pending, &challenged.text("/challengeId"), &code).await
}

#[tokio::test]
async fn an_unverified_address_is_verified_on_the_way() {
    let app = App::start().await;
    let mut browser = app.browser();
    let answer = by_google(&app, &mut browser, EVE).await.refused(403, "email_verification_required");
    let token = pending(&answer, "verify_email");
    let first = app.code(EVE);
    let answer = browser.verify_email(&token, if first == "000000" { "000001" } else { "000000" }).await;
    assert_eq!(answer.refused(400, "code_rejected").body["next"], "verify_email");
    browser.step("resend-verification", &token).await.is(200);
    let answer = browser.verify_email(&token, &app.code(EVE)).await.is(200);
    assert_eq!(answer.body["user"]["email"], EVE);
    enters_a_room(&mut browser).await;

    // Once verified, always verified; and a pending sign-in is used once.
    let codes = calls(&app, "authenticate.email_verification");
    browser.verify_email(&token, &first).await.refused(400, "sign_in_expired");
    browser.step("resend-verification", &token).await.refused(400, "sign_in_expired");
    assert_eq!(calls(&app, "authenticate.email_verification"), codes);
    by_google(&app, &mut app.browser(), EVE).await.is(200);
    assert!(app.items_of("pending#").is_empty());
}

#[tokio::test]
async fn a_second_factor_is_enrolled_once_and_asked_for_ever_after() {
    let app = App::start().await;
    let user = app.workos().user_id(SAM).unwrap();
    let mut browser = app.browser();
    for visit in ["enroll_mfa", "challenge_mfa"] {
        let choice = by_mail(&app, &mut browser, SAM).await.is(200);
        let token = choice.text("/user/pendingAuthenticationToken");
        let answer = browser.select_organization(&token, INITECH).await;
        assert_eq!(answer.status, 403, "{answer:?}");
        let token = pending(&answer, visit);
        match visit {
            "enroll_mfa" => enroll(&app, &mut browser, &token).await.is(200),
            _ => challenge(&app, &mut browser, &token, &user).await.is(200),
        };
        assert_eq!(app.context_of(&browser).await.unwrap()["organizationId"], INITECH);
        enters_a_room(&mut browser).await;
    }
    assert_eq!(app.workos().factors(&user).len(), 1);

    let max = app.workos().user_id(MAX).unwrap();
    let mut browser = app.browser();
    let answer = by_mail(&app, &mut browser, MAX).await.refused(403, "mfa_challenge");
    let token = pending(&answer, "challenge_mfa");
    challenge(&app, &mut browser, &token, &max).await.is(200);
    enters_a_room(&mut browser).await;
}

#[tokio::test]
async fn every_app_of_a_person_can_be_used() {
    let app = App::start().await;
    let user = with_mfa(&app, "two.phones@example.com");
    app.workos().enroll_totp(&user);
    app.workos().enroll_totp(&user);
    let mut browser = app.browser();
    let answer = by_mail(&app, &mut browser, "two.phones@example.com").await.refused(403, "mfa_challenge");
    let token = pending(&answer, "challenge_mfa");
    let challenged = browser.step("challenge-mfa", &token).await.is(200);
    let factors = challenged.body["factors"].as_array().unwrap();
    let newest = app.workos().factors(&user).pop().unwrap().0;
    let own = factors.iter().find(|factor| factor["id"] == newest.as_str()).unwrap();
    let code = app.workos().totp_code(&user).unwrap();
    browser.verify_mfa(&token, own["challengeId"].as_str().unwrap(), &code).await.is(200);
}

#[tokio::test]
async fn address_second_factor_and_organization_combine_in_any_order() {
    let app = App::start().await;
    let workos = app.workos();
    let email = "all.steps@example.com";
    let user = workos.add_user(email);
    workos.set_email_verified(&user, false);
    for organization in [MASADAS, INITECH] {
        workos.add_membership(&user, organization, "member", &["rooms:join"]);
    }
    // The environment asks for the second factor, before the organization is chosen.
    workos.set_environment(Environment { mfa_required: true, ..Environment::default() });
    let mut browser = app.browser();
    let answer = by_google(&app, &mut browser, email).await;
    let token = pending(&answer, "verify_email");
    let answer = browser.verify_email(&token, &app.code(email)).await;
    let token = pending(&answer, "enroll_mfa");
    let choice = enroll(&app, &mut browser, &token).await.is(200);
    browser.select_organization(&choice.text("/user/pendingAuthenticationToken"), INITECH).await.is(200);
    enters_a_room(&mut browser).await;

    // The organization asks for it, after it is chosen.
    workos.set_environment(Environment::default());
    let mut browser = app.browser();
    let choice = by_google(&app, &mut browser, email).await.is(200);
    let token = choice.text("/user/pendingAuthenticationToken");
    let answer = browser.select_organization(&token, INITECH).await;
    let token = pending(&answer, "challenge_mfa");
    challenge(&app, &mut browser, &token, &user).await.is(200);
    enters_a_room(&mut browser).await;
    assert!(app.items_of("pending#").is_empty());
}

#[tokio::test]
async fn another_method_and_sso_end_in_a_session() {
    let app = App::start().await;
    for (organization, reason) in [(GLOBEX, "authentication_method_not_allowed"), (ACME, "sso_required")] {
        let mut browser = app.browser();
        let choice = by_mail(&app, &mut browser, SAM).await.is(200);
        let token = choice.text("/user/pendingAuthenticationToken");
        let answer = browser.select_organization(&token, organization).await.refused(403, reason);
        assert_eq!(answer.body["next"], "redirect");
        if organization == GLOBEX {
            assert_eq!(answer.body["allowedMethods"], json!(["google_oauth"]));
        }
        let url = answer.text("/authData/redirectURL");
        let mut answer = back_from(&app, &mut browser, &url, SAM).await.is(200);
        if let Some(token) = answer.body["user"]["pendingAuthenticationToken"].as_str() {
            answer = browser.select_organization(token, organization).await.is(200);
        }
        assert_eq!(answer.body["user"]["email"], SAM);
        assert_eq!(app.context_of(&browser).await.unwrap()["organizationId"], organization);
        enters_a_room(&mut browser).await;
    }
}

#[tokio::test]
async fn a_step_after_a_step_can_be_sso() {
    let app = App::start().await;
    let email = "contractor@example.com";
    let user = app.workos().add_user(email);
    app.workos().set_email_verified(&user, false);
    app.workos().add_membership(&user, ACME, "member", &["rooms:join"]);
    let mut browser = app.browser();
    let answer = by_google(&app, &mut browser, email).await;
    let token = pending(&answer, "verify_email");
    let answer = browser.verify_email(&token, &app.code(email)).await.refused(403, "sso_required");
    back_from(&app, &mut browser, &answer.text("/authData/redirectURL"), email).await.is(200);
    enters_a_room(&mut browser).await;
}

#[tokio::test]
async fn a_switch_that_needs_a_step_goes_through_the_browser() {
    let app = App::start().await;
    let mut browser = app.browser();
    for organization in [INITECH, GLOBEX] {
        let choice = by_mail(&app, &mut browser, SAM).await.is(200);
        let token = choice.text("/user/pendingAuthenticationToken");
        browser.select_organization(&token, MASADAS).await.is(200);
        let old = browser.token();
        let answer = browser.switch_organization(SAM, organization).await;
        assert_eq!((answer.status.as_u16(), &answer.body["next"]), (403, &json!("redirect")), "{answer:?}");
        assert_eq!(answer.body.get("pendingAuthenticationToken"), None);
        assert_eq!(browser.token(), old);
        enters_a_room(&mut browser).await;
        back_from(&app, &mut browser, &answer.text("/authData/redirectURL"), SAM).await.is(200);
        assert_eq!(app.context_of(&browser).await.unwrap()["organizationId"], organization);
        enters_a_room(&mut browser).await;
    }
}

#[tokio::test]
async fn dev_sign_in_meets_steps_too() {
    let app = App::start().await;
    let workos = app.workos();
    let developer = workos.user_id("admin@cazzi.com").unwrap();
    let organization =
        app.context_of(&app.signed_in("admin@cazzi.com").await).await.unwrap()["organizationId"]
            .as_str()
            .unwrap()
            .to_owned();
    workos.set_policy(&organization, Policy { mfa_required: true, ..Policy::default() });
    let mut browser = app.browser();
    let answer = browser.dev_sign_in().await.refused(403, "mfa_enrollment");
    let token = pending(&answer, "enroll_mfa");
    enroll(&app, &mut browser, &token).await.is(200);
    assert_eq!(workos.factors(&developer).len(), 1);
}

/// Two persons whose sign-ins wait for a challenge: `(person's token, thief's token, the thief's challenge)`.
async fn two_waiting(app: &App) -> (String, String, String) {
    let mut tokens = Vec::new();
    for email in ["person@example.com", "thief@example.com"] {
        let user = with_mfa(app, email);
        app.workos().enroll_totp(&user);
        let answer = by_mail(app, &mut app.browser(), email).await.refused(403, "mfa_challenge");
        tokens.push(pending(&answer, "challenge_mfa"));
    }
    let thief = tokens.pop().unwrap();
    let challenged = app.browser().step("challenge-mfa", &thief).await.is(200);
    (tokens.pop().unwrap(), thief, challenged.text("/challengeId"))
}

#[tokio::test]
async fn a_foreign_challenge_is_refused_without_workos_and_uses_nothing_up() {
    let app = App::start().await;
    let (person, thief, foreign) = two_waiting(&app).await;
    let [person_id, thief_id] =
        ["person@example.com", "thief@example.com"].map(|email| app.workos().user_id(email).unwrap());
    let mut browser = app.browser();
    // With the challenge of another pending sign-in, more often than there are tries.
    for code in [&person_id, &thief_id].map(|user| app.workos().totp_code(user).unwrap()) {
        for _ in 0..3 {
            browser.verify_mfa(&person, &foreign, &code).await.refused(403, "challenge_not_issued");
        }
    }
    let made_up = browser.verify_mfa("made-up", &foreign, "123456").await;
    made_up.refused(400, "sign_in_expired");
    assert_eq!(calls(&app, "authenticate.mfa_totp"), 0);
    assert!(!browser.is_signed_in());

    challenge(&app, &mut browser, &person, &person_id).await.is(200);
    let code = app.workos().totp_code(&thief_id).unwrap();
    app.browser().verify_mfa(&thief, &foreign, &code).await.is(200);
}

#[tokio::test]
async fn a_pending_sign_in_expires_and_is_used_once() {
    let app = App::start().await;
    let user = app.workos().user_id(MAX).unwrap();
    let mut browser = app.browser();
    let answer = by_mail(&app, &mut browser, MAX).await;
    let token = pending(&answer, "challenge_mfa");
    let challenged = browser.step("challenge-mfa", &token).await.is(200);
    let (id, code) = (challenged.text("/challengeId"), app.workos().totp_code(&user).unwrap());
    let item = app.items_of("pending#").remove(0);
    let key = item["pk"]["S"].as_str().unwrap();
    assert!(!key.contains(&token), "the table holds the token");
    let expire = |at: u64| app.edit_item(key, |item| item["expires_at"] = json!({ "N": at.to_string() }));

    let expires_at: u64 = item["expires_at"]["N"].as_str().unwrap().parse().unwrap();
    expire(crate::app::now());
    browser.verify_mfa(&token, &id, &code).await.refused(400, "sign_in_expired");
    for step in ["enroll-mfa", "challenge-mfa", "resend-verification"] {
        browser.step(step, &token).await.refused(400, "sign_in_expired");
    }
    assert_eq!(calls(&app, "authenticate.mfa_totp"), 0);
    // Nothing was used up.
    expire(expires_at);
    browser.verify_mfa(&token, &id, &code).await.is(200);
    app.browser().verify_mfa(&token, &id, &code).await.refused(400, "sign_in_expired");
    assert_eq!(calls(&app, "authenticate.mfa_totp"), 1);
}

#[tokio::test]
async fn a_pending_sign_in_takes_only_its_own_step() {
    let app = App::start().await;
    let mut browser = app.browser();
    let answer = by_mail(&app, &mut browser, MAX).await;
    let token = pending(&answer, "challenge_mfa");
    for step in ["enroll-mfa", "resend-verification"] {
        let answer = browser.step(step, &token).await.refused(403, "wrong_step");
        assert_eq!(answer.body["next"], "challenge_mfa");
    }
    browser.verify_email(&token, "123456").await.refused(403, "wrong_step");
    let answer = by_google(&app, &mut app.browser(), EVE).await;
    let token = pending(&answer, "verify_email");
    for step in ["enroll-mfa", "challenge-mfa"] {
        let answer = browser.step(step, &token).await.refused(403, "wrong_step");
        assert_eq!(answer.body["next"], "verify_email");
    }
    browser.verify_mfa(&token, "auth_challenge_1", "123456").await.refused(403, "wrong_step");
    // A choice of organizations waits for no step of these.
    let choice = by_mail(&app, &mut app.browser(), SAM).await.is(200);
    let token = choice.text("/user/pendingAuthenticationToken");
    browser.step("enroll-mfa", &token).await.refused(400, "sign_in_expired");
}

#[tokio::test]
async fn five_codes_are_tried_at_most_and_only_what_workos_checked_counts() {
    let app = App::start().await;
    let user = app.workos().user_id(MAX).unwrap();
    let mut browser = app.browser();
    let answer = by_mail(&app, &mut browser, MAX).await;
    let token = pending(&answer, "challenge_mfa");
    let id = browser.step("challenge-mfa", &token).await.is(200).text("/challengeId");
    let right = app.workos().totp_code(&user).unwrap();
    let wrong =
        |number: usize| format!("{:06}", (right.parse::<usize>().unwrap() + 500_000 + number) % 1_000_000);
    for number in 0..4 {
        let answer = browser.verify_mfa(&token, &id, &wrong(number)).await.refused(400, "code_rejected");
        assert_eq!(answer.body["next"], "verify_mfa");
        let busy = Fault::response("authenticate.mfa_totp", 429, "{}").times(1);
        app.workos().proxy().inject(busy);
        browser.verify_mfa(&token, &id, &right).await.refused(503, "workos_busy");
    }
    // Ten at once, of which one is admitted.
    let others = (4..14).map(|number| {
        let (mut browser, code) = (browser.clone(), wrong(number));
        let (token, id) = (token.clone(), id.clone());
        async move { browser.verify_mfa(&token, &id, &code).await.body["reason"].clone() }
    });
    let reasons: Vec<Value> = futures_util::future::join_all(others).await;
    let count = |reason: &str| reasons.iter().filter(|each| **each == reason).count();
    assert_eq!((count("code_rejected"), count("too_many_tries")), (1, 9), "{reasons:?}");
    let before = calls(&app, "authenticate.mfa_totp");
    browser.verify_mfa(&token, &id, &right).await.refused(403, "too_many_tries");
    assert_eq!(calls(&app, "authenticate.mfa_totp"), before);
    assert!(!browser.is_signed_in());
    // The person starts over.
    let answer = by_mail(&app, &mut browser, MAX).await;
    let token = pending(&answer, "challenge_mfa");
    challenge(&app, &mut browser, &token, &user).await.is(200);
}

#[tokio::test]
async fn nobody_enrolls_for_a_person_who_has_a_second_factor() {
    let app = App::start().await;
    let workos = app.workos();
    let user = with_mfa(&app, "victim@example.com");
    // A thief reads the person's mail and begins a sign-in before the person has a factor.
    let mut thief = app.browser();
    let answer = by_mail(&app, &mut thief, "victim@example.com").await.refused(403, "mfa_enrollment");
    let stolen = pending(&answer, "enroll_mfa");
    let mut person = app.browser();
    let answer = by_mail(&app, &mut person, "victim@example.com").await;
    let token = pending(&answer, "enroll_mfa");
    enroll(&app, &mut person, &token).await.is(200);
    let factors = workos.factors(&user);
    assert_eq!(factors.len(), 1);

    for _ in 0..2 {
        thief.step("enroll-mfa", &stolen).await.refused(403, "already_enrolled");
        assert_eq!(workos.factors(&user), factors);
    }
    // A later sign-in is asked for the factor, and can neither enroll nor use another person's.
    let answer = by_mail(&app, &mut thief, "victim@example.com").await;
    let token = pending(&answer, "challenge_mfa");
    thief.step("enroll-mfa", &token).await.refused(403, "wrong_step");
    // WorkOS says that there is no factor, but lists one that we know nothing about.
    let body = json!({
        "code": "mfa_enrollment", "message": "Enroll.", "pending_authentication_token": "pending-1",
        "user": { "id": user, "email": "victim@example.com" },
    });
    let fault = Fault::response("authenticate.magic_auth", 403, body.to_string()).times(1);
    workos.proxy().inject(fault.header("content-type", "application/json"));
    let answer = by_mail(&app, &mut thief, "victim@example.com").await;
    let token = pending(&answer, "enroll_mfa");
    thief.step("enroll-mfa", &token).await.refused(403, "already_enrolled");
    assert_eq!(workos.factors(&user), factors);
    assert!(!thief.is_signed_in());
}

#[tokio::test]
async fn a_code_that_is_being_checked_protects_its_factor() {
    let app = App::start().await;
    let workos = app.workos();
    let user = with_mfa(&app, "victim@example.com");
    let mut thief = app.browser();
    let answer = by_mail(&app, &mut thief, "victim@example.com").await;
    let stolen = pending(&answer, "enroll_mfa");
    let mut person = app.browser();
    let answer = by_mail(&app, &mut person, "victim@example.com").await;
    let token = pending(&answer, "enroll_mfa");
    // WorkOS accepts the first code, but its response is lost.
    workos.proxy().inject(Fault::new("authenticate.mfa_totp", Effect::LoseResponse).times(1));
    enroll(&app, &mut person, &token).await.refused(502, "sign_in_interrupted");
    thief.step("enroll-mfa", &stolen).await.refused(403, "already_enrolled");
    assert_eq!(workos.factors(&user).len(), 1);
    // The person starts over, with the factor.
    let answer = by_mail(&app, &mut person, "victim@example.com").await;
    let token = pending(&answer, "challenge_mfa");
    challenge(&app, &mut person, &token, &user).await.is(200);
}

#[tokio::test]
async fn an_abandoned_enrollment_is_replaced() {
    let app = App::start().await;
    let workos = app.workos();
    let email = "hesitant@example.com";
    let user = with_mfa(&app, email);
    let mut first = app.browser();
    let answer = by_mail(&app, &mut first, email).await;
    let abandoned = pending(&answer, "enroll_mfa");
    let old = first.step("enroll-mfa", &abandoned).await.is(200);
    first.verify_mfa(&abandoned, &old.text("/challengeId"), "000000").await.refused(400, "code_rejected");

    // The page is reloaded, then closed. Another sign-in enrolls.
    first.step("enroll-mfa", &abandoned).await.is(200);
    let mut second = app.browser();
    let answer = by_mail(&app, &mut second, email).await;
    let token = pending(&answer, "enroll_mfa");
    let new = second.step("enroll-mfa", &token).await.is(200);
    assert_eq!(workos.factors(&user), [(new.text("/factorId"), false)]);
    let code = workos.totp_code_of(&old.text("/secret"));
    first.verify_mfa(&abandoned, &old.text("/challengeId"), &code).await.refused(403, "challenge_not_issued");
    let code = workos.totp_code_of(&new.text("/secret"));
    second.verify_mfa(&token, &new.text("/challengeId"), &code).await.is(200);
    assert_eq!(workos.factors(&user), [(new.text("/factorId"), true)]);
    enters_a_room(&mut second).await;
}

#[tokio::test]
async fn simultaneous_enrollments_leave_one_factor() {
    let app = App::start().await;
    let user = with_mfa(&app, "hasty@example.com");
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let answer = by_mail(&app, &mut app.browser(), "hasty@example.com").await;
        tokens.push(pending(&answer, "enroll_mfa"));
    }
    // In two tabs, each clicked twice.
    let clicks = tokens.iter().chain(&tokens).map(|token| {
        let mut browser = app.browser();
        async move { browser.step("enroll-mfa", token).await }
    });
    let answers = futures_util::future::join_all(clicks).await;
    assert!(answers.iter().any(|answer| answer.status == 200), "{answers:?}");
    for answer in answers.into_iter().filter(|answer| answer.status != 200) {
        answer.refused(409, "enrollment_in_progress");
    }
    assert_eq!(app.workos().factors(&user).len(), 1);
    let mut browser = app.browser();
    enroll(&app, &mut browser, &tokens[0]).await.is(200);
    assert_eq!(app.workos().factors(&user).len(), 1);
}

#[tokio::test]
async fn a_verification_mail_is_within_the_budget_of_the_address() {
    let app = App::start().await;
    let mut browser = app.browser();
    let answer = by_google(&app, &mut browser, EVE).await;
    let token = pending(&answer, "verify_email");
    let before = app.workos().mails().len();
    for _ in 0..5 {
        browser.step("resend-verification", &token).await.is(200);
    }
    assert_eq!(app.workos().mails().len() - before, 3);
    // The budget is that of all endpoints.
    browser.sign_in(EVE).await.is(200);
    assert_eq!(app.workos().mails().len() - before, 3);
    browser.verify_email(&token, &app.code(EVE)).await.is(200);
}

#[tokio::test]
async fn a_step_that_cannot_be_written_down_interrupts_the_sign_in() {
    let app = App::start().await;
    let mut browser = app.browser();
    browser.sign_in(MAX).await.is(200);
    // The second update is the pending sign-in; the first ones count the try.
    let fault = Fault::response("UpdateItem", 500, "{\"__type\":\"InternalServerError\"}");
    app.dynamodb().proxy().inject(fault);
    let answer = browser.finalize_magic_auth(MAX, &app.code(MAX)).await.refused(502, "sign_in_interrupted");
    assert_eq!(answer.body.get("pendingAuthenticationToken"), None);
    app.dynamodb().proxy().clear_faults();
    assert!(app.items_of("pending#").is_empty());
}

#[tokio::test]
async fn a_failed_enrollment_leaves_no_factor() {
    let app = App::start().await;
    let user = with_mfa(&app, "unlucky@example.com");
    let mut browser = app.browser();
    let answer = by_mail(&app, &mut browser, "unlucky@example.com").await;
    let token = pending(&answer, "enroll_mfa");
    // WorkOS adds the factor, but its response is lost.
    app.workos().proxy().inject(Fault::new("mfa.factors.create", Effect::LoseResponse).times(1));
    browser.step("enroll-mfa", &token).await.refused(502, "workos_unavailable");
    assert_eq!(app.workos().factors(&user), []);
    // The factor cannot be noted.
    let fault = Fault::response("TransactWriteItems", 500, "{\"__type\":\"InternalServerError\"}");
    app.dynamodb().proxy().inject(fault);
    browser.step("enroll-mfa", &token).await.refused(503, "store_unavailable");
    app.dynamodb().proxy().clear_faults();
    assert_eq!(app.workos().factors(&user), []);
    enroll(&app, &mut browser, &token).await.is(200);
}

#[tokio::test]
async fn a_leftover_that_nobody_can_verify_any_more_is_deleted() {
    let app = App::start().await;
    let user = with_mfa(&app, "hesitant@example.com");
    let answer = by_mail(&app, &mut app.browser(), "hesitant@example.com").await;
    let token = pending(&answer, "enroll_mfa");
    app.browser().step("enroll-mfa", &token).await.is(200);
    // Nothing here knows this factor any more.
    app.edit_item(&format!("enrolling#{user}"), |item| item["factor_id"] = json!({ "S": "another" }));
    app.browser().step("enroll-mfa", &token).await.refused(403, "already_enrolled");
    // Later than its pending sign-in lived, WorkOS says again that the person is not enrolled.
    let key = app.items_of("pending#")[0]["pk"]["S"].as_str().unwrap().to_owned();
    let later = crate::app::now() + 1_000;
    app.edit_item(&key, |item| item["refused_at"] = json!({ "N": later.to_string() }));
    let new = app.browser().step("enroll-mfa", &token).await.is(200);
    assert_eq!(app.workos().factors(&user), [(new.text("/factorId"), false)]);
}

#[tokio::test]
async fn a_token_that_workos_keeps_for_the_next_step_keeps_its_tries() {
    let app = App::start().await;
    let user = app.workos().user_id(EVE).unwrap();
    let mut browser = app.browser();
    let answer = by_google(&app, &mut browser, EVE).await;
    let token = pending(&answer, "verify_email");
    for _ in 0..4 {
        browser.verify_email(&token, "000000").await.refused(400, "code_rejected");
    }
    let body = json!({
        "code": "mfa_challenge", "message": "Next.", "pending_authentication_token": token,
        "user": { "id": user, "email": EVE }, "authentication_factors": [{ "id": "auth_factor_1", "type": "totp" }],
    });
    let fault = Fault::response("authenticate.email_verification", 403, body.to_string()).times(1);
    app.workos().proxy().inject(fault.header("content-type", "application/json"));
    let answer = browser.verify_email(&token, &app.code(EVE)).await.refused(403, "mfa_challenge");
    assert_eq!(pending(&answer, "challenge_mfa"), token);
    app.workos().enroll_totp(&user);
    let factor = app.workos().factors(&user).pop().unwrap().0;
    let item = app.items_of("pending#").remove(0);
    app.edit_item(item["pk"]["S"].as_str().unwrap(), |item| item["apps"] = json!({ "L": [{ "S": factor }] }));
    let id = browser.step("challenge-mfa", &token).await.is(200).text("/challengeId");
    browser.verify_mfa(&token, &id, "000000").await.refused(403, "too_many_tries");
}

#[tokio::test]
async fn an_enrollment_sees_the_factor_of_one_that_overtakes_it() {
    let app = App::start().await;
    let user = with_mfa(&app, "victim@example.com");
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let answer = by_mail(&app, &mut app.browser(), "victim@example.com").await;
        tokens.push(pending(&answer, "enroll_mfa"));
    }
    // The thief's request lists the factors at once, but its claim arrives after the person has enrolled. The first
    // update is the count of the source.
    let late = Fault::new("UpdateItem", Effect::Serve).skip(1).times(1).delay(Duration::from_secs(3));
    app.dynamodb().proxy().inject(late);
    let (mut thief, mut person) = (app.browser(), app.browser());
    let overtaken = async { thief.step("enroll-mfa", &tokens[0]).await };
    let overtaking = async {
        while app.dynamodb().proxy().faulted() == 0 || calls(&app, "mfa.factors.list") == 0 {
            tokio::task::yield_now().await;
        }
        enroll(&app, &mut person, &tokens[1]).await.is(200)
    };
    let (overtaken, _) = tokio::join!(overtaken, overtaking);
    overtaken.refused(403, "already_enrolled");
    assert_eq!(app.workos().factors(&user).len(), 1);
}
