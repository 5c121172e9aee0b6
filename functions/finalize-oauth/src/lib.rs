//! Redeems the code of an OAuth or SSO sign-in and starts a session.
//!
//! The code is valid only in the browser that started the flow: its cookie holds the PKCE verifier. With several
//! sign-ins in progress, `state` selects the flow; without it the newest one is used. An attempt uses up the flow,
//! unless WorkOS redeemed nothing: the same request can then be sent again.
//!
//! A provider may redirect with an `error` instead of a code. That uses up the flow as well.

use api::{ApiError, ConfigError, Endpoint, Env, Reason, Request, Response, Route, SetCookie, Step};
use schemars::JsonSchema;
use serde::Deserialize;
use session::{SESSION_COOKIE, SignIns, SignedIn, examples};
use store::{Rate, SourceLimit};
use workos::{AuthCode, FlowState, Grants, OAUTH_COOKIE, OAuthFlow, ProviderError, ReturnTo};

const PER_SOURCE: SourceLimit = SourceLimit { scope: "finalize-oauth", rate: Rate { max: 60, seconds: 600 } };

/// The parameters of the provider's redirect: `code`, or `error`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("anyOf" = [{ "required": ["code"] }, { "required": ["error"] }]))]
pub struct Input {
    /// The code. Required without `error`.
    code: Option<AuthCode>,
    /// Why there is no code. `access_denied` means that the person cancelled.
    error: Option<ProviderError>,
    /// The redirect's `error_description`. It is ignored: providers write it for developers.
    #[expect(dead_code, reason = "documents the field")]
    error_description: Option<String>,
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
             gets a list of them instead of a session, and chooses with `select-organization`. Send the redirect's \
             `error` if it has one. Success and errors have the `returnTo` that the sign-in started with.",
        )
        .reasons(&[
            api::INPUT,
            &[Reason::FlowExpired, Reason::SignInCancelled],
            workos::CODE,
            workos::INVITATION,
            workos::GRANT,
            store::FAILURES,
        ])
        .cookies(&[SESSION_COOKIE, OAUTH_COOKIE])
        .rounds(3)
        .example(r#"{ "code": "FHN398YTN3904T309M" }"#)
        .after(&[Step::Request("continue-with-google"), Step::SignInAtProvider])
        .success(examples::OAUTH);

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
        let outcome = req.input.outcome()?;
        PER_SOURCE.admit(self.sign_ins.table(), &req.client).await?;
        let (flow, used_up) = self.sign_ins.finish_flow(&req.cookies, req.input.state.as_ref())?;
        req.cookies.apply(&used_up);
        let return_to = flow.destination.return_to.as_ref();
        let response = match outcome {
            Outcome::Code(code) => self.sign_in(&code, &flow, used_up, &req).await,
            Outcome::Refused(reason) => Err(ApiError::new(reason).cookie(used_up)),
        };
        match response {
            Ok(Response { body, cookies, location }) => {
                Ok(Response { body: body.returning_to(return_to), cookies, location })
            }
            Err(error) => Err(error.return_to(return_to.map(ReturnTo::as_str))),
        }
    }

    async fn sign_in(
        &self,
        code: &AuthCode,
        flow: &OAuthFlow,
        used_up: SetCookie,
        req: &Request<Input>,
    ) -> Result<Response<SignedIn>, ApiError> {
        let grant = self.grants.redeem_code(code, &flow.verifier, &req.client).await;
        let sign_in = grant.map_err(|error| error.cookie_if_final(&used_up))?;
        match self.sign_ins.finish(&self.grants, "oauth", sign_in, &flow.destination, req).await {
            Ok(response) => Ok(response.cookie(used_up)),
            Err(error) => Err(error.cookie(used_up)),
        }
    }
}

/// What the provider's redirect says.
enum Outcome {
    Code(AuthCode),
    Refused(Reason),
}

impl Input {
    fn outcome(&self) -> Result<Outcome, ApiError> {
        match (&self.error, &self.code) {
            (Some(error), _) if error.as_str() == "access_denied" => {
                Ok(Outcome::Refused(Reason::SignInCancelled))
            }
            (Some(_), _) => Ok(Outcome::Refused(Reason::SignInRefused)),
            (None, Some(code)) => Ok(Outcome::Code(code.clone())),
            (None, None) => Err(ApiError::new(Reason::MissingField).field("code")),
        }
    }
}
