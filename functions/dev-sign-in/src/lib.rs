//! `POST /auth/dev-sign-in`: signs in the development user, without mail. For development and tests only: it is not
//! deployed in production, and refuses to start there.
//!
//! The session is a real one: a Magic Auth code is created through the API and redeemed.

use api::config::STAGE;
use api::{ApiError, ConfigError, EmailAddress, Env, Nothing, Reason, Request, Response, Route, Variable};
use schemars::JsonSchema;
use serde::Serialize;
use session::Sessions;
use workos::{Authentication, Grants};

/// The route.
pub const ROUTE: Route = Route::public("dev-sign-in", "/auth/dev-sign-in").reasons(&[
    Reason::SignInRefused,
    Reason::CodeRejected,
    Reason::SsoRequired,
    Reason::MfaEnrollment,
    Reason::MfaChallenge,
    Reason::AuthenticationMethodNotAllowed,
    Reason::EmailVerificationRequired,
    Reason::OrganizationNotAllowed,
    Reason::RateLimited,
    Reason::WorkosUnavailable,
    Reason::WorkosBusy,
    Reason::StoreUnavailable,
]);

/// Who is signed in.
pub static DEV_SIGN_IN_EMAIL: Variable = Variable::or(
    "DEV_SIGN_IN_EMAIL",
    "admin@cazzi.com",
    "Whom `dev-sign-in` signs in; created where absent.",
);

/// Who was signed in.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    user: DevUser,
}

/// The development user.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DevUser {
    id: String,
    email: String,
}

/// The clients that this endpoint uses.
pub struct Context {
    email: EmailAddress,
    grants: Grants,
    sessions: Sessions,
}

impl Context {
    /// Reads the configuration; refuses it in production.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        if env.required(&STAGE)? == "prod" {
            return Err(ConfigError::new(&STAGE, "is prod, where dev-sign-in must not run"));
        }
        let email = env.required(&DEV_SIGN_IN_EMAIL)?;
        let email = EmailAddress::parse(&email)
            .map_err(|_| ConfigError::new(&DEV_SIGN_IN_EMAIL, "must be an email address"))?;
        Ok(Self { email, grants: Grants::load(env)?, sessions: Sessions::load(env)? })
    }
}

/// Answers a request.
pub async fn handle(ctx: &Context, req: Request<Nothing>) -> Result<Response<Output>, ApiError> {
    let authentication = sign_in(ctx, &req).await?;
    let (user, cookie) = ctx.sessions.begin(authentication, &req).await?;
    Ok(Response::new(Output { user: DevUser { id: user.id, email: user.email } }).cookie(cookie))
}

/// Where the development user has several organizations, the first one is taken: there is nobody to ask.
async fn sign_in(ctx: &Context, req: &Request<Nothing>) -> Result<Authentication, ApiError> {
    let code = ctx.grants.workos().create_code(&ctx.email, &req.client).await?;
    let sign_in = ctx.grants.redeem_magic_code(&ctx.email, &code, &req.client).await?;
    ctx.grants.in_first_organization(sign_in, &req.client).await
}
