//! WorkOS' access tokens: only a token with its signature, a known issuer and valid times begins a session.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use local_proxy::Fault;
use serde_json::{Value, json};

use crate::app::{App, http, now};

const EMAIL: &str = "jane.doe@example.com";

/// Forges the responses to grants.
struct Forge<'a> {
    app: &'a App,
    user: Value,
    claims: Value,
}

impl<'a> Forge<'a> {
    /// Collects what a forger may know: the claims of a real session, and the user as WorkOS returns them.
    async fn open(app: &'a App) -> Self {
        let mut browser = app.signed_in(EMAIL).await;
        let workos = app.workos();
        let user_id = workos.user_id(EMAIL).unwrap();
        let claims = workos.claims(&workos.sessions(&user_id)[0]).unwrap();
        let url = format!("{}/user_management/users/{user_id}", workos.url());
        let user = http().get(url).bearer_auth(workos.api_key()).send().await.unwrap().json().await.unwrap();
        browser.sign_out().await.is(200);
        assert!(app.items_of("session#").is_empty());
        Self { app, user, claims }
    }

    /// The claims with `changes`; null removes a claim.
    fn claims(&self, changes: Value) -> Value {
        let mut claims = self.claims.clone();
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        claims
    }

    fn signed(&self, changes: Value) -> String {
        self.app.workos().sign(&self.claims(changes))
    }

    /// Makes WorkOS respond to `grant` with `access_token`.
    fn answer(&self, grant: &str, access_token: &str) {
        let body = json!({
            "user": self.user,
            "access_token": access_token,
            "refresh_token": "refresh-1",
            "authentication_method": "MagicAuth",
        });
        self.app.workos().proxy().clear_faults();
        let fault = Fault::response(format!("authenticate.{grant}"), 200, body.to_string());
        self.app.workos().proxy().inject(fault.header("content-type", "application/json"));
    }

    /// Tokens that must be refused, each with its flaw.
    fn forgeries(&self) -> Vec<(&'static str, String)> {
        let workos = self.app.workos();
        let kid = workos.kid();
        let good = workos.sign(&self.claims);
        let parts: Vec<&str> = good.split('.').collect();
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let in_an_hour = now() + 3600;
        vec![
            ("alg none", workos.unsecured(&self.claims)),
            ("HS256 with the public key", workos.sign_hs256_with_public_key(&self.claims)),
            ("a foreign key under the known kid", workos.sign_with_foreign_key(&kid, &self.claims)),
            ("a foreign key under a kid of its own", workos.sign_with_foreign_key("unknown", &self.claims)),
            ("a good signature under an unknown kid", self.with_header(json!({"alg": "RS256", "kid": "x"}))),
            ("no kid", self.with_header(json!({"alg": "RS256"}))),
            ("another algorithm in the header", self.with_header(json!({"alg": "RS512", "kid": kid}))),
            ("PSS in the header", self.with_header(json!({"alg": "PS256", "kid": kid}))),
            ("a key in the header", self.with_header(json!({"alg": "RS256", "jwk": {"kty": "RSA"}}))),
            ("a foreign issuer", self.signed(json!({"iss": "https://evil.example"}))),
            ("an issuer that begins right", self.signed(json!({"iss": format!("{}.evil", workos.issuer())}))),
            ("no issuer", self.signed(json!({"iss": null}))),
            ("an issuer that is a list", self.signed(json!({"iss": [workos.issuer()]}))),
            ("expired", self.signed(json!({"exp": now() - 10}))),
            ("no expiry", self.signed(json!({"exp": null}))),
            ("an expiry that is a text", self.signed(json!({"exp": in_an_hour.to_string()}))),
            ("not valid yet", self.signed(json!({"nbf": in_an_hour, "exp": in_an_hour + 300}))),
            ("issued in the future", self.signed(json!({"iat": in_an_hour, "exp": in_an_hour + 300}))),
            ("another person's", self.signed(json!({"sub": "user_somebody_else"}))),
            ("nobody's", self.signed(json!({"sub": null}))),
            ("a token of no session", self.signed(json!({"sid": null}))),
            ("a session that is a number", self.signed(json!({"sid": 7}))),
            ("permissions that are a text", self.signed(json!({"permissions": "rooms:join"}))),
            (
                "changed claims",
                format!("{}.{}.{}", parts[0], encode(&self.claims(json!({"role": "x"}))), parts[2]),
            ),
            ("no signature", format!("{}.{}.", parts[0], parts[1])),
            ("half a token", format!("{}.{}", parts[0], parts[1])),
            ("an encrypted token's five parts", format!("{good}.{}.{}", parts[1], parts[2])),
            ("claims that are a list", workos.sign(&json!([1]))),
            ("an opaque token", "opaque-token".to_owned()),
            ("nothing", String::new()),
        ]
    }

    fn with_header(&self, header: Value) -> String {
        self.app.workos().sign_with_header(&header, &self.claims)
    }
}

#[tokio::test]
async fn a_forged_access_token_begins_no_session() {
    let app = App::start().await;
    let forge = Forge::open(&app).await;
    for (what, token) in forge.forgeries() {
        forge.answer("organization_selection", &token);
        let mut browser = app.browser();
        let answer = browser.select_organization("pending", "org_1").await;
        assert_eq!(answer.status, 502, "{what}: {}", answer.body);
        let answer = answer.refused(502, "workos_unavailable");
        assert!(answer.cookies.is_empty() && browser.cookies.is_empty(), "{what}");
        assert!(app.items_of("session#").is_empty(), "{what}");
    }
    // The same request with a valid token succeeds, so the token was the reason.
    forge.answer("organization_selection", &forge.signed(json!({})));
    let mut browser = app.browser();
    browser.select_organization("pending", "org_1").await.is(200);
    browser.room_auth("Jane", "room").await.is(200);
}

#[tokio::test]
async fn every_sign_in_verifies_the_access_token() {
    let app = App::start().await;
    let forge = Forge::open(&app).await;
    let forged = app.workos().sign_hs256_with_public_key(&forge.claims);
    forge.answer("magic_auth", &forged);
    let answer = app.browser().finalize_magic_auth(EMAIL, "123456").await;
    answer.refused(502, "workos_unavailable");
    app.browser().dev_sign_in().await.refused(502, "workos_unavailable");
    forge.answer("authorization_code", &forged);
    let mut browser = app.browser();
    browser.continue_with_google().await.is(200);
    browser.finalize_oauth("code", None).await.refused(502, "workos_unavailable");
    assert!(!browser.cookies.contains_key("__Host-session"));
    assert!(app.items_of("session#").is_empty());
}

#[tokio::test]
async fn a_forged_token_at_a_refresh_changes_no_claim() {
    let app = App::start().await;
    let forge = Forge::open(&app).await;
    let mut browser = app.browser();
    browser.sign_in(EMAIL).await.is(200);
    browser.finalize_magic_auth(EMAIL, &app.code(EMAIL)).await.is(200);
    let before = app.context_of(&browser).await.unwrap();
    let more = json!({"role": "admin", "permissions": ["members:manage"], "org_id": "org_evil"});
    for token in [
        app.workos().sign_with_foreign_key(&app.workos().kid(), &forge.claims(more.clone())),
        app.workos().sign_hs256_with_public_key(&forge.claims(more.clone())),
        forge.signed(json!({"role": "admin", "sub": "user_somebody_else"})),
        forge.signed(json!({"role": "admin", "iss": "https://evil.example"})),
    ] {
        forge.answer("refresh_token", &token);
        app.edit_session(&browser, |item| {
            item.as_object_mut().unwrap().remove("refresh_lease");
        });
        app.expire_access(&browser, 1);
        let calls = app.workos().proxy().count("authenticate.refresh_token");
        assert_eq!(app.context_of(&browser).await.unwrap(), before);
        assert_eq!(app.workos().proxy().count("authenticate.refresh_token"), calls + 1);
    }
    // Past the grace period the cached claims are not used, nor is the forged token.
    app.edit_session(&browser, |item| {
        item.as_object_mut().unwrap().remove("refresh_lease");
    });
    app.expire_access(&browser, 901);
    browser.room_auth("Jane", "room").await.refused(502, "workos_unavailable");
}

#[tokio::test]
async fn unknown_keys_cost_one_fetch_of_the_key_set() {
    let app = App::start().await;
    let forge = Forge::open(&app).await;
    let fetches = || app.workos().proxy().count("jwks");
    // The first grant of a process fetches the keys.
    forge.answer("organization_selection", &forge.signed(json!({})));
    app.browser().select_organization("pending", "org_1").await.is(200);
    let before = fetches();
    for number in 0..20 {
        let token = app.workos().sign_with_foreign_key(&format!("unknown-{number}"), &forge.claims);
        forge.answer("organization_selection", &token);
        app.browser().select_organization("pending", "org_1").await.refused(502, "workos_unavailable");
    }
    assert_eq!(fetches(), before + 1);
    assert_eq!(app.runtime().processes("select-organization").unwrap(), 1, "one process served all");
    // Tokens with other algorithms never cost a fetch.
    for _ in 0..5 {
        forge.answer("organization_selection", &app.workos().unsecured(&forge.claims));
        app.browser().select_organization("pending", "org_1").await.refused(502, "workos_unavailable");
    }
    assert_eq!(fetches(), before + 1);
}

#[tokio::test]
async fn a_new_key_is_found_at_once() {
    let app = App::start().await;
    // Each function has its own key set, which is fetched for one unknown key per 30 seconds.
    app.signed_in("one@example.com").await;
    app.browser().dev_sign_in().await.is(200);
    app.workos().rotate_keys(true);
    app.browser().dev_sign_in().await.is(200);
    app.workos().rotate_keys(false);
    app.signed_in("two@example.com").await;
}

#[tokio::test]
async fn workos_tokens_are_not_session_tokens() {
    let app = App::start().await;
    app.signed_in(EMAIL).await;
    let workos = app.workos();
    for token in workos.access_tokens().into_iter().chain(workos.refresh_tokens()) {
        let mut browser = app.browser();
        browser.bearer = Some(token.clone());
        browser.room_auth("Jane", "room").await.refused(401, "not_signed_in");
        browser.switch_organization(EMAIL, "org_1").await.refused(401, "not_signed_in");
        browser.bearer = None;
        browser.cookies.insert("__Host-session".into(), token);
        browser.room_auth("Jane", "room").await.refused(401, "not_signed_in");
    }
}
