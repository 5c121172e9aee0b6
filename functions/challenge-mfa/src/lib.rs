//! Creates challenges of a person's authenticator apps for a pending sign-in.

use api::{ApiError, ConfigError, Endpoint, Env, Request, Response, Route, Step};
use schemars::JsonSchema;
use serde::Deserialize;
use session::{Challenged, StepUps};
use store::{Rate, SourceLimit};
use workos::PendingToken;

const PER_SOURCE: SourceLimit = SourceLimit { scope: "challenge-mfa", rate: Rate { max: 60, seconds: 600 } };

/// The pending sign-in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    pending_authentication_token: PendingToken,
}

/// `POST /auth/challenge-mfa`.
pub struct ChallengeMfa(StepUps);

impl Endpoint for ChallengeMfa {
    const ROUTE: Route = Route::post("/auth/challenge-mfa")
        .summary("Get the challenge of an authenticator app to continue a sign-in")
        .details(
            "After `mfa_challenge`. Ask for the app's code and send it to `verify-mfa` with `challengeId`. A person with \
             several apps can use any of them, with its own `challengeId`.",
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
            Step::RequireMfa,
            Step::EnrolledApp,
            Step::StepUp("finalize-magic-auth"),
            Step::Take("pendingAuthenticationToken", "/pendingAuthenticationToken"),
        ])
        .success(&[(
            "challenged",
            r#"{
                "challengeId": "auth_challenge_01FVYZWQTZQ5VB6BC5MPG2EYC5",
                "factors": [{
                    "id": "auth_factor_01FVYZ5QM8N98T9ME5BCB2BBMJ",
                    "type": "totp",
                    "challengeId": "auth_challenge_01FVYZWQTZQ5VB6BC5MPG2EYC5"
                }]
            }"#,
        )]);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        StepUps::load(env).map(Self)
    }
}

impl ChallengeMfa {
    /// Returns the challenges.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Input>) -> Result<Response<Challenged>, ApiError> {
        let token = &req.input.pending_authentication_token;
        self.0.challenge(PER_SOURCE, token, &req.client).await.map(Response::new)
    }
}
