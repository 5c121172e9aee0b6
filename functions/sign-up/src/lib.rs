//! `POST /auth/sign-up`: creates an account by sending a sign-in code to a new address.
//!
//! A known address gets a code to sign in with, and the same answer: nobody learns who has an account.

use api::response::Done;
use api::{ApiError, ConfigError, EmailAddress, Env, Reason, Request, Response, Route};
use schemars::JsonSchema;
use serde::Deserialize;
use store::{Limits, Rate, Table};
use workos::WorkOs;

/// The route.
pub const ROUTE: Route = Route::public("sign-up", "/auth/sign-up").creates().reasons(&[
    Reason::MissingField,
    Reason::InvalidField,
    Reason::InvalidEmail,
    Reason::RateLimited,
    Reason::WorkosUnavailable,
    Reason::WorkosBusy,
    Reason::StoreUnavailable,
]);

const LIMITS: Limits = Limits {
    scope: "sign-up",
    per_address: Rate { max: 5, seconds: 600 },
    per_source: Rate { max: 60, seconds: 600 },
};

/// Whom to create an account for.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Input {
    email: EmailAddress,
}

/// The clients that this endpoint uses.
pub struct Context {
    table: Table,
    workos: WorkOs,
}

impl Context {
    /// Reads the configuration.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { table: Table::load(env)?, workos: WorkOs::load(env)? })
    }
}

/// Answers a request.
pub async fn handle(ctx: &Context, req: Request<Input>) -> Result<Response<Done>, ApiError> {
    LIMITS.admit(&ctx.table, &req.body.email, &req.client).await?;
    ctx.workos.send_sign_up_code(&req.body.email, &req.client).await?;
    Ok(Response::new(Done::CREATED))
}
