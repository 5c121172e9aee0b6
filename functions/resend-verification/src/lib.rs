//! Mails another code that verifies the address of a pending sign-in, within the address's budget of mails.

use api::{ApiError, ConfigError, Done, Endpoint, Env, Request, Response, Route, Step};
use schemars::JsonSchema;
use serde::Deserialize;
use session::StepUps;
use store::{Rate, SourceLimit};
use workos::PendingToken;

const PER_SOURCE: SourceLimit =
    SourceLimit { scope: "resend-verification", rate: Rate { max: 60, seconds: 600 } };

/// The pending sign-in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    pending_authentication_token: PendingToken,
}

/// `POST /auth/resend-verification`.
pub struct ResendVerification(StepUps);

impl Endpoint for ResendVerification {
    const ROUTE: Route = Route::post("/auth/resend-verification")
        .summary("Mail another code that verifies the address")
        .details(
            "After `email_verification_required`. An address that had three mails within a minute or ten within an hour \
             gets the same response, but no mail: its last code stays valid.",
        )
        .reasons(&[
            api::INPUT,
            session::STEP,
            workos::FAILURES,
            store::FAILURES,
        ])
        .rounds(3)
        .example(r#"{ "pendingAuthenticationToken": "YQyCkYfuVw2mI3tzSrk2C1Y7S" }"#)
        .after(&[
            Step::UnverifiedAddress,
            Step::StepUp("finalize-oauth"),
            Step::Take("pendingAuthenticationToken", "/pendingAuthenticationToken"),
        ])
        .success(&[("sent", r#"{ "code": 200, "message": "OK" }"#)]);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        StepUps::load(env).map(Self)
    }
}

impl ResendVerification {
    /// Mails a code.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Input>) -> Result<Response<Done>, ApiError> {
        let token = &req.input.pending_authentication_token;
        self.0.resend_verification(PER_SOURCE, token, &req.client).await?;
        Ok(Response::new(Done::OK))
    }
}
