//! Events that the functions answer with success, as many as are needed: each is prepared against the doubles, so that
//! its code, session or recording is there and not yet spent.

use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use local::{Cloud, REDIRECT_URI};
use reqwest::StatusCode;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Value, json};

use crate::Outcome;
use crate::bed::{GET_ITEM, dynamodb, hosted, livekit, workos};

const ORIGIN: &str = local::FRONT_ENDS[0];
const USER_AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0";

/// How often an address is used: the strictest limit of the endpoints is 5 in 10 minutes.
const USES: usize = 4;

/// The two organizations of people who have to choose.
const ORGANIZATIONS: [&str; 2] = ["org_01K2Z1R2MEJK6B41WW7428G9YC", "org_01K3BK4YS5SDH22RV4P9QYJR7Z"];

/// Makes events.
pub(crate) struct Events<'a> {
    cloud: &'a Cloud,
    http: reqwest::Client,
    /// Events so far: no two come from the same source, and each room is recorded once.
    made: AtomicUsize,
    chooser: String,
    person: String,
}

/// What an event is made of.
#[derive(Default)]
struct Draft<'a> {
    path: &'a str,
    body: Option<Value>,
    cookies: Vec<String>,
    authorizer: Option<Value>,
    headers: Vec<(&'a str, String)>,
}

impl<'a> Events<'a> {
    pub(crate) fn new(cloud: &'a Cloud) -> Outcome<Self> {
        let workos = workos(cloud)?;
        let chooser = workos.add_user("chooser@bench.example");
        for organization in ORGANIZATIONS {
            workos.add_membership(&chooser, organization, "member", &["rooms:join"]);
        }
        Ok(Self {
            cloud,
            http: http()?,
            made: AtomicUsize::new(0),
            chooser: "chooser@bench.example".to_owned(),
            person: workos.add_user("person@bench.example"),
        })
    }

    /// The next event for a function.
    pub(crate) async fn next(&self, function: &str) -> Outcome<Bytes> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let draft = match function {
            GET_ITEM => {
                let (_, key) = self.session()?;
                return Ok(Bytes::from(json!({ "key": key }).to_string()));
            }
            "continue-with-google" | "continue-with-microsoft" => {
                return Ok(event(number, Draft { path: &format!("/auth/{function}"), ..Draft::default() }));
            }
            "authorizer" => {
                let (token, _) = self.session()?;
                return Ok(authorizer_event(number, &token));
            }
            "sign-in" | "sign-up" | "resend-magic-auth" => {
                // Only the resent code has a cooldown, and so a new address each time.
                let user = if function == "resend-magic-auth" { number } else { number / USES };
                let email = self.user(&format!("{function}-{user}"))?;
                Draft {
                    path: &format!("/auth/{function}"),
                    body: Some(json!({ "email": email })),
                    ..Draft::default()
                }
            }
            "finalize-magic-auth" => {
                let email = self.user(&format!("finalize-{}", number / USES))?;
                let code = self.magic_code(&email).await?;
                Draft {
                    path: "/auth/finalize-magic-auth",
                    body: Some(json!({ "email": email, "code": code })),
                    ..Draft::default()
                }
            }
            "finalize-oauth" => {
                let verifier = URL_SAFE_NO_PAD.encode(random()?);
                let code = self.oauth_code(&verifier).await?;
                Draft {
                    path: "/auth/finalize-oauth",
                    body: Some(json!({ "code": code })),
                    cookies: vec![format!("__Host-oauth={}.{verifier}", now())],
                    ..Draft::default()
                }
            }
            "select-organization" => {
                let [organization, _] = ORGANIZATIONS;
                Draft {
                    path: "/auth/select-organization",
                    body: Some(self.choice(organization).await?),
                    ..Draft::default()
                }
            }
            "switch-organization" => {
                let [from, to] = ORGANIZATIONS;
                let choice = Draft {
                    path: "/auth/select-organization",
                    body: Some(self.choice(from).await?),
                    ..Draft::default()
                };
                let answer = self.ask("select-organization", event(number, choice)).await?;
                Draft {
                    path: "/auth/switch-organization",
                    body: Some(json!({ "email": self.chooser, "organizationId": to })),
                    cookies: vec![cookie(&answer, "__Host-session")?],
                    ..Draft::default()
                }
            }
            "dev-sign-in" => Draft { path: "/auth/dev-sign-in", body: Some(json!({})), ..Draft::default() },
            "sign-out" => {
                let (token, _) = self.session()?;
                Draft {
                    path: "/auth/sign-out",
                    cookies: vec![format!("__Host-session={token}")],
                    authorizer: Some(self.caller()),
                    ..Draft::default()
                }
            }
            "room-auth" => self.join("room123"),
            "start-recording" => {
                self.enter(&format!("room-{number}")).await?;
                self.start_recording(number)
            }
            "stop-recording" => {
                let egress = self.recording(number).await?;
                Draft {
                    path: "/api/v1/livekit/stop-recording",
                    body: Some(json!({
                        "roomName": format!("room-{number}"), "egressId": egress, "zoneId": "1",
                    })),
                    authorizer: Some(self.caller()),
                    ..Draft::default()
                }
            }
            "livekit-webhook" => {
                let egress = self.recording(number).await?;
                let livekit = livekit(self.cloud)?;
                let told = livekit.egress_event("egress_updated", &egress).ok_or("no such egress")?;
                let (body, signature) = livekit.sign_webhook(&told)?;
                let headers = vec![
                    ("authorization", signature),
                    ("content-type", "application/webhook+json".to_owned()),
                ];
                let draft = Draft { path: "/webhooks/livekit", headers, ..Draft::default() };
                return Ok(event_with(number, draft, Some(body)));
            }
            other => {
                return Err(
                    format!("no events are known for {other}: add them to bench/src/events.rs").into()
                );
            }
        };
        Ok(event(number, draft))
    }

    /// A session in the table, written past every function: its token and its key.
    pub(crate) fn session(&self) -> Outcome<(String, String)> {
        let (token, key) = new_token()?;
        let table = self.cloud.table().ok_or("no table")?;
        dynamodb(self.cloud)?.put(table, &session_item(&key, &self.person))?;
        Ok((token, key))
    }

    /// What the authorizer says about the person.
    fn caller(&self) -> Value {
        let [organization, _] = ORGANIZATIONS;
        json!({
            "userId": self.person,
            "email": "person@bench.example",
            "organizationId": organization,
            "role": "member",
            "permissions": ["rooms:join"],
            "sessionId": "session_01JZG38PH9VWFRMCXZB8M5B6SR",
        })
    }

    fn join(&self, room: &str) -> Draft<'static> {
        Draft {
            path: "/api/v1/livekit/room-auth",
            body: Some(json!({ "username": "Jane Doe", "roomId": room })),
            authorizer: Some(self.caller()),
            ..Draft::default()
        }
    }

    fn start_recording(&self, number: usize) -> Draft<'static> {
        Draft {
            path: "/api/v1/livekit/start-recording",
            body: Some(json!({
                "roomName": format!("room-{number}"),
                "conferenceTopic": "Weekly Sync Meeting",
                "zoneId": "1",
                "participants": "alice,bob,charlie",
            })),
            authorizer: Some(self.caller()),
            ..Draft::default()
        }
    }

    /// The person is in a room.
    async fn enter(&self, room: &str) -> Outcome<()> {
        let answer = self.ask("room-auth", event(0, self.join(room))).await?;
        let token = text(&body(&answer)?, "/token")?;
        livekit(self.cloud)?.join(&token).map_err(|refused| format!("{refused:?}"))?;
        Ok(())
    }

    /// A recording that runs in a room of its own: the id of its egress.
    async fn recording(&self, number: usize) -> Outcome<String> {
        self.enter(&format!("room-{number}")).await?;
        let answer = self.ask("start-recording", event(number, self.start_recording(number))).await?;
        let egress = text(&body(&answer)?, "/egressId")?;
        livekit(self.cloud)?.activate(&egress);
        Ok(egress)
    }

    /// Asks one of the product's functions.
    async fn ask(&self, function: &str, event: Bytes) -> Outcome<Value> {
        let invoked = hosted(self.cloud)?.invoke(function, event).await;
        let invocation = invoked.map_err(|error| format!("{function}: {error}"))?;
        Ok(serde_json::from_slice(&invocation.payload)?)
    }

    /// A user of that name: the address.
    fn user(&self, name: &str) -> Outcome<String> {
        let email = format!("{name}@bench.example");
        let workos = workos(self.cloud)?;
        let id = workos.add_user(&email);
        workos.set_profile(&id, "Jane", "Doe", "https://example.com/avatar.png");
        Ok(email)
    }

    /// A code by mail, as WorkOS' API shows it.
    pub(crate) async fn magic_code(&self, email: &str) -> Outcome<String> {
        let workos = workos(self.cloud)?;
        let url = format!("{}/user_management/magic_auth", workos.url());
        let request = self.http.post(url).bearer_auth(workos.api_key()).json(&json!({ "email": email }));
        text(&request.send().await?.error_for_status()?.json().await?, "/code")
    }

    /// The code that comes back from a sign-in with Google.
    async fn oauth_code(&self, verifier: &str) -> Outcome<String> {
        let workos = workos(self.cloud)?;
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
        let client_id = workos.client_id();
        let query = [
            ("client_id", client_id.as_str()),
            ("redirect_uri", REDIRECT_URI),
            ("response_type", "code"),
            ("provider", "GoogleOAuth"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("login_hint", "person@bench.example"),
        ];
        let url = format!("{}/user_management/authorize", workos.url());
        let url = url::Url::parse_with_params(&url, query)?;
        let answer = self.http.get(url).send().await?;
        let back = answer.headers().get("location").ok_or("no redirect")?.to_str()?;
        let back = url::Url::parse(back)?;
        let code = back.query_pairs().find(|(name, _)| name == "code").ok_or("no code")?;
        Ok(code.1.into_owned())
    }

    /// The body that chooses an organization, for a sign-in that waits for it.
    async fn choice(&self, organization: &str) -> Outcome<Value> {
        let workos = workos(self.cloud)?;
        let grant = json!({
            "client_id": workos.client_id(),
            "client_secret": workos.api_key(),
            "grant_type": "urn:workos:oauth:grant-type:magic-auth:code",
            "email": self.chooser,
            "code": self.magic_code(&self.chooser).await?,
        });
        let url = format!("{}/user_management/authenticate", workos.url());
        let answer = self.http.post(url).json(&grant).send().await?;
        if answer.status() != StatusCode::FORBIDDEN {
            return Err(format!("WorkOS answered {} and no choice", answer.status()).into());
        }
        let pending = text(&answer.json().await?, "/pending_authentication_token")?;
        Ok(json!({ "pendingAuthenticationToken": pending, "organizationId": organization }))
    }
}

/// An HTTP client with no manners of its own.
pub(crate) fn http() -> Outcome<reqwest::Client> {
    // The workspace's reqwest comes without a default provider; a second call keeps the first one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?)
}

/// A new session token, and the key of its item.
pub(crate) fn new_token() -> Outcome<(String, String)> {
    let token = random()?;
    Ok((URL_SAFE_NO_PAD.encode(token), URL_SAFE_NO_PAD.encode(digest(&SHA256, &token))))
}

/// A session that was just used, in DynamoDB's JSON, as `shared/store` writes it.
pub(crate) fn session_item(key: &str, user: &str) -> Value {
    let now = now();
    let number = |value: u64| json!({ "N": value.to_string() });
    json!({
        "pk": { "S": format!("session#{key}") },
        "user_id": { "S": user },
        "email": { "S": "person@bench.example" },
        "workos_session_id": { "S": "session_01JZG38PH9VWFRMCXZB8M5B6SR" },
        "organization_id": { "S": ORGANIZATIONS[0] },
        "role": { "S": "member" },
        "permissions": { "L": [{ "S": "rooms:join" }] },
        "access_expires_at": number(now + 86_400),
        "sealed_refresh_token": { "B": STANDARD.encode([7; 64]) },
        "generation": number(0),
        "created_at": number(now),
        "last_seen_at": number(now),
        "expires_at": number(now + 604_800),
    })
}

/// The event of an authorizer for a request with that session.
pub(crate) fn authorizer_event(number: usize, token: &str) -> Bytes {
    let draft = Draft {
        path: "/api/v1/livekit/room-auth",
        cookies: vec![format!("__Host-session={token}")],
        ..Draft::default()
    };
    let mut event = payload(number, draft, None);
    event["type"] = json!("REQUEST");
    event["routeArn"] = json!("arn:aws:execute-api:eu-central-1:123456789012:abcdefghij/$default/POST/bench");
    Bytes::from(event.to_string())
}

/// The value of the cookie that an answer sets, as `name=value`.
pub(crate) fn cookie(answer: &Value, name: &str) -> Outcome<String> {
    let cookies = answer.pointer("/cookies").and_then(Value::as_array).into_iter().flatten();
    let found = cookies.filter_map(Value::as_str).find(|cookie| cookie.starts_with(&format!("{name}=")));
    let pair = found.and_then(|cookie| cookie.split(';').next());
    Ok(pair.ok_or_else(|| format!("no cookie {name} in {answer}"))?.to_owned())
}

/// The body of an answer.
pub(crate) fn body(answer: &Value) -> Outcome<Value> {
    Ok(serde_json::from_str(&text(answer, "/body")?)?)
}

fn text(value: &Value, pointer: &str) -> Outcome<String> {
    let text = value.pointer(pointer).and_then(Value::as_str);
    Ok(text.ok_or_else(|| format!("no text at {pointer} in {value}"))?.to_owned())
}

fn event(number: usize, mut draft: Draft<'_>) -> Bytes {
    let body = draft.body.take().map(|body| body.to_string());
    event_with(number, draft, body)
}

fn event_with(number: usize, draft: Draft<'_>, body: Option<String>) -> Bytes {
    Bytes::from(payload(number, draft, body).to_string())
}

fn payload(number: usize, draft: Draft<'_>, body: Option<String>) -> Value {
    let [_, a, b, c] = u32::try_from(number).unwrap_or_default().to_be_bytes();
    let source = format!("10.{a}.{b}.{c}");
    let mut headers = json!({
        "accept": "application/json",
        "host": "abcdefghij.execute-api.eu-central-1.amazonaws.com",
        "origin": ORIGIN,
        "user-agent": USER_AGENT,
        "x-amzn-trace-id": "Root=1-68a0c5b2-5e1b8c2f3a4d5e6f70819202",
        "x-forwarded-for": source,
        "x-forwarded-port": "443",
        "x-forwarded-proto": "https",
    });
    if let Some(body) = &body {
        headers["content-type"] = json!("application/json");
        headers["content-length"] = json!(body.len().to_string());
    }
    for (name, value) in draft.headers {
        headers[name] = json!(value);
    }
    let mut event = json!({
        "version": "2.0",
        "routeKey": format!("POST {}", draft.path),
        "rawPath": draft.path,
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abcdefghij",
            "domainName": "abcdefghij.execute-api.eu-central-1.amazonaws.com",
            "domainPrefix": "abcdefghij",
            "http": {
                "method": "POST",
                "path": draft.path,
                "protocol": "HTTP/1.1",
                "sourceIp": source,
                "userAgent": USER_AGENT,
            },
            "requestId": "PEMk9gLdFiAEJ5g=",
            "routeKey": format!("POST {}", draft.path),
            "stage": "$default",
            "time": "24/Nov/2026:08:00:00 +0000",
            "timeEpoch": 1_795_507_200_000_u64,
        },
        "isBase64Encoded": false,
    });
    if !draft.cookies.is_empty() {
        event["cookies"] = json!(draft.cookies);
    }
    if let Some(context) = draft.authorizer {
        event["requestContext"]["authorizer"] = json!({ "lambda": context });
    }
    if let Some(body) = body {
        event["body"] = json!(body);
    }
    event
}

fn random() -> Outcome<[u8; 32]> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "no random bytes")?;
    Ok(bytes)
}

fn now() -> u64 {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    elapsed.unwrap_or_default().as_secs()
}
