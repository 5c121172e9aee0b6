//! Sessions without third-party cookies: header transport, and partitioned cookies.

use std::collections::BTreeSet;

use api::SESSION_COOKIE;
use api::transport::{FLOW_TOKEN, SESSION_TOKEN, SESSION_TRANSPORT, header_for};
use catalog::{Outgoing, Tokens};
use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{Answer, App, Browser, ORIGIN, http};
use crate::organizations::{MASADAS, TAUNTA, organization_of};
use crate::redirects::{NATIVE, at_provider};
use crate::stage::{Ready, Stage};

const JANE: &str = "jane.doe@example.com";
/// Her organization has SSO.
const ANN: &str = "ann@acme.test";
/// In two organizations.
const KIM: &str = "123@gmail.com";

const URL: &str = "/authData/redirectURL";
const BOTH_FORMS: [&str; 2] = ["__Host-session", "__Host-session-p"];

async fn with_header_transport() -> App {
    App::with_env(&[("SESSION_TRANSPORTS", "cookie,header")]).await
}

async fn with_partitioned_cookies() -> App {
    App::with_env(&[("COOKIE_SAME_SITE", "none"), ("SESSION_TRANSPORTS", "cookie,header")]).await
}

/// A program without a cookie jar, such as a native app. It keeps two tokens, as docs/security.md tells it to.
#[derive(Clone)]
struct Client<'a> {
    app: &'a App,
    origin: Option<&'static str>,
    tokens: Tokens,
}

impl<'a> Client<'a> {
    fn new(app: &'a App) -> Self {
        Self { app, origin: None, tokens: Tokens::default() }
    }

    async fn post(&mut self, path: &str, body: Value) -> Answer {
        let mut request = http().post(format!("{}{path}", self.app.url())).json(&body);
        request = request.header(SESSION_TRANSPORT, "header");
        if let Some(origin) = self.origin {
            request = request.header("origin", origin);
        }
        if let Some(token) = &self.tokens.session {
            request = request.bearer_auth(token);
        }
        if let Some(token) = &self.tokens.flow {
            request = request.header(FLOW_TOKEN, token);
        }
        let answer = Answer::read(request.send().await.unwrap()).await.unwrap();
        assert!(answer.cookies.is_empty(), "{path} sets cookies: {:?}", answer.cookies);
        crate::reasons::check(catalog::serving("POST", path).unwrap(), &answer);
        if let Some(token) = answer.header(SESSION_TOKEN.as_str()) {
            self.tokens.session = Some(token.to_owned());
        }
        if let Some(token) = answer.header(FLOW_TOKEN.as_str()) {
            self.tokens.flow = Some(token.to_owned());
        }
        answer
    }

    async fn sign_in(&mut self, email: &str) -> Answer {
        self.post("/auth/sign-in", json!({ "email": email })).await.is(200)
    }

    async fn finalize_magic_auth(&mut self, email: &str, code: &str) -> Answer {
        self.post("/auth/finalize-magic-auth", json!({ "email": email, "code": code })).await
    }

    /// Signs in at the identity provider behind `url`.
    async fn finalize_oauth(&mut self, url: &str, email: &str) -> Answer {
        let back = self.app.at_provider(url, email).await;
        self.post("/auth/finalize-oauth", json!({ "code": back.code(), "state": back.state })).await
    }

    async fn room_auth(&mut self) -> Answer {
        self.post("/api/v1/livekit/room-auth", json!({ "username": "Jane", "roomId": "room" })).await
    }

    fn session(&self) -> &str {
        self.tokens.session.as_deref().expect("a session token")
    }
}

/// Sends a request and asserts that it is refused, sets no cookie and returns no token.
async fn refused(app: &App, outgoing: &Outgoing, status: u16, reason: &str) {
    let name = outgoing.function.name;
    let answer = outgoing.request(&http(), app.url()).unwrap().send().await.unwrap();
    let answer = Answer::read(answer).await.unwrap().refused(status, reason);
    crate::reasons::check(outgoing.function, &answer);
    assert!(answer.cookies.is_empty(), "{name}: {:?}", answer.cookies);
    for header in [SESSION_TOKEN, FLOW_TOKEN] {
        assert!(!answer.headers.contains_key(&header), "{name} returns {header}");
    }
}

fn with_header(outgoing: &Outgoing, name: &str, value: &str) -> Outgoing {
    let mut outgoing = outgoing.clone();
    outgoing.headers.retain(|(each, _)| each != name);
    outgoing.headers.push((name.to_owned(), value.to_owned()));
    outgoing
}

#[tokio::test]
async fn every_endpoint_works_without_a_cookie() {
    let stage = Stage::with_header_transport().await;
    let (mut sessions, mut flows) = (BTreeSet::new(), BTreeSet::new());
    for function in catalog::endpoints() {
        let lost = function.route.cookies.iter().find(|cookie| header_for(cookie).is_none());
        assert_eq!(lost, None, "{}: a cookie has no header", function.name);
        let mut ready = stage.ready_without_cookies(function).await;
        let answer = ready.succeed().await;
        let Ready { person, .. } = &ready;
        assert!(answer.cookies.is_empty() && person.cookies.is_empty(), "{}: {answer:?}", function.name);
        if answer.headers.contains_key(SESSION_TOKEN) {
            assert_eq!(person.tokens.as_ref().unwrap().session.as_deref(), answer.header("session-token"));
            sessions.insert(function.name);
        }
        if answer.headers.contains_key(FLOW_TOKEN) {
            flows.insert(function.name);
        }

        // The same request gets cookies where it asks for them.
        let cookies = stage.ready(function).await.succeed().await.cookies;
        let set = |cookie: &&String| !cookie.contains("Max-Age=0");
        let name = |cookie: &String| cookie.split('=').next().unwrap().to_owned();
        let sets_session = cookies.iter().filter(set).any(|cookie| name(cookie) == SESSION_COOKIE);
        assert_eq!(sets_session, sessions.contains(function.name), "{}: {cookies:?}", function.name);
        let sets_other = cookies.iter().any(|cookie| name(cookie) != SESSION_COOKIE);
        assert_eq!(sets_other, flows.contains(function.name), "{}: {cookies:?}", function.name);
    }
    assert!(sessions.len() >= 5 && flows.len() >= 6, "{sessions:?} {flows:?}");
}

#[tokio::test]
async fn header_transport_is_off_unless_it_is_enabled() {
    let stage = Stage::open().await;
    for function in catalog::endpoints() {
        let mut ready = stage.ready(function).await;
        let asking = with_header(&ready.outgoing, SESSION_TRANSPORT.as_str(), "header");
        refused(&stage.app, &asking, 403, "transport_not_enabled").await;
        ready.outgoing = with_header(&ready.outgoing, SESSION_TRANSPORT.as_str(), "cookie");
        ready.succeed().await;
    }
}

/// Else an injected script could turn the `HttpOnly` cookie into a token that it can read.
#[tokio::test]
async fn beside_a_session_cookie_it_is_refused_and_nothing_is_used_up() {
    for app in [with_header_transport().await, with_partitioned_cookies().await] {
        let stage = Stage::of(app);
        let live = holding(&stage.app, "live").await.cookies["live"].clone();
        for function in catalog::endpoints() {
            let mut ready = stage.ready_without_cookies(function).await;
            let sessions = stage.app.items_of("session#");
            for name in BOTH_FORMS {
                for value in [live.as_str(), ""] {
                    let beside = with_header(&ready.outgoing, "cookie", &format!("a=b; {name}={value}"));
                    let beside = with_header(&beside, SESSION_TRANSPORT.as_str(), "header");
                    refused(&stage.app, &beside, 403, "session_cookie_present").await;
                }
            }
            assert_eq!(stage.app.items_of("session#"), sessions, "{}", function.name);
            ready.succeed().await;
        }
    }
}

#[tokio::test]
async fn an_unknown_transport_is_refused() {
    let stage = Stage::with_header_transport().await;
    for function in catalog::endpoints() {
        let ready = stage.ready(function).await;
        for value in ["headers", "Header", "", "cookie,header", "cookie, cookie"] {
            let asking = with_header(&ready.outgoing, SESSION_TRANSPORT.as_str(), value);
            refused(&stage.app, &asking, 400, "invalid_transport").await;
        }
    }
}

#[tokio::test]
async fn a_foreign_origin_gets_no_token() {
    let app = with_header_transport().await;
    let mut client = Client { origin: Some("https://evil.example"), ..Client::new(&app) };
    client.post("/auth/sign-in", json!({ "email": JANE })).await.refused(403, "origin_not_allowed");
    assert!(app.workos().mails().is_empty());
    for path in ["/auth/continue-with-google", "/auth/dev-sign-in"] {
        let answer = client.post(path, json!({})).await.refused(403, "origin_not_allowed");
        assert!(answer.header("access-control-expose-headers").is_none());
    }
    assert!(client.tokens.session.is_none() && client.tokens.flow.is_none());

    // The page of an allowed origin may read them, and may send its own headers.
    let mut client = Client { origin: Some(ORIGIN), ..Client::new(&app) };
    let answer = client.post("/auth/dev-sign-in", json!({})).await.is(200);
    let exposed = answer.header("access-control-expose-headers").unwrap();
    assert!(exposed.contains("session-token") && exposed.contains("flow-token"), "{exposed}");
    for (origin, expected) in [(ORIGIN, true), ("https://evil.example", false)] {
        let preflight = http()
            .request(Method::OPTIONS, format!("{}/auth/sign-in", app.url()))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,flow-token,session-transport");
        let answer = Answer::read(preflight.send().await.unwrap()).await.unwrap();
        let allowed = answer.header("access-control-allow-headers").unwrap_or_default();
        for name in ["authorization", "flow-token", "session-transport"] {
            assert_eq!(allowed.split(',').any(|each| each == name), expected, "{name}: {allowed}");
        }
    }
}

#[tokio::test]
async fn a_program_without_cookies_gets_from_google_to_a_room() {
    let app = with_header_transport().await;
    // A scheme of its own, and a port that is free.
    for redirect_uri in [NATIVE, "http://127.0.0.1:51004/callback"] {
        let mut client = Client::new(&app);
        let body = json!({ "redirectUri": redirect_uri, "returnTo": "/rooms" });
        let url = client.post("/auth/continue-with-google", body).await.is(200).text(URL);
        let back = at_provider(&app, &url, JANE, redirect_uri).await;
        let body = json!({ "code": back.code(), "state": back.state });
        assert_eq!(client.post("/auth/finalize-oauth", body).await.is(200).text("/returnTo"), "/rooms");
        client.room_auth().await.is(200).text("/token");
        client.post("/auth/sign-out", json!({})).await.is(200);
    }

    let mut client = Client::new(&app);
    let url = client.post("/auth/continue-with-google", json!({})).await.is(200).text(URL);
    client.finalize_oauth(&url, JANE).await.is(200);
    assert_eq!(client.session().len(), 43, "256 bits as base64url");
    assert_eq!(client.tokens.flow.as_deref(), Some("none"), "the flow is used up");
    client.room_auth().await.is(200).text("/token");

    // The token alone is enough for a protected route.
    let mut browser = app.browser();
    browser.bearer = client.tokens.session.clone();
    browser.room_auth("Jane", "room").await.is(200);

    client.post("/auth/sign-out", json!({})).await.is(200).text(URL);
    client.room_auth().await.refused(401, "not_signed_in");
    assert!(app.items_of("session#").is_empty());
}

#[tokio::test]
async fn a_program_without_cookies_gets_from_a_mailed_code_to_a_room_and_keeps_its_device() {
    let app = with_header_transport().await;
    let mut client = Client::new(&app);
    client.sign_in(JANE).await;
    client.finalize_magic_auth(JANE, &app.code(JANE)).await.is(200);
    client.room_auth().await.is(200);
    client.post("/auth/sign-out", json!({})).await.is(200);
    client.tokens.session = None;

    // Strangers use up the tries of the address. The program has tries of its own, because it signed in before.
    let wrong = if app.code(JANE) == "000000" { "000001" } else { "000000" };
    for _ in 0..5 {
        Client::new(&app).finalize_magic_auth(JANE, wrong).await.refused(400, "code_rejected");
    }
    for item in app.items_of("code#") {
        app.edit_item(item["pk"]["S"].as_str().unwrap(), |item| item["expires_at"] = json!({ "N": "1" }));
    }
    Client::new(&app).sign_in(JANE).await;
    let code = app.code(JANE);
    Client::new(&app).finalize_magic_auth(JANE, &code).await.refused(429, "rate_limited");
    client.finalize_magic_auth(JANE, &code).await.is(200);
    client.room_auth().await.is(200);
}

#[tokio::test]
async fn sso_selection_and_switch_work_by_headers_alone() {
    let app = with_header_transport().await;
    let mut client = Client { origin: Some(ORIGIN), ..Client::new(&app) };
    let url = client.sign_in(ANN).await.text(URL);
    client.finalize_oauth(&url, ANN).await.is(200);
    client.room_auth().await.is(200);

    // A new sign-in ends the session that the client holds.
    let old = client.session().to_owned();
    client.sign_in(KIM).await;
    let pending = client.finalize_magic_auth(KIM, &app.code(KIM)).await.is(200);
    let pending = pending.text("/user/pendingAuthenticationToken");
    assert_eq!(client.session(), old, "nobody is signed in before the choice");
    let choice = json!({ "pendingAuthenticationToken": pending, "organizationId": MASADAS });
    client.post("/auth/select-organization", choice).await.is(200);
    assert_eq!(app.items_of("session#").len(), 1);

    let before = client.clone();
    let other = json!({ "email": KIM, "organizationId": TAUNTA });
    client.post("/auth/switch-organization", other.clone()).await.is(200);
    assert_ne!(client.session(), before.session());
    assert_eq!(organization_of(&client.room_auth().await.is(200).text("/token")), TAUNTA);
    before.clone().post("/auth/switch-organization", other).await.refused(401, "not_signed_in");

    client.post("/auth/sign-out", json!({})).await.is(200);
    for mut client in [client, before] {
        client.room_auth().await.refused(401, "not_signed_in");
    }
}

#[tokio::test]
async fn cookies_and_tokens_do_not_mix() {
    let app = with_header_transport().await;
    // A script cannot finish a sign-in that the page started with cookies.
    let mut browser = app.browser();
    let url = browser.continue_with_google().await.is(200).text(URL);
    let code = app.at_provider(&url, JANE).await.code().to_owned();
    browser
        .clone()
        .header("session-transport", "header")
        .finalize_oauth(&code, None)
        .await
        .refused(400, "flow_expired");
    browser.finalize_oauth(&code, None).await.is(200);
    let session = browser.token();

    // A flow token counts only with header transport, and never as a session.
    let mut client = Client::new(&app);
    let url = client.post("/auth/continue-with-google", json!({})).await.is(200).text(URL);
    let code = app.at_provider(&url, JANE).await.code().to_owned();
    let flow = client.tokens.flow.clone().unwrap();
    let mut browser = app.browser().header("flow-token", &flow);
    browser.finalize_oauth(&code, None).await.refused(400, "flow_expired");
    for part in ["session", SESSION_COOKIE] {
        client.tokens.flow = Some(format!("{flow};{part}={session}"));
        let body = json!({ "email": JANE, "organizationId": MASADAS });
        client.post("/auth/switch-organization", body).await.refused(401, "not_signed_in");
        client.post("/auth/sign-out", json!({})).await.refused(401, "not_signed_in");
        client.tokens.flow = Some(flow.clone());
    }
    assert_eq!(app.items_of("session#").len(), 1);
}

#[tokio::test]
async fn a_malformed_flow_token_is_ignored_and_four_flows_fit() {
    let app = with_header_transport().await;
    let long = format!("oauth={}", "x".repeat(8 * 1024));
    for junk in ["", "none", ";;=;", "oauth", "oauth=x;oauth=y", "oauth=~~~;pending=~", &long] {
        let mut client = Client::new(&app);
        client.tokens.flow = Some(junk.to_owned());
        let mut flows = Vec::new();
        for _ in 0..6 {
            let url = client.post("/auth/continue-with-google", json!({})).await.is(200).text(URL);
            flows.push(url);
        }
        client.sign_in(JANE).await;
        let size = client.tokens.flow.as_ref().unwrap().len();
        assert!(size < 600, "{size}");
        client.finalize_oauth(&flows[2], JANE).await.is(200);
        client.finalize_oauth(&flows[1], JANE).await.refused(400, "flow_expired");
        client.finalize_oauth(&flows[5], JANE).await.is(200);
        app.reset_limits();
    }
}

/// The values of the cookies that a response sets, with the attributes after the value.
fn cookie<'a>(answer: &'a Answer, name: &str) -> Option<(&'a str, &'a str)> {
    let found = answer.cookies.iter().find_map(|cookie| cookie.strip_prefix(name)?.strip_prefix('='))?;
    found.split_once("; ")
}

const PARTITIONED: &str = "Path=/; Secure; HttpOnly; SameSite=None; Partitioned; Max-Age=";

#[tokio::test]
async fn cookies_for_another_site_are_partitioned_and_have_names_of_their_own() {
    let app = with_partitioned_cookies().await;
    let mut browser = app.browser();
    let answer = browser.continue_with_google().await.is(200);
    let (_, attributes) = cookie(&answer, "__Host-oauth-p").expect("a flow");
    assert_eq!(attributes, format!("{PARTITIONED}600"));
    let back = app.at_provider(&answer.text(URL), JANE).await;
    let answer = browser.finalize_oauth(back.code(), back.state.as_deref()).await.is(200);
    let (token, attributes) = cookie(&answer, "__Host-session-p").expect("a session");
    assert_eq!((token.len(), attributes), (43, format!("{PARTITIONED}2592000").as_str()));
    assert_eq!(cookie(&answer, "__Host-oauth-p"), Some(("", format!("{PARTITIONED}0").as_str())));
    // A cookie of the other form is not sent from another site, and can be expired from there.
    for name in ["__Host-session", "__Host-oauth"] {
        let expired = ("", "Path=/; Secure; HttpOnly; SameSite=None; Max-Age=0");
        assert_eq!(cookie(&answer, name), Some(expired), "{name}");
    }
    assert_eq!(browser.cookies.keys().collect::<Vec<_>>(), ["__Host-session-p"]);
    browser.room_auth("Jane", "room").await.is(200);

    // The same for a mailed code.
    let mut browser = app.browser();
    browser.sign_in(JANE).await.is(200);
    browser.finalize_magic_auth(JANE, &app.code(JANE)).await.is(200);
    let expected = ["__Host-device-p", "__Host-pending-p", "__Host-session-p"];
    assert_eq!(browser.cookies.keys().collect::<Vec<_>>(), expected);
    browser.sign_out().await.is(200);
    assert_eq!(browser.cookies.keys().collect::<Vec<_>>(), ["__Host-device-p", "__Host-pending-p"]);
}

/// A browser with a session in the cookie `name`.
async fn holding<'a>(app: &'a App, name: &str) -> Browser<'a> {
    let mut browser = app.browser();
    let answer = browser.dev_sign_in().await.is(200);
    let token = answer.cookies.iter().find_map(|cookie| {
        let (pair, attributes) = cookie.split_once(';')?;
        let (set, token) = pair.split_once('=')?;
        (set.starts_with(SESSION_COOKIE) && !attributes.contains("Max-Age=0")).then(|| token.to_owned())
    });
    browser.cookies = [(name.to_owned(), token.expect("a session"))].into();
    browser
}

#[tokio::test]
async fn after_a_change_of_mode_only_the_configured_cookie_counts_and_a_sign_out_ends_both() {
    for (mode, [own, other]) in [("lax", BOTH_FORMS), ("none", ["__Host-session-p", "__Host-session"])] {
        let app = App::with_env(&[("COOKIE_SAME_SITE", mode)]).await;
        let is_expired = |answer: &Answer, name| {
            let (value, attributes) = cookie(answer, name).unwrap_or_else(|| panic!("{mode}: no {name}"));
            let is_partitioned = attributes.contains("; Partitioned");
            assert_eq!(is_partitioned, name == "__Host-session-p", "{attributes}");
            value.is_empty() && attributes.ends_with("Max-Age=0")
        };

        // The old cookie signs nobody in, alone or beside a new one, and a new sign-in ends its session.
        let mut old = holding(&app, other).await;
        old.room_auth("Jane", "room").await.refused(401, "not_signed_in");
        let answer = old.dev_sign_in().await.is(200);
        assert!(is_expired(&answer, other) && !is_expired(&answer, own), "{mode}: {:?}", answer.cookies);
        assert_eq!(app.items_of("session#").len(), 1, "{mode}");
        assert_eq!(old.cookies.keys().collect::<Vec<_>>(), [own]);
        old.room_auth("Jane", "room").await.is(200);
        old.sign_out().await.is(200);

        // Two persons: only the configured cookie is read, and a sign-out ends both sessions.
        let new = holding(&app, own).await;
        let mut both = app.signed_in(JANE).await;
        let janes = both.cookies.remove(own).unwrap();
        both.cookies = new.cookies.clone();
        both.cookies.insert(other.to_owned(), janes);
        let room = both.room_auth("Jane", "room").await.is(200);
        let subject = crate::organizations::claims_of(&room.text("/token"))["sub"].clone();
        assert_ne!(subject, app.workos().user_id(JANE).unwrap().as_str(), "{mode}");
        let answer = both.sign_out().await.is(200);
        assert!(is_expired(&answer, other) && is_expired(&answer, own), "{mode}: {:?}", answer.cookies);
        assert!(app.items_of("session#").is_empty(), "{mode}");

        // The old cookie alone can be signed out.
        let mut old = holding(&app, other).await;
        let answer = old.sign_out().await.is(200);
        assert!(is_expired(&answer, other) && is_expired(&answer, own), "{mode}: {:?}", answer.cookies);
        assert!(app.items_of("session#").is_empty(), "{mode}");
    }
}
