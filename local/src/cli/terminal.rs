//! Lines for a person: colour where the output is a terminal and `NO_COLOR` is not set.

use std::io::{IsTerminal as _, Write as _};

use local::runtime::{LogLine, Source};

/// Standard output or standard error.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terminal {
    error: bool,
    colour: bool,
}

impl Terminal {
    pub(super) fn stdout() -> Self {
        Self {
            error: false,
            colour: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        }
    }

    pub(super) fn stderr() -> Self {
        Self {
            error: true,
            colour: std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        }
    }

    pub(super) fn line(self, text: &str) {
        // Nobody reads any more when the pipe is closed; the cloud goes on.
        let _ = if self.error {
            writeln!(std::io::stderr().lock(), "{text}")
        } else {
            writeln!(std::io::stdout().lock(), "{text}")
        };
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.styled("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.styled("2", text)
    }

    /// One line of a function's log, behind the function's name.
    pub(super) fn log(self, line: &LogLine) {
        let name = format!("{:>23} |", line.function);
        let text = match line.source {
            Source::Platform => self.dim(&line.text),
            Source::Stdout | Source::Stderr => line.text.clone(),
        };
        self.line(&format!("{} {text}", self.dim(&name)));
    }

    fn styled(self, style: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{style}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
