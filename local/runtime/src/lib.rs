//! Lambda on one machine: hosts the real function binaries behind the Runtime API.
//!
//! A process serves one invocation at a time and stays warm for the next; concurrent invocations get a process each. A
//! process sees only its function's variables and Lambda's own. Its output is read line by line, and each invocation is
//! logged with the platform's `START`, `END` and `REPORT` lines. A timeout kills the process; a crash fails only the
//! invocation that it was serving.
//!
//! Differences from Lambda: a failed start is not retried, processes are never frozen between invocations, and memory is
//! reported but not limited.
//!
//! Modules, lowest first: `ids`, `lock`, `config`; `log`, `environment`; `sandbox`; `invocation`; `pool`; `host`; `watch`.

mod config;
mod environment;
mod host;
pub mod ids;
mod invocation;
mod lock;
mod log;
mod pool;
mod sandbox;
mod watch;

pub use config::{Account, DEFAULT_MAX_CONCURRENCY, FunctionConfig};
pub use host::Runtime;
pub use invocation::{Invocation, InvokeError, Report};
pub use log::{LogLine, Logs, Source};
pub use watch::{Functions, Watch};
