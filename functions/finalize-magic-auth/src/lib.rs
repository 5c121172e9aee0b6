//! Redeems a sign-in code and starts a session.
//!
//! Tries are counted before WorkOS is called, so that six digits cannot be guessed. A browser that signed in as the
//! address before, or that asked for the code, has a budget of its own: strangers cannot use it up.

use api::{ApiError, ConfigError, EmailAddress, Endpoint, Env, Reason, Request, Response, Route, Step};
use schemars::JsonSchema;
use serde::Deserialize;
use session::{CodeTries, DEVICE_COOKIE, SESSION_COOKIE, SignIns, SignedIn, examples};
use store::{Rate, SourceLimit};
use workos::{Grants, MagicCode, OAUTH_COOKIE};

const PER_SOURCE: SourceLimit =
    SourceLimit { scope: "finalize-magic-auth", rate: Rate { max: 60, seconds: 600 } };

/// The code and the address that it was sent to.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Input {
    email: EmailAddress,
    code: MagicCode,
}

/// `POST /auth/finalize-magic-auth`.
pub struct FinalizeMagicAuth {
    grants: Grants,
    sign_ins: SignIns,
    tries: CodeTries,
}

impl Endpoint for FinalizeMagicAuth {
    const ROUTE: Route = Route::post("/auth/finalize-magic-auth")
        .summary("Complete a sign-in by mail code")
        .details(
            "At most five tries in ten minutes for the browser that asked for the code, five for all others together, \
             and ten for a browser that signed in as this address before. A person with several organizations gets a \
             list of them instead of a session, and chooses with `select-organization`.",
        )
        .reasons(&[api::INPUT, &[Reason::InvalidEmail], workos::CODE, workos::GRANT, store::FAILURES])
        .cookies(&[SESSION_COOKIE, OAUTH_COOKIE, DEVICE_COOKIE])
        .rounds(3)
        .example(r#"{ "email": "user.with.magic.auth@example.com", "code": "123456" }"#)
        .after(&[Step::Request("sign-up"), Step::MailedCode])
        .success(examples::SIGN_IN);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        let sign_ins = SignIns::load(env)?;
        let tries = CodeTries::new(sign_ins.table().clone());
        Ok(Self { grants: Grants::load(env)?, sign_ins, tries })
    }
}

impl FinalizeMagicAuth {
    /// Starts a session, or returns the organizations to choose from.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Input>) -> Result<Response<SignedIn>, ApiError> {
        let Input { email, code } = &req.input;
        let tried = self.tries.admit(PER_SOURCE, email, &req).await?;
        let outcome = self.grants.redeem_magic_code(email, code, &req.client).await;
        let sign_in = tried.settle(outcome.map_err(ApiError::from)).await?;
        let (response, device) = tokio::join!(
            self.sign_ins.finish(&self.grants, "magic_auth", sign_in, &req),
            tried.remember_device()
        );
        Ok(device.into_iter().fold(response?, Response::cookie))
    }
}
