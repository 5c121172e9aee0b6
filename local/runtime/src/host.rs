//! Runs invocations in processes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::config::{Account, FunctionConfig};
use super::environment::lambda_variables;
use super::ids;
use super::invocation::{
    Invocation, InvokeError, Report, exit_error, function_error, milliseconds, report_line,
};
use super::lock::lock;
use super::log::{LogLine, Logs, Source};
use super::pool::{HostedFunction, Slot};
use super::sandbox::{Boot, Job, MAX_PAYLOAD, Reply, Sandbox};

/// How long a process may take from its start to its first request for work.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Hosts a set of functions. Dropping it ends every process.
#[derive(Debug)]
pub struct Runtime {
    inner: Arc<Inner>,
}

struct Inner {
    functions: BTreeMap<String, Arc<HostedFunction>>,
    account: Account,
    logs: Logs,
    tasks: Mutex<Tasks>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("functions", &self.functions.keys()).finish_non_exhaustive()
    }
}

/// Every process and every invocation in flight is a task here, so that nothing outlives the runtime.
#[derive(Default)]
struct Tasks {
    running: JoinSet<()>,
    closed: bool,
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.close();
    }
}

impl Runtime {
    /// Hosts `functions`; no process starts before its first invocation.
    pub fn new(functions: Vec<FunctionConfig>, account: Account, logs: Logs) -> Self {
        let functions = functions
            .into_iter()
            .map(|config| (config.logical_id.clone(), Arc::new(HostedFunction::new(config))))
            .collect();
        Self { inner: Arc::new(Inner { functions, account, logs, tasks: Mutex::default() }) }
    }

    /// Invokes a function, named by logical id, binary or AWS name, with a JSON event and waits for its response. As in
    /// Lambda, the invocation continues if the returned future is dropped.
    ///
    /// # Errors
    ///
    /// See [`InvokeError`].
    pub async fn invoke(&self, function: &str, event: Bytes) -> Result<Invocation, InvokeError> {
        self.invoke_in_trace(function, event, &ids::trace_root()).await
    }

    /// [`Runtime::invoke`] as a part of the X-Ray trace whose root is `trace_root`.
    ///
    /// # Errors
    ///
    /// See [`InvokeError`].
    pub async fn invoke_in_trace(
        &self,
        function: &str,
        event: Bytes,
        trace_root: &str,
    ) -> Result<Invocation, InvokeError> {
        let function = self.inner.find(function)?;
        if event.len() > MAX_PAYLOAD {
            return Err(InvokeError::EventTooLarge);
        }
        let slot = Slot::take(&function)?;
        let trace_id = format!("Root={trace_root};Parent={};Sampled=0", ids::hex::<8>());
        let (sender, outcome) = oneshot::channel();
        let inner = Arc::clone(&self.inner);
        self.inner.spawn(async move {
            let outcome = inner.run(&function, event, trace_id).await;
            drop(slot);
            let _ = sender.send(outcome);
        });
        outcome.await.unwrap_or_else(|_| Err(InvokeError::Unavailable("shutting down".to_owned())))
    }

    /// How many processes of the function are running.
    ///
    /// # Errors
    ///
    /// If there is no such function.
    pub fn processes(&self, function: &str) -> Result<usize, InvokeError> {
        Ok(self.inner.find(function)?.state().all.len())
    }

    /// Ends every process of the function, busy ones included, and waits until they are gone: a crash.
    ///
    /// # Errors
    ///
    /// If there is no such function.
    pub async fn kill(&self, function: &str) -> Result<(), InvokeError> {
        let function = self.inner.find(function)?;
        let sandboxes = function.state().all.clone();
        for sandbox in &sandboxes {
            sandbox.kill();
        }
        for sandbox in &sandboxes {
            sandbox.exited().await;
            function.forget(sandbox);
        }
        Ok(())
    }

    /// Sets how many invocations of the function may run at a time; more are throttled.
    ///
    /// # Errors
    ///
    /// If there is no such function.
    pub fn set_max_concurrency(&self, function: &str, max: usize) -> Result<(), InvokeError> {
        self.inner.find(function)?.state().max_concurrency = max;
        Ok(())
    }

    /// Changes the function's variables (`None` removes one) and retires its warm processes.
    ///
    /// # Errors
    ///
    /// If there is no such function.
    pub fn set_environment<'a>(
        &self,
        function: &str,
        changes: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
    ) -> Result<(), InvokeError> {
        let function = self.inner.find(function)?;
        let mut state = function.state();
        for (name, value) in changes {
            match value {
                Some(value) => state.environment.insert(name.to_owned(), value.to_owned()),
                None => state.environment.remove(name),
            };
        }
        state.generation += 1;
        for sandbox in state.idle.drain(..) {
            sandbox.kill();
        }
        Ok(())
    }

    /// Ends every process without waiting and accepts no more invocations, as dropping does.
    pub fn close(&self) {
        let mut tasks = lock(&self.inner.tasks);
        tasks.closed = true;
        tasks.running.abort_all();
    }

    /// Ends every process and waits until they are gone.
    pub async fn stop(&self) {
        let mut running = {
            let mut tasks = lock(&self.inner.tasks);
            tasks.closed = true;
            std::mem::take(&mut tasks.running)
        };
        running.shutdown().await;
    }
}

impl Inner {
    fn find(&self, name: &str) -> Result<Arc<HostedFunction>, InvokeError> {
        let known = self.functions.get(name).or_else(|| {
            self.functions
                .values()
                .find(|function| function.config.binary == name || function.config.name == name)
        });
        known.cloned().ok_or_else(|| InvokeError::UnknownFunction(name.to_owned()))
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        if tasks.closed {
            return;
        }
        while tasks.running.try_join_next().is_some() {}
        tasks.running.spawn(task);
    }

    fn log(&self, function: &HostedFunction, process: u32, text: String) {
        let line = LogLine { function: Arc::clone(&function.label), process, source: Source::Platform, text };
        self.logs.record(line);
    }

    /// One invocation from start to `REPORT`.
    async fn run(
        self: &Arc<Self>,
        function: &Arc<HostedFunction>,
        event: Bytes,
        trace_id: String,
    ) -> Result<Invocation, InvokeError> {
        let request_id = ids::uuid();
        loop {
            let (sandbox, init) = match function.take_idle() {
                Some(sandbox) => (sandbox, None),
                None => {
                    let (sandbox, init) = self.start(function, &request_id).await?;
                    (sandbox, Some(init))
                }
            };
            let (started, starts) = oneshot::channel();
            let (reply, replies) = oneshot::channel();
            let job = Job {
                request_id: request_id.clone(),
                trace_id: trace_id.clone(),
                event: event.clone(),
                started,
                reply,
            };
            let taken = match sandbox.send(job).await {
                Ok(()) => tokio::select! {
                    biased;
                    started = starts => started.ok(),
                    _ = sandbox.exited() => None,
                },
                Err(_) => None,
            };
            // A warm process that died between two invocations never received the event: another one gets it.
            let Some(started) = taken else {
                function.forget(&sandbox);
                if init.is_some() {
                    let ending = sandbox.exited().await;
                    return Err(exit_error(&request_id, &ending));
                }
                continue;
            };
            return self.await_reply(function, sandbox, request_id, started, init, replies).await;
        }
    }

    async fn await_reply(
        &self,
        function: &Arc<HostedFunction>,
        sandbox: Arc<Sandbox>,
        request_id: String,
        started: Instant,
        init: Option<Duration>,
        reply: oneshot::Receiver<Reply>,
    ) -> Result<Invocation, InvokeError> {
        let config = &function.config;
        let process = sandbox.process;
        self.log(function, process, format!("START RequestId: {request_id} Version: $LATEST"));
        enum End {
            Replied(Reply),
            Exited(String),
            TimedOut,
        }
        let end = tokio::select! {
            biased;
            Ok(reply) = reply => End::Replied(reply),
            ending = sandbox.exited() => End::Exited(ending),
            () = tokio::time::sleep_until((started + config.timeout).into()) => End::TimedOut,
        };
        let report = Report { duration: started.elapsed(), init, max_memory_mb: sandbox.peak_memory_mb() };
        let (outcome, status) = match end {
            End::Replied(Reply::Response(payload)) => {
                (Ok(Invocation { request_id: request_id.clone(), payload, report }), "")
            }
            End::Replied(Reply::Error(body)) => {
                let payload = serde_json::from_slice(&body).unwrap_or_else(
                    |_| json!({ "errorType": "Runtime.Unknown", "errorMessage": String::from_utf8_lossy(&body) }),
                );
                (Err(InvokeError::Function { request_id: request_id.clone(), payload }), "")
            }
            End::Exited(ending) => {
                (Err(exit_error(&request_id, &ending)), "\tStatus: error\tError Type: Runtime.ExitError")
            }
            End::TimedOut => {
                sandbox.kill();
                sandbox.exited().await;
                let seconds = config.timeout.as_secs_f64();
                let now = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
                let message = format!("Task timed out after {seconds:.2} seconds");
                self.log(function, process, format!("{now} {request_id} {message}"));
                let message = format!("RequestId: {request_id} Error: {message}");
                let error = function_error(&request_id, "Sandbox.Timedout", message);
                (Err(error), "\tStatus: timeout")
            }
        };
        self.log(function, process, format!("END RequestId: {request_id}"));
        self.log(function, process, report_line(&request_id, config.memory_mb, &report) + status);
        match &outcome {
            // Idle before the caller gets the outcome, so that the caller's next request finds a warm process.
            Ok(_) | Err(InvokeError::Function { .. }) if status.is_empty() => function.put_back(sandbox),
            _ => function.forget(&sandbox),
        }
        outcome
    }

    /// Starts a process and waits until it asks for work.
    async fn start(
        self: &Arc<Self>,
        function: &Arc<HostedFunction>,
        request_id: &str,
    ) -> Result<(Arc<Sandbox>, Duration), InvokeError> {
        let config = &function.config;
        let (environment, generation) = {
            let state = function.state();
            let mut environment = state.environment.clone();
            environment.extend(lambda_variables(config, &self.account));
            (environment, state.generation)
        };
        let boot = Boot {
            function: Arc::clone(&function.label),
            program: config.program.clone(),
            environment,
            arn: format!(
                "arn:aws:lambda:{}:{}:function:{}",
                self.account.region, self.account.id, config.name
            ),
            timeout: config.timeout,
            generation,
            logs: self.logs.clone(),
        };
        let (sandbox, life) = Sandbox::boot(boot).await.map_err(|error| {
            let message =
                format!("RequestId: {request_id} Error: fork/exec {}: {error}", config.program.display());
            self.log(function, 0, message.clone());
            function_error(request_id, "Runtime.InvalidEntrypoint", message)
        })?;
        function.state().all.push(Arc::clone(&sandbox));
        self.spawn({
            let (function, sandbox) = (Arc::clone(function), Arc::clone(&sandbox));
            async move {
                life.await;
                function.forget(&sandbox);
            }
        });

        let ready = tokio::time::timeout(INIT_TIMEOUT, sandbox.ready()).await;
        let init = sandbox.booted.elapsed();
        let (status, error) = match ready {
            Ok(Ok(asked)) => return Ok((Arc::clone(&sandbox), asked.duration_since(sandbox.booted))),
            Ok(Err(ending)) => {
                let reported = sandbox.init_error().and_then(|body| serde_json::from_slice(&body).ok());
                let reported = reported
                    .map(|payload| InvokeError::Function { request_id: request_id.to_owned(), payload });
                ("error", reported.unwrap_or_else(|| exit_error(request_id, &ending)))
            }
            Err(_) => {
                sandbox.kill();
                sandbox.exited().await;
                let seconds = INIT_TIMEOUT.as_secs();
                let message = format!("RequestId: {request_id} Error: the start took over {seconds} s");
                ("timeout", function_error(request_id, "Sandbox.Timedout", message))
            }
        };
        function.forget(&sandbox);
        let kind = error.kind().unwrap_or("Runtime.Unknown");
        let line = format!(
            "INIT_REPORT Init Duration: {}\tPhase: init\tStatus: {status}\tError Type: {kind}",
            milliseconds(init)
        );
        self.log(function, sandbox.process, line);
        Err(error)
    }
}
