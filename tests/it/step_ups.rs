//! A sign-in that needs another step. Each step has its own reason in every shape of WorkOS' errors, and none is a 500.

use local_proxy::Fault;
use local_workos::{Environment, Method, Policy};
use serde_json::{Value, json};

use crate::app::{Answer, App, Browser};

const ACME: &str = "org_01JACME0000000000000000000";
const GLOBEX: &str = "org_01JG00G1E00000000000000000";
const INITECH: &str = "org_01JN1TECH00000000000000000";
const CONNECTION: &str = "conn_01JACME0000000000000000000";

/// An error from WorkOS, and the response that it must lead to.
struct Step {
    /// WorkOS' code; empty for errors that are a message alone.
    code: &'static str,
    message: &'static str,
    /// The fields beside the code.
    fields: fn() -> Value,
    status: u16,
    reason: &'static str,
}

const fn step(code: &'static str, fields: fn() -> Value, status: u16, reason: &'static str) -> Step {
    Step { code, message: "Something has to be done first.", fields, status, reason }
}

const fn bare(message: &'static str, status: u16, reason: &'static str) -> Step {
    Step { code: "", message, fields: nothing, status, reason }
}

fn nothing() -> Value {
    json!({})
}

fn pending() -> Value {
    json!({ "pending_authentication_token": "pending-1", "user": { "id": "user_1", "email": "kim@example.com" } })
}

fn connections() -> Value {
    json!({ "email": "kim@example.com", "connection_ids": [CONNECTION] })
}

fn sso_among_methods() -> Value {
    json!({ "email": "kim@example.com", "sso_connection_ids": [CONNECTION], "auth_methods": { "magic_auth": false } })
}

fn other_methods() -> Value {
    json!({ "email": "kim@example.com", "sso_connection_ids": [], "auth_methods": { "google_oauth": true } })
}

const STEPS: [Step; 17] = [
    step("email_verification_required", pending, 403, "email_verification_required"),
    step("mfa_enrollment", pending, 403, "mfa_enrollment"),
    step("mfa_challenge", pending, 403, "mfa_challenge"),
    step("sso_required", connections, 403, "sso_required"),
    step("organization_authentication_methods_required", sso_among_methods, 403, "sso_required"),
    step(
        "organization_authentication_methods_required",
        other_methods,
        403,
        "authentication_method_not_allowed",
    ),
    step("authentication_method_not_allowed", nothing, 403, "authentication_method_not_allowed"),
    step("organization_membership_not_found", nothing, 403, "organization_not_allowed"),
    step("organization_not_found", nothing, 403, "organization_not_allowed"),
    step("invalid_organization_id", nothing, 403, "organization_not_allowed"),
    step("sign_up_not_allowed", nothing, 400, "sign_in_refused"),
    step("access_denied", nothing, 400, "sign_in_refused"),
    step("radar_challenge", pending, 400, "sign_in_refused"),
    step("one_time_code_too_many_attempts", nothing, 429, "rate_limited"),
    // An unknown step is neither a 500 nor a guess.
    step("a_step_of_next_year", pending, 502, "sign_in_interrupted"),
    bare("Must use SSO for selected organization", 403, "authentication_method_not_allowed"),
    bare("Organization not found: 'org_1'", 403, "organization_not_allowed"),
];

impl Step {
    /// The error in every shape: those with a code, or the one without.
    fn bodies(&self) -> Vec<Value> {
        let shapes = match self.code {
            "" => vec![json!({ "message": self.message })],
            code => vec![
                json!({ "code": code, "message": self.message }),
                json!({ "error": code, "error_description": self.message }),
                json!({ "code": code, "message": self.message, "error": "Forbidden" }),
            ],
        };
        let fields = (self.fields)();
        let with_fields = |mut body: Value| {
            for (name, value) in fields.as_object().unwrap() {
                body[name] = value.clone();
            }
            body
        };
        shapes.into_iter().map(with_fields).collect()
    }

    #[track_caller]
    fn check(&self, answer: Answer, body: &Value) {
        assert_ne!(answer.status, 500, "{body}");
        let answer = answer.refused(self.status, self.reason);
        let is_step_up = self.status == 403 && body.get("pending_authentication_token").is_some();
        let pending = is_step_up.then_some("pending-1");
        assert_eq!(answer.body.get("pendingAuthenticationToken").and_then(Value::as_str), pending, "{body}");
        assert_eq!(answer.body.get("next").and_then(Value::as_str), self.next(), "{body}");
        let target = match self.reason {
            "sso_required" => Some(CONNECTION),
            _ => self.next().filter(|next| *next == "redirect").map(|_| "provider=GoogleOAuth"),
        };
        Self::check_redirect(&answer, target);
    }

    /// The next step that a sign-in leads to.
    fn next(&self) -> Option<&'static str> {
        match self.reason {
            "email_verification_required" => Some("verify_email"),
            "mfa_enrollment" => Some("enroll_mfa"),
            "mfa_challenge" => Some("challenge_mfa"),
            "sso_required" => Some("redirect"),
            "authentication_method_not_allowed" => {
                let methods = (self.fields)();
                Some(if methods["auth_methods"]["google_oauth"] == true {
                    "redirect"
                } else {
                    "other_method"
                })
            }
            _ => None,
        }
    }

    /// Checks the response to a refused switch. It leaves no pending sign-in: every step is taken on WorkOS' page.
    #[track_caller]
    fn check_switch(&self, answer: Answer, organization: &str) {
        let answer = answer.refused(self.status, self.reason);
        assert_eq!(answer.body.get("pendingAuthenticationToken"), None);
        let target = match self.reason {
            "sso_required" => Some(CONNECTION.to_owned()),
            _ => self.next().map(|_| "/user_management/authorize?".to_owned()),
        };
        if target.is_some() {
            assert_eq!(answer.body["next"], "redirect", "{answer:?}");
        }
        Self::check_redirect(&answer, target.as_deref());
        if self.reason != "sso_required" && target.is_some() {
            assert!(
                answer.text("/authData/redirectURL").contains(&format!("organization_id={organization}&"))
            );
        }
    }

    /// Checks that `authData` leads to `target`, in a flow that `finalize-oauth` finishes, or that there is none.
    #[track_caller]
    fn check_redirect(answer: &Answer, target: Option<&str>) {
        assert!(!answer.cookies.iter().any(|cookie| cookie.starts_with("__Host-session=")));
        let Some(target) = target else { return assert_eq!(answer.body.get("authData"), None, "{answer:?}") };
        let sso = (answer.body["reason"] == "sso_required").then_some("sso");
        assert_eq!(answer.body["authData"].get("authMethod").and_then(Value::as_str), sso);
        assert!(answer.text("/authData/redirectURL").contains(target), "{answer:?}");
        assert!(answer.cookies.iter().any(|cookie| cookie.starts_with("__Host-oauth=1")), "{answer:?}");
    }
}

/// Makes WorkOS respond to every grant with `body`.
fn answer_grants(app: &App, status: u16, body: &Value) {
    app.workos().proxy().clear_faults();
    for grant in ["magic_auth", "authorization_code", "organization_selection", "refresh_token"] {
        let fault = Fault::response(format!("authenticate.{grant}"), status, body.to_string());
        app.workos().proxy().inject(fault.header("content-type", "application/json"));
    }
}

#[tokio::test]
async fn every_step_has_its_reason_in_every_shape_at_every_endpoint() {
    let app = App::start().await;
    let mut number = 0;
    for step in &STEPS {
        for body in step.bodies() {
            app.reset_limits();
            // WorkOS is not consistent about the status. A code overrides it.
            for status in [400, 403] {
                answer_grants(&app, status, &body);
                let mut browser = app.browser();
                browser.continue_with_google().await.is(200);
                step.check(browser.finalize_oauth("code", None).await, &body);
            }
            answer_grants(&app, 403, &body);
            step.check(app.browser().select_organization("pending", "org_1").await, &body);
            number += 1;
            let email = format!("kim{number}@example.com");
            step.check(app.browser().finalize_magic_auth(&email, "123456").await, &body);
        }
    }
    assert!(app.items_of("session#").is_empty());
}

#[tokio::test]
async fn dev_sign_in_has_the_same_reasons() {
    let app = App::start().await;
    for step in &STEPS {
        // One shape only: each call mails a code, and WorkOS limits mails.
        let body = step.bodies().remove(0);
        let code = json!({
            "object": "magic_auth", "id": "magic_auth_1", "user_id": "user_1", "email": "admin@cazzi.com",
            "code": "123456", "expires_at": "2030-01-01T00:00:00.000Z",
            "created_at": "2030-01-01T00:00:00.000Z", "updated_at": "2030-01-01T00:00:00.000Z",
        });
        answer_grants(&app, 403, &body);
        app.workos().proxy().inject(Fault::response("magic_auth.create", 201, code.to_string()));
        step.check(app.browser().dev_sign_in().await, &body);
    }
}

#[tokio::test]
async fn a_switch_keeps_its_session_through_every_step() {
    let app = App::start().await;
    let email = "123@gmail.com";
    let mut browser = app.browser();
    browser.sign_in(email).await.is(200);
    let answer = browser.finalize_magic_auth(email, &app.code(email)).await.is(200);
    let pending = answer.text("/user/pendingAuthenticationToken");
    let (here, there) = (answer.text("/user/organizations/0/id"), answer.text("/user/organizations/1/id"));
    browser.select_organization(&pending, &here).await.is(200);
    let token = browser.token();
    // The other reasons are about mailed codes or outages.
    for step in STEPS.iter().filter(|step| !["rate_limited", "sign_in_interrupted"].contains(&step.reason)) {
        for body in step.bodies() {
            answer_grants(&app, 400, &body);
            step.check_switch(browser.switch_organization(email, &there).await, &there);
            assert_eq!(browser.token(), token);
        }
    }
    app.workos().proxy().clear_faults();
    assert_eq!(app.context_of(&browser).await.unwrap()["organizationId"], here.as_str());
    browser.switch_organization(email, &there).await.is(200);
}

#[tokio::test]
async fn a_selection_is_decoded_in_every_shape_but_only_when_complete() {
    let app = App::start().await;
    let fields = json!({
        "pending_authentication_token": "pending-1",
        "user": { "object": "user", "id": "user_1", "email": "kim@example.com" },
        "organizations": [{ "id": "org_1", "name": "One" }, { "id": "org_2", "name": "Two", "new": [1] }],
    });
    let whole = |mut body: Value| {
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        body
    };
    for body in [
        json!({ "code": "organization_selection_required", "message": "Choose." }),
        json!({ "error": "organization_selection_required", "error_description": "Choose." }),
    ] {
        answer_grants(&app, 403, &whole(body.clone()));
        let mut browser = app.browser();
        browser.continue_with_google().await.is(200);
        let by_oauth = browser.finalize_oauth("code", None).await.is(200);
        let by_mail = app.browser().finalize_magic_auth("kim@example.com", "123456").await.is(200);
        let expected = json!({ "status": "choose_organization", "user": {
            "id": "user_1",
            "email": "kim@example.com",
            "pendingAuthenticationToken": "pending-1",
            "organizations": [{ "id": "org_1", "name": "One" }, { "id": "org_2", "name": "Two" }],
        }});
        assert_eq!((&by_oauth.body, &by_mail.body), (&expected, &expected));

        for missing in ["pending_authentication_token", "user", "organizations"] {
            let mut part = whole(body.clone());
            part.as_object_mut().unwrap().remove(missing);
            answer_grants(&app, 403, &part);
            let answer = app.browser().select_organization("pending", "org_1").await;
            answer.refused(502, "sign_in_interrupted");
        }
    }
}

/// Signs `email` in with a mailed code and returns the last response.
async fn by_mail(app: &App, browser: &mut Browser<'_>, email: &str) -> Answer {
    browser.sign_in(email).await.is(200);
    browser.finalize_magic_auth(email, &app.code(email)).await
}

#[tokio::test]
async fn policies_lead_to_their_steps() {
    let app = App::start().await;
    let workos = app.workos();
    let member_of = |email: &str, organization: &str| {
        let user = workos.add_user(email);
        workos.add_membership(&user, organization, "member", &["rooms:join"]);
    };

    member_of("mfa@example.com", INITECH);
    let answer = by_mail(&app, &mut app.browser(), "mfa@example.com").await.refused(403, "mfa_enrollment");
    assert!(!answer.text("/pendingAuthenticationToken").is_empty());
    let answer = by_mail(&app, &mut app.browser(), "max@example.com").await.refused(403, "mfa_challenge");
    assert!(!answer.text("/pendingAuthenticationToken").is_empty());

    member_of("google@example.com", GLOBEX);
    let answer = by_mail(&app, &mut app.browser(), "google@example.com").await;
    answer.refused(403, "authentication_method_not_allowed");
    let mut browser = app.browser();
    let url = browser.continue_with_google().await.is(200).text("/authData/redirectURL");
    let back = app.at_provider(&url, "google@example.com").await;
    browser.finalize_oauth(back.code(), None).await.is(200);

    // Google has not verified this address, and the environment requires that.
    let mut browser = app.browser();
    let url = browser.continue_with_google().await.is(200).text("/authData/redirectURL");
    let back = app.at_provider(&url, "eve@umbrella.test").await;
    let answer = browser.finalize_oauth(back.code(), None).await.refused(403, "email_verification_required");
    assert!(!answer.text("/pendingAuthenticationToken").is_empty());

    // The organization requires SSO, although the mail domain has no connection: the response contains the redirect.
    member_of("contractor@example.com", ACME);
    let mut browser = app.browser();
    let answer = by_mail(&app, &mut browser, "contractor@example.com").await.refused(403, "sso_required");
    let back = app.at_provider(&answer.text("/authData/redirectURL"), "contractor@example.com").await;
    let answer = browser.finalize_oauth(back.code(), back.state.as_deref()).await.is(200);
    assert_eq!(answer.body["user"]["email"], "contractor@example.com");

    // Without a connection, WorkOS responds with a message without a code.
    let organization = workos.add_organization("No connection", &[]);
    workos.set_policy(&organization, Policy { sso_required: true, ..Policy::default() });
    member_of("lost@example.com", &organization);
    let answer = by_mail(&app, &mut app.browser(), "lost@example.com").await;
    answer.refused(403, "authentication_method_not_allowed");

    // A method that is disabled during a sign-in.
    let mut browser = app.browser();
    let url = browser.continue_with_google().await.is(200).text("/authData/redirectURL");
    let back = app.at_provider(&url, "jane.doe@example.com").await;
    let only_mail = Environment { authentication_methods: vec![Method::MagicAuth], ..Environment::default() };
    workos.set_environment(only_mail);
    let answer = browser.finalize_oauth(back.code(), None).await;
    answer.refused(403, "authentication_method_not_allowed");
}
