//! `POST /auth/finalize-oauth`: redeems the code of an OAuth or SSO sign-in and begins a session.
//!
//! The code counts only in the browser that began the flow: its cookie holds the PKCE verifier. With several sign-ins
//! under way, `state` picks the flow; without it the newest counts. A flow is spent by one try, unless WorkOS or the
//! table failed: then the same request can be sent again.

use api::{ApiError, ConfigError, Env, Reason, Request, Response, Route};
use schemars::JsonSchema;
use serde::Deserialize;
use session::{SignIns, SignedIn};
use workos::{AuthCode, FlowState, Grants, OAuthFlow};

/// The route.
pub const ROUTE: Route = Route::public("finalize-oauth", "/auth/finalize-oauth").reasons(&[
    Reason::MissingField,
    Reason::InvalidField,
    Reason::FlowExpired,
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

/// The code that came back with the browser.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Input {
    code: AuthCode,
    /// The `state` that came back with it.
    state: Option<FlowState>,
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
pub async fn handle(ctx: &Context, mut req: Request<Input>) -> Result<Response<SignedIn>, ApiError> {
    let (flow, spent) = ctx.sign_ins.finish_flow(&req.cookies, req.body.state.as_ref())?;
    req.cookies.apply(&spent);
    match sign_in(ctx, &flow, &req).await {
        Ok(response) => Ok(response.cookie(spent)),
        // What the answer calls worth another try must not fail then for want of its flow.
        Err(error) if error.reason().retryable() => Err(error),
        Err(error) => Err(error.cookie(spent)),
    }
}

async fn sign_in(
    ctx: &Context,
    flow: &OAuthFlow,
    req: &Request<Input>,
) -> Result<Response<SignedIn>, ApiError> {
    let sign_in = ctx.grants.redeem_code(&req.body.code, &flow.verifier, &req.client).await?;
    ctx.sign_ins.finish("oauth", sign_in, req).await
}
