//! An answer, shown beside what it must be.

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use url::Url;

use super::shape::{fits, text_fits};
use super::shown;
use crate::cli::{Failure, Terminal};

/// An answer that nobody has looked at yet: it is shown when it is checked.
#[must_use = "an answer is shown when it is checked"]
pub(super) struct Unseen(pub(super) Answer);

/// An answer.
pub(super) struct Answer {
    pub(super) terminal: Terminal,
    /// What was shown with it.
    pub(super) step: String,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// JSON; a text where it is something else; null where there is none.
    pub(super) body: Value,
    pub(super) millis: u128,
}

impl Unseen {
    /// Demands the status and the shape of the body.
    pub(super) fn is(self, status: u16, shape: &Value) -> Result<Answer, Failure> {
        let good = self.0.status.as_u16() == status && fits(shape, &self.0.body);
        self.0.show(good);
        if good { Ok(self.0) } else { Err(self.0.unexpected(&format!("{status} {shape}"))) }
    }

    /// Demands an error of the API's own shape.
    pub(super) fn refused(self, status: u16, message: &str, reason: &str) -> Result<Answer, Failure> {
        self.is(status, &json!({ "code": status, "message": message, "reason": reason, "requestId": "…" }))
    }

    /// Demands a redirect; gives where it goes.
    pub(super) fn redirects(self, shape: &str) -> Result<Url, Failure> {
        let location = self.0.header("location").unwrap_or_default();
        let url = Url::parse(location).ok();
        let url = url.filter(|_| self.0.status.is_redirection() && text_fits(shape, location));
        self.0.show(url.is_some());
        url.ok_or_else(|| self.0.unexpected(&format!("a redirect to {shape}")))
    }

    /// Demands a page with this heading.
    pub(super) fn shows_page(self, heading: &str) -> Result<(), Failure> {
        self.is(200, &Value::String(format!("…<h1>{heading}</h1>…"))).map(drop)
    }
}

impl Answer {
    /// A header's text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body's text at a JSON pointer.
    pub(super) fn text(&self, pointer: &str) -> Result<String, Failure> {
        let text = self.body.pointer(pointer).and_then(Value::as_str);
        text.map(str::to_owned).ok_or_else(|| self.unexpected(&format!("a text at {pointer}")))
    }

    fn show(&self, good: bool) {
        let line = |text: &str| self.terminal.line(text);
        let status = self.status.to_string();
        let status = if self.status.as_u16() < 400 {
            self.terminal.green(&status)
        } else {
            self.terminal.yellow(&status)
        };
        let took = self.terminal.dim(&format!("{} ms", self.millis));
        line(&format!("    ← {status}  {took}  {}", shown::verdict(self.terminal, good)));
        for header in shown::headers(&self.headers) {
            line(&self.terminal.dim(&shown::indented(&header)));
        }
        if let Some(body) = shown::body(&self.body) {
            line(&shown::indented(&body));
        }
    }

    fn unexpected(&self, wanted: &str) -> Failure {
        let body = shown::text(&self.body.to_string());
        format!("“{}”: expected {wanted}, got {} {body}", self.step, self.status.as_u16()).into()
    }
}
