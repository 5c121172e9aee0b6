//! The WorkOS double against the WorkOS OpenAPI document (npm `@workos/openapi-spec`): every response of the double,
//! success or error, matches the schema of its operation and status. `tests/workos/validate.mjs` validates and lists
//! the exceptions.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use local_workos::{
    ConnectionState, DomainState, Environment, Event, Method as SignInMethod, Options, Seed, WorkOs, start,
};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use url::Url;

use crate::app::http;
use crate::node::node;

const JANE: &str = "jane.doe@example.com";
const TWO_ORGANIZATIONS: &str = "123@gmail.com";
const MASADAS: &str = "org_01K2Z1R2MEJK6B41WW7428G9YC";
const ACME: &str = "org_01JACME0000000000000000000";
const ACME_CONNECTION: &str = "conn_01JACME0000000000000000000";
const INITECH: &str = "org_01JN1TECH00000000000000000";
const GLOBEX: &str = "org_01JG00G1E00000000000000000";
const CALLBACK: (&str, &str) = ("redirect_uri", "http://localhost:3000/callback");
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// A response, as the validator reads it.
#[derive(Clone, Debug, Serialize)]
struct Response {
    method: String,
    path: String,
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Response {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a JSON body")
    }

    #[track_caller]
    fn text(&self, field: &str) -> String {
        self.json()[field].as_str().unwrap_or_else(|| panic!("no {field} in {}", self.body)).to_owned()
    }

    /// The code in the redirect.
    #[track_caller]
    fn code(&self) -> String {
        let url = Url::parse(&self.headers["location"]).expect("a URL");
        url.query_pairs().find(|(name, _)| name == "code").expect("a code").1.into_owned()
    }

    /// Asserts the status.
    #[track_caller]
    fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{} {}: {}", self.method, self.path, self.body);
        self
    }

    /// Asserts the status and the error: its `code`, `error` or bare `message`.
    #[track_caller]
    fn refused(self, status: u16, error: &str) -> Self {
        let response = self.is(status);
        let body = response.json();
        let found = ["code", "error", "message"].iter().find_map(|field| body[field].as_str());
        assert_eq!(found, Some(error), "{} {}: {body}", response.method, response.path);
        response
    }
}

/// A client of the double that records every response.
struct Client {
    workos: WorkOs,
    http: reqwest::Client,
    responses: Vec<Response>,
}

impl Client {
    async fn start(rate_limits: bool) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let seed = Seed::bundled().expect("the seed is valid");
        let initiate_login_uri = Some("https://api.example.com/auth/login".to_owned());
        let options = Options { seed, rate_limits, initiate_login_uri, ..Options::default() };
        let workos = start(listener, options).await;
        Self { workos, http: http(), responses: Vec::new() }
    }

    async fn send(
        &mut self,
        method: Method,
        target: &str,
        key: Option<&str>,
        body: Option<Value>,
    ) -> Response {
        let mut request = self.http.request(method.clone(), format!("{}{target}", self.workos.url()));
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.expect("the double responds");
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().expect("a header in ASCII").to_owned()));
        let (headers, status) = (headers.collect(), response.status().as_u16());
        let path = target.split('?').next().unwrap_or_default().to_owned();
        let body = response.text().await.expect("a complete body");
        let response = Response { method: method.to_string(), path, status, headers, body };
        self.responses.push(response.clone());
        response
    }

    async fn get(&mut self, target: &str) -> Response {
        let key = self.workos.api_key();
        self.send(Method::GET, target, Some(&key), None).await
    }

    async fn post(&mut self, target: &str, body: Value) -> Response {
        let key = self.workos.api_key();
        self.send(Method::POST, target, Some(&key), Some(body)).await
    }

    async fn put(&mut self, target: &str, body: Value) -> Response {
        let key = self.workos.api_key();
        self.send(Method::PUT, target, Some(&key), Some(body)).await
    }

    async fn delete(&mut self, target: &str) -> Response {
        let key = self.workos.api_key();
        self.send(Method::DELETE, target, Some(&key), None).await
    }

    /// Every event so far, as the validator reads it.
    fn events(&self) -> Vec<Response> {
        let event = |event: Event| Response {
            method: "EVENT".to_owned(),
            path: event.name.to_owned(),
            status: 200,
            headers: BTreeMap::from([("content-type".to_owned(), "application/json".to_owned())]),
            body: event.body(),
        };
        self.workos.events().into_iter().map(event).collect()
    }

    /// Authenticates with a grant, named with or without the prefix of WorkOS, and its fields.
    async fn grant(&mut self, grant: &str, fields: Value) -> Response {
        let grant = match grant {
            "authorization_code" | "refresh_token" | "password" => grant.to_owned(),
            _ => format!("urn:workos:oauth:grant-type:{grant}"),
        };
        let (id, secret) = (self.workos.client_id(), self.workos.api_key());
        let mut body = json!({ "client_id": id, "client_secret": secret, "grant_type": grant });
        let fields = fields.as_object().expect("fields").clone();
        body.as_object_mut().expect("an object").extend(fields);
        self.post("/user_management/authenticate", body).await
    }

    /// Has a code mailed to `email`, and returns it.
    async fn mailed(&mut self, email: &str) -> String {
        self.post("/user_management/magic_auth", json!({ "email": email })).await.is(201);
        self.workos.last_code(email).expect("a code was mailed")
    }

    async fn sign_in(&mut self, email: &str) -> Response {
        let code = self.mailed(email).await;
        self.redeem(email, &code).await
    }

    async fn redeem(&mut self, email: &str, code: &str) -> Response {
        self.grant("magic-auth:code", json!({ "email": email, "code": code })).await
    }

    async fn select(&mut self, pending: &str, organization: &str) -> Response {
        let fields = json!({ "pending_authentication_token": pending, "organization_id": organization });
        self.grant("organization-selection", fields).await
    }

    async fn refresh(&mut self, token: &str, organization: Option<&str>) -> Response {
        self.grant("refresh_token", json!({ "refresh_token": token, "organization_id": organization })).await
    }

    async fn authorize(&mut self, path: &str, pairs: &[(&str, &str)]) -> Response {
        let id = self.workos.client_id();
        let fixed = [("client_id", id.as_str()), ("response_type", "code"), ("state", "xyz")];
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(fixed).extend_pairs(pairs);
        self.get(&format!("{path}?{}", query.finish())).await
    }

    /// The code of a sign-in through Google, with PKCE.
    async fn google(&mut self, email: &str) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, VERIFIER.as_bytes());
        let challenge = URL_SAFE_NO_PAD.encode(digest);
        let pairs = [
            CALLBACK,
            ("provider", "GoogleOAuth"),
            ("login_hint", email),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        self.authorize("/user_management/authorize", &pairs).await.is(302).code()
    }

    async fn exchange(&mut self, code: &str, verifier: Option<&str>) -> Response {
        self.grant("authorization_code", json!({ "code": code, "code_verifier": verifier })).await
    }
}

/// The output of the validator.
#[derive(Debug, Deserialize)]
struct Report {
    /// Per response, what is wrong with it.
    problems: Vec<Option<String>>,
    /// The exceptions that no response needed.
    unused: Vec<String>,
}

async fn validate(responses: &[Response]) -> Report {
    let mut validator = node(include_str!("../workos/validate.mjs")).spawn().expect("node starts");
    let text = serde_json::to_vec(responses).expect("responses are JSON");
    let mut input = validator.stdin.take().expect("stdin is piped");
    input.write_all(&text).await.expect("the validator reads its input");
    drop(input);
    let output = validator.wait_with_output().await.expect("the validator exits");
    assert!(output.status.success(), "the validator failed");
    serde_json::from_slice(&output.stdout).expect("a report")
}

#[tokio::test]
async fn every_response_of_the_double_conforms_to_the_document() {
    let mut client = Client::start(false).await;
    grants(&mut client).await;
    step_ups(&mut client).await;
    refreshes(&mut client).await;
    pages(&mut client).await;
    people(&mut client).await;
    organizations(&mut client).await;
    invitations(&mut client).await;
    impersonation(&mut client).await;
    changes(&mut client).await;
    environment(&mut client).await;
    covers_every_endpoint(&client.responses);
    let events = client.events();
    covers_every_event(&events);
    let mut limited = Client::start(true).await;
    limits(&mut limited).await;

    let responses = [client.responses, limited.responses, events].concat();
    let report = validate(&responses).await;
    assert_eq!(report.problems.len(), responses.len());
    let problems = responses.iter().zip(report.problems).filter_map(|(response, problem)| {
        let Response { method, path, status, body, .. } = response;
        problem.map(|problem| format!("{method} {path} {status}: {problem}\n    {body}"))
    });
    let problems: Vec<String> = problems.collect();
    assert!(
        problems.is_empty(),
        "{} of {} responses:\n{}",
        problems.len(),
        responses.len(),
        problems.join("\n")
    );
    assert!(report.unused.is_empty(), "{}", report.unused.join("\n"));
}

/// Asserts that every endpoint of the double succeeded once, so that this test covers new ones.
fn covers_every_endpoint(responses: &[Response]) {
    let source = include_str!("../../local/workos/src/router.rs");
    let routes: Vec<&str> =
        source.split(".route(").skip(1).filter_map(|call| call.split('"').nth(1)).collect();
    assert!(routes.len() > 15, "{routes:?}");
    for route in routes {
        let is_route = |path: &str| {
            let (path, route): (Vec<_>, Vec<_>) = (path.split('/').collect(), route.split('/').collect());
            path.len() == route.len()
                && path.iter().zip(&route).all(|(part, named)| named.starts_with('{') || part == named)
        };
        assert!(
            responses.iter().any(|response| is_route(&response.path) && response.status < 400),
            "{route} never succeeded"
        );
    }
}

/// Asserts that every event that the double can log was logged, so that this test covers new ones.
fn covers_every_event(events: &[Response]) {
    let source = ["directory.rs", "sessions.rs"].map(|file| {
        let path = crate::app::root().join("local/workos/src").join(file);
        std::fs::read_to_string(path).expect("the double's source")
    });
    let calls = source.iter().flat_map(|text| text.split("_event(\"").skip(1));
    let names: Vec<&str> = calls.filter_map(|call| call.split('"').next()).collect();
    assert_eq!(names.len(), 8, "{names:?}");
    for name in names {
        assert!(events.iter().any(|event| event.path == name), "{name} was never logged");
    }
}

/// What administrators change, and the events that tell.
async fn changes(client: &mut Client) {
    let (users, memberships) = ("/user_management/users", "/user_management/organization_memberships");
    let user = client.post(users, json!({ "email": "ivy@example.com" })).await.is(201).text("id");
    let changed = json!({ "first_name": "Ivy", "email_verified": true, "metadata": { "a": "b" } });
    client.put(&format!("{users}/{user}"), changed).await.is(200);
    client
        .put(&format!("{users}/user_unknown"), json!({}))
        .await
        .refused(404, "User not found: 'user_unknown'.");
    let wanted = json!({ "user_id": user, "organization_id": MASADAS });
    let membership = client.post(memberships, wanted.clone()).await.is(201).text("id");
    let path = format!("{memberships}/{membership}");
    client.get(&path).await.is(200);
    client.put(&path, json!({ "role_slug": "admin" })).await.is(200);
    client.put(&path, json!({ "role_slug": "nobody" })).await.refused(422, "invalid_role");
    client.sign_in("ivy@example.com").await.is(200);
    client.put(&format!("{path}/deactivate"), json!({})).await.is(200);
    client.put(&format!("{path}/reactivate"), json!({})).await.is(200);
    client.delete(&path).await.is(200);
    let unknown = format!("Organization Membership not found: '{membership}'.");
    client.delete(&path).await.refused(404, &unknown);
    client.get(&path).await.refused(404, &unknown);
    client.put(&path, json!({ "role_slug": "admin" })).await.refused(404, &unknown);
    client.put(&format!("{path}/reactivate"), json!({})).await.refused(404, &unknown);
    client.delete(&format!("{users}/{user}")).await.is(200);
    client.delete(&format!("{users}/{user}")).await.refused(404, &format!("User not found: '{user}'."));

    let events = "/events?events=session.revoked,user.deleted";
    let page = client.get(&format!("{events}&order=asc&limit=1")).await.is(200).json();
    let after = page["list_metadata"]["after"].as_str().expect("a cursor");
    client.get(&format!("{events}&order=asc&after={after}")).await.is(200);
    client.get(&format!("{events}&after=event_unknown")).await.refused(422, "invalid_request_parameters");
    client.get("/events").await.refused(422, "invalid_request_parameters");
}

/// Every grant, and every error that refuses one.
async fn grants(client: &mut Client) {
    let code = client.mailed(JANE).await;
    let wrong = if code == "000000" { "000001" } else { "000000" };
    client.redeem(JANE, wrong).await.refused(400, "invalid_one_time_code");
    client.redeem(JANE, &code).await.is(200);
    client.redeem(JANE, &code).await.refused(400, "one_time_code_previously_used");
    let late = client.mailed(JANE).await;
    client.workos.expire_codes();
    client.redeem(JANE, &late).await.refused(400, "one_time_code_expired");
    client.mailed(JANE).await;
    while client.redeem(JANE, wrong).await.text("code") == "invalid_one_time_code" {}
    client.redeem(JANE, wrong).await.refused(400, "one_time_code_too_many_attempts");

    let code = client.google(JANE).await;
    client.exchange(&code, Some(VERIFIER)).await.is(200);
    client.exchange(&code, Some(VERIFIER)).await.refused(400, "invalid_grant");
    let code = client.google(JANE).await;
    client.exchange(&code, Some("another")).await.refused(400, "invalid_grant");
    let plain = [CALLBACK, ("provider", "MicrosoftOAuth"), ("login_hint", JANE)];
    let code = client.authorize("/user_management/authorize", &plain).await.code();
    client.exchange(&code, Some(VERIFIER)).await.refused(400, "code_challenge_not_found");

    let authenticate = "/user_management/authenticate";
    let id = client.workos.client_id();
    client.post(authenticate, json!({})).await.refused(422, "invalid_request_parameters");
    client.post(authenticate, json!({ "grant_type": 1 })).await.refused(422, "invalid_request_parameters");
    client.grant("password", json!({})).await.refused(400, "invalid_request");
    client
        .grant("refresh_token", json!({ "client_id": "client_other" }))
        .await
        .refused(400, "invalid_client");
    client
        .grant("refresh_token", json!({ "client_secret": "sk_other" }))
        .await
        .refused(400, "invalid_client");
    client
        .grant("refresh_token", json!({ "invitation_token": "x" }))
        .await
        .refused(400, "invitation_invalid");
    let public = json!({ "client_id": id, "grant_type": "authorization_code", "code": "x" });
    client.post(authenticate, public).await.refused(400, "invalid_request");
}

/// Sign-ins that need another step.
async fn step_ups(client: &mut Client) {
    let asked = client.sign_in(TWO_ORGANIZATIONS).await.refused(403, "organization_selection_required");
    let pending = asked.text("pending_authentication_token");
    client.select("made-up", MASADAS).await.refused(400, "invalid_pending_authentication_token");
    client.select(&pending, ACME).await.refused(400, "organization_membership_not_found");
    client.select(&pending, "org_unknown").await.refused(404, "Organization not found: 'org_unknown'.");
    client.select(&pending, MASADAS).await.is(200);

    let pending = client.sign_in("sam@example.com").await.text("pending_authentication_token");
    client.select(&pending, ACME).await.refused(400, "sso_required");
    client.select(&pending, INITECH).await.refused(403, "mfa_enrollment");
    client.select(&pending, GLOBEX).await.refused(400, "organization_authentication_methods_required");
    client.workos.set_connection_state(ACME_CONNECTION, ConnectionState::Inactive);
    client.select(&pending, ACME).await.refused(400, "Must use SSO for selected organization");
    client.workos.set_connection_state(ACME_CONNECTION, ConnectionState::Active);

    let max = "max@example.com";
    let asked = client.sign_in(max).await.refused(403, "mfa_challenge");
    let factor = asked.json()["authentication_factors"][0]["id"].as_str().expect("a factor").to_owned();
    client
        .post("/auth/factors/factor_unknown/challenge", json!({}))
        .await
        .refused(404, "Authentication Factor not found: 'factor_unknown'.");
    let challenge =
        client.post(&format!("/auth/factors/{factor}/challenge"), json!({})).await.is(201).text("id");
    let user = client.workos.user_id(max).expect("a user");
    let totp = client.workos.totp_code(&user).expect("an authenticator app");
    let (pending, mut fields) = (asked.text("pending_authentication_token"), json!({ "code": "not-it" }));
    fields["pending_authentication_token"] = pending.into();
    fields["authentication_challenge_id"] = challenge.into();
    client.grant("mfa-totp", fields.clone()).await.refused(400, "invalid_one_time_code");
    fields["code"] = totp.into();
    client.grant("mfa-totp", fields.clone()).await.is(200);

    factors(client, &user).await;

    let eve = "eve@umbrella.test";
    let code = client.google(eve).await;
    let asked = client.exchange(&code, Some(VERIFIER)).await.refused(403, "email_verification_required");
    let mut fields = json!({ "code": "not-it" });
    fields["pending_authentication_token"] = asked.text("pending_authentication_token").into();
    client.grant("email-verification:code", fields.clone()).await.refused(400, "invalid_one_time_code");
    let verification = asked.text("email_verification_id");
    client.get(&format!("/user_management/email_verification/{verification}")).await.is(200);
    client
        .get("/user_management/email_verification/none")
        .await
        .refused(404, "Email Verification not found: 'none'.");
    let send = |user: &str| format!("/user_management/users/{user}/email_verification/send");
    let id = client.workos.user_id(eve).expect("a user");
    client.post(&send(&id), json!({})).await.is(200);
    client.post(&send("user_unknown"), json!({})).await.refused(404, "User not found: 'user_unknown'.");
    fields["code"] = client.workos.last_code(eve).expect("a code was mailed").into();
    client.grant("email-verification:code", fields).await.is(200);
    client.post(&send(&id), json!({})).await.refused(400, "email_already_verified");
}

/// Authenticator apps.
async fn factors(client: &mut Client, user: &str) {
    let path = format!("/user_management/users/{user}/auth_factors");
    let created = client.post(&path, json!({ "type": "totp", "totp_issuer": "Us" })).await.is(201).json();
    client.post(&path, json!({ "type": "sms" })).await.refused(422, "invalid_request_parameters");
    client.get(&path).await.is(200);
    client.get(&format!("{path}?limit=0")).await.refused(422, "invalid_request_parameters");
    let id = created["authentication_factor"]["id"].as_str().expect("a factor");
    let factor = format!("/auth/factors/{id}");
    client.get(&factor).await.is(200);
    let key = client.workos.api_key();
    for status in [204, 404] {
        assert_eq!(client.send(Method::DELETE, &factor, Some(&key), None).await.status, status);
    }
    client.get(&factor).await.refused(404, &format!("Authentication Factor not found: '{id}'."));
}

/// Refreshes: rotation, other organizations, and ended sessions.
async fn refreshes(client: &mut Client) {
    let session = client.sign_in("new.user@example.com").await.is(200);
    let token = client.refresh(&session.text("refresh_token"), None).await.is(200).text("refresh_token");
    client.refresh("made-up", None).await.refused(400, "invalid_grant");
    client.refresh(&token, Some(MASADAS)).await.refused(400, "organization_membership_not_found");
    client.refresh(&token, Some("org_unknown")).await.refused(404, "Organization not found: 'org_unknown'.");
    let user = client.workos.user_id("new.user@example.com").expect("a user");
    for organization in [MASADAS, ACME, INITECH] {
        client.workos.add_membership(&user, organization, "member", &[]);
    }
    client.refresh(&token, Some(ACME)).await.refused(400, "sso_required");
    client.refresh(&token, Some(INITECH)).await.refused(400, "mfa_enrollment");
    let token = client.refresh(&token, Some(MASADAS)).await.is(200).text("refresh_token");

    let sessions = format!("/user_management/users/{user}/sessions");
    let listed = client.get(&sessions).await.is(200).json();
    client
        .get("/user_management/users/user_unknown/sessions")
        .await
        .refused(404, "User not found: 'user_unknown'.");
    client.get(&format!("{sessions}?limit=0")).await.refused(422, "invalid_request_parameters");
    let revoke = "/user_management/sessions/revoke";
    let session = json!({ "session_id": listed["data"][0]["id"] });
    client.post(revoke, session.clone()).await.is(200);
    assert_eq!(client.post(revoke, session).await.status, 400, "the session has already ended");
    client.post(revoke, json!({})).await.refused(422, "invalid_request_parameters");
    client.refresh(&token, None).await.refused(400, "invalid_grant");
}

/// The pages that browsers visit.
async fn pages(client: &mut Client) {
    for (path, connection) in
        [("/user_management/authorize", "connection_id"), ("/sso/authorize", "connection")]
    {
        let arrival = [CALLBACK, (connection, ACME_CONNECTION), ("login_hint", "ann@acme.test")];
        let code = client.authorize(path, &arrival).await.is(302).code();
        client.exchange(&code, None).await.is(200);
        client.authorize(path, &[CALLBACK, (connection, "conn_unknown")]).await.is(302);
        client.authorize(path, &[CALLBACK, (connection, ACME_CONNECTION)]).await.is(200);
        client.authorize(path, &[("redirect_uri", "https://evil.example")]).await.is(400);
    }
    let ann = client.workos.user_id("ann@acme.test").expect("a user");
    let logout = "/user_management/sessions/logout";
    let session = client.workos.sessions(&ann).pop().expect("a session");
    client.get(&format!("{logout}?session_id={session}")).await.is(302);
    client.get(&format!("{logout}?session_id={session}&return_to=https://evil.example")).await.is(400);
    client.get(logout).await.refused(422, "invalid_request_parameters");
    let id = client.workos.client_id();
    client.get(&format!("/sso/jwks/{id}")).await.is(200);
    client.get("/sso/jwks/client_other").await.refused(404, "Client not found: 'client_other'.");
}

/// Users and Magic Auth.
async fn people(client: &mut Client) {
    let (users, magic_auth) = ("/user_management/users", "/user_management/magic_auth");
    client.get(users).await.is(200);
    client.get(&format!("{users}?email={JANE}&limit=1")).await.is(200);
    client.get(&format!("{users}?order=sideways")).await.refused(422, "invalid_request_parameters");
    let person = json!({ "email": "zoe@example.com", "first_name": "Zoe", "external_id": "z", "metadata": { "a": "b" } });
    let made = client.post(users, person.clone()).await.is(201).text("id");
    client.post(users, person).await.refused(400, "user_creation_error");
    client.post(users, json!({})).await.refused(422, "invalid_request_parameters");
    let metadata = json!({ "email": "q@example.com", "metadata": { "a": 1 } });
    client.post(users, metadata).await.refused(400, "invalid_metadata");
    let user = format!("{users}/{made}");
    client.get(&user).await.is(200);
    client.workos.delete_user(&made);
    client.get(&user).await.refused(404, &format!("User not found: '{made}'."));
    for key in [None, Some("sk_other")] {
        client.send(Method::GET, users, key, None).await.refused(401, "Unauthorized");
    }
    client
        .post(magic_auth, json!({ "email": "no address" }))
        .await
        .refused(422, "invalid_request_parameters");
    client
        .post(magic_auth, json!({ "email": JANE, "invitation_token": "x" }))
        .await
        .refused(400, "invitation_invalid");
}

/// Organizations, memberships and connections.
async fn organizations(client: &mut Client) {
    let (organizations, memberships) = ("/organizations", "/user_management/organization_memberships");
    client.get(organizations).await.is(200);
    client.get(&format!("{organizations}?domains=acme.test")).await.is(200);
    client.get(&format!("{organizations}?limit=0")).await.refused(422, "invalid_request_parameters");
    client.get(&format!("{organizations}/{ACME}")).await.is(200);
    client
        .get(&format!("{organizations}/org_unknown"))
        .await
        .refused(404, "Organization not found: 'org_unknown'.");
    let made = client.workos.add_organization("New", &[("new.test", DomainState::Pending)]);

    let user = client.workos.user_id(JANE).expect("a user");
    client.get(&format!("{memberships}?user_id={user}")).await.is(200);
    client.get(memberships).await.refused(400, "missing_user_id_or_organization_id");
    client
        .get(&format!("{memberships}?user_id={user}&statuses=other"))
        .await
        .refused(422, "invalid_request_parameters");
    let member = |user: &str, organization: &str, role: &str| json!({ "user_id": user, "organization_id": organization, "role_slug": role });
    client.post(memberships, member(&user, &made, "nobody")).await.refused(422, "invalid_role");
    client
        .post(memberships, member("user_unknown", &made, "member"))
        .await
        .refused(404, "User not found: 'user_unknown'.");
    client
        .post(memberships, member(&user, "org_unknown", "member"))
        .await
        .refused(404, "Organization not found: 'org_unknown'.");
    let id = client.post(memberships, member(&user, &made, "admin")).await.is(201).text("id");
    client.post(memberships, member(&user, &made, "admin")).await.refused(422, "invalid_request_parameters");
    let key = client.workos.api_key();
    for (id, status) in [(id.as_str(), 200), ("om_unknown", 404)] {
        let response =
            client.send(Method::PUT, &format!("{memberships}/{id}/deactivate"), Some(&key), None).await;
        assert_eq!(response.status, status, "{}", response.body);
    }

    client.get("/connections?domain=acme.test").await.is(200);
    client.get("/connections?limit=0").await.refused(422, "invalid_request_parameters");
}

/// Invitations, and what they let in.
async fn invitations(client: &mut Client) {
    let invitations = "/user_management/invitations";
    client.post(invitations, json!({})).await.refused(422, "invalid_request_parameters");
    client
        .post(invitations, json!({ "email": "kim@example.com", "organization_id": "org_unknown" }))
        .await
        .refused(404, "Organization not found: 'org_unknown'.");
    let invited = json!({ "email": "kim@example.com", "organization_id": MASADAS });
    let invitation = client.post(invitations, invited).await.is(201);
    client.get(&format!("{invitations}?email=kim@example.com")).await.is(200);
    client.get(&format!("{invitations}?limit=0")).await.refused(422, "invalid_request_parameters");
    let (id, token) = (invitation.text("id"), invitation.text("token"));
    client.get(&format!("/invite?invitation_token={token}")).await.is(302);
    client
        .post("/user_management/magic_auth", json!({ "email": JANE, "invitation_token": token }))
        .await
        .refused(400, "invitation_invalid");
    let asked = json!({ "email": "kim@example.com", "invitation_token": token });
    let code = client.post("/user_management/magic_auth", asked).await.is(201).text("code");
    let mut fields = json!({ "email": JANE, "code": code, "invitation_token": token });
    client.grant("magic-auth:code", fields.clone()).await.refused(400, "invitation_cannot_be_used_for_email");
    fields["email"] = "kim@example.com".into();
    client.grant("magic-auth:code", fields).await.is(200);
    client.get(&format!("{invitations}/{id}")).await.is(200);
    client.get(&format!("{invitations}/x")).await.refused(404, "Invitation not found: 'x'.");
    client.post(&format!("{invitations}/x/revoke"), json!({})).await.refused(400, "invite_not_pending");
    client.post(&format!("{invitations}/{id}/revoke"), json!({})).await.refused(400, "invite_not_pending");
    let id = client.post(invitations, json!({ "email": "lee@example.com" })).await.is(201).text("id");
    client.post(&format!("{invitations}/{id}/revoke"), json!({})).await.is(200);
}

/// A sign-in from the dashboard, and one from the page of an identity provider.
async fn impersonation(client: &mut Client) {
    client.get(&format!("/idp?connection_id={ACME_CONNECTION}&email=ann@acme.test")).await.is(302);
    let dashboard = client.get(&format!("/impersonate?email={JANE}&reason=ticket")).await.is(302);
    let cookie = dashboard.headers["set-cookie"].split(';').next().expect("a cookie").to_owned();
    let id = client.workos.client_id();
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let fixed = [("client_id", id.as_str()), ("response_type", "code"), ("provider", "authkit"), CALLBACK];
    let target = format!("/user_management/authorize?{}", query.extend_pairs(fixed).finish());
    let request = client.http.get(format!("{}{target}", client.workos.url())).header("cookie", cookie);
    let response = request.send().await.expect("the double responds");
    let location: Url = response.headers()["location"].to_str().expect("text").parse().expect("a URL");
    let code = location.query_pairs().find(|(name, _)| name == "code").expect("a code").1.into_owned();
    let session = client.exchange(&code, None).await.is(200);
    assert_eq!(session.json()["impersonator"]["reason"], "ticket");
    client.refresh(&session.text("refresh_token"), None).await.is(200);
    let jane = client.workos.user_id(JANE).expect("a user");
    client.get(&format!("/user_management/users/{jane}/sessions")).await.is(200);
}

/// What the settings of the environment forbid.
async fn environment(client: &mut Client) {
    let open = Environment::default();
    client.workos.set_environment(Environment { sign_up_allowed: false, ..open.clone() });
    let stranger = json!({ "email": "stranger@example.com" });
    client.post("/user_management/magic_auth", stranger).await.refused(400, "sign_up_not_allowed");
    client.workos.set_environment(open.clone());
    let code = client.google(JANE).await;
    let sso_only = vec![SignInMethod::Sso];
    client.workos.set_environment(Environment { authentication_methods: sso_only, ..open });
    client.exchange(&code, Some(VERIFIER)).await.refused(403, "authentication_method_not_allowed");
    let magic_auth = client.post("/user_management/magic_auth", json!({ "email": JANE })).await;
    magic_auth.refused(400, "authentication_method_not_allowed");
}

/// WorkOS' limits per address.
async fn limits(client: &mut Client) {
    for _ in 0..3 {
        client.mailed(JANE).await;
    }
    client
        .post("/user_management/magic_auth", json!({ "email": JANE }))
        .await
        .refused(429, "too_many_requests");
    for _ in 0..10 {
        client.redeem("nobody@example.com", "000000").await;
    }
    client.redeem("nobody@example.com", "000000").await.refused(429, "too_many_requests");
}

#[tokio::test]
async fn a_response_that_violates_the_document_is_reported() {
    let mut client = Client::start(false).await;
    let session = client.sign_in(JANE).await.is(200);
    let refusal = client.refresh("made-up", None).await.refused(400, "invalid_grant");
    let event = client.events().pop().expect("the session's event");
    let changed = |response: &Response, change: &dyn Fn(&mut Value)| {
        let mut body = response.json();
        change(&mut body);
        Response { body: body.to_string(), ..response.clone() }
    };
    let broken = [
        (
            changed(&session, &|body| drop(body.as_object_mut().unwrap().remove("refresh_token"))),
            "refresh_token",
        ),
        (changed(&session, &|body| body["user"]["email_verified"] = "yes".into()), "must be boolean"),
        (changed(&session, &|body| body["user"]["created_at"] = "yesterday".into()), "date-time"),
        (changed(&session, &|body| body["user"]["nickname"] = "J".into()), "nickname"),
        (changed(&session, &|body| body["authentication_method"] = "Telepathy".into()), "allowed values"),
        (changed(&refusal, &|body| body["error"] = "no_such_error".into()), "constant"),
        (changed(&refusal, &|body| body["hint"] = "x".into()), "hint"),
        (changed(&event, &|body| body["data"]["status"] = "gone".into()), "allowed values"),
        (changed(&event, &|body| body["data"]["secret"] = "x".into()), "secret"),
        (changed(&event, &|body| drop(body.as_object_mut().unwrap().remove("created_at"))), "created_at"),
        (Response { path: "session.vanished".into(), ..event.clone() }, "does not declare the event"),
        (Response { status: 418, ..session.clone() }, "does not declare the status"),
        (
            Response { path: "/user_management/nothing".into(), ..session.clone() },
            "does not declare the endpoint",
        ),
        (Response { body: "not JSON".into(), ..session.clone() }, "not JSON"),
    ];
    let (mut responses, expected): (Vec<_>, Vec<_>) = broken.into_iter().unzip();
    responses.extend([session, refusal, event]);
    let mut problems = validate(&responses).await.problems;
    assert_eq!(problems.split_off(expected.len()), [None, None, None], "the unchanged responses are valid");
    for (problem, expected) in problems.into_iter().zip(expected) {
        assert!(
            problem.as_ref().is_some_and(|problem| problem.contains(expected)),
            "{expected}: {problem:?}"
        );
    }
}
