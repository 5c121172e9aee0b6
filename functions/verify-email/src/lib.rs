//! Continues a sign-in with the code that verifies the person's address.
//!
//! Tries are counted before WorkOS is called: five for a pending sign-in.

use api::{ApiError, ConfigError, Endpoint, Env, Next, Reason, Request, Response, Route, Step};
use schemars::JsonSchema;
use serde::Deserialize;
use session::{SESSION_COOKIE, SignIns, SignedIn, examples};
use store::{Rate, SourceLimit};
use workos::{Grants, MagicCode, OAUTH_COOKIE, PendingToken};

const PER_SOURCE: SourceLimit = SourceLimit { scope: "verify-email", rate: Rate { max: 60, seconds: 600 } };

/// The pending sign-in and the mailed code.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    pending_authentication_token: PendingToken,
    code: MagicCode,
}

/// `POST /auth/verify-email`.
pub struct VerifyEmail {
    grants: Grants,
    sign_ins: SignIns,
}

impl Endpoint for VerifyEmail {
    const ROUTE: Route = Route::post("/auth/verify-email")
        .summary("Verify the address to continue a sign-in")
        .details(
            "After `email_verification_required`, for which a code was mailed. A pending sign-in has five tries. The \
             sign-in may need another step afterwards.",
        )
        .reasons(&[
            api::INPUT,
            &[Reason::WrongStep, Reason::TooManyTries],
            workos::STEP_UP,
            workos::GRANT,
            store::FAILURES,
        ])
        .cookies(&[SESSION_COOKIE, OAUTH_COOKIE])
        .rounds(3)
        .example(r#"{ "pendingAuthenticationToken": "YQyCkYfuVw2mI3tzSrk2C1Y7S", "code": "123456" }"#)
        .after(&[
            Step::UnverifiedAddress,
            Step::StepUp("finalize-oauth"),
            Step::Take("pendingAuthenticationToken", "/pendingAuthenticationToken"),
            Step::MailedCode,
        ])
        .success(examples::SIGN_IN);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { grants: Grants::load(env)?, sign_ins: SignIns::load(env)? })
    }
}

impl VerifyEmail {
    /// Starts a session, or returns the next step.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Input>) -> Result<Response<SignedIn>, ApiError> {
        let Input { pending_authentication_token: token, code } = &req.input;
        let tried = self.sign_ins.try_email_code(PER_SOURCE, token, &req.client).await?;
        let outcome = self.grants.verify_email(token, code, &req.client).await;
        let step = ("email_verification", Next::VerifyEmail);
        self.sign_ins.finish_step(&self.grants, step, tried, outcome, &req).await
    }
}
