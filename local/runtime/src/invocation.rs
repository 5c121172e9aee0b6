//! What comes of an invocation: an answer, or Lambda's words for why there is none, and the `REPORT` line.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::sandbox::MAX_PAYLOAD;

/// An invocation that the function answered.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Lambda's request id.
    pub request_id: String,
    /// The function's answer: JSON.
    pub payload: Bytes,
    /// The figures of the `REPORT` line.
    pub report: Report,
}

/// The figures of a `REPORT` line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// From the moment the process took the event to its answer.
    pub duration: Duration,
    /// From the start of the process to its first request for work; only where this invocation started it.
    pub init: Option<Duration>,
    /// The most memory the process has held so far, in MiB.
    pub max_memory_mb: Option<u64>,
}

/// Why an invocation has no answer.
#[derive(Clone, Debug)]
pub enum InvokeError {
    /// There is no function of that name.
    UnknownFunction(String),
    /// As many invocations as allowed are running: Lambda's 429.
    Throttled,
    /// The event is over 6 MiB: Lambda's 413.
    EventTooLarge,
    /// The function failed, crashed, timed out or could not start; the payload is what Lambda would answer,
    /// with `errorType` and `errorMessage`.
    Function {
        /// Lambda's request id.
        request_id: String,
        /// `{"errorType":…,"errorMessage":…}`
        payload: Value,
    },
    /// The function could not be reached: the host is shutting down, or an outside host does not answer.
    Unavailable(String),
}

impl fmt::Display for InvokeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownFunction(name) => write!(f, "there is no function {name}"),
            Self::Throttled => f.write_str("Rate Exceeded."),
            Self::EventTooLarge => write!(f, "the event is larger than {MAX_PAYLOAD} bytes"),
            Self::Function { payload, .. } => write!(f, "the function failed: {payload}"),
            Self::Unavailable(reason) => write!(f, "the function cannot be reached: {reason}"),
        }
    }
}

impl std::error::Error for InvokeError {}

/// A process that ended, in Lambda's words.
pub(super) fn exit_error(request_id: &str, ending: &str) -> InvokeError {
    let message = format!("RequestId: {request_id} Error: Runtime exited with error: {ending}");
    let payload = json!({ "errorType": "Runtime.ExitError", "errorMessage": message });
    InvokeError::Function { request_id: request_id.to_owned(), payload }
}

pub(super) fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}

/// The `REPORT` line.
pub(super) fn report_line(request_id: &str, memory_mb: u32, report: &Report) -> String {
    // The start is billed with the invocation that it was for.
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
