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

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
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

/// Runs `work` as one invocation: its lines carry the ids of `context`.
pub(crate) async fn invocation<T>(context: &lambda_runtime::Context, work: impl Future<Output = T>) -> T {
    begin_invocation(&context.request_id, context.xray_trace_id.as_deref().unwrap_or_default());
    let output = work.await;
    end_invocation();
    output
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

/// Sends all events of this process to standard output, as the function `function_name`.
pub(crate) fn install(function_name: &'static str) {
    // A second call in one process keeps the first subscriber, which writes to the same place.
    let _ = tracing::subscriber::set_global_default(JsonLines { function_name });
}

/// What a line says.
pub(crate) trait Members {
    /// Writes the members of the line's object, straight into its text: a tree of values would cost more than the rest
    /// of a short request.
    fn write<M: SerializeMap>(&self, line: &mut M) -> Result<(), M::Error>;
}

/// Writes one line, with the ids of the invocation that is running. It is written whole or not at all: two writers never
/// mix.
pub(crate) fn write_line(members: &impl Members) {
    let mut serializer = serde_json::Serializer::new(Vec::with_capacity(512));
    if render(members, &mut serializer).is_err() {
        return;
    }
    let mut text = serializer.into_inner();
    text.push(b'\n');
    // Nobody is left to tell when standard output is closed.
    let _ = std::io::stdout().lock().write_all(&text);
}

fn render<S: Serializer>(members: &impl Members, serializer: S) -> Result<S::Ok, S::Error> {
    let mut line = serializer.serialize_map(None)?;
    members.write(&mut line)?;
    let invocation = INVOCATION.lock().unwrap_or_else(PoisonError::into_inner);
    for (key, id) in
        [("function_request_id", &invocation.request_id), ("xray_trace_id", &invocation.trace_id)]
    {
        if !id.is_empty() {
            line.serialize_entry(key, id)?;
        }
    }
    line.end()
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
        write_line(&Line { function_name: self.function_name, event });
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// An event as a line.
struct Line<'a> {
    function_name: &'static str,
    event: &'a tracing::Event<'a>,
}

impl Members for Line<'_> {
    fn write<M: SerializeMap>(&self, line: &mut M) -> Result<(), M::Error> {
        line.serialize_entry("level", self.event.metadata().level().as_str())?;
        line.serialize_entry("timestamp", &timestamp())?;
        line.serialize_entry("service", "authentication-api")?;
        line.serialize_entry("function_name", self.function_name)?;
        line.serialize_entry("cold_start", &COLD.load(Ordering::Relaxed))?;
        let mut fields = Fields { line, outcome: Ok(()) };
        self.event.record(&mut fields);
        fields.outcome
    }
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

/// Writes an event's fields, its message among them.
struct Fields<'a, M: SerializeMap> {
    line: &'a mut M,
    outcome: Result<(), M::Error>,
}

impl<M: SerializeMap> Fields<'_, M> {
    fn write(&mut self, field: &Field, value: impl Serialize) {
        if self.outcome.is_ok() {
            self.outcome = self.line.serialize_entry(field.name(), &value);
        }
    }
}

impl<M: SerializeMap> Visit for Fields<'_, M> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.write(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.write(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.write(field, value);
    }
}
