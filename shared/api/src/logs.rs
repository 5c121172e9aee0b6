//! Logs: one JSON object a line on standard output, with the keys of AWS Lambda Powertools, so that CloudWatch Logs
//! Insights queries written for them work here.
//!
//! It is a [`tracing::Subscriber`] of its own: Lambda runs one invocation at a time, so no span tree is needed to tell
//! which invocation a line belongs to, and start-up stays short. Other crates' events pass from `WARN` up only: their
//! debug events print requests.

use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Level, Metadata, Subscriber, span};

/// The invocation that is running.
static INVOCATION: Mutex<Invocation> =
    Mutex::new(Invocation { request_id: String::new(), trace_id: String::new() });
static COLD: AtomicBool = AtomicBool::new(true);

struct Invocation {
    request_id: String,
    trace_id: String,
}

/// Begins an invocation: the lines that follow carry its ids.
pub(crate) fn begin_invocation(request_id: &str, trace_id: &str) {
    let mut invocation = INVOCATION.lock().unwrap_or_else(PoisonError::into_inner);
    invocation.request_id = request_id.to_owned();
    invocation.trace_id = trace_id.to_owned();
}

/// Ends an invocation: the next one is not a cold start.
pub(crate) fn end_invocation() {
    COLD.store(false, Ordering::Relaxed);
}

/// Adds the ids of the invocation that is running to a line, so that it can be found by them.
pub(crate) fn add_ids(line: &mut Map<String, Value>) {
    let invocation = INVOCATION.lock().unwrap_or_else(PoisonError::into_inner);
    for (key, id) in
        [("function_request_id", &invocation.request_id), ("xray_trace_id", &invocation.trace_id)]
    {
        if !id.is_empty() {
            line.insert(key.to_owned(), id.as_str().into());
        }
    }
}

/// Sends all events of this process to standard output, as the function `function_name`.
pub(crate) fn install(function_name: &'static str) {
    // A second call in one process keeps the first subscriber, which writes to the same place.
    let _ = tracing::subscriber::set_global_default(JsonLines { function_name });
}

/// Writes one line, whole or not at all: two writers never mix.
pub(crate) fn write_line(line: Map<String, Value>) {
    let mut text = Value::Object(line).to_string();
    text.push('\n');
    // Nobody is left to tell when standard output is closed.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

struct JsonLines {
    function_name: &'static str,
}

impl Subscriber for JsonLines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let ours = [
            "api",
            "store",
            "workos",
            "session",
            "recording",
            "upstream",
            "livekit",
            "authorizer",
            "metrics",
        ];
        let target = metadata.target().split("::").next().unwrap_or_default();
        let limit = if ours.contains(&target) { Level::INFO } else { Level::WARN };
        metadata.is_event() && *metadata.level() <= limit
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields(Map::new());
        event.record(&mut fields);
        let Fields(mut fields) = fields;
        let message = fields.remove("message").unwrap_or_default();
        let mut line = Map::from_iter([
            ("level".to_owned(), event.metadata().level().as_str().into()),
            ("message".to_owned(), message),
            ("timestamp".to_owned(), timestamp().into()),
            ("service".to_owned(), "authentication-api".into()),
            ("function_name".to_owned(), self.function_name.into()),
            ("cold_start".to_owned(), COLD.load(Ordering::Relaxed).into()),
        ]);
        add_ids(&mut line);
        line.extend(fields);
        write_line(line);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Now, as RFC 3339 with milliseconds in UTC.
fn timestamp() -> String {
    use time::format_description::well_known::Rfc3339;
    let millis = i128::from(crate::clock::now_millis());
    time::OffsetDateTime::from_unix_timestamp_nanos(millis * 1_000_000)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}
