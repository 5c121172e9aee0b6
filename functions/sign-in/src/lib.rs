//! `POST /auth/sign-in`: begins the sign-in of an existing user, by the organization's identity provider or by a code
//! sent by mail.
//!
//! The mail domain decides: an active SSO connection on a verified domain sends the browser there. Otherwise a known
//! address gets a code; an unknown one gets nothing, and the same answer.

use api::{ApiError, AuthData, ConfigError, EmailAddress, Env, Reason, Request, Response, Route};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{Limits, Rate, Table};
use workos::{Authorize, Selector, WorkOs};

/// The route.
pub const ROUTE: Route = Route::public("sign-in", "/auth/sign-in").reasons(&[
    Reason::MissingField,
    Reason::InvalidField,
    Reason::InvalidEmail,
    Reason::RateLimited,
    Reason::WorkosUnavailable,
    Reason::WorkosBusy,
    Reason::StoreUnavailable,
]);

const LIMITS: Limits = Limits {
    scope: "sign-in",
    per_address: Rate { max: 10, seconds: 600 },
    per_source: Rate { max: 120, seconds: 600 },
};

/// Who wants to sign in.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Input {
    email: EmailAddress,
}

/// How to go on.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    auth_data: AuthData,
}

/// The clients that this endpoint uses.
pub struct Context {
    table: Table,
    workos: WorkOs,
    authorize: Authorize,
}

impl Context {
    /// Reads the configuration.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { table: Table::load(env)?, workos: WorkOs::load(env)?, authorize: Authorize::load(env)? })
    }
}

/// Answers a request.
pub async fn handle(ctx: &Context, req: Request<Input>) -> Result<Response<Output>, ApiError> {
    let email = &req.body.email;
    let (admitted, connection, user) = tokio::join!(
        LIMITS.admit(&ctx.table, email, &req.client),
        ctx.workos.sso_connection(email.domain()),
        ctx.workos.find_user(email),
    );
    admitted?;
    if let Some(connection) = connection? {
        let started =
            ctx.authorize.start(Selector::Connection(connection), &req.cookies, Some(email.as_str()))?;
        let (auth_data, cookie) = started.into_sso();
        return Ok(Response::new(Output { auth_data }).cookie(cookie));
    }
    if user?.is_some() {
        ctx.workos.send_sign_in_code(email, &req.client).await?;
    }
    Ok(Response::new(Output { auth_data: AuthData::magic_auth() }))
}
