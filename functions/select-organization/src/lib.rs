//! `POST /auth/select-organization`: finishes the sign-in of a person with several organizations in one of them.

use api::{ApiError, ConfigError, Env, Reason, Request, Response, Route};
use schemars::JsonSchema;
use serde::Deserialize;
use session::{Sessions, SignedIn};
use workos::{OrganizationId, PendingToken, WorkOs};

/// The route.
pub const ROUTE: Route = Route::public("select-organization", "/auth/select-organization").reasons(&[
    Reason::MissingField,
    Reason::InvalidField,
    Reason::SelectionExpired,
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

/// The pending sign-in and the organization that was chosen.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    pending_authentication_token: PendingToken,
    organization_id: OrganizationId,
}

/// The clients that this endpoint uses.
pub struct Context {
    workos: WorkOs,
    sessions: Sessions,
}

impl Context {
    /// Reads the configuration.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { workos: WorkOs::load(env)?, sessions: Sessions::load_with_redirect(env)? })
    }
}

/// Answers a request.
pub async fn handle(ctx: &Context, req: Request<Input>) -> Result<Response<SignedIn>, ApiError> {
    let Input { pending_authentication_token, organization_id } = &req.body;
    let sign_in =
        ctx.workos.select_organization(pending_authentication_token, organization_id, &req.client).await?;
    ctx.sessions.begin("organization_selection", sign_in, &req).await
}
