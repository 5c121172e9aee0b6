//! What all chapters share: the cloud, the headings, and a look behind the API.

use std::cell::Cell;

use bytes::Bytes;
use http::header::{AUTHORIZATION, ORIGIN};
use http_body_util::Full;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use local::{Cloud, FRONT_ENDS};
use local_dynamodb::DynamoDb;
use local_livekit::LiveKit;
use local_workos::WorkOs;
use serde_json::{Map, Value};

use super::client::Client;
use super::shape::fits;
use super::shown;
use crate::cli::{Failure, Terminal};

/// The front end whose pages the browsers are on.
pub(super) const FRONT_END: &str = FRONT_ENDS[0];

/// The demonstration while it runs.
pub(super) struct Tour<'a> {
    pub(super) cloud: &'a Cloud,
    pub(super) workos: &'a WorkOs,
    pub(super) livekit: &'a LiveKit,
    pub(super) terminal: Terminal,
    pub(super) http: HttpClient<HttpConnector, Full<Bytes>>,
    dynamodb: &'a DynamoDb,
    chapter: Cell<usize>,
    steps: Cell<usize>,
    all_steps: Cell<usize>,
}

impl<'a> Tour<'a> {
    pub(super) fn new(cloud: &'a Cloud, terminal: Terminal) -> Result<Self, Failure> {
        Ok(Self {
            cloud,
            workos: cloud.workos().ok_or("the demonstration needs the WorkOS double")?,
            livekit: cloud.livekit().ok_or("the demonstration needs the LiveKit double")?,
            dynamodb: cloud.dynamodb().ok_or("the demonstration needs the embedded DynamoDB")?,
            terminal,
            http: HttpClient::builder(TokioExecutor::new()).build_http(),
            chapter: Cell::new(0),
            steps: Cell::new(0),
            all_steps: Cell::new(0),
        })
    }

    /// Tells a chapter under its heading; its failure names it.
    pub(super) async fn chapter<T>(
        &self,
        title: &str,
        about: &str,
        told: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        self.chapter.set(self.chapter.get() + 1);
        self.steps.set(0);
        let heading = format!("{}. {title}", self.chapter.get());
        self.terminal.line("");
        self.terminal.line(&self.terminal.bold(&heading));
        self.terminal.line(&self.terminal.bold(&"─".repeat(heading.chars().count())));
        self.terminal.line(about);
        told.await.map_err(|error| format!("{title}, {error}").into())
    }

    /// The heading of a step; gives it with its number.
    pub(super) fn step(&self, text: &str) -> String {
        self.steps.set(self.steps.get() + 1);
        self.all_steps.set(self.all_steps.get() + 1);
        let step = format!("{}.{} {text}", self.chapter.get(), self.steps.get());
        self.terminal.line("");
        self.terminal.line(&format!("  {}", self.terminal.bold(&step)));
        step
    }

    /// Shows something that is no answer of the API, and demands its shape.
    pub(super) fn look(&self, step: &str, value: &Value, shape: &Value) -> Result<(), Failure> {
        let step = self.step(step);
        let good = fits(shape, value);
        self.terminal.line(&shown::indented(&shown::body(value).unwrap_or_default()));
        self.terminal.line(&shown::indented(&shown::verdict(self.terminal, good)));
        if good {
            return Ok(());
        }
        Err(format!("“{step}”: expected {shape}, got {}", shown::text(&value.to_string())).into())
    }

    /// The end, where everything was as it must be.
    pub(super) fn close(&self) {
        self.terminal.line("");
        let done = format!(
            "All {} steps in {} chapters are as they must be.",
            self.all_steps.get(),
            self.chapter.get()
        );
        self.terminal.line(&self.terminal.green(&done));
    }

    /// A browser without cookies on a page of the front end.
    pub(super) fn browser(&'a self) -> Result<Client<'a>, Failure> {
        Client::new(self).with(ORIGIN, FRONT_END)
    }

    /// A program that holds a session token.
    pub(super) fn program(&'a self, token: &str) -> Result<Client<'a>, Failure> {
        Client::new(self).with(AUTHORIZATION, &format!("Bearer {token}"))
    }

    /// The code in the last mail to `email`.
    pub(super) fn mailed_code(&self, email: &str) -> Result<String, Failure> {
        let code = self.workos.last_code(email).ok_or_else(|| format!("no mail has come to {email}"))?;
        self.terminal.line(&self.terminal.bold(&format!("    ✉ mail to {email}: Your sign-in code: {code}")));
        Ok(code)
    }

    /// An item of the table, as plain JSON.
    pub(super) fn item(&self, pk: &str) -> Result<Value, Failure> {
        let table = self.cloud.table().ok_or("the template has no table")?;
        let items = self.dynamodb.scan(table)?;
        let item = items.into_iter().find(|item| item.pointer("/pk/S").and_then(Value::as_str) == Some(pk));
        Ok(item.as_ref().map(plain).unwrap_or_default())
    }
}

/// DynamoDB's typed attributes as plain JSON.
fn plain(item: &Value) -> Value {
    let attributes = item.as_object().into_iter().flatten();
    Value::Object(attributes.map(|(name, typed)| (name.clone(), untyped(typed))).collect::<Map<_, _>>())
}

fn untyped(attribute: &Value) -> Value {
    let Some((kind, value)) = attribute.as_object().and_then(|typed| typed.iter().next()) else {
        return Value::Null;
    };
    match (kind.as_str(), value) {
        ("N", Value::String(digits)) => digits.parse::<u64>().map_or_else(|_| value.clone(), Value::from),
        ("L", Value::Array(values)) => values.iter().map(untyped).collect(),
        ("M", map) => plain(map),
        _ => value.clone(),
    }
}
