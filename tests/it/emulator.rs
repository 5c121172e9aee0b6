//! The flows against the WorkOS emulator (npm `workos` 0.14.0), as far as it supports them: a check of our double's
//! behavior that does not depend on our reading of the documentation.
//!
//! The emulator differs from the double and from WorkOS: Magic Auth returns 404 for an unknown address, the keys are at
//! `/sso/jwks`, refused codes have other error codes, no sign-in requires an organization, every refresh returns a new
//! session id, and the end of a membership ends no session. Its webhooks have the time in seconds, no `object`, and no
//! space in the signature; they are sent once.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use url::Url;

use crate::app::{Answer, App, Browser, http};
use crate::node::node;

const FIRST: &str = "first@example.com";
const JANE: &str = "jane.doe@example.com";
const SECRET: &str = "whsec_emulator";

/// A running emulator. Stops when dropped.
struct Emulator {
    url: String,
    lines: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl Emulator {
    async fn start() -> Self {
        let seed = json!({
            "users": [{ "email": FIRST }, { "email": JANE, "first_name": "Jane", "last_name": "Doe" }],
            "organizations": [{ "name": "Cazzi" }],
        });
        let mut command = node(include_str!("../workos/emulator.mjs"));
        command.env("EMULATOR_SEED", seed.to_string());
        let mut process = command.spawn().expect("node starts");
        let lines = BufReader::new(process.stdout.take().expect("stdout is piped")).lines();
        let mut emulator = Self { url: String::new(), lines, _process: process };
        emulator.url = emulator.line().await["url"].as_str().expect("the emulator prints its URL").to_owned();
        emulator
    }

    async fn line(&mut self) -> Value {
        let line = tokio::time::timeout(Duration::from_secs(30), self.lines.next_line()).await;
        let line = line.expect("the emulator prints a line in time").expect("the line is UTF-8");
        serde_json::from_str(&line.expect("the emulator is running")).expect("the line is JSON")
    }

    /// The code of the next mail, which must be to `email`.
    async fn code(&mut self, email: &str) -> String {
        let mail = self.line().await;
        assert_eq!(mail["to"], email);
        mail["code"].as_str().expect("a code").to_owned()
    }

    /// The product, with this emulator as its WorkOS.
    async fn app(&self) -> App {
        App::with(|options| {
            options.workos_url = Some(self.url.clone());
            let variables = [
                ("WORKOS_JWKS_URL", format!("{}/sso/jwks", self.url)),
                ("WORKOS_ISSUERS", self.url.clone()),
                ("WORKOS_WEBHOOK_SECRET", SECRET.to_owned()),
            ];
            options.environment.extend(variables.map(|(name, value)| (name.to_owned(), value)));
        })
        .await
    }

    /// Has every event sent to the product, as in WorkOS' dashboard.
    async fn subscribe(&self, app: &App) {
        let endpoint = json!({ "endpoint_url": format!("{}/webhooks/workos", app.url()), "secret": SECRET, "events": [] });
        self.change(Method::POST, "/webhook_endpoints", endpoint).await;
    }

    /// Waits for the webhook of an event, which the product must have accepted.
    async fn webhook(&mut self, event: &str) {
        loop {
            let line = self.line().await;
            if line["webhook"] == event {
                assert_eq!(line["status"], 200, "{line}");
                return;
            }
        }
    }

    /// Changes a resource with the API key.
    async fn change(&self, method: Method, path: &str, body: Value) -> Value {
        let request = http().request(method, format!("{}{path}", self.url)).bearer_auth("sk_test_default");
        let response = request.json(&body).send().await.expect("the emulator responds");
        assert!(response.status().is_success(), "{path}: {}", response.status());
        serde_json::from_str(&response.text().await.expect("a body")).unwrap_or_default()
    }

    /// Reads a resource with the API key.
    async fn get(&self, path: &str) -> Value {
        let request = http().get(format!("{}{path}", self.url)).bearer_auth("sk_test_default");
        request.send().await.expect("the emulator responds").json().await.expect("JSON")
    }

    /// The ids of the users with this address.
    async fn users(&self, email: &str) -> Vec<String> {
        let found = self.get(&format!("/user_management/users?email={email}")).await;
        let users = found["data"].as_array().expect("a list").iter();
        users.map(|user| user["id"].as_str().expect("an id").to_owned()).collect()
    }

    /// Makes Jane an administrator of the organization. Returns its id.
    async fn join_organization(&self) -> String {
        let organization = self.get("/organizations").await["data"][0]["id"].clone();
        let [user] = self.users(JANE).await.try_into().expect("one user");
        let membership = json!({ "user_id": user, "organization_id": organization, "role_slug": "admin" });
        let url = format!("{}/user_management/organization_memberships", self.url);
        let request = http().post(url).bearer_auth("sk_test_default").json(&membership);
        assert_eq!(request.send().await.expect("the emulator responds").status(), StatusCode::CREATED);
        organization.as_str().expect("an id").to_owned()
    }

    /// Signs in with `/auth/continue-with-google`, as the user with the address `hint` or the first user.
    async fn google<'a>(&self, app: &'a App, hint: Option<&str>) -> Browser<'a> {
        let mut browser = app.browser();
        let response = browser.send("/auth/continue-with-google", None).await.is(200);
        let callback = redirect(&response.text("/authData/redirectURL"), hint).await;
        let (code, state) = (parameter(&callback, "code"), parameter(&callback, "state"));
        assert_eq!(state, response.text("/authData/state"));
        browser.finalize_oauth(&code, Some(&state)).await.is(200);
        browser
    }
}

/// The URL to which `url` redirects.
async fn redirect(url: &str, hint: Option<&str>) -> Url {
    let mut url = Url::parse(url).expect("a URL");
    if let Some(hint) = hint {
        url.query_pairs_mut().append_pair("login_hint", hint);
    }
    let response = http().get(url).send().await.expect("the emulator responds");
    assert_eq!(response.status(), StatusCode::FOUND);
    Url::parse(response.headers()["location"].to_str().expect("a header in ASCII")).expect("a URL")
}

fn parameter(url: &Url, name: &str) -> String {
    let found = url.query_pairs().find(|(key, _)| key == name);
    found.unwrap_or_else(|| panic!("no {name} in {url}")).1.into_owned()
}

/// Asserts that nobody was signed in. The status is 502, since the emulator returns `invalid_code` and
/// `invalid_code_verifier` instead of WorkOS' `invalid_one_time_code` and `invalid_grant`, and after an unknown error the
/// code may be used up.
#[track_caller]
fn refused(response: &Answer) {
    assert_eq!((response.status.as_u16(), &response.body["reason"]), (502, &json!("sign_in_interrupted")));
    assert!(
        !response.cookies.iter().any(|cookie| cookie.starts_with("__Host-session=")),
        "{:?}",
        response.cookies
    );
}

/// Makes the access token of the only session look expired. The emulator's tokens are valid for an hour.
fn expire_access(app: &App) {
    let mut session = session(app);
    session["access_expires_at"] = json!({ "N": "1" });
    app.dynamodb().put(app.cloud.table().expect("a table"), &session).expect("the item is stored");
}

/// The only session that no switch has replaced.
fn session(app: &App) -> Value {
    let mut sessions = app.items_of("session#");
    sessions.retain(|session| session.get("replaced_by").is_none());
    assert_eq!(sessions.len(), 1);
    sessions.remove(0)
}

#[tokio::test]
async fn sign_up_creates_the_user_and_mails_a_code_that_signs_in() {
    let mut emulator = Emulator::start().await;
    let app = emulator.app().await;
    let (mut browser, email) = (app.browser(), "new.user@example.com");
    assert!(emulator.users(email).await.is_empty());
    browser.sign_up(email).await.is(201);
    let [id] = emulator.users(email).await.try_into().expect("one user");
    let code = emulator.code(email).await;
    let response = browser.finalize_magic_auth(email, &code).await.is(200);
    assert_eq!((response.text("/user/id"), response.text("/user/email")), (id, email.to_owned()));
    browser.room_auth("New", "room").await.is(200);
    // A known address gets the same response, and a sign-in code.
    app.browser().sign_up(email).await.is(201);
    let code = emulator.code(email).await;
    app.browser().finalize_magic_auth(email, &code).await.is(200);
    assert_eq!(emulator.users(email).await.len(), 1);
}

#[tokio::test]
async fn magic_auth_signs_in_and_a_code_works_once() {
    let mut emulator = Emulator::start().await;
    let app = emulator.app().await;
    let mut browser = app.browser();
    let response = browser.sign_in(JANE).await.is(200);
    assert_eq!(response.body, json!({ "authData": { "authMethod": "magic_auth" } }));
    let first = emulator.code(JANE).await;
    browser.resend_magic_auth(JANE).await.is(200);
    let second = emulator.code(JANE).await;
    let response = browser.finalize_magic_auth(JANE, &second).await.is(200);
    assert_eq!(
        (response.text("/user/firstName"), response.text("/user/lastName")),
        ("Jane".into(), "Doe".into())
    );
    browser.room_auth("Jane", "room").await.is(200);
    refused(&app.browser().finalize_magic_auth(JANE, &second).await);
    app.browser().finalize_magic_auth(JANE, &first).await.is(200);
    // A sign-in does not create a user.
    app.browser().sign_in("nobody@example.com").await.is(200);
    assert!(emulator.users("nobody@example.com").await.is_empty());
}

#[tokio::test]
async fn dev_sign_in_creates_its_user_and_starts_a_session() {
    let emulator = Emulator::start().await;
    let app = emulator.app().await;
    let mut browser = app.browser();
    assert_eq!(browser.dev_sign_in().await.is(200).body["user"]["email"], "admin@cazzi.com");
    browser.room_auth("Admin", "room").await.is(200);
}

#[tokio::test]
async fn oauth_redeems_a_code_only_with_the_verifier_of_the_same_browser() {
    let emulator = Emulator::start().await;
    let app = emulator.app().await;
    for (hint, email) in [(None, FIRST), (Some(JANE), JANE)] {
        let mut browser = emulator.google(&app, hint).await;
        browser.room_auth("Jane", "room").await.is(200);
        assert!(
            app.items_of("session#").iter().any(|item| item["email"]["S"] == email),
            "{email} is signed in"
        );
    }
    // The emulator checks S256, so a browser cannot redeem the code of another browser's flow.
    let (mut one, mut other) = (app.browser(), app.browser());
    let started = one.send("/auth/continue-with-microsoft", None).await.is(200);
    other.send("/auth/continue-with-microsoft", None).await.is(200);
    let callback = redirect(&started.text("/authData/redirectURL"), None).await;
    refused(&other.finalize_oauth(&parameter(&callback, "code"), None).await);
}

#[tokio::test]
async fn an_expired_access_token_is_refreshed_and_the_rotated_token_works_again() {
    let emulator = Emulator::start().await;
    let app = emulator.app().await;
    let mut browser = emulator.google(&app, Some(JANE)).await;
    for _ in 0..3 {
        let before = session(&app)["sealed_refresh_token"].clone();
        expire_access(&app);
        browser.room_auth("Jane", "room").await.is(200);
        let after = session(&app);
        assert_ne!(after["sealed_refresh_token"], before, "the rotated token is stored");
        let expires_at: u64 = after["access_expires_at"]["N"].as_str().unwrap().parse().unwrap();
        assert!(expires_at > after["last_seen_at"]["N"].as_str().unwrap().parse().unwrap());
    }
}

#[tokio::test]
async fn switching_moves_the_session_into_the_organization() {
    let emulator = Emulator::start().await;
    let app = emulator.app().await;
    let organization = emulator.join_organization().await;
    let mut browser = emulator.google(&app, Some(JANE)).await;
    let old = browser.clone();
    browser.switch_organization(JANE, &organization).await.is(200);
    assert_eq!(session(&app)["organization_id"]["S"], organization.as_str());
    assert_eq!(session(&app)["role"]["S"], "admin");
    browser.room_auth("Jane", "room").await.is(200);
    let mut old = old;
    old.switch_organization(JANE, &organization).await.refused(401, "not_signed_in");
}

#[tokio::test]
async fn sign_out_ends_our_session_and_its_redirect_ends_the_workos_session() {
    let emulator = Emulator::start().await;
    let app = emulator.app().await;
    let mut browser = emulator.google(&app, Some(JANE)).await;
    let [user] = emulator.users(JANE).await.try_into().expect("one user");
    let sessions = format!("/user_management/users/{user}/sessions");
    let count = async || emulator.get(&sessions).await["data"].as_array().expect("a list").len();
    assert_eq!(count().await, 1);
    let signed_in = browser.clone();
    let url = browser.sign_out().await.is(200).text("/authData/redirectURL");
    assert!(url.starts_with(&format!("{}/user_management/sessions/logout?return_to=", emulator.url)));
    let target = redirect(&url, None).await;
    assert_eq!(target.as_str().trim_end_matches('/'), local::SIGN_OUT_RETURN_TO);
    assert_eq!(count().await, 0);
    let mut signed_in = signed_in;
    signed_in.room_auth("Jane", "room").await.refused(401, "not_signed_in");
}

#[tokio::test]
async fn a_session_revoked_at_the_emulator_is_over() {
    let mut emulator = Emulator::start().await;
    let app = emulator.app().await;
    emulator.subscribe(&app).await;
    let (mut revoked, mut other) =
        (emulator.google(&app, Some(JANE)).await, emulator.google(&app, Some(JANE)).await);
    let [user] = emulator.users(JANE).await.try_into().expect("one user");
    let sessions = emulator.get(&format!("/user_management/users/{user}/sessions")).await;
    let ids: Vec<_> = sessions["data"].as_array().expect("a list").iter().map(|each| &each["id"]).collect();
    let of_first = app.session_item(&revoked).expect("a session")["workos_session_id"]["S"].clone();
    assert!(ids.contains(&&of_first), "{ids:?}");
    let body = json!({ "session_id": of_first });
    emulator.change(Method::POST, "/user_management/sessions/revoke", body).await;
    emulator.webhook("session.revoked").await;
    revoked.room_auth("Jane", "room").await.refused(401, "not_signed_in");
    other.room_auth("Jane", "room").await.is(200);
}

#[tokio::test]
async fn the_sessions_of_a_user_deleted_at_the_emulator_are_over() {
    let mut emulator = Emulator::start().await;
    let app = emulator.app().await;
    emulator.subscribe(&app).await;
    let (mut one, mut two) =
        (emulator.google(&app, Some(JANE)).await, emulator.google(&app, Some(JANE)).await);
    let mut first = emulator.google(&app, Some(FIRST)).await;
    let [user] = emulator.users(JANE).await.try_into().expect("one user");
    emulator.change(Method::DELETE, &format!("/user_management/users/{user}"), json!({})).await;
    emulator.webhook("user.deleted").await;
    one.room_auth("Jane", "room").await.refused(401, "not_signed_in");
    two.room_auth("Jane", "room").await.refused(401, "not_signed_in");
    first.room_auth("First", "room").await.is(200);
}

#[tokio::test]
async fn sessions_in_an_organization_end_with_the_membership_at_the_emulator() {
    for deleted in [true, false] {
        let mut emulator = Emulator::start().await;
        let app = emulator.app().await;
        emulator.subscribe(&app).await;
        let organization = emulator.join_organization().await;
        let mut member = emulator.google(&app, Some(JANE)).await;
        member.switch_organization(JANE, &organization).await.is(200);
        assert_eq!(session(&app)["organization_id"]["S"], organization.as_str());
        let mut first = emulator.google(&app, Some(FIRST)).await;
        let path = format!("/user_management/organization_memberships?organization_id={organization}");
        let membership = emulator.get(&path).await["data"][0]["id"].clone();
        let path =
            format!("/user_management/organization_memberships/{}", membership.as_str().expect("an id"));
        if deleted {
            emulator.change(Method::DELETE, &path, json!({})).await;
            emulator.webhook("organization_membership.deleted").await;
        } else {
            emulator.change(Method::PUT, &format!("{path}/deactivate"), json!({})).await;
            emulator.webhook("organization_membership.updated").await;
        }
        member.room_auth("Jane", "room").await.refused(401, "not_signed_in");
        first.room_auth("First", "room").await.is(200);
    }
}
