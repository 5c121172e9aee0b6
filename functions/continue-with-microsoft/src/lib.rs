//! `POST /auth/continue-with-microsoft`: answers where the browser begins a sign-in with Microsoft. No network call is made.
//! Reasons: the common ones.

use api::{ApiError, AuthData, ConfigError, Env, Nothing, Request, Response, Route};
use schemars::JsonSchema;
use serde::Serialize;
use workos::{Authorize, Selector};

/// The route.
pub static ROUTE: Route = Route::public("continue-with-microsoft", "/auth/continue-with-microsoft");

/// The answer.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Where the browser goes, and the `state` that comes back with it.
    pub auth_data: AuthData,
}

/// What the endpoint uses.
#[derive(Debug)]
pub struct Context {
    authorize: Authorize,
}

impl Context {
    /// Reads the configuration.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { authorize: Authorize::load(env)? })
    }
}

/// Answers one request.
pub async fn handle(context: &Context, request: Request<Nothing>) -> Result<Response<Output>, ApiError> {
    let started = context.authorize.start(Selector::Microsoft, &request.cookies, None)?;
    let (auth_data, cookie) = started.into_redirect();
    Ok(Response::new(Output { auth_data }).cookie(cookie))
}
