//! Redeems the code of an OAuth or SSO sign-in and starts a session.
//!
//! The code is valid only in the browser that started the flow: its cookie holds the PKCE verifier. With several
//! sign-ins in progress, `state` selects the flow; without it the newest one is used. An attempt uses up the flow,
//! unless WorkOS redeemed nothing: the same request can then be sent again.

use api::{ApiError, ConfigError, Endpoint, Env, Reason, Request, Response, Route, Step};
use schemars::JsonSchema;
use serde::Deserialize;
use session::{SESSION_COOKIE, SignIns, SignedIn, examples};
use store::{Rate, SourceLimit};
use workos::{AuthCode, FlowState, Grants, OAUTH_COOKIE};

const PER_SOURCE: SourceLimit = SourceLimit { scope: "finalize-oauth", rate: Rate { max: 60, seconds: 600 } };

/// The parameters of the provider's redirect.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Input {
    code: AuthCode,
    /// The redirect's `state`, which selects the sign-in if several are in progress.
    state: Option<FlowState>,
}

/// `POST /auth/finalize-oauth`.
pub struct FinalizeOAuth {
    grants: Grants,
    sign_ins: SignIns,
}

impl Endpoint for FinalizeOAuth {
    const ROUTE: Route = Route::post("/auth/finalize-oauth")
        .summary("Complete a sign-in by SSO, Google or Microsoft")
        .details(
            "The code is valid only in the browser that started the sign-in. A person with several organizations \
             gets a list of them instead of a session, and chooses with `select-organization`.",
        )
        .reasons(&[api::INPUT, &[Reason::FlowExpired], workos::CODE, workos::GRANT, store::FAILURES])
        .cookies(&[SESSION_COOKIE, OAUTH_COOKIE])
        .rounds(3)
        .example(r#"{ "code": "FHN398YTN3904T309M" }"#)
        .after(&[Step::Request("continue-with-google"), Step::SignInAtProvider])
        .success(examples::SIGN_IN);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { grants: Grants::load(env)?, sign_ins: SignIns::load(env)? })
    }
}

impl FinalizeOAuth {
    /// Starts a session, or returns the organizations to choose from.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, mut req: Request<Input>) -> Result<Response<SignedIn>, ApiError> {
        PER_SOURCE.admit(self.sign_ins.table(), &req.client).await?;
        let (flow, used_up) = self.sign_ins.finish_flow(&req.cookies, req.input.state.as_ref())?;
        req.cookies.apply(&used_up);
        let grant = self.grants.redeem_code(&req.input.code, &flow.verifier, &req.client).await;
        let sign_in = grant.map_err(|error| error.cookie_if_final(&used_up))?;
        match self.sign_ins.finish(&self.grants, "oauth", sign_in, &req).await {
            Ok(response) => Ok(response.cookie(used_up)),
            Err(error) => Err(error.cookie(used_up)),
        }
    }
}
