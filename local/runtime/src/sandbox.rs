//! One process of a function and the Runtime API that it talks to.
//!
//! `AWS_LAMBDA_RUNTIME_API` is a bare `host:port`, so only the port identifies a process: each sandbox listens on its own. Source: "Using the Lambda runtime API for custom runtimes", AWS Lambda developer guide.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::lock::lock;
use super::log::{LogLine, Logs, Source};

/// Largest payload of a synchronous invocation, request and response alike.
pub(super) const MAX_PAYLOAD: usize = 6 * 1024 * 1024;

/// How long the last lines of an exited process may take to arrive.
const OUTPUT_TIMEOUT: Duration = Duration::from_millis(200);

/// What is needed to start a process.
pub(super) struct Boot {
    pub(super) function: Arc<str>,
    pub(super) program: PathBuf,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) arn: String,
    pub(super) timeout: Duration,
    pub(super) generation: u64,
    pub(super) logs: Logs,
}

/// One invocation on its way to a process.
pub(super) struct Job {
    pub(super) request_id: String,
    pub(super) trace_id: String,
    pub(super) event: Bytes,
    /// When the process takes the job; dropped if it never does.
    pub(super) started: oneshot::Sender<Instant>,
    pub(super) reply: oneshot::Sender<Reply>,
}

/// The process' response.
pub(super) enum Reply {
    Response(Bytes),
    Error(Bytes),
}

/// A running process.
pub(super) struct Sandbox {
    pub(super) process: u32,
    pub(super) generation: u64,
    pub(super) booted: Instant,
    jobs: mpsc::Sender<Job>,
    api: Arc<Api>,
    kill: Arc<Notify>,
    exit: watch::Receiver<Option<String>>,
}

impl Sandbox {
    /// Starts the process. The returned future is its life: it ends with the process, and dropping it kills it.
    pub(super) async fn boot(
        boot: Boot,
    ) -> std::io::Result<(Arc<Self>, impl Future<Output = ()> + Send + 'static)> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let booted = Instant::now();
        let mut command = Command::new(&boot.program);
        command
            .env_clear()
            .envs(&boot.environment)
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A Ctrl-C in the terminal reaches only the local cloud, which then ends its processes.
            .process_group(0)
            .kill_on_drop(true);
        let child = command.spawn()?;
        let process = child.id().unwrap_or_default();

        let (jobs, waiting) = mpsc::channel(1);
        let (ready, _) = watch::channel(None);
        let api = Arc::new(Api {
            arn: boot.arn,
            timeout: boot.timeout,
            jobs: tokio::sync::Mutex::new(waiting),
            current: Mutex::default(),
            init_error: Mutex::default(),
            ready,
        });
        let kill = Arc::new(Notify::new());
        let (exited, exit) = watch::channel(None);
        let life =
            live(child, listener, Arc::clone(&api), Arc::clone(&kill), exited, boot.function, boot.logs);
        let generation = boot.generation;
        Ok((Arc::new(Self { process, generation, booted, jobs, api, kill, exit }), life))
    }

    /// When the process first asked for work; `Err` says how it ended before that.
    pub(super) async fn ready(&self) -> Result<Instant, String> {
        let mut ready = self.api.ready.subscribe();
        tokio::select! {
            asked = ready.wait_for(Option::is_some) => match asked {
                Ok(asked) => Ok(asked.unwrap_or_else(Instant::now)),
                Err(_) => Err("gone".to_owned()),
            },
            ending = self.exited() => Err(ending),
        }
    }

    /// The error that the process reported about its own start.
    pub(super) fn init_error(&self) -> Option<Bytes> {
        lock(&self.api.init_error).clone()
    }

    /// Passes a job to the process; returns it if the process is gone.
    pub(super) async fn send(&self, job: Job) -> Result<(), Job> {
        if self.exit.borrow().is_some() {
            return Err(job);
        }
        self.jobs.send(job).await.map_err(|refused| refused.0)
    }

    /// Waits for the end of the process; returns how it ended in Lambda's wording, e.g. `exit status 1`.
    pub(super) async fn exited(&self) -> String {
        let mut exit = self.exit.clone();
        exit.wait_for(Option::is_some).await.ok().and_then(|ending| ending.clone()).unwrap_or_default()
    }

    /// Ends the process, if it still runs.
    pub(super) fn kill(&self) {
        self.kill.notify_one();
    }

    /// The most memory that the process has held, in MiB; `None` without `/proc`.
    pub(super) fn peak_memory_mb(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process)).ok()?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: u64 = peak.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib.div_ceil(1024))
    }
}

/// Serves the Runtime API and reads the output until the process ends.
async fn live(
    mut child: Child,
    listener: TcpListener,
    api: Arc<Api>,
    kill: Arc<Notify>,
    exited: watch::Sender<Option<String>>,
    function: Arc<str>,
    logs: Logs,
) {
    let process = child.id().unwrap_or_default();
    let mut output = JoinSet::new();
    if let Some(pipe) = child.stdout.take() {
        output.spawn(read_lines(pipe, Source::Stdout, Arc::clone(&function), process, logs.clone()));
    }
    if let Some(pipe) = child.stderr.take() {
        output.spawn(read_lines(pipe, Source::Stderr, function, process, logs));
    }
    let ending = {
        let serving = local_http::serve(listener, move |request, _| {
            let api = Arc::clone(&api);
            async move { api.handle(request).await }
        });
        tokio::pin!(serving);
        tokio::select! {
            () = &mut serving => None,
            status = child.wait() => status.ok(),
            () = kill.notified() => {
                let _ = child.start_kill();
                child.wait().await.ok()
            }
        }
    };
    // A child of the process may hold the pipes open; the process' own lines have been written by now.
    let _ = tokio::time::timeout(OUTPUT_TIMEOUT, async { while output.join_next().await.is_some() {} }).await;
    // After the last line was read: this ends the invocation in flight.
    exited.send_replace(Some(ending.map_or_else(|| "unknown".to_owned(), describe)));
}

/// Lambda's wording for the end of a process.
fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(9)) => "signal: killed".to_owned(),
        (None, Some(6)) => "signal: aborted".to_owned(),
        (None, Some(11)) => "signal: segmentation fault".to_owned(),
        (None, Some(signal)) => format!("signal: {signal}"),
        (None, None) => "unknown".to_owned(),
    }
}

async fn read_lines(
    pipe: impl AsyncRead + Unpin,
    source: Source,
    function: Arc<str>,
    process: u32,
    logs: Logs,
) {
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    while let Ok(1..) = reader.read_until(b'\n', &mut line).await {
        let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
        logs.record(LogLine { function: Arc::clone(&function), process, source, text });
        line.clear();
    }
}

struct Api {
    arn: String,
    timeout: Duration,
    jobs: tokio::sync::Mutex<mpsc::Receiver<Job>>,
    current: Mutex<Option<Current>>,
    init_error: Mutex<Option<Bytes>>,
    ready: watch::Sender<Option<Instant>>,
}

struct Current {
    request_id: String,
    reply: oneshot::Sender<Reply>,
}

impl Api {
    async fn handle(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, http::Error> {
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let Some(action) = path.strip_prefix("/2018-06-01/runtime/") else {
            return error(StatusCode::NOT_FOUND, "InvalidPath", "unknown path");
        };
        if method == Method::GET && action == "invocation/next" {
            return self.next().await;
        }
        if method != Method::POST {
            return error(StatusCode::METHOD_NOT_ALLOWED, "InvalidMethod", "POST is expected");
        }
        let Ok(body) = Limited::new(request.into_body(), MAX_PAYLOAD).collect().await else {
            let payload = json!({
                "errorType": "Function.ResponseSizeTooLarge",
                "errorMessage": format!("Response payload size exceeded maximum allowed payload size ({MAX_PAYLOAD} bytes)."),
            });
            if let Some(current) = lock(&self.current).take() {
                let _ = current.reply.send(Reply::Error(payload.to_string().into()));
            }
            return error(
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestEntityTooLarge",
                "the response is too large",
            );
        };
        let body = body.to_bytes();
        if action == "init/error" {
            *lock(&self.init_error) = Some(body);
            return accepted();
        }
        let parts = action.strip_prefix("invocation/").and_then(|rest| rest.split_once('/'));
        let (request_id, reply) = match parts {
            Some((request_id, "response")) => (request_id, Reply::Response(body)),
            Some((request_id, "error")) => (request_id, Reply::Error(body)),
            _ => return error(StatusCode::NOT_FOUND, "InvalidPath", "unknown path"),
        };
        match lock(&self.current).take_if(|current| current.request_id == request_id) {
            Some(current) => {
                // The invocation may have been abandoned.
                let _ = current.reply.send(reply);
                accepted()
            }
            None => error(StatusCode::BAD_REQUEST, "InvalidRequestID", "no such invocation"),
        }
    }

    /// The next invocation, as soon as there is one.
    async fn next(&self) -> Result<Response<Full<Bytes>>, http::Error> {
        self.ready.send_if_modified(|ready| {
            let first = ready.is_none();
            if first {
                *ready = Some(Instant::now());
            }
            first
        });
        let Some(job) = self.jobs.lock().await.recv().await else {
            return error(StatusCode::GONE, "ShuttingDown", "there is no more work");
        };
        let deadline = SystemTime::now() + self.timeout;
        let deadline_ms = deadline.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let response = Response::builder()
            .header("content-type", "application/json")
            .header("lambda-runtime-aws-request-id", &job.request_id)
            .header("lambda-runtime-deadline-ms", deadline_ms.to_string())
            .header("lambda-runtime-invoked-function-arn", &self.arn)
            .header("lambda-runtime-trace-id", &job.trace_id)
            .body(Full::new(job.event))?;
        *lock(&self.current) = Some(Current { request_id: job.request_id, reply: job.reply });
        let _ = job.started.send(Instant::now());
        Ok(response)
    }
}

fn accepted() -> Result<Response<Full<Bytes>>, http::Error> {
    response(StatusCode::ACCEPTED, "{\"status\":\"OK\"}\n".into())
}

fn error(status: StatusCode, kind: &str, message: &str) -> Result<Response<Full<Bytes>>, http::Error> {
    response(status, json!({ "errorType": kind, "errorMessage": message }).to_string())
}

fn response(status: StatusCode, body: String) -> Result<Response<Full<Bytes>>, http::Error> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Full::from(body))
}
