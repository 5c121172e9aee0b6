//! The WorkOS double against WorkOS' own OpenAPI document, npm `@workos/openapi-spec`: every answer that it can give,
//! successes and refusals, fits the schema of its operation and status. `tests/workos/validate.mjs` judges and lists the
//! exceptions.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use local_workos::{
    ConnectionState, DomainState, Environment, Method as SignInMethod, Options, Seed, WorkOs, start,
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

/// An answer as the validator reads it.
#[derive(Clone, Debug, Serialize)]
struct Answer {
    method: String,
    path: String,
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a JSON body")
    }

    #[track_caller]
    fn text(&self, field: &str) -> String {
        self.json()[field].as_str().unwrap_or_else(|| panic!("no {field} in {}", self.body)).to_owned()
    }

    /// The code in the address that the browser is sent to.
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

    /// Asserts the status and the word (`code`, `error` or the bare message), so that a refusal is the one meant.
    #[track_caller]
    fn refused(self, status: u16, word: &str) -> Self {
        let answer = self.is(status);
        let body = answer.json();
        let found = ["code", "error", "message"].iter().find_map(|field| body[field].as_str());
        assert_eq!(found, Some(word), "{} {}: {body}", answer.method, answer.path);
        answer
    }
}

/// A double, and every answer that it gave.
struct Drive {
    workos: WorkOs,
    http: reqwest::Client,
    answers: Vec<Answer>,
}

impl Drive {
    async fn start(rate_limits: bool) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let seed = Seed::bundled().expect("the seed is right");
        let workos = start(listener, Options { seed, rate_limits, ..Options::default() }).await;
        Self { workos, http: http(), answers: Vec::new() }
    }

    async fn send(&mut self, method: Method, target: &str, key: Option<&str>, body: Option<Value>) -> Answer {
        let mut request = self.http.request(method.clone(), format!("{}{target}", self.workos.url()));
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.expect("the double answers");
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().expect("a header in text").to_owned()));
        let (headers, status) = (headers.collect(), response.status().as_u16());
        let path = target.split('?').next().unwrap_or_default().to_owned();
        let body = response.text().await.expect("a whole body");
        let answer = Answer { method: method.to_string(), path, status, headers, body };
        self.answers.push(answer.clone());
        answer
    }

    async fn get(&mut self, target: &str) -> Answer {
        let key = self.workos.api_key();
        self.send(Method::GET, target, Some(&key), None).await
    }

    async fn post(&mut self, target: &str, body: Value) -> Answer {
        let key = self.workos.api_key();
        self.send(Method::POST, target, Some(&key), Some(body)).await
    }

    /// Authenticate with a grant (its name behind WorkOS' prefix, or as it is) and its fields.
    async fn grant(&mut self, grant: &str, fields: Value) -> Answer {
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

    /// Has a code mailed to `email`; gives it.
    async fn mailed(&mut self, email: &str) -> String {
        self.post("/user_management/magic_auth", json!({ "email": email })).await.is(201);
        self.workos.last_code(email).expect("a code was mailed")
    }

    async fn sign_in(&mut self, email: &str) -> Answer {
        let code = self.mailed(email).await;
        self.redeem(email, &code).await
    }

    async fn redeem(&mut self, email: &str, code: &str) -> Answer {
        self.grant("magic-auth:code", json!({ "email": email, "code": code })).await
    }

    async fn select(&mut self, pending: &str, organization: &str) -> Answer {
        let fields = json!({ "pending_authentication_token": pending, "organization_id": organization });
        self.grant("organization-selection", fields).await
    }

    async fn refresh(&mut self, token: &str, organization: Option<&str>) -> Answer {
        self.grant("refresh_token", json!({ "refresh_token": token, "organization_id": organization })).await
    }

    async fn authorize(&mut self, path: &str, pairs: &[(&str, &str)]) -> Answer {
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

    async fn exchange(&mut self, code: &str, verifier: Option<&str>) -> Answer {
        self.grant("authorization_code", json!({ "code": code, "code_verifier": verifier })).await
    }
}

/// What the validator says.
#[derive(Debug, Deserialize)]
struct Verdict {
    /// What is wrong with each answer.
    problems: Vec<Option<String>>,
    /// Exceptions that no answer needed.
    idle: Vec<String>,
}

async fn validate(answers: &[Answer]) -> Verdict {
    let mut validator = node(include_str!("../workos/validate.mjs")).spawn().expect("node starts");
    let text = serde_json::to_vec(answers).expect("answers are JSON");
    let mut input = validator.stdin.take().expect("a piped input");
    input.write_all(&text).await.expect("the validator reads");
    drop(input);
    let output = validator.wait_with_output().await.expect("the validator ends");
    assert!(output.status.success(), "the validator failed");
    serde_json::from_slice(&output.stdout).expect("a verdict")
}

#[tokio::test]
async fn every_answer_of_the_double_is_one_of_the_document() {
    let mut drive = Drive::start(false).await;
    grants(&mut drive).await;
    step_ups(&mut drive).await;
    refreshes(&mut drive).await;
    pages(&mut drive).await;
    people(&mut drive).await;
    organizations(&mut drive).await;
    environment(&mut drive).await;
    covers_every_endpoint(&drive.answers);
    let mut limited = Drive::start(true).await;
    limits(&mut limited).await;

    let answers = [drive.answers, limited.answers].concat();
    let verdict = validate(&answers).await;
    assert_eq!(verdict.problems.len(), answers.len());
    let findings = answers.iter().zip(verdict.problems).filter_map(|(answer, problem)| {
        let Answer { method, path, status, body, .. } = answer;
        problem.map(|problem| format!("{method} {path} {status}: {problem}\n    {body}"))
    });
    let findings: Vec<String> = findings.collect();
    assert!(findings.is_empty(), "{} of {} answers:\n{}", findings.len(), answers.len(), findings.join("\n"));
    assert!(verdict.idle.is_empty(), "{}", verdict.idle.join("\n"));
}

/// An endpoint that joins the double joins this test.
fn covers_every_endpoint(answers: &[Answer]) {
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
            answers.iter().any(|answer| is_route(&answer.path) && answer.status < 400),
            "{route} never succeeded"
        );
    }
}

/// Every grant, and every way in which one is refused.
async fn grants(drive: &mut Drive) {
    let code = drive.mailed(JANE).await;
    let wrong = if code == "000000" { "000001" } else { "000000" };
    drive.redeem(JANE, wrong).await.refused(400, "invalid_one_time_code");
    drive.redeem(JANE, &code).await.is(200);
    drive.redeem(JANE, &code).await.refused(400, "one_time_code_previously_used");
    let late = drive.mailed(JANE).await;
    drive.workos.expire_codes();
    drive.redeem(JANE, &late).await.refused(400, "one_time_code_expired");
    drive.mailed(JANE).await;
    while drive.redeem(JANE, wrong).await.text("code") == "invalid_one_time_code" {}
    drive.redeem(JANE, wrong).await.refused(400, "one_time_code_too_many_attempts");

    let code = drive.google(JANE).await;
    drive.exchange(&code, Some(VERIFIER)).await.is(200);
    drive.exchange(&code, Some(VERIFIER)).await.refused(400, "invalid_grant");
    let code = drive.google(JANE).await;
    drive.exchange(&code, Some("another")).await.refused(400, "invalid_grant");
    let plain = [CALLBACK, ("provider", "MicrosoftOAuth"), ("login_hint", JANE)];
    let code = drive.authorize("/user_management/authorize", &plain).await.code();
    drive.exchange(&code, Some(VERIFIER)).await.refused(400, "code_challenge_not_found");

    let authenticate = "/user_management/authenticate";
    let id = drive.workos.client_id();
    drive.post(authenticate, json!({})).await.refused(422, "invalid_request_parameters");
    drive.post(authenticate, json!({ "grant_type": 1 })).await.refused(422, "invalid_request_parameters");
    drive.grant("password", json!({})).await.refused(400, "invalid_request");
    drive.grant("refresh_token", json!({ "client_id": "client_other" })).await.refused(400, "invalid_client");
    drive.grant("refresh_token", json!({ "client_secret": "sk_other" })).await.refused(400, "invalid_client");
    drive.grant("refresh_token", json!({ "invitation_token": "x" })).await.refused(400, "invitation_invalid");
    let public = json!({ "client_id": id, "grant_type": "authorization_code", "code": "x" });
    drive.post(authenticate, public).await.refused(400, "invalid_request");
}

/// What stands between an arrival and a session.
async fn step_ups(drive: &mut Drive) {
    let asked = drive.sign_in(TWO_ORGANIZATIONS).await.refused(403, "organization_selection_required");
    let pending = asked.text("pending_authentication_token");
    drive.select("made-up", MASADAS).await.refused(400, "invalid_pending_authentication_token");
    drive.select(&pending, ACME).await.refused(400, "organization_membership_not_found");
    drive.select(&pending, "org_unknown").await.refused(404, "Organization not found: 'org_unknown'.");
    drive.select(&pending, MASADAS).await.is(200);

    let pending = drive.sign_in("sam@example.com").await.text("pending_authentication_token");
    drive.select(&pending, ACME).await.refused(400, "sso_required");
    drive.select(&pending, INITECH).await.refused(403, "mfa_enrollment");
    drive.select(&pending, GLOBEX).await.refused(400, "organization_authentication_methods_required");
    drive.workos.set_connection_state(ACME_CONNECTION, ConnectionState::Inactive);
    drive.select(&pending, ACME).await.refused(400, "Must use SSO for selected organization");
    drive.workos.set_connection_state(ACME_CONNECTION, ConnectionState::Active);

    let max = "max@example.com";
    let asked = drive.sign_in(max).await.refused(403, "mfa_challenge");
    let factor = asked.json()["authentication_factors"][0]["id"].as_str().expect("a factor").to_owned();
    drive
        .post("/auth/factors/factor_unknown/challenge", json!({}))
        .await
        .refused(404, "Authentication Factor not found: 'factor_unknown'.");
    let challenge =
        drive.post(&format!("/auth/factors/{factor}/challenge"), json!({})).await.is(201).text("id");
    let user = drive.workos.user_id(max).expect("a user");
    let totp = drive.workos.totp_code(&user).expect("an app");
    let (pending, mut fields) = (asked.text("pending_authentication_token"), json!({ "code": "not-it" }));
    fields["pending_authentication_token"] = pending.into();
    fields["authentication_challenge_id"] = challenge.into();
    drive.grant("mfa-totp", fields.clone()).await.refused(400, "invalid_one_time_code");
    fields["code"] = totp.into();
    drive.grant("mfa-totp", fields.clone()).await.is(200);

    let eve = "eve@umbrella.test";
    let code = drive.google(eve).await;
    let asked = drive.exchange(&code, Some(VERIFIER)).await.refused(403, "email_verification_required");
    let mut fields = json!({ "code": "not-it" });
    fields["pending_authentication_token"] = asked.text("pending_authentication_token").into();
    drive.grant("email-verification:code", fields.clone()).await.refused(400, "invalid_one_time_code");
    fields["code"] = drive.workos.last_code(eve).expect("a mail").into();
    drive.grant("email-verification:code", fields).await.is(200);
}

/// Rotation, other organizations, and ended sessions.
async fn refreshes(drive: &mut Drive) {
    let session = drive.sign_in("new.user@example.com").await.is(200);
    let token = drive.refresh(&session.text("refresh_token"), None).await.is(200).text("refresh_token");
    drive.refresh("made-up", None).await.refused(400, "invalid_grant");
    drive.refresh(&token, Some(MASADAS)).await.refused(400, "organization_membership_not_found");
    drive.refresh(&token, Some("org_unknown")).await.refused(404, "Organization not found: 'org_unknown'.");
    let user = drive.workos.user_id("new.user@example.com").expect("a user");
    for organization in [MASADAS, ACME, INITECH] {
        drive.workos.add_membership(&user, organization, "member", &[]);
    }
    drive.refresh(&token, Some(ACME)).await.refused(400, "sso_required");
    drive.refresh(&token, Some(INITECH)).await.refused(400, "mfa_enrollment");
    let token = drive.refresh(&token, Some(MASADAS)).await.is(200).text("refresh_token");

    let sessions = format!("/user_management/users/{user}/sessions");
    let listed = drive.get(&sessions).await.is(200).json();
    drive
        .get("/user_management/users/user_unknown/sessions")
        .await
        .refused(404, "User not found: 'user_unknown'.");
    drive.get(&format!("{sessions}?limit=0")).await.refused(422, "invalid_request_parameters");
    let revoke = "/user_management/sessions/revoke";
    let session = json!({ "session_id": listed["data"][0]["id"] });
    drive.post(revoke, session.clone()).await.is(200);
    assert_eq!(drive.post(revoke, session).await.status, 400, "it has ended already");
    drive.post(revoke, json!({})).await.refused(422, "invalid_request_parameters");
    drive.refresh(&token, None).await.refused(400, "invalid_grant");
}

/// What browsers visit.
async fn pages(drive: &mut Drive) {
    for (path, connection) in
        [("/user_management/authorize", "connection_id"), ("/sso/authorize", "connection")]
    {
        let arrival = [CALLBACK, (connection, ACME_CONNECTION), ("login_hint", "ann@acme.test")];
        let code = drive.authorize(path, &arrival).await.is(302).code();
        drive.exchange(&code, None).await.is(200);
        drive.authorize(path, &[CALLBACK, (connection, "conn_unknown")]).await.is(302);
        drive.authorize(path, &[CALLBACK, (connection, ACME_CONNECTION)]).await.is(200);
        drive.authorize(path, &[("redirect_uri", "https://evil.example")]).await.is(400);
    }
    let ann = drive.workos.user_id("ann@acme.test").expect("a user");
    let logout = "/user_management/sessions/logout";
    let session = drive.workos.sessions(&ann).pop().expect("a session");
    drive.get(&format!("{logout}?session_id={session}")).await.is(302);
    drive.get(&format!("{logout}?session_id={session}&return_to=https://evil.example")).await.is(400);
    drive.get(logout).await.refused(422, "invalid_request_parameters");
    let id = drive.workos.client_id();
    drive.get(&format!("/sso/jwks/{id}")).await.is(200);
    drive.get("/sso/jwks/client_other").await.refused(404, "Client not found: 'client_other'.");
}

/// Users and Magic Auth.
async fn people(drive: &mut Drive) {
    let (users, magic_auth) = ("/user_management/users", "/user_management/magic_auth");
    drive.get(users).await.is(200);
    drive.get(&format!("{users}?email={JANE}&limit=1")).await.is(200);
    drive.get(&format!("{users}?order=sideways")).await.refused(422, "invalid_request_parameters");
    let person = json!({ "email": "zoe@example.com", "first_name": "Zoe", "external_id": "z", "metadata": { "a": "b" } });
    let made = drive.post(users, person.clone()).await.is(201).text("id");
    drive.post(users, person).await.refused(400, "user_creation_error");
    drive.post(users, json!({})).await.refused(422, "invalid_request_parameters");
    let metadata = json!({ "email": "q@example.com", "metadata": { "a": 1 } });
    drive.post(users, metadata).await.refused(400, "invalid_metadata");
    let user = format!("{users}/{made}");
    drive.get(&user).await.is(200);
    drive.workos.delete_user(&made);
    drive.get(&user).await.refused(404, &format!("User not found: '{made}'."));
    for key in [None, Some("sk_other")] {
        drive.send(Method::GET, users, key, None).await.refused(401, "Unauthorized");
    }
    drive.post(magic_auth, json!({ "email": "no address" })).await.refused(422, "invalid_request_parameters");
    drive
        .post(magic_auth, json!({ "email": JANE, "invitation_token": "x" }))
        .await
        .refused(400, "invitation_invalid");
}

/// Organizations, memberships and connections.
async fn organizations(drive: &mut Drive) {
    let (organizations, memberships) = ("/organizations", "/user_management/organization_memberships");
    drive.get(organizations).await.is(200);
    drive.get(&format!("{organizations}?domains=acme.test")).await.is(200);
    drive.get(&format!("{organizations}?limit=0")).await.refused(422, "invalid_request_parameters");
    drive.get(&format!("{organizations}/{ACME}")).await.is(200);
    drive
        .get(&format!("{organizations}/org_unknown"))
        .await
        .refused(404, "Organization not found: 'org_unknown'.");
    let made = drive.workos.add_organization("New", &[("new.test", DomainState::Pending)]);

    let user = drive.workos.user_id(JANE).expect("a user");
    drive.get(&format!("{memberships}?user_id={user}")).await.is(200);
    drive.get(memberships).await.refused(400, "missing_user_id_or_organization_id");
    drive
        .get(&format!("{memberships}?user_id={user}&statuses=other"))
        .await
        .refused(422, "invalid_request_parameters");
    let member = |user: &str, organization: &str, role: &str| json!({ "user_id": user, "organization_id": organization, "role_slug": role });
    drive.post(memberships, member(&user, &made, "nobody")).await.refused(422, "invalid_role");
    drive
        .post(memberships, member("user_unknown", &made, "member"))
        .await
        .refused(404, "User not found: 'user_unknown'.");
    drive
        .post(memberships, member(&user, "org_unknown", "member"))
        .await
        .refused(404, "Organization not found: 'org_unknown'.");
    let id = drive.post(memberships, member(&user, &made, "admin")).await.is(201).text("id");
    drive.post(memberships, member(&user, &made, "admin")).await.refused(422, "invalid_request_parameters");
    let key = drive.workos.api_key();
    for (id, status) in [(id.as_str(), 200), ("om_unknown", 404)] {
        let answer =
            drive.send(Method::PUT, &format!("{memberships}/{id}/deactivate"), Some(&key), None).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }

    drive.get("/connections?domain=acme.test").await.is(200);
    drive.get("/connections?limit=0").await.refused(422, "invalid_request_parameters");
}

/// What the environment's settings forbid.
async fn environment(drive: &mut Drive) {
    let open = Environment::default();
    drive.workos.set_environment(Environment { sign_up_allowed: false, ..open.clone() });
    let stranger = json!({ "email": "stranger@example.com" });
    drive.post("/user_management/magic_auth", stranger).await.refused(400, "sign_up_not_allowed");
    drive.workos.set_environment(open.clone());
    let code = drive.google(JANE).await;
    let sso_only = vec![SignInMethod::Sso];
    drive.workos.set_environment(Environment { authentication_methods: sso_only, ..open });
    drive.exchange(&code, Some(VERIFIER)).await.refused(403, "authentication_method_not_allowed");
    let magic_auth = drive.post("/user_management/magic_auth", json!({ "email": JANE })).await;
    magic_auth.refused(400, "authentication_method_not_allowed");
}

/// WorkOS' limits per address.
async fn limits(drive: &mut Drive) {
    for _ in 0..3 {
        drive.mailed(JANE).await;
    }
    drive
        .post("/user_management/magic_auth", json!({ "email": JANE }))
        .await
        .refused(429, "too_many_requests");
    for _ in 0..10 {
        drive.redeem("nobody@example.com", "000000").await;
    }
    drive.redeem("nobody@example.com", "000000").await.refused(429, "too_many_requests");
}

#[tokio::test]
async fn an_answer_that_breaks_the_document_is_found() {
    let mut drive = Drive::start(false).await;
    let session = drive.sign_in(JANE).await.is(200);
    let refusal = drive.refresh("made-up", None).await.refused(400, "invalid_grant");
    let changed = |answer: &Answer, change: &dyn Fn(&mut Value)| {
        let mut body = answer.json();
        change(&mut body);
        Answer { body: body.to_string(), ..answer.clone() }
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
        (Answer { status: 418, ..session.clone() }, "does not know the status"),
        (Answer { path: "/user_management/nothing".into(), ..session.clone() }, "does not know the endpoint"),
        (Answer { body: "not JSON".into(), ..session.clone() }, "no JSON"),
    ];
    let (mut answers, expected): (Vec<_>, Vec<_>) = broken.into_iter().unzip();
    answers.extend([session, refusal]);
    let mut problems = validate(&answers).await.problems;
    assert_eq!(problems.split_off(expected.len()), [None, None], "unchanged, they are sound");
    for (problem, expected) in problems.into_iter().zip(expected) {
        assert!(
            problem.as_ref().is_some_and(|problem| problem.contains(expected)),
            "{expected}: {problem:?}"
        );
    }
}
