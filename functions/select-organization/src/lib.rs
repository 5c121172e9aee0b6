//! `POST /auth/select-organization`: finishes the sign-in of a person with several organizations in one of them.

use api::{ApiError, ConfigError, Env, Reason, Request, Response, Route};
use schemars::JsonSchema;
use serde::Deserialize;
use session::{SignIns, SignedIn};
use workos::{Grants, OrganizationId, PendingToken};

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
    let Input { pending_authentication_token, organization_id } = &req.body;
    let sign_in =
        ctx.grants.select_organization(pending_authentication_token, organization_id, &req.client).await?;
    ctx.sign_ins.finish("organization_selection", sign_in, &req).await
}
