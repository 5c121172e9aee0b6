//! Sends another sign-in code, at most one a minute per address.
//!
//! An unknown address gets the same response, but no mail.

use api::{ApiError, ConfigError, Done, EmailAddress, Endpoint, Env, Reason, Request, Response, Route};
use schemars::JsonSchema;
use serde::Deserialize;
use store::{Cooldown, Rate, SourceLimit, Table};
use workos::WorkOs;

const COOLDOWN: Cooldown = Cooldown { scope: "resend-magic-auth", seconds: 60 };
const PER_SOURCE: SourceLimit =
    SourceLimit { scope: "resend-magic-auth", rate: Rate { max: 60, seconds: 600 } };

/// The address to send a code to.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Input {
    email: EmailAddress,
}

/// `POST /auth/resend-magic-auth`.
pub struct ResendMagicAuth {
    table: Table,
    workos: WorkOs,
}

impl Endpoint for ResendMagicAuth {
    const ROUTE: Route = Route::post("/auth/resend-magic-auth")
        .summary("Send another sign-in code")
        .details("Once a minute per address. An unknown address gets the same response, but no mail.")
        .reasons(&[
            api::INPUT,
            &[Reason::InvalidEmail, Reason::RateLimited],
            workos::FAILURES,
            store::FAILURES,
        ])
        .rounds(2)
        .example(r#"{ "email": "user.with.magic.auth@example.com" }"#)
        .success(&[("sent", r#"{ "code": 200, "message": "OK" }"#)]);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { table: Table::load(env)?, workos: WorkOs::load(env)? })
    }
}

impl ResendMagicAuth {
    /// Sends a code if the address is known.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Input>) -> Result<Response<Done>, ApiError> {
        let email = &req.input.email;
        let (cooldown, source, user) = tokio::join!(
            COOLDOWN.admit(&self.table, email),
            PER_SOURCE.admit(&self.table, &req.client),
            self.workos.find_user(email),
        );
        cooldown.and(source)?;
        if let Err(error) = self.send(&req, user).await {
            // Nothing was sent, so the person may try again at once.
            COOLDOWN.cancel(&self.table, email).await;
            return Err(error);
        }
        Ok(Response::new(Done::OK))
    }

    async fn send(
        &self,
        req: &Request<Input>,
        user: Result<Option<String>, ApiError>,
    ) -> Result<(), ApiError> {
        match user? {
            Some(_) => self.workos.send_sign_in_code(&req.input.email, &req.client).await,
            None => Ok(()),
        }
    }
}
