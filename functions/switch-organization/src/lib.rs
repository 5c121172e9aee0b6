//! `POST /auth/switch-organization`: moves the session to another organization, under a new token.
//!
//! It acts for whoever holds the session and so checks it by itself: `email` must be the session's. A refusal leaves
//! the session as it was.

use api::{ApiError, ConfigError, EmailAddress, Env, Reason, Request, Response, Route};
use schemars::JsonSchema;
use serde::Deserialize;
use session::{SignedIn, Switcher};
use workos::OrganizationId;

/// The route.
pub const ROUTE: Route = Route::public("switch-organization", "/auth/switch-organization").reasons(&[
    Reason::MissingField,
    Reason::InvalidField,
    Reason::InvalidEmail,
    Reason::NotSignedIn,
    Reason::EmailMismatch,
    Reason::OrganizationNotAllowed,
    Reason::SsoRequired,
    Reason::EmailVerificationRequired,
    Reason::MfaEnrollment,
    Reason::MfaChallenge,
    Reason::AuthenticationMethodNotAllowed,
    Reason::SignInRefused,
    Reason::SessionChanged,
    Reason::RateLimited,
    Reason::WorkosUnavailable,
    Reason::WorkosBusy,
    Reason::StoreUnavailable,
]);

/// Who switches, and where to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    email: EmailAddress,
    organization_id: OrganizationId,
}

/// The clients that this endpoint uses.
pub struct Context {
    switcher: Switcher,
}

impl Context {
    /// Reads the configuration.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { switcher: Switcher::load(env)? })
    }
}

/// Answers a request.
pub async fn handle(ctx: &Context, req: Request<Input>) -> Result<Response<SignedIn>, ApiError> {
    ctx.switcher.switch(&req.body.email, &req.body.organization_id, &req).await
}
