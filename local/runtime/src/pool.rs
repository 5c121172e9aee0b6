//! The processes of one function: which are idle, how many invocations run, and with which environment the next starts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::config::FunctionConfig;
use super::invocation::InvokeError;
use super::lock::lock;
use super::sandbox::Sandbox;

pub(super) struct HostedFunction {
    pub(super) config: FunctionConfig,
    /// The binary's name, shared with every log line.
    pub(super) label: Arc<str>,
    state: Mutex<FunctionState>,
}

pub(super) struct FunctionState {
    pub(super) environment: BTreeMap<String, String>,
    pub(super) max_concurrency: usize,
    active: usize,
    /// Counts changes of the environment. Processes of older generations get no more invocations.
    pub(super) generation: u64,
    pub(super) idle: Vec<Arc<Sandbox>>,
    pub(super) all: Vec<Arc<Sandbox>>,
}

impl HostedFunction {
    pub(super) fn new(config: FunctionConfig) -> Self {
        let state = FunctionState {
            environment: config.environment.clone(),
            max_concurrency: config.max_concurrency,
            active: 0,
            generation: 0,
            idle: Vec::new(),
            all: Vec::new(),
        };
        Self { label: Arc::from(config.binary.as_str()), config, state: Mutex::new(state) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, FunctionState> {
        lock(&self.state)
    }

    pub(super) fn take_idle(&self) -> Option<Arc<Sandbox>> {
        // Most recently used first, as in Lambda.
        self.state().idle.pop()
    }

    /// Makes the process available again, or ends it if the environment has changed meanwhile.
    pub(super) fn put_back(&self, sandbox: Arc<Sandbox>) {
        let mut state = self.state();
        if sandbox.generation == state.generation {
            state.idle.push(sandbox);
        } else {
            sandbox.kill();
        }
    }

    pub(super) fn forget(&self, sandbox: &Arc<Sandbox>) {
        let mut state = self.state();
        state.idle.retain(|other| !Arc::ptr_eq(other, sandbox));
        state.all.retain(|other| !Arc::ptr_eq(other, sandbox));
    }
}

/// Counts an invocation as active until dropped.
pub(super) struct Slot(Arc<HostedFunction>);

impl Slot {
    pub(super) fn take(function: &Arc<HostedFunction>) -> Result<Self, InvokeError> {
        let mut state = function.state();
        if state.active >= state.max_concurrency {
            return Err(InvokeError::Throttled);
        }
        state.active += 1;
        Ok(Self(Arc::clone(function)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.active = state.active.saturating_sub(1);
    }
}
