//! Redeems a sign-in code and starts a session.
//!
//! Attempts are limited per address before WorkOS is called, so that six digits cannot be guessed.

use api::{ApiError, ConfigError, EmailAddress, Endpoint, Env, Reason, Request, Response, Route, Step};
use schemars::JsonSchema;
use serde::Deserialize;
use session::{SESSION_COOKIE, SignIns, SignedIn, examples};
use store::{Limits, Rate};
use workos::{Grants, MagicCode, OAUTH_COOKIE};

const LIMITS: Limits = Limits {
    scope: "finalize-magic-auth",
    per_address: Rate { max: 5, seconds: 600 },
    per_source: Rate { max: 60, seconds: 600 },
};

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
}

impl Endpoint for FinalizeMagicAuth {
    const ROUTE: Route = Route::post("/auth/finalize-magic-auth")
        .summary("Complete a sign-in by mail code")
        .details(
            "At most five attempts per address in ten minutes. A person with several organizations gets a list of \
             them instead of a session, and chooses with `select-organization`.",
        )
        .reasons(&[api::INPUT, &[Reason::InvalidEmail], workos::CODE, workos::GRANT, store::FAILURES])
        .cookies(&[SESSION_COOKIE, OAUTH_COOKIE])
        .rounds(3)
        .example(r#"{ "email": "user.with.magic.auth@example.com", "code": "123456" }"#)
        .after(&[Step::Request("sign-up"), Step::MailedCode])
        .success(examples::SIGN_IN);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { grants: Grants::load(env)?, sign_ins: SignIns::load(env)? })
    }
}

impl FinalizeMagicAuth {
    /// Starts a session, or returns the organizations to choose from.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Input>) -> Result<Response<SignedIn>, ApiError> {
        let Input { email, code } = &req.input;
        LIMITS.admit(self.sign_ins.table(), email, &req.client).await?;
        let sign_in = self.grants.redeem_magic_code(email, code, &req.client).await?;
        self.sign_ins.finish(&self.grants, "magic_auth", sign_in, &req).await
    }
}
