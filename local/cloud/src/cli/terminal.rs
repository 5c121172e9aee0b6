//! Lines for people, coloured if the output is a terminal and `NO_COLOR` is not set.

use std::io::{IsTerminal as _, Write as _};

use local_runtime::{LogLine, Source};
use serde_json::Value;

/// Standard output or standard error.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terminal {
    error: bool,
    colour: bool,
}

impl Terminal {
    pub(super) fn stdout() -> Self {
        Self { error: false, colour: std::io::stdout().is_terminal() && colour_is_wanted() }
    }

    pub(super) fn stderr() -> Self {
        Self { error: true, colour: std::io::stderr().is_terminal() && colour_is_wanted() }
    }

    pub(super) fn line(self, text: &str) {
        // A closed pipe must not stop the cloud.
        let _ = if self.error {
            writeln!(std::io::stderr().lock(), "{text}")
        } else {
            writeln!(std::io::stdout().lock(), "{text}")
        };
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.styled("1", text)
    }

    pub(super) fn green(self, text: &str) -> String {
        self.styled("32", text)
    }

    pub(super) fn yellow(self, text: &str) -> String {
        self.styled("33", text)
    }

    pub(super) fn red(self, text: &str) -> String {
        self.styled("31", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.styled("2", text)
    }

    /// One line of a function's log, prefixed with its name. JSON entries become text unless `raw`.
    pub(super) fn log(self, line: &LogLine, raw: bool) {
        let text = match line.source {
            Source::Platform => self.dim(&line.text),
            Source::Stdout | Source::Stderr if raw => line.text.clone(),
            Source::Stdout | Source::Stderr => match readable(&line.text) {
                Some(text) => text,
                None => return,
            },
        };
        let name = format!("{:>23} |", line.function);
        self.line(&format!("{} {text}", self.dim(&name)));
    }

    fn styled(self, style: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{style}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

fn colour_is_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none()
}

/// Fields of a log entry that are not worth printing after level and message.
const KNOWN: [&str; 7] =
    ["function_name", "function_request_id", "level", "message", "service", "timestamp", "xray_trace_id"];

/// A JSON log entry as `LEVEL message key=value …`; `None` for a metric in CloudWatch's embedded format.
fn readable(text: &str) -> Option<String> {
    let Ok(Value::Object(entry)) = serde_json::from_str(text) else { return Some(text.to_owned()) };
    if entry.contains_key("_aws") {
        return None;
    }
    let (Some(Value::String(level)), Some(Value::String(message))) =
        (entry.get("level"), entry.get("message"))
    else {
        return Some(text.to_owned());
    };
    let mut words = format!("{level} {message}");
    for (name, value) in entry.iter().filter(|(name, _)| !KNOWN.contains(&name.as_str())) {
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        words.push_str(&format!(" {name}={value}"));
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_entries_are_words_metrics_are_left_out_and_the_rest_is_as_it_is() {
        let entry = r#"{"level":"INFO","message":"answered","status":200,"route":"/a","timestamp":"t","service":"s"}"#;
        assert_eq!(readable(entry).as_deref(), Some("INFO answered route=/a status=200"));
        assert_eq!(readable(r#"{"_aws":{},"SignIn":1}"#), None);
        for other in ["plain text", r#"{"no":"level"}"#, "[1]"] {
            assert_eq!(readable(other).as_deref(), Some(other));
        }
    }
}
