//! `POST /auth/finalize-magic-auth`: redeems a sign-in code and begins a session.
//!
//! Tries are limited per address before WorkOS is asked: six digits must not be guessed.

use api::{ApiError, ConfigError, EmailAddress, Env, Reason, Request, Response, Route};
use schemars::JsonSchema;
use serde::Deserialize;
use session::{SignIns, SignedIn};
use store::{Limits, Rate};
use workos::{Grants, MagicCode};

/// The route.
pub const ROUTE: Route = Route::public("finalize-magic-auth", "/auth/finalize-magic-auth").reasons(&[
    Reason::MissingField,
    Reason::InvalidField,
    Reason::InvalidEmail,
    Reason::CodeRejected,
    Reason::SignInRefused,
    Reason::OrganizationNotAllowed,
    Reason::SsoRequired,
    Reason::EmailVerificationRequired,
    Reason::MfaEnrollment,
    Reason::MfaChallenge,
    Reason::AuthenticationMethodNotAllowed,
    Reason::RateLimited,
    Reason::WorkosUnavailable,
    Reason::WorkosBusy,
    Reason::StoreUnavailable,
]);

const LIMITS: Limits = Limits {
    scope: "finalize-magic-auth",
    per_address: Rate { max: 5, seconds: 600 },
    per_source: Rate { max: 60, seconds: 600 },
};

/// The code, and the address that it was sent to.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Input {
    email: EmailAddress,
    code: MagicCode,
}

/// The clients that this endpoint uses.
pub struct Context {
    grants: Grants,
    sign_ins: SignIns,
}

impl Context {
    /// Reads the configuration.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { grants: Grants::load(env)?, sign_ins: SignIns::load(env)? })
    }
}

/// Answers a request.
pub async fn handle(ctx: &Context, req: Request<Input>) -> Result<Response<SignedIn>, ApiError> {
    LIMITS.admit(ctx.sign_ins.table(), &req.body.email, &req.client).await?;
    let sign_in = ctx.grants.redeem_magic_code(&req.body.email, &req.body.code, &req.client).await?;
    ctx.sign_ins.finish("magic_auth", sign_in, &req).await
}
