//! Runs the tour: performs each step, shows what comes back, and compares it with what the step expects.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use local::{Cloud, FRONT_ENDS, REDIRECT_URI};
use local_dynamodb::DynamoDb;
use local_livekit::LiveKit;
use local_workos::WorkOs;
use serde::Deserialize as _;
use serde_json::{Value, json};
use url::Url;

use super::script::{Chapter, Script, Step};
use super::shape::{fits, text_fits};
use super::{looks, shown};
use crate::cli::project::Failure;
use crate::cli::terminal::Terminal;

const TIMEOUT: Duration = Duration::from_secs(30);

/// The cookie that holds the session.
const SESSION: &str = "__Host-session";

/// The tour while it runs.
pub(super) struct Tour<'a> {
    cloud: &'a Cloud,
    workos: &'a WorkOs,
    livekit: &'a LiveKit,
    dynamodb: &'a DynamoDb,
    script: &'a Script,
    terminal: Terminal,
    http: reqwest::Client,
    /// Each browser's cookies.
    browsers: BTreeMap<String, BTreeMap<String, String>>,
    /// What steps have kept.
    values: BTreeMap<String, Value>,
}

/// What a step yields: a response, or a look behind the API, which only has a body.
#[derive(Default)]
struct Outcome {
    status: Option<StatusCode>,
    headers: HeaderMap,
    /// JSON; text if it is something else; null if it is empty.
    body: Value,
    elapsed: Duration,
}

impl Outcome {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

impl<'a> Tour<'a> {
    pub(super) fn new(cloud: &'a Cloud, script: &'a Script) -> Result<Self, Failure> {
        let workos = cloud.workos().ok_or("the demo needs the WorkOS double")?;
        let values = [
            ("workos", workos.url()),
            ("front_end", FRONT_ENDS[0]),
            ("redirect_uri", REDIRECT_URI),
            ("20000_letters", &"a".repeat(20_000)),
        ];
        Ok(Self {
            cloud,
            workos,
            livekit: cloud.livekit().ok_or("the demo needs the LiveKit double")?,
            dynamodb: cloud.dynamodb().ok_or("the demo needs the embedded DynamoDB")?,
            script,
            terminal: Terminal::stdout(),
            http: local_http::client(),
            browsers: BTreeMap::new(),
            values: values.map(|(name, value)| (name.to_owned(), value.into())).into(),
        })
    }

    /// Runs all chapters; the error names the chapter and the step that failed.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        let mut steps = 0;
        for (chapter, number) in self.script.chapters.iter().zip(1..) {
            let run = self.chapter(number, chapter).await;
            steps += run.map_err(|error| format!("{}, {error}", chapter.title))?;
        }
        let done = format!("All {steps} steps in {} chapters passed.", self.script.chapters.len());
        self.terminal.line("");
        self.terminal.line(&self.terminal.green(&done));
        Ok(())
    }

    /// Returns the number of steps.
    async fn chapter(&mut self, number: usize, chapter: &Chapter) -> Result<usize, Failure> {
        let heading = format!("{number}. {}", chapter.title);
        self.terminal.line("");
        self.terminal.line(&self.terminal.bold(&heading));
        self.terminal.line(&self.terminal.bold(&"─".repeat(heading.chars().count())));
        self.terminal.line(&chapter.intro);
        let mut steps = 0;
        for step in &chapter.steps {
            let step = Step::deserialize(self.fill(step)?)?;
            match step.action() {
                ("mail", email) => self.mail(email)?,
                ("invite", email) => self.invite(email)?,
                ("app", email) => self.app(email)?,
                ("no-mail", email) if self.workos.last_code(email).is_none() => {}
                ("no-mail", email) => return Err(format!("a mail was sent to {email}").into()),
                _ => {
                    steps += 1;
                    let title = format!("{number}.{steps} {}", step.say);
                    self.terminal.line("");
                    self.terminal.line(&format!("  {}", self.terminal.bold(&title)));
                    self.step(&step).await.map_err(|error| format!("“{title}”: {error}"))?;
                }
            }
        }
        Ok(steps)
    }

    fn mail(&mut self, email: &str) -> Result<(), Failure> {
        let mail = self.workos.mails().into_iter().rev().find(|mail| mail.to.eq_ignore_ascii_case(email));
        let mail = mail.ok_or_else(|| format!("no mail was sent to {email}"))?;
        let line = format!("    ✉ {mail}");
        let code = mail.code;
        self.terminal.line("");
        self.terminal.line(&self.terminal.bold(&line));
        let wrong = if code == "123456" { "654321" } else { "123456" };
        self.values.insert("wrong_code".to_owned(), wrong.into());
        self.values.insert("code".to_owned(), code.into());
        Ok(())
    }

    fn invite(&mut self, email: &str) -> Result<(), Failure> {
        let organization = "org_01K2Z1R2MEJK6B41WW7428G9YC";
        self.workos.invite(email, Some(organization));
        let link = self.workos.last_code(email).ok_or_else(|| format!("no mail was sent to {email}"))?;
        self.terminal.line("");
        self.terminal.line(&self.terminal.bold(&format!("    ✉ mail to {email}: You are invited: {link}")));
        self.values.insert("link".to_owned(), link.into());
        Ok(())
    }

    fn app(&mut self, email: &str) -> Result<(), Failure> {
        let code = self.workos.user_id(email).and_then(|user| self.workos.totp_code(&user));
        let code = code.ok_or_else(|| format!("{email} has no authenticator app"))?;
        let line = format!("    ⏱ authenticator app of {email}: {code}");
        self.terminal.line("");
        self.terminal.line(&self.terminal.bold(&line));
        self.values.insert("totp".to_owned(), code.into());
        Ok(())
    }

    async fn step(&mut self, step: &Step) -> Result<(), Failure> {
        let (status, body) = match &step.refused {
            Some(reason) => self.script.refusal(reason, &step.body)?,
            None => (step.status.unwrap_or_default(), step.body.clone()),
        };
        let outcome = self.perform(step).await?;
        let got = outcome.status.map_or(0, |status| status.as_u16());
        let cookies = self.browsers.get(&step.browser);
        let signed_in = cookies.is_some_and(|cookies| cookies.contains_key(SESSION));
        let expected = match (step.action(), step.status.is_none() && step.refused.is_none()) {
            // A step of an operation that expects nothing in particular.
            (("call", id), true) => self.script.operation(id)?.statuses.contains(&got),
            _ => got == status && fits(&body, &outcome.body),
        };
        let passed = expected
            && step
                .headers
                .iter()
                .all(|(name, shape)| outcome.header(name).is_some_and(|text| text_fits(shape, text)))
            && step.signed_in.is_none_or(|expected| expected == signed_in);
        self.show(&outcome, step, passed);
        if !passed {
            let code = |status: u16| if status == 0 { String::new() } else { format!("{status} ") };
            let mut expected = format!("{}{body}", code(status));
            if !step.headers.is_empty() {
                expected.push_str(&format!(" with headers {:?}", step.headers));
            }
            if let Some(signed_in) = step.signed_in {
                expected.push_str(&format!(" and signed_in {signed_in}"));
            }
            let body = shown::text(&outcome.body.to_string());
            return Err(format!("expected {expected}, got {}{body}", code(got)).into());
        }

        let location = outcome.header("location").and_then(|location| Url::parse(location).ok());
        let query: BTreeMap<_, _> = location.iter().flat_map(Url::query_pairs).collect();
        let headers: BTreeMap<_, _> =
            outcome.headers.keys().map(|name| (name.as_str(), outcome.header(name.as_str()))).collect();
        let found = json!({ "body": outcome.body, "headers": headers, "cookies": cookies, "query": query });
        for (name, pointer) in &step.keep {
            let value = found.pointer(pointer).ok_or_else(|| format!("nothing at {pointer}"))?;
            self.values.insert(name.clone(), value.clone());
        }
        Ok(())
    }

    async fn perform(&mut self, step: &Step) -> Result<Outcome, Failure> {
        let api = self.cloud.url();
        let body = match step.action() {
            ("claims", token) => looks::claims(self.cloud, token)?,
            ("join", token) => looks::join(self.livekit, token)?,
            ("item", key) => looks::item(self.cloud, self.dynamodb, key)?,
            ("webhooks", egress) => looks::webhooks(self.livekit, egress).await?,
            ("room", name) => looks::room(self.livekit, name).await?,
            ("revoke", email) => looks::revoke(self.workos, email).await?,
            ("visit", url) => {
                let mut headers = HeaderMap::new();
                for (name, value) in &step.with {
                    headers.insert(name.parse::<HeaderName>()?, value.parse()?);
                }
                return self.send(Method::GET, url, headers, None, "").await;
            }
            ("call", id) => {
                let operation = self.script.operation(id)?;
                let body = step.send.as_ref().or(operation.example.as_ref());
                let (method, url) = (operation.method.parse()?, format!("{api}{}", operation.path));
                return self.call(step, method, &url, body, &operation.summary).await;
            }
            (method, path) => {
                return self
                    .call(step, method.parse()?, &format!("{api}{path}"), step.send.as_ref(), "")
                    .await;
            }
        };
        Ok(Outcome { body, ..Outcome::default() })
    }

    /// Calls the API as the step's browser, with its cookies, or as a program.
    async fn call(
        &mut self,
        step: &Step,
        method: Method,
        url: &str,
        body: Option<&Value>,
        summary: &str,
    ) -> Result<Outcome, Failure> {
        let mut headers = HeaderMap::new();
        if body.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(token) = &step.bearer {
            headers.insert(header::AUTHORIZATION, format!("Bearer {token}").parse()?);
        } else {
            headers.insert(header::ORIGIN, HeaderValue::from_static(FRONT_ENDS[0]));
            let cookies = self.browsers.get(&step.browser).into_iter().flatten();
            let cookies: Vec<_> = cookies.map(|(name, value)| format!("{name}={value}")).collect();
            if !cookies.is_empty() {
                headers.insert(header::COOKIE, cookies.join("; ").parse()?);
            }
        }
        for (name, value) in &step.with {
            headers.insert(name.parse::<HeaderName>()?, value.parse()?);
        }
        let outcome = self.send(method, url, headers, body, summary).await?;
        if step.bearer.is_none() {
            keep_cookies(self.browsers.entry(step.browser.clone()).or_default(), &outcome.headers);
        }
        Ok(outcome)
    }

    async fn send(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Option<&Value>,
        summary: &str,
    ) -> Result<Outcome, Failure> {
        let target = shown::text(url.strip_prefix(self.cloud.url()).unwrap_or(url));
        self.terminal.line(&format!("    → {method} {target}  {}", self.terminal.dim(summary)));
        self.detail(shown::headers(&headers, &[]), body.unwrap_or(&Value::Null));
        let body = match body {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(json) => json.to_string(),
        };
        let started = Instant::now();
        let request = self.http.request(method, url).headers(headers).body(body).timeout(TIMEOUT);
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await?;
        let body = match serde_json::from_str(&text) {
            _ if text.is_empty() => Value::Null,
            Ok(json) => json,
            Err(_) => Value::String(text),
        };
        Ok(Outcome { status: Some(status), headers, body, elapsed: started.elapsed() })
    }

    fn show(&self, outcome: &Outcome, step: &Step, passed: bool) {
        let verdict = if passed { self.terminal.green("✓") } else { self.terminal.red("✗") };
        match outcome.status {
            None => self.terminal.line(&format!("    {verdict}")),
            Some(status) => {
                let elapsed = self.terminal.dim(&format!("{} ms", outcome.elapsed.as_millis()));
                let failed = status.is_client_error() || status.is_server_error();
                let status = status.to_string();
                let status =
                    if failed { self.terminal.yellow(&status) } else { self.terminal.green(&status) };
                self.terminal.line(&format!("    ← {status}  {elapsed}  {verdict}"));
            }
        }
        let expected: Vec<_> = step.headers.keys().map(String::as_str).collect();
        self.detail(shown::headers(&outcome.headers, &expected), &outcome.body);
    }

    /// Headers and body, below what they belong to.
    fn detail(&self, headers: Vec<String>, body: &Value) {
        for header in headers {
            self.terminal.line(&self.terminal.dim(&shown::indented(&header)));
        }
        if let Some(body) = shown::body(body) {
            self.terminal.line(&shown::indented(&body));
        }
    }

    /// `value` with each `{name}` replaced by what was kept; a text that is nothing else becomes the kept JSON.
    fn fill(&self, value: &Value) -> Result<Value, Failure> {
        Ok(match value {
            Value::Array(items) => items.iter().map(|item| self.fill(item)).collect::<Result<_, _>>()?,
            Value::Object(fields) => {
                let fields = fields.iter().map(|(name, value)| Ok((name.clone(), self.fill(value)?)));
                Value::Object(fields.collect::<Result<_, Failure>>()?)
            }
            Value::String(text) => self.fill_text(text)?,
            other => other.clone(),
        })
    }

    fn fill_text(&self, text: &str) -> Result<Value, Failure> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, (name, after))) =
            rest.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
        {
            let value = self.values.get(name).ok_or_else(|| format!("{text}: no step keeps {name}"))?;
            match value {
                value if [&filled, before, after].iter().all(|text| text.is_empty()) => {
                    return Ok(value.clone());
                }
                Value::String(value) => filled.extend([before, value]),
                value => filled.extend([before, &value.to_string()]),
            }
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled.into())
    }
}

/// Keeps a response's cookies, as a browser does.
fn keep_cookies(cookies: &mut BTreeMap<String, String>, headers: &HeaderMap) {
    for cookie in headers.get_all(header::SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
        let Some((pair, attributes)) = cookie.split_once(';') else { continue };
        let Some((name, value)) = pair.split_once('=') else { continue };
        if attributes.contains("Max-Age=0") {
            cookies.remove(name);
        } else {
            cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}
