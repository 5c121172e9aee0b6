//! What the functions print and what the platform prints about them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;

use super::lock::lock;

/// Who wrote a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// The function, on standard output.
    Stdout,
    /// The function, on standard error.
    Stderr,
    /// The platform: `START`, `END`, `REPORT`, `INIT_REPORT`.
    Platform,
}

/// One line of a function's log.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// The function's binary, e.g. `sign-in`.
    pub function: Arc<str>,
    /// Process id of the sandbox that the line belongs to; 0 if there is none.
    pub process: u32,
    /// Who wrote it.
    pub source: Source,
    /// The line, without its end.
    pub text: String,
}

type Sink = Box<dyn Fn(&LogLine) + Send + Sync>;

/// Where log lines go. Clones share it.
#[derive(Clone)]
pub struct Logs {
    shared: Arc<Shared>,
}

struct Shared {
    lines: Mutex<Vec<LogLine>>,
    arrived: Notify,
    sink: Option<Sink>,
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logs").finish_non_exhaustive()
    }
}

impl Default for Logs {
    fn default() -> Self {
        Self::in_memory()
    }
}

impl Logs {
    /// Keeps every line: for tests.
    pub fn in_memory() -> Self {
        Self::with(None)
    }

    /// Passes every line to `sink` and keeps none.
    pub fn to(sink: impl Fn(&LogLine) + Send + Sync + 'static) -> Self {
        Self::with(Some(Box::new(sink)))
    }

    fn with(sink: Option<Sink>) -> Self {
        Self { shared: Arc::new(Shared { lines: Mutex::default(), arrived: Notify::new(), sink }) }
    }

    /// Adds a line.
    pub fn record(&self, line: LogLine) {
        match &self.shared.sink {
            Some(sink) => sink(&line),
            None => {
                self.lines_mut().push(line);
                self.shared.arrived.notify_waiters();
            }
        }
    }

    /// All lines so far, oldest first.
    pub fn lines(&self) -> Vec<LogLine> {
        self.lines_mut().clone()
    }

    /// All lines so far as one text.
    pub fn text(&self) -> String {
        self.lines_mut().iter().fold(String::new(), |text, line| text + &line.text + "\n")
    }

    /// Forgets the lines so far.
    pub fn clear(&self) {
        self.lines_mut().clear();
    }

    /// The first line, past or future, that `wanted` accepts; `None` if there is none within `timeout`. A process's lines
    /// arrive through a pipe, possibly after the response of the invocation that wrote them.
    pub async fn wait_for(&self, timeout: Duration, wanted: impl Fn(&LogLine) -> bool) -> Option<LogLine> {
        tokio::time::timeout(timeout, async {
            loop {
                let arrived = self.shared.arrived.notified();
                tokio::pin!(arrived);
                // Registered before the lines are read, so that none is missed.
                arrived.as_mut().enable();
                if let Some(line) = self.lines_mut().iter().find(|line| wanted(line)) {
                    return line.clone();
                }
                arrived.await;
            }
        })
        .await
        .ok()
    }

    fn lines_mut(&self) -> MutexGuard<'_, Vec<LogLine>> {
        lock(&self.shared.lines)
    }
}
