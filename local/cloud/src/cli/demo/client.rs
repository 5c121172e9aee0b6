//! A client of the API: a browser with its cookies on a page of the front end, or a program with a bearer token.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;

use super::answer::{Answer, Unseen};
use super::shown;
use super::tour::Tour;
use crate::cli::Failure;

const PATIENCE: Duration = Duration::from_secs(30);

/// Headers that are shown with a request; the others are the same everywhere.
const TELLING: [HeaderName; 5] = [
    header::ORIGIN,
    header::COOKIE,
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::ACCESS_CONTROL_REQUEST_METHOD,
];

/// A client. Clones go their own ways.
#[derive(Clone)]
pub(super) struct Client<'a> {
    tour: &'a Tour<'a>,
    cookies: BTreeMap<String, String>,
    headers: HeaderMap,
}

impl<'a> Client<'a> {
    pub(super) fn new(tour: &'a Tour<'a>) -> Self {
        Self { tour, cookies: BTreeMap::new(), headers: HeaderMap::new() }
    }

    /// Sends a header with every request from now on.
    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Result<Self, Failure> {
        self.headers.insert(name, HeaderValue::from_str(value)?);
        Ok(self)
    }

    /// The session token in the cookie.
    pub(super) fn session(&self) -> Result<String, Failure> {
        self.cookies
            .get("__Host-session")
            .cloned()
            .ok_or_else(|| "the browser holds no session cookie".into())
    }

    /// Whether the browser holds a session.
    pub(super) fn is_signed_in(&self) -> bool {
        self.cookies.contains_key("__Host-session")
    }

    /// Posts JSON to the API.
    pub(super) async fn post(&mut self, step: &str, path: &str, body: &Value) -> Result<Unseen, Failure> {
        self.post_as(step, path, "application/json", &body.to_string()).await
    }

    /// Posts any body to the API.
    pub(super) async fn post_as(
        &mut self,
        step: &str,
        path: &str,
        content_type: &str,
        body: &str,
    ) -> Result<Unseen, Failure> {
        let request = Request::post(format!("{}{path}", self.tour.cloud.url()));
        let request = request
            .header(header::CONTENT_TYPE, content_type)
            .body(Bytes::copy_from_slice(body.as_bytes()))?;
        self.send(step, request).await
    }

    /// Calls the API without a body.
    pub(super) async fn call(&mut self, step: &str, method: Method, path: &str) -> Result<Unseen, Failure> {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.tour.cloud.url()));
        self.send(step, request.body(Bytes::new())?).await
    }

    /// Goes to an address, as a browser that is sent there: without this page's headers and cookies.
    pub(super) async fn visit(&self, step: &str, url: &str) -> Result<Unseen, Failure> {
        Client::new(self.tour).send(step, Request::get(url).body(Bytes::new())?).await
    }

    async fn send(&mut self, step: &str, mut request: Request<Bytes>) -> Result<Unseen, Failure> {
        request.headers_mut().extend(self.headers.clone());
        if !self.cookies.is_empty() {
            let cookies: Vec<_> =
                self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request.headers_mut().insert(header::COOKIE, HeaderValue::from_str(&cookies.join("; "))?);
        }
        let step = self.tour.step(step);
        self.show(&request);

        let asked = Instant::now();
        let lost = |error: &dyn std::fmt::Display| format!("“{step}”: no answer: {error}");
        let answered = async {
            let response =
                self.tour.http.request(request.map(Full::new)).await.map_err(|error| lost(&error))?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| lost(&error))?.to_bytes();
            Ok::<_, Failure>((head, body))
        };
        let answered =
            tokio::time::timeout(PATIENCE, answered).await.map_err(|_| lost(&"it takes too long"))?;
        let (head, body) = answered?;
        self.keep(&head.headers);
        let body = match body.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&body)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned())),
        };
        Ok(Unseen(Answer {
            terminal: self.tour.terminal,
            step,
            status: head.status,
            headers: head.headers,
            body,
            millis: asked.elapsed().as_millis(),
        }))
    }

    fn show(&self, request: &Request<Bytes>) {
        let terminal = self.tour.terminal;
        let uri = request.uri().to_string();
        let target = uri.strip_prefix(self.tour.cloud.url()).unwrap_or(&uri);
        terminal.line(&format!("    → {} {}", request.method(), shown::text(target)));
        let json = |name: &HeaderName, value: &HeaderValue| {
            *name == header::CONTENT_TYPE && value == "application/json"
        };
        for (name, value) in request.headers() {
            if TELLING.contains(name) && !json(name, value) {
                let value = shown::text(&String::from_utf8_lossy(value.as_bytes()));
                terminal.line(&terminal.dim(&shown::indented(&format!("{name}: {value}"))));
            }
        }
        let body = request.body();
        let body = serde_json::from_slice(body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned()));
        if let Some(body) = shown::body(&body).filter(|body| !body.is_empty()) {
            terminal.line(&shown::indented(&body));
        }
    }

    /// Keeps the cookies of an answer, as a browser does.
    fn keep(&mut self, headers: &HeaderMap) {
        for cookie in headers.get_all(header::SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            let Some((pair, attributes)) = cookie.split_once(';') else { continue };
            let Some((name, value)) = pair.split_once('=') else { continue };
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}
