//! Logs: one JSON object per line on standard output, with the keys of AWS Lambda Powertools, so that CloudWatch Logs
//! Insights queries written for Powertools work here.
//!
//! The [`tracing::Subscriber`] is our own, which keeps start-up short. It has no spans: an invocation runs in a
//! task-local scope that holds its ids, so lines carry the right ids even if invocations share a process (Lambda Managed
//! Instances).
//!
//! The crates of this workspace log from `INFO` up, all others from `WARN` up: their debug events print requests.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use tokio::task::futures::TaskLocalFuture;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber, span};

#[cfg(test)]
use tests::write_out;

tokio::task_local! {
    static INVOCATION: Invocation;
}

/// Whether the process has not begun its first invocation yet.
static IS_COLD: AtomicBool = AtomicBool::new(true);

/// What the lines of one invocation have in common.
pub(crate) struct Invocation {
    request_id: String,
    trace_id: String,
    cold_start: bool,
}

/// Runs `future` as the invocation that `context` describes: every line that it writes carries the invocation's ids. The
/// first invocation of a process is its cold start.
pub(crate) fn invocation<F: Future>(
    context: &lambda_runtime::Context,
    future: F,
) -> TaskLocalFuture<Invocation, F> {
    let invocation = Invocation {
        request_id: context.request_id.clone(),
        trace_id: context.xray_trace_id.clone().unwrap_or_default(),
        cold_start: IS_COLD.swap(false, Ordering::Relaxed),
    };
    INVOCATION.scope(invocation, future)
}

/// Writes all events of this process to standard output, as the function `function_name`.
pub(crate) fn install(function_name: &'static str) {
    // A second call in the same process keeps the first subscriber, which writes to the same place.
    let _ = tracing::subscriber::set_global_default(JsonLines { function_name });
}

/// The content of a line.
pub(crate) trait Members {
    /// Writes the members straight into the line's object. A tree of JSON values would cost more than the rest of a
    /// short request.
    fn write<M: SerializeMap>(&self, line: &mut M) -> Result<(), M::Error>;
}

/// Writes one line, with the ids of the current invocation. The line is written in one piece, so concurrent lines never
/// mix.
pub(crate) fn write_line(members: &impl Members) {
    let mut serializer = serde_json::Serializer::new(Vec::with_capacity(512));
    if render(members, &mut serializer).is_err() {
        return;
    }
    let mut line = serializer.into_inner();
    line.push(b'\n');
    write_out(&line);
}

fn render<S: Serializer>(members: &impl Members, serializer: S) -> Result<S::Ok, S::Error> {
    let mut line = serializer.serialize_map(None)?;
    members.write(&mut line)?;
    let ids = INVOCATION.try_with(|invocation| {
        for (key, id) in
            [("function_request_id", &invocation.request_id), ("xray_trace_id", &invocation.trace_id)]
        {
            if !id.is_empty() {
                line.serialize_entry(key, id)?;
            }
        }
        Ok(())
    });
    // Outside an invocation there are no ids.
    ids.unwrap_or(Ok(()))?;
    line.end()
}

#[cfg(not(test))]
fn write_out(line: &[u8]) {
    use std::io::Write as _;
    // If standard output is closed, there is nowhere to report it.
    let _ = std::io::stdout().lock().write_all(line);
}

/// Start-up counts as part of the cold start.
fn is_cold_start() -> bool {
    INVOCATION
        .try_with(|invocation| invocation.cold_start)
        .unwrap_or_else(|_| IS_COLD.load(Ordering::Relaxed))
}

/// Whether an event is logged. Cargo compiles the members of a workspace with paths relative to its root, and everything
/// else with other paths, so the source file tells our crates from third-party ones.
fn is_logged(level: Level, source_file: Option<&str>) -> bool {
    let is_ours =
        source_file.is_some_and(|file| file.starts_with("functions/") || file.starts_with("shared/"));
    level <= if is_ours { Level::INFO } else { Level::WARN }
}

struct JsonLines {
    function_name: &'static str,
}

impl Subscriber for JsonLines {
    // Asked once per call site: `tracing` caches the result.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && is_logged(*metadata.level(), metadata.file())
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
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
        line.serialize_entry("cold_start", &is_cold_start())?;
        let mut fields = Fields { line, outcome: Ok(()) };
        self.event.record(&mut fields);
        fields.outcome
    }
}

/// The current time in UTC as RFC 3339 with milliseconds.
fn timestamp() -> String {
    use time::format_description::well_known::Rfc3339;
    let millis = i128::from(crate::clock::now_millis());
    time::OffsetDateTime::from_unix_timestamp_nanos(millis * 1_000_000)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// Writes an event's fields, including its message.
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use serde_json::Value;

    use super::*;

    thread_local! {
        static WRITTEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }

    /// Takes the place of standard output.
    pub(super) fn write_out(line: &[u8]) {
        WRITTEN.with_borrow_mut(|written| written.extend_from_slice(line));
    }

    /// The lines that `future` writes.
    async fn lines_of(future: impl Future) -> Vec<Value> {
        let _subscriber = tracing::subscriber::set_default(JsonLines { function_name: "test" });
        future.await;
        WRITTEN
            .take()
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    /// An invocation that gives way to the others after each of its lines.
    async fn invoke(number: usize) {
        let mut context = lambda_runtime::Context::default();
        context.request_id = format!("request-{number}");
        context.xray_trace_id = Some(format!("trace-{number}"));
        let work = async {
            for _ in 0..3 {
                tracing::info!(number, "working");
                tokio::task::yield_now().await;
                crate::metrics::count("Work", &[("number", &number.to_string())]);
                tokio::task::yield_now().await;
            }
        };
        invocation(&context, work).await;
    }

    #[tokio::test]
    async fn invocations_that_share_a_process_keep_their_own_ids() {
        let lines = lines_of(async { tokio::join!(biased; invoke(1), invoke(2)) }).await;
        assert_eq!(lines.len(), 12);
        let numbers: Vec<_> = lines.iter().map(|line| line["number"].to_string().replace('"', "")).collect();
        assert_eq!(numbers, ["1", "2"].repeat(6), "the invocations take turns");
        for (line, number) in lines.iter().zip(&numbers) {
            assert_eq!(line["function_request_id"], format!("request-{number}"));
            assert_eq!(line["xray_trace_id"], format!("trace-{number}"));
        }
        // Metrics have no such key.
        let cold: Vec<_> = lines.iter().filter_map(|line| line.get("cold_start")).collect();
        assert_eq!(cold, [true, false].repeat(3), "only the first invocation is a cold start");
    }

    #[tokio::test]
    async fn lines_outside_an_invocation_have_no_ids() {
        let lines = lines_of(async { tracing::error!("the runtime does not start") }).await;
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!(line["message"], "the runtime does not start");
        assert!(line.get("function_request_id").is_none() && line.get("xray_trace_id").is_none());
    }

    #[tokio::test]
    async fn a_crate_of_this_workspace_logs_from_info_up() {
        let lines = lines_of(async {
            tracing::debug!("dropped");
            tracing::info!("kept");
        });
        let messages: Vec<_> = lines.await.iter().map(|line| line["message"].clone()).collect();
        assert_eq!(messages, ["kept"]);
        assert!(is_logged(Level::INFO, Some("functions/sign-in/src/lib.rs")));
        assert!(!is_logged(Level::DEBUG, Some("functions/sign-in/src/lib.rs")));
    }

    #[test]
    fn third_party_crates_log_from_warn_up() {
        for file in [
            Some("/root/.cargo/registry/src/index-0123456789abcdef/hyper-1.12.0/src/client.rs"),
            Some("/build/shared/hyper/src/client.rs"),
            Some("hyper-1.12.0/src/client.rs"),
            None,
        ] {
            assert!(is_logged(Level::WARN, file), "{file:?}");
            assert!(!is_logged(Level::INFO, file), "{file:?}");
            assert!(!is_logged(Level::DEBUG, file), "{file:?}");
        }
    }
}
