//! The outcome of an invocation: a response, or Lambda's error; and the `REPORT` line.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::sandbox::MAX_PAYLOAD;

/// A successful invocation.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Lambda's request id.
    pub request_id: String,
    /// The function's response: JSON.
    pub payload: Bytes,
    /// The figures of the `REPORT` line.
    pub report: Report,
}

/// The figures of a `REPORT` line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// From when the process took the event to its response.
    pub duration: Duration,
    /// From the start of the process to its first request for work, if this invocation started it.
    pub init: Option<Duration>,
    /// The most memory the process has held so far, in MiB.
    pub max_memory_mb: Option<u64>,
}

/// Why an invocation failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum InvokeError {
    /// No function has that name.
    #[error("there is no function {0}")]
    UnknownFunction(String),
    /// As many invocations as allowed are running: Lambda's 429.
    #[error("Rate Exceeded.")]
    Throttled,
    /// The event is over 6 MiB: Lambda's 413.
    #[error("the event is larger than {MAX_PAYLOAD} bytes")]
    EventTooLarge,
    /// The function failed, crashed, timed out or could not start.
    #[error("the function failed: {payload}")]
    Function {
        /// Lambda's request id.
        request_id: String,
        /// Lambda's response: `{"errorType":…,"errorMessage":…}`.
        payload: Value,
    },
    /// The host is shutting down, or `cargo lambda watch` does not respond.
    #[error("the function cannot be reached: {0}")]
    Unavailable(String),
}

impl InvokeError {
    /// The `errorType` of a function's failure.
    pub(super) fn kind(&self) -> Option<&str> {
        let Self::Function { payload, .. } = self else { return None };
        payload.get("errorType").and_then(Value::as_str)
    }
}

/// A failure that the platform reports for the function.
pub(super) fn function_error(request_id: &str, kind: &str, message: String) -> InvokeError {
    let payload = json!({ "errorType": kind, "errorMessage": message });
    InvokeError::Function { request_id: request_id.to_owned(), payload }
}

/// A process that exited, in Lambda's wording.
pub(super) fn exit_error(request_id: &str, ending: &str) -> InvokeError {
    let message = format!("RequestId: {request_id} Error: Runtime exited with error: {ending}");
    function_error(request_id, "Runtime.ExitError", message)
}

pub(super) fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}

/// The `REPORT` line.
pub(super) fn report_line(request_id: &str, memory_mb: u32, report: &Report) -> String {
    // The start is billed to the invocation that caused it.
    let billed = (report.duration + report.init.unwrap_or_default()).as_micros().div_ceil(1000);
    let mut line = format!(
        "REPORT RequestId: {request_id}\tDuration: {}\tBilled Duration: {billed} ms\tMemory Size: {memory_mb} MB\tMax Memory Used: {} MB",
        milliseconds(report.duration),
        report.max_memory_mb.unwrap_or_default(),
    );
    if let Some(init) = report.init {
        line.push_str("\tInit Duration: ");
        line.push_str(&milliseconds(init));
    }
    line
}
