//! `POST /auth/resend-magic-auth`: sends another sign-in code.
//!
//! Once a minute per address. An unknown address gets nothing, and the same answer.

use api::response::Done;
use api::{ApiError, ConfigError, EmailAddress, Env, Reason, Request, Response, Route};
use schemars::JsonSchema;
use serde::Deserialize;
use store::{Cooldown, Rate, SourceLimit, Table};
use workos::WorkOs;

/// The route.
pub const ROUTE: Route = Route::public("resend-magic-auth", "/auth/resend-magic-auth").reasons(&[
    Reason::MissingField,
    Reason::InvalidField,
    Reason::InvalidEmail,
    Reason::RateLimited,
    Reason::WorkosUnavailable,
    Reason::WorkosBusy,
    Reason::StoreUnavailable,
]);

const COOLDOWN: Cooldown = Cooldown { scope: "resend-magic-auth", seconds: 60 };
const PER_SOURCE: SourceLimit =
    SourceLimit { scope: "resend-magic-auth", rate: Rate { max: 60, seconds: 600 } };

/// Whom to send a code.
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
    let email = &req.body.email;
    let (cool, admitted, user) = tokio::join!(
        COOLDOWN.admit(&ctx.table, email),
        PER_SOURCE.admit(&ctx.table, &req.client),
        ctx.workos.find_user(email),
    );
    cool.and(admitted)?;
    if let Err(error) = send(ctx, &req, user).await {
        // Nothing was sent: the person may try again at once.
        COOLDOWN.cancel(&ctx.table, email).await;
        return Err(error);
    }
    Ok(Response::new(Done::OK))
}

async fn send(
    ctx: &Context,
    req: &Request<Input>,
    user: Result<Option<String>, ApiError>,
) -> Result<(), ApiError> {
    match user? {
        Some(_) => ctx.workos.send_code(&req.body.email, &req.client).await,
        None => Ok(()),
    }
}
