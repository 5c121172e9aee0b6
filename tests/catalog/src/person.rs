//! A person in a browser, who takes the steps that an endpoint's example needs: see [`Step`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use api::endpoint::Method;
use api::transport::{FLOW_TOKEN, SESSION_TOKEN, SESSION_TRANSPORT};
use api::{Access, Route, SESSION_COOKIE, Step};
use local::Cloud;
use local_workos::{Policy, WorkOs};
use serde_json::{Map, Value, json};
use url::Url;

use crate::{Answer, Function, function};

/// The result of a step.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Persons created in this process. Each has an address and a room of their own.
static PERSONS: AtomicUsize = AtomicUsize::new(0);

/// A request, ready to be sent.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The function that serves it.
    pub function: &'static Function,
    /// Path and query.
    pub target: String,
    /// Headers, including the cookies.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<Vec<u8>>,
}

impl Outgoing {
    /// The request, addressed to the gateway at `url`.
    ///
    /// # Errors
    /// If HTTP does not know the method.
    pub fn request(&self, http: &reqwest::Client, url: &str) -> Outcome<reqwest::RequestBuilder> {
        let method = reqwest::Method::from_bytes(self.function.route.method.name().as_bytes())?;
        let mut request = http.request(method, format!("{url}{}", self.target));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        Ok(match &self.body {
            Some(body) => request.body(body.clone()),
            None => request,
        })
    }
}

/// What a client with header transport keeps.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// The last `Session-Token`.
    pub session: Option<String>,
    /// The last `Flow-Token`.
    pub flow: Option<String>,
}

/// A person with an address, a room and a browser of their own.
pub struct Person<'a> {
    cloud: &'a Cloud,
    http: reqwest::Client,
    origin: String,
    /// The person's address.
    pub email: String,
    room: String,
    /// The person's WorkOS user id.
    pub user_id: String,
    /// The browser's cookies.
    pub cookies: BTreeMap<String, String>,
    /// What the client keeps in place of cookies, if it uses header transport.
    pub tokens: Option<Tokens>,
    /// The bodies of all responses, oldest first.
    pub responses: Vec<Value>,
    /// Fields of the next request that the steps have set.
    found: Map<String, Value>,
    /// The body of the next request and its signature, if a service sends it.
    signed: Option<(Vec<u8>, String)>,
}

impl<'a> Person<'a> {
    /// A WorkOS user with a browser on a page of `origin`.
    ///
    /// # Errors
    /// If the cloud does not run the WorkOS double.
    pub fn new(cloud: &'a Cloud, http: reqwest::Client, origin: &str) -> Outcome<Self> {
        let number = PERSONS.fetch_add(1, Ordering::Relaxed);
        let email = format!("person{number}@example.com");
        let user_id = cloud.workos().ok_or("WorkOS is not the double")?.add_user(&email);
        Ok(Self {
            cloud,
            http,
            origin: origin.to_owned(),
            email,
            room: format!("room{number}"),
            user_id,
            cookies: BTreeMap::new(),
            tokens: None,
            responses: Vec::new(),
            found: Map::new(),
            signed: None,
        })
    }

    /// Uses header transport and keeps no cookies.
    #[must_use]
    pub fn without_cookies(self) -> Self {
        Self { tokens: Some(Tokens::default()), ..self }
    }

    fn is_signed_in(&self) -> bool {
        match &self.tokens {
            Some(tokens) => tokens.session.is_some(),
            None => self.cookies.contains_key(SESSION_COOKIE),
        }
    }

    /// Takes the steps that the function's example needs, and returns the example.
    ///
    /// # Errors
    /// If a step fails. The error names it.
    pub async fn prepare(&mut self, function: &'static Function) -> Outcome<Outgoing> {
        self.found.clear();
        self.signed = None;
        let route = &function.route;
        for step in route.steps {
            self.step(step).await.map_err(|error| format!("{}, {step:?}: {error}", function.name))?;
        }
        if matches!(route.access, Access::Session | Access::OwnSession) && !self.is_signed_in() {
            let found = std::mem::take(&mut self.found);
            self.request("finalize-magic-auth").await?;
            self.found = found;
        }
        self.outgoing(function)
    }

    /// Sends a request and keeps the cookies or tokens of its response.
    ///
    /// # Errors
    /// If there is no response.
    pub async fn send(&mut self, outgoing: &Outgoing) -> Outcome<Answer> {
        let request = outgoing.request(&self.http, self.cloud.url())?;
        let answer = Answer::read(request.send().await?).await?;
        self.keep(&answer);
        Ok(answer)
    }

    /// Prepares a function's example, sends it and checks that it succeeds.
    async fn request(&mut self, name: &str) -> Outcome<()> {
        let function = function(name).ok_or_else(|| format!("there is no function {name}"))?;
        let outgoing = Box::pin(self.prepare(function)).await?;
        let answer = self.send(&outgoing).await?;
        if answer.status != function.route.success {
            return Err(format!("{name} responded with {} {}", answer.status, answer.body).into());
        }
        Ok(())
    }

    async fn step(&mut self, step: &Step) -> Outcome<()> {
        match *step {
            Step::Request(name) => {
                let found = std::mem::take(&mut self.found);
                self.request(name).await?;
                self.found = found;
            }
            Step::Elsewhere(name) => {
                let (found, cookies) = (std::mem::take(&mut self.found), std::mem::take(&mut self.cookies));
                let tokens = self.tokens.as_mut().map(std::mem::take);
                self.request(name).await?;
                (self.found, self.cookies, self.tokens) = (found, cookies, tokens);
            }
            Step::JoinOrganizations => {
                let workos = self.workos()?;
                for name in ["One", "Two"] {
                    let organization = workos.add_organization(name, &[]);
                    workos.add_membership(&self.user_id, &organization, "member", &["rooms:join"]);
                }
            }
            Step::StepUp(name) => {
                let found = std::mem::take(&mut self.found);
                let function = function(name).ok_or_else(|| format!("there is no function {name}"))?;
                let outgoing = Box::pin(self.prepare(function)).await?;
                let answer = self.send(&outgoing).await?;
                if answer.body.get("pendingAuthenticationToken").is_none() {
                    return Err(format!("{name} responded with {} {}", answer.status, answer.body).into());
                }
                self.found = found;
            }
            Step::UnverifiedAddress => self.workos()?.set_email_verified(&self.user_id, false),
            Step::RequireMfa => {
                let workos = self.workos()?;
                let organization = workos.add_organization("Two factors", &[]);
                workos.set_policy(&organization, Policy { mfa_required: true, ..Policy::default() });
                workos.add_membership(&self.user_id, &organization, "member", &["rooms:join"]);
            }
            Step::EnrolledApp => self.workos()?.enroll_totp(&self.user_id),
            Step::AppCode => {
                let code = self.workos()?.totp_code(&self.user_id).ok_or("there is no authenticator app")?;
                self.found.insert("code".to_owned(), code.into());
            }
            Step::MailedCode => {
                let workos = self.workos()?;
                let code = workos.last_code(&self.email).ok_or("no code was mailed")?;
                self.found.insert("code".to_owned(), code.into());
            }
            Step::SignInAtProvider => self.sign_in_at_provider().await?,
            Step::JoinRoom => {
                let token = self.latest("/token")?;
                let token = token.as_str().ok_or("the token is not a string")?;
                let livekit = self.cloud.livekit().ok_or("LiveKit is not the double")?;
                livekit.join(token).map_err(|refused| format!("{refused:?}"))?;
            }
            Step::Take(field, pointer) => {
                let value = self.latest(pointer)?;
                self.found.insert(field.to_owned(), value);
            }
            Step::LivekitEvent(event) => {
                let egress = self.latest("/egressId")?;
                let egress = egress.as_str().ok_or("the egress id is not a string")?;
                let livekit = self.cloud.livekit().ok_or("LiveKit is not the double")?;
                livekit.activate(egress);
                let event = livekit.egress_event(event, egress).ok_or("LiveKit has no such egress")?;
                let (body, signature) = livekit.sign_webhook(&event)?;
                self.signed = Some((body.into_bytes(), signature));
            }
            Step::WorkosEvent(event) => {
                let workos = self.workos()?;
                let session = workos.sessions(&self.user_id).pop().ok_or("the person has no session")?;
                let data = json!({ "object": "session", "id": session, "user_id": self.user_id });
                let event = json!({ "object": "event", "id": "event_01", "event": event, "data": data,
                    "created_at": "2026-11-25T00:00:00.000Z" });
                let body = event.to_string();
                let signature = workos.sign_webhook(&body);
                self.signed = Some((body.into_bytes(), signature));
            }
        }
        Ok(())
    }

    fn workos(&self) -> Outcome<&'a WorkOs> {
        Ok(self.cloud.workos().ok_or("WorkOS is not the double")?)
    }

    /// Follows the last `redirectURL` and signs in there.
    async fn sign_in_at_provider(&mut self) -> Outcome<()> {
        let url = self.latest("/authData/redirectURL")?;
        let mut url: Url = url.as_str().ok_or("the URL is not a string")?.parse()?;
        url.query_pairs_mut().append_pair("login_hint", &self.email);
        let response = self.http.get(url).send().await?;
        let location = response.headers().get("location").ok_or("the provider does not redirect")?;
        let back: Url = location.to_str()?.parse()?;
        for (name, value) in back.query_pairs() {
            self.found.insert(name.into_owned(), value.into());
        }
        Ok(())
    }

    fn outgoing(&mut self, function: &'static Function) -> Outcome<Outgoing> {
        let route = &function.route;
        let mut headers = Vec::from([("user-agent".to_owned(), "Mozilla/5.0 (tests)".to_owned())]);
        if !self.cookies.is_empty() {
            let cookies: Vec<_> =
                self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            headers.push(("cookie".to_owned(), cookies.join("; ")));
        }
        if let (Access::Signed(header), Some((body, signature))) = (route.access, self.signed.take()) {
            headers.push((header.to_owned(), signature));
            headers.push(("content-type".to_owned(), "application/webhook+json".to_owned()));
            return Ok(Outgoing { function, target: route.path.to_owned(), headers, body: Some(body) });
        }
        if let Some(tokens) = &self.tokens {
            headers.push((SESSION_TRANSPORT.to_string(), "header".to_owned()));
            headers.extend(
                tokens.session.iter().map(|token| ("authorization".to_owned(), format!("Bearer {token}"))),
            );
            headers.extend(tokens.flow.iter().map(|token| (FLOW_TOKEN.to_string(), token.clone())));
        }
        headers.push(("origin".to_owned(), self.origin.clone()));
        let mut fields = self.fields(route)?;
        let path = fill(route.path, &mut fields);
        if route.example.is_empty() {
            return Ok(Outgoing { function, target: path, headers, body: None });
        }
        if route.method == Method::Post {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
            let body = Value::Object(fields).to_string().into_bytes();
            return Ok(Outgoing { function, target: path, headers, body: Some(body) });
        }
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(fields.iter().map(|(name, value)| (name, text(value))));
        Ok(Outgoing { function, target: format!("{path}?{}", query.finish()), headers, body: None })
    }

    /// The fields of the example, with this person's values.
    fn fields(&mut self, route: &Route) -> Outcome<Map<String, Value>> {
        let example = if route.example.is_empty() { "{}" } else { route.example };
        let mut fields: Map<String, Value> = serde_json::from_str(example)?;
        for (name, value) in &mut fields {
            match name.as_str() {
                "email" => *value = self.email.clone().into(),
                "roomId" | "roomName" => *value = self.room.clone().into(),
                _ => {}
            }
        }
        fields.append(&mut self.found);
        Ok(fields)
    }

    /// The value at a JSON pointer in the latest response that has one.
    fn latest(&self, pointer: &str) -> Outcome<Value> {
        let found = self.responses.iter().rev().find_map(|body| body.pointer(pointer));
        found.cloned().ok_or_else(|| format!("no response has {pointer}").into())
    }

    fn keep(&mut self, answer: &Answer) {
        if let Some(tokens) = &mut self.tokens {
            for (kept, name) in [(&mut tokens.session, SESSION_TOKEN), (&mut tokens.flow, FLOW_TOKEN)] {
                if let Some(value) = answer.header(name.as_str()) {
                    *kept = Some(value.to_owned());
                }
            }
        }
        for cookie in &answer.cookies {
            let (pair, attributes) = cookie.split_once(';').unwrap_or((cookie, ""));
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        self.responses.push(answer.body.clone());
    }
}

/// Fills in the parameters of a path, and removes their fields.
fn fill(path: &str, fields: &mut Map<String, Value>) -> String {
    let segments = path.split('/').map(|segment| {
        match segment.strip_prefix('{').and_then(|segment| segment.strip_suffix('}')) {
            Some(name) => fields.remove(name).map_or_else(String::new, |value| encode(&text(&value))),
            None => segment.to_owned(),
        }
    });
    segments.collect::<Vec<_>>().join("/")
}

fn encode(segment: &str) -> String {
    url::form_urlencoded::byte_serialize(segment.as_bytes()).collect::<String>().replace('+', "%20")
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
