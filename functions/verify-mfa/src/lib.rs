//! Continues a sign-in with the code of an authenticator app.
//!
//! Tries are counted before WorkOS is called: five for a pending sign-in. Only a challenge that was issued for this pending
//! sign-in is passed to WorkOS.

use api::{ApiError, ConfigError, Endpoint, Env, Next, Reason, Request, Response, Route, Step};
use schemars::JsonSchema;
use serde::Deserialize;
use session::{SESSION_COOKIE, SignIns, SignedIn, examples};
use store::{Rate, SourceLimit};
use workos::{ChallengeId, Grants, MagicCode, OAUTH_COOKIE, PendingToken};

const PER_SOURCE: SourceLimit = SourceLimit { scope: "verify-mfa", rate: Rate { max: 60, seconds: 600 } };

/// The pending sign-in, the challenge and the app's code.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    pending_authentication_token: PendingToken,
    challenge_id: ChallengeId,
    code: MagicCode,
}

/// `POST /auth/verify-mfa`.
pub struct VerifyMfa {
    grants: Grants,
    sign_ins: SignIns,
}

impl Endpoint for VerifyMfa {
    const ROUTE: Route = Route::post("/auth/verify-mfa")
        .summary("Enter the code of an authenticator app to continue a sign-in")
        .details(
            "After `enroll-mfa` or `challenge-mfa`, with the `challengeId` of its response. A pending sign-in has five \
             tries. The sign-in may need another step afterwards.",
        )
        .reasons(&[
            api::INPUT,
            &[Reason::WrongStep, Reason::TooManyTries, Reason::ChallengeNotIssued],
            workos::STEP_UP,
            workos::GRANT,
            store::FAILURES,
        ])
        .cookies(&[SESSION_COOKIE, OAUTH_COOKIE])
        // One of them for the name of the organization, if it is not cached.
        .rounds(4)
        .example(
            r#"{
                "pendingAuthenticationToken": "YQyCkYfuVw2mI3tzSrk2C1Y7S",
                "challengeId": "auth_challenge_01FVYZWQTZQ5VB6BC5MPG2EYC5",
                "code": "123456"
            }"#,
        )
        .after(&[
            Step::Request("challenge-mfa"),
            Step::Take("pendingAuthenticationToken", "/pendingAuthenticationToken"),
            Step::Take("challengeId", "/challengeId"),
            Step::AppCode,
        ])
        .success(examples::SIGN_IN);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { grants: Grants::load(env)?, sign_ins: SignIns::load(env)? })
    }
}

impl VerifyMfa {
    /// Starts a session, or returns the next step.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Input>) -> Result<Response<SignedIn>, ApiError> {
        let Input { pending_authentication_token: token, challenge_id, code } = &req.input;
        let tried = self.sign_ins.try_app_code(PER_SOURCE, token, challenge_id, &req.client).await?;
        let outcome = self.grants.verify_totp(token, challenge_id, code, &req.client).await;
        self.sign_ins.finish_step(&self.grants, ("mfa", Next::VerifyMfa), tried, outcome, &req).await
    }
}
