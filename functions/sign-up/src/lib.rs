//! Creates an account by sending a sign-in code to a new address.
//!
//! A known address gets a sign-in code and the same response, which does not reveal who has an account.

use api::{ApiError, ConfigError, Done, EmailAddress, Endpoint, Env, Reason, Request, Response, Route};
use schemars::JsonSchema;
use serde::Deserialize;
use store::{Limits, Rate, Table};
use workos::WorkOs;

const LIMITS: Limits = Limits {
    scope: "sign-up",
    per_address: Rate { max: 5, seconds: 600 },
    per_source: Rate { max: 60, seconds: 600 },
};

/// The person to create an account for.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Input {
    email: EmailAddress,
}

/// `POST /auth/sign-up`.
pub struct SignUp {
    table: Table,
    workos: WorkOs,
}

impl Endpoint for SignUp {
    const ROUTE: Route = Route::post("/auth/sign-up")
        .creates()
        .summary("Create an account")
        .details(
            "Sends a code to the address, to redeem with `finalize-magic-auth`. A known address gets the same \
             response.",
        )
        .reasons(&[api::INPUT, &[Reason::InvalidEmail, Reason::RateLimited], workos::FAILURES, store::FAILURES])
        .rounds(2)
        .example(r#"{ "email": "new.user@example.com" }"#)
        .success(&[("created", r#"{ "code": 201, "message": "Created" }"#)]);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { table: Table::load(env)?, workos: WorkOs::load(env)? })
    }
}

impl SignUp {
    /// Sends the code.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Input>) -> Result<Response<Done>, ApiError> {
        LIMITS.admit(&self.table, &req.input.email, &req.client).await?;
        self.workos.send_sign_up_code(&req.input.email, &req.client).await?;
        Ok(Response::new(Done::CREATED))
    }
}
