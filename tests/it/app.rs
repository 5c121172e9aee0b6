//! The product on free ports, and browsers that call it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
pub use catalog::Answer;
use local::{Cloud, CloudOptions};
use local_dynamodb::DynamoDb;
use local_livekit::LiveKit;
use local_runtime::Runtime;
use local_workos::WorkOs;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// The front end's origin in all tests.
pub const ORIGIN: &str = "http://localhost:5173";

/// An HTTP client that keeps no cookies and follows no redirects.
pub fn http() -> reqwest::Client {
    // The workspace's reqwest has no default crypto provider. Only the first call installs one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    builder.timeout(Duration::from_secs(60)).build().expect("an HTTP client")
}

/// The project's folder.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The folder of the functions' binaries: the build folder of this test.
pub fn binaries() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let folder = test.parent().and_then(Path::parent).expect("the build's folder");
    assert!(folder.join("sign-in").exists(), "the functions are not built: cargo build --workspace");
    folder.to_owned()
}

/// The product: gateway, authorizer, functions, table and doubles. Stops when dropped.
pub struct App {
    pub cloud: Cloud,
    http: reqwest::Client,
    deployed: Option<Deployed>,
}

/// A deployed API Gateway that browsers call instead of the local one.
pub struct Deployed {
    pub url: String,
    pub host: String,
}

impl App {
    /// Starts it with the seed and the template's defaults.
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// Starts it with these variables, which replace the template's values.
    pub async fn with_env(variables: &[(&str, &str)]) -> Self {
        Self::with(|options| {
            let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            options.environment.extend(variables);
        })
        .await
    }

    /// Starts it with other options. Responses do not wait for the floor, unless a test sets one.
    pub async fn with(change: impl FnOnce(&mut CloudOptions)) -> Self {
        let mut options = CloudOptions::new(root(), binaries());
        options.environment.insert("MAIL_FLOOR_MS".to_owned(), "0".to_owned());
        change(&mut options);
        let cloud = Cloud::start(options).await.expect("the local cloud starts");
        // They would run beside the requests of a test. See `webhooks_from_workos`.
        if let Some(workos) = cloud.workos() {
            workos.set_webhook_url(None);
        }
        Self { cloud, http: http(), deployed: None }
    }

    /// Lets WorkOS send webhooks from now on.
    pub fn webhooks_from_workos(&self) {
        self.workos().set_webhook_url(Some(format!("{}/webhooks/workos", self.cloud.url())));
    }

    /// Points its browsers at a deployment, which calls the local doubles.
    pub fn calling(self, deployed: Deployed) -> Self {
        Self { deployed: Some(deployed), ..self }
    }

    /// The header `Host` for the deployment.
    pub fn host(&self) -> Option<&str> {
        self.deployed.as_ref().map(|deployed| deployed.host.as_str())
    }

    /// The base URL that browsers call.
    pub fn url(&self) -> &str {
        self.deployed.as_ref().map_or(self.cloud.url(), |deployed| &deployed.url)
    }

    pub fn workos(&self) -> &WorkOs {
        self.cloud.workos().expect("the WorkOS double")
    }

    pub fn livekit(&self) -> &LiveKit {
        self.cloud.livekit().expect("the LiveKit double")
    }

    pub fn dynamodb(&self) -> &DynamoDb {
        self.cloud.dynamodb().expect("the embedded DynamoDB")
    }

    pub fn runtime(&self) -> &Runtime {
        self.cloud.runtime().expect("the hosted functions")
    }

    /// The names of all functions, including the authorizer, in alphabetical order.
    pub fn functions(&self) -> Vec<String> {
        let mut names: Vec<_> =
            self.cloud.template().functions.values().map(|each| each.binary.clone()).collect();
        names.sort();
        names
    }

    /// Invokes a function directly, without the gateway.
    pub async fn invoke(&self, function: &str, event: &str) -> Value {
        let outcome = self.runtime().invoke(function, Bytes::copy_from_slice(event.as_bytes())).await;
        serde_json::from_slice(&outcome.expect("the function responds").payload)
            .expect("the response is JSON")
    }

    /// A browser without cookies on a page of the front end.
    pub fn browser(&self) -> Browser<'_> {
        let browser =
            Browser { app: self, cookies: BTreeMap::new(), bearer: None, headers: HeaderMap::new() }
                .header("origin", ORIGIN)
                .header("user-agent", "Mozilla/5.0 (tests)");
        match &self.deployed {
            Some(deployed) => browser.header("host", &deployed.host),
            None => browser,
        }
    }

    /// A browser in which `email` is signed in, with a code sent by mail.
    pub async fn signed_in(&self, email: &str) -> Browser<'_> {
        self.reset_limits();
        let mut browser = self.browser();
        browser.sign_up(email).await.is(201);
        let code = self.code(email);
        browser.finalize_magic_auth(email, &code).await.is(200);
        browser
    }

    /// Resets our own limits: all requests of a test come from one address, and its people sign in at once.
    pub fn reset_limits(&self) {
        let table = self.cloud.table().expect("a table");
        for mut item in self.items_of("limit#") {
            for (name, value) in item.as_object_mut().expect("an item") {
                if name == "requests" || name.starts_with("mail_") || name.starts_with("try_") {
                    *value = json!({ "N": "0" });
                }
            }
            self.dynamodb().put(table, &item).expect("the item is stored");
        }
    }

    /// The last code that was mailed to `email`.
    pub fn code(&self, email: &str) -> String {
        self.workos().last_code(email).expect("a code was mailed")
    }

    /// Signs `email` in at the identity provider behind `url`. Returns the parameters of its redirect.
    pub async fn at_provider(&self, url: &str, email: &str) -> Return {
        let mut url: url::Url = url.parse().expect("a URL");
        if !url.query_pairs().any(|(name, _)| name == "login_hint") {
            url.query_pairs_mut().append_pair("login_hint", email);
        }
        let location = self.redirected(url.as_str()).await;
        assert!(location.starts_with(local::REDIRECT_URI), "{location}");
        Return::of(&location)
    }

    /// Where a page at WorkOS redirects to.
    pub async fn redirected(&self, url: &str) -> String {
        let response = self.http.get(url).send().await.expect("the page responds");
        assert_eq!(response.status(), StatusCode::FOUND, "{}", response.text().await.unwrap_or_default());
        response.headers()["location"].to_str().expect("a location").to_owned()
    }

    /// The authorizer's context for the session of `browser`, from a direct invocation; `None` if it is not signed in.
    pub async fn context_of(&self, browser: &Browser<'_>) -> Option<Value> {
        let event = std::fs::read_to_string(root().join("events/authorizer/no-session.json"));
        let mut event: Value = serde_json::from_str(&event.expect("the event")).expect("JSON");
        event["cookies"] = json!([format!("__Host-session={}", browser.token())]);
        let response = self.invoke("authorizer", &event.to_string()).await;
        assert_eq!(response["isAuthorized"], true, "{response}");
        (response["context"]["verdict"] != "not_signed_in").then(|| response["context"].clone())
    }

    /// Edits the session item of `browser` in the table, for example to simulate the passing of time.
    pub fn edit_session(&self, browser: &Browser<'_>, edit: impl FnOnce(&mut Value)) {
        self.edit_item(&session_key(&browser.token()), edit);
    }

    /// Edits the item with this key.
    pub fn edit_item(&self, pk: &str, edit: impl FnOnce(&mut Value)) {
        let mut item = self.item(pk).expect("an item");
        edit(&mut item);
        let table = self.cloud.table().expect("a table");
        self.dynamodb().put(table, &item).expect("the item is stored");
    }

    /// The session item of `browser`.
    pub fn session_item(&self, browser: &Browser<'_>) -> Option<Value> {
        self.item(&session_key(&browser.token()))
    }

    fn item(&self, pk: &str) -> Option<Value> {
        self.items().into_iter().find(|item| item["pk"]["S"] == pk)
    }

    /// Backdates the expiry of the access token in `browser`'s session to `age` seconds ago.
    pub fn expire_access(&self, browser: &Browser<'_>, age: u64) {
        let at = now() - age;
        self.edit_session(browser, |item| item["access_expires_at"] = json!({ "N": at.to_string() }));
    }

    /// Every log line of every function so far.
    pub fn logs(&self) -> Vec<String> {
        self.cloud.logs().lines().into_iter().map(|line| line.text).collect()
    }

    /// All items of the table.
    pub fn items(&self) -> Vec<Value> {
        let table = self.cloud.table().expect("a table");
        self.dynamodb().scan(table).expect("the table can be scanned")
    }

    /// The items whose key begins with `prefix`.
    pub fn items_of(&self, prefix: &str) -> Vec<Value> {
        let matches = |item: &Value| item["pk"]["S"].as_str().is_some_and(|pk| pk.starts_with(prefix));
        self.items().into_iter().filter(matches).collect()
    }
}

/// The value of a parameter in the query of a URL.
pub fn query_value(url: &str, name: &str) -> Option<String> {
    let url: url::Url = url.parse().expect("a URL");
    url.query_pairs().find(|(each, _)| each == name).map(|(_, value)| value.into_owned())
}

/// The key of a session's item.
pub fn session_key(token: &str) -> String {
    let token = URL_SAFE_NO_PAD.decode(token).expect("a session token is base64url");
    let hash = ring::digest::digest(&ring::digest::SHA256, &token);
    format!("session#{}", URL_SAFE_NO_PAD.encode(hash))
}

/// The parameters of an identity provider's redirect to the front end.
#[derive(Clone, Debug)]
pub struct Return {
    pub code: Option<String>,
    pub state: Option<String>,
    pub error: Option<String>,
}

impl Return {
    /// The parameters of the URL that an identity provider redirects to.
    pub fn of(location: &str) -> Self {
        let text = |name| query_value(location, name);
        Self { code: text("code"), state: text("state"), error: text("error") }
    }

    #[track_caller]
    pub fn code(&self) -> &str {
        self.code.as_deref().unwrap_or_else(|| panic!("no code: {self:?}"))
    }
}

/// Seconds since the Unix epoch.
pub fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("a time after 1970").as_secs()
}

/// A client that keeps cookies as a browser does.
#[derive(Clone)]
pub struct Browser<'a> {
    app: &'a App,
    pub cookies: BTreeMap<String, String>,
    pub bearer: Option<String>,
    headers: HeaderMap,
}

impl<'a> Browser<'a> {
    /// Sends a header with every request.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        self.headers.insert(name, HeaderValue::from_str(value).expect("a header value"));
        self
    }

    /// Sends no `Origin`, like a client that is not a browser.
    pub fn without_origin(mut self) -> Self {
        self.headers.remove("origin");
        self
    }

    /// Whether the browser has a session cookie.
    pub fn is_signed_in(&self) -> bool {
        self.cookies.contains_key("__Host-session")
    }

    /// The session token in the browser's cookie.
    pub fn token(&self) -> String {
        self.cookies.get("__Host-session").cloned().expect("a session cookie")
    }

    pub async fn sign_up(&mut self, email: &str) -> Answer {
        self.post("/auth/sign-up", json!({ "email": email })).await
    }

    pub async fn sign_in(&mut self, email: &str) -> Answer {
        self.post("/auth/sign-in", json!({ "email": email })).await
    }

    pub async fn resend_magic_auth(&mut self, email: &str) -> Answer {
        self.post("/auth/resend-magic-auth", json!({ "email": email })).await
    }

    pub async fn finalize_magic_auth(&mut self, email: &str, code: &str) -> Answer {
        self.post("/auth/finalize-magic-auth", json!({ "email": email, "code": code })).await
    }

    pub async fn continue_with_google(&mut self) -> Answer {
        self.send("/auth/continue-with-google", None).await
    }

    pub async fn continue_with_microsoft(&mut self) -> Answer {
        self.send("/auth/continue-with-microsoft", None).await
    }

    pub async fn finalize_oauth(&mut self, code: &str, state: Option<&str>) -> Answer {
        let mut body = json!({ "code": code });
        if let Some(state) = state {
            body["state"] = state.into();
        }
        self.post("/auth/finalize-oauth", body).await
    }

    pub async fn select_organization(&mut self, pending: &str, organization: &str) -> Answer {
        let body = json!({ "pendingAuthenticationToken": pending, "organizationId": organization });
        self.post("/auth/select-organization", body).await
    }

    pub async fn verify_email(&mut self, pending: &str, code: &str) -> Answer {
        let body = json!({ "pendingAuthenticationToken": pending, "code": code });
        self.post("/auth/verify-email", body).await
    }

    /// Calls `resend-verification`, `enroll-mfa` or `challenge-mfa`, which take nothing but the pending sign-in.
    pub async fn step(&mut self, name: &str, pending: &str) -> Answer {
        self.post(&format!("/auth/{name}"), json!({ "pendingAuthenticationToken": pending })).await
    }

    pub async fn verify_mfa(&mut self, pending: &str, challenge: &str, code: &str) -> Answer {
        let body = json!({ "pendingAuthenticationToken": pending, "challengeId": challenge, "code": code });
        self.post("/auth/verify-mfa", body).await
    }

    pub async fn switch_organization(&mut self, email: &str, organization: &str) -> Answer {
        self.post("/auth/switch-organization", json!({ "email": email, "organizationId": organization }))
            .await
    }

    pub async fn dev_sign_in(&mut self) -> Answer {
        self.post("/auth/dev-sign-in", json!({})).await
    }

    pub async fn sign_out(&mut self) -> Answer {
        self.send("/auth/sign-out", None).await
    }

    pub async fn room_auth(&mut self, username: &str, room: &str) -> Answer {
        self.post("/api/v1/livekit/room-auth", json!({ "username": username, "roomId": room })).await
    }

    pub async fn start_recording(&mut self, body: Value) -> Answer {
        self.post("/api/v1/livekit/start-recording", body).await
    }

    pub async fn stop_recording(&mut self, body: Value) -> Answer {
        self.post("/api/v1/livekit/stop-recording", body).await
    }

    /// The sessions of the signed-in person.
    pub async fn sessions(&mut self) -> Answer {
        self.get("/auth/sessions").await
    }

    pub async fn end_session(&mut self, id: &str) -> Answer {
        self.post("/auth/end-session", json!({ "sessionId": id })).await
    }

    pub async fn sign_out_everywhere(&mut self, except_current: bool) -> Answer {
        self.post("/auth/sign-out-everywhere", json!({ "exceptCurrent": except_current })).await
    }

    /// Who is signed in.
    pub async fn session(&mut self) -> Answer {
        self.get("/auth/session").await
    }

    /// The organizations of the signed-in person.
    pub async fn organizations(&mut self) -> Answer {
        self.get("/auth/organizations").await
    }

    /// Posts JSON.
    pub async fn post(&mut self, path: &str, body: Value) -> Answer {
        self.send(path, Some((body.to_string().into_bytes(), "application/json"))).await
    }

    /// Visits a path with its query.
    pub async fn get(&mut self, target: &str) -> Answer {
        self.exchange(Method::GET, target, None).await
    }

    /// Posts a body and its content type, or no body.
    pub async fn send(&mut self, path: &str, body: Option<(Vec<u8>, &str)>) -> Answer {
        self.exchange(Method::POST, path, body).await
    }

    /// Sends a request with a body and its content type, or no body.
    pub async fn exchange(&mut self, method: Method, target: &str, body: Option<(Vec<u8>, &str)>) -> Answer {
        let url = format!("{}{target}", self.app.url());
        let mut request = self.app.http.request(method.clone(), url).headers(self.headers.clone());
        if let Some((body, content_type)) = body {
            request = request.header("content-type", content_type).body(body);
        }
        if !self.cookies.is_empty() {
            let cookies: Vec<_> =
                self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header("cookie", cookies.join("; "));
        }
        if let Some(token) = &self.bearer {
            request = request.bearer_auth(token);
        }
        let response =
            Answer::read(request.send().await.expect("the gateway responds")).await.expect("a complete body");
        let path = target.split('?').next().unwrap_or_default();
        if let Some(function) = catalog::serving(method.as_str(), path) {
            crate::reasons::check(function, &response);
        }
        self.store_cookies(&response);
        response
    }

    fn store_cookies(&mut self, response: &Answer) {
        for cookie in &response.cookies {
            let (pair, attributes) = cookie.split_once(';').expect("a cookie has attributes");
            let (name, value) = pair.split_once('=').expect("a cookie has a value");
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}
