//! `POST /auth/sign-out`: ends the session at once and answers where the browser ends the one at WorkOS.

use api::{ApiError, AuthData, ConfigError, Env, Nothing, Reason, Request, Response, Route};
use schemars::JsonSchema;
use serde::Serialize;
use session::Sessions;
use workos::LogOut;

/// The route.
pub const ROUTE: Route =
    Route::protected("sign-out", "/auth/sign-out").reasons(&[Reason::NotSignedIn, Reason::StoreUnavailable]);

/// Where the browser goes next.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    auth_data: AuthData,
}

/// The clients that this endpoint uses.
pub struct Context {
    log_out: LogOut,
    sessions: Sessions,
}

impl Context {
    /// Reads the configuration.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { log_out: LogOut::load(env)?, sessions: Sessions::load(env)? })
    }
}

/// Answers a request.
pub async fn handle(ctx: &Context, req: Request<Nothing>) -> Result<Response<Output>, ApiError> {
    let redirect_url = ctx.log_out.url(&req.caller()?.session_id);
    let [session, flow] = ctx.sessions.end(&req).await?;
    let auth_data = AuthData::redirect(redirect_url, None);
    Ok(Response::new(Output { auth_data }).cookie(session).cookie(flow))
}
