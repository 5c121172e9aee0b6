//! Starts a function's process.

use std::process::ExitCode;

use crate::{ConfigError, Endpoint, Env, Handler, logs};

/// The `main` of a function: `api::main!(sign_in::SignIn);`
#[macro_export]
macro_rules! main {
    ($endpoint:ty) => {
        fn main() -> ::std::process::ExitCode {
            $crate::run::<$endpoint, _>(env!("CARGO_PKG_NAME"), <$endpoint>::handle)
        }
    };
}

/// Runs the function `name`: loads its configuration, then serves invocations until Lambda ends the process.
///
/// If the configuration is invalid, it logs one line that names the variable and returns a failure.
pub fn run<E: Endpoint, M>(name: &'static str, handle: impl Handler<E, M>) -> ExitCode {
    handle.run(name)
}

/// Loads the context once, for the life of the process, and runs `serve` on a single-threaded runtime: a function has a
/// fraction of a core.
pub(crate) fn boot<C, F>(
    name: &'static str,
    load: impl FnOnce(&Env) -> Result<C, ConfigError>,
    serve: F,
) -> ExitCode
where
    C: 'static,
    F: AsyncFnOnce(&'static C) -> Result<(), lambda_runtime::Error>,
{
    logs::install(name);
    let context: &'static C = match load(&Env::process()) {
        Ok(context) => Box::leak(Box::new(context)),
        Err(error) => {
            tracing::error!(cause = %error, "invalid configuration");
            return ExitCode::FAILURE;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(cause = %error, "the async runtime failed to start");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(serve(context)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(cause = %error, "the Lambda Runtime API failed");
            ExitCode::FAILURE
        }
    }
}
