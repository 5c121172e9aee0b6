//! Enrolls an authenticator app for a pending sign-in.
//!
//! Only for a sign-in that WorkOS refused with `mfa_enrollment`, and only if the person has no verified factor: otherwise a
//! stolen mail code would be enough to replace the second factor.

use api::{ApiError, ConfigError, Endpoint, Env, Reason, Request, Response, Route, Step};
use schemars::JsonSchema;
use serde::Deserialize;
use session::{Enrolled, StepUps};
use store::{Rate, SourceLimit};
use workos::PendingToken;

const PER_SOURCE: SourceLimit = SourceLimit { scope: "enroll-mfa", rate: Rate { max: 60, seconds: 600 } };

/// The pending sign-in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    pending_authentication_token: PendingToken,
}

/// `POST /auth/enroll-mfa`.
pub struct EnrollMfa(StepUps);

impl Endpoint for EnrollMfa {
    const ROUTE: Route = Route::post("/auth/enroll-mfa")
        .summary("Enroll an authenticator app to continue a sign-in")
        .details(
            "After `mfa_enrollment`, for a person without a second factor. Show `qrCode` or `secret`, then send the app's \
             first code to `verify-mfa` with `challengeId`. Another call replaces an app whose first code was never \
             accepted.",
        )
        .reasons(&[
            api::INPUT,
            session::STEP,
            &[Reason::AlreadyEnrolled, Reason::EnrollmentInProgress],
            workos::FAILURES,
            store::FAILURES,
        ])
        .rounds(4)
        .example(r#"{ "pendingAuthenticationToken": "YQyCkYfuVw2mI3tzSrk2C1Y7S" }"#)
        .after(&[
            Step::RequireMfa,
            Step::StepUp("finalize-magic-auth"),
            Step::Take("pendingAuthenticationToken", "/pendingAuthenticationToken"),
        ])
        .success(&[(
            "enrolled",
            r#"{
                "factorId": "auth_factor_01FVYZ5QM8N98T9ME5BCB2BBMJ",
                "qrCode": "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg...",
                "secret": "JBSWY3DPEHPK3PXP",
                "uri": "otpauth://totp/WorkOS:user@example.com?secret=JBSWY3DPEHPK3PXP&issuer=WorkOS",
                "challengeId": "auth_challenge_01FVYZWQTZQ5VB6BC5MPG2EYC5"
            }"#,
        )]);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        StepUps::load(env).map(Self)
    }
}

impl EnrollMfa {
    /// Returns the app's secret and the challenge for its first code.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Input>) -> Result<Response<Enrolled>, ApiError> {
        let token = &req.input.pending_authentication_token;
        self.0.enroll(PER_SOURCE, token, &req.client).await.map(Response::new)
    }
}
