//! Starts the sign-in of an existing user, through the organization's identity provider or with a code sent by mail.
//!
//! The email domain decides: if it is verified and has an active SSO connection, the browser goes there. Otherwise a
//! known address gets a code. An unknown address gets the same response, but no mail.

use api::auth_data::AuthResponse;
use api::{ApiError, AuthData, ConfigError, EmailAddress, Endpoint, Env, Reason, Request, Response, Route};
use schemars::JsonSchema;
use serde::Deserialize;
use store::{Limits, Rate, Table};
use workos::{Authorize, OAUTH_COOKIE, Selector, WorkOs};

const LIMITS: Limits = Limits {
    scope: "sign-in",
    per_address: Rate { max: 10, seconds: 600 },
    per_source: Rate { max: 120, seconds: 600 },
};

/// The person who signs in.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Input {
    email: EmailAddress,
}

/// `POST /auth/sign-in`.
pub struct SignIn {
    table: Table,
    workos: WorkOs,
    authorize: Authorize,
}

impl Endpoint for SignIn {
    const ROUTE: Route = Route::post("/auth/sign-in")
        .summary("Start the sign-in of an existing user")
        .details(
            "The email domain decides: with `sso`, send the browser to `redirectURL`; with `magic_auth`, a code was \
             sent by mail. An unknown address gets the same response, but no mail.",
        )
        .reasons(&[api::INPUT, &[Reason::InvalidEmail, Reason::RateLimited], workos::FAILURES, store::FAILURES])
        .cookies(&[OAUTH_COOKIE])
        .rounds(2)
        .example(r#"{ "email": "jane.doe@example.com" }"#)
        .success(&[
            (
                "sso",
                r#"{
                    "authData": {
                        "authMethod": "sso",
                        "redirectURL": "https://api.workos.com/sso/authorize?client_id=...",
                        "state": "a_random_state_string_for_security"
                    }
                }"#,
            ),
            ("magic_auth", r#"{ "authData": { "authMethod": "magic_auth" } }"#),
        ]);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { table: Table::load(env)?, workos: WorkOs::load(env)?, authorize: Authorize::load(env)? })
    }
}

impl SignIn {
    /// Returns the next step.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Input>) -> Result<Response<AuthResponse>, ApiError> {
        let email = &req.input.email;
        let (admitted, connection, user) = tokio::join!(
            LIMITS.admit(&self.table, email, &req.client),
            self.workos.sso_connection(email.domain()),
            self.workos.find_user(email),
        );
        admitted?;
        if let Some(connection) = connection? {
            let selector = Selector::Connection(connection);
            let started = self.authorize.start(selector, &req.cookies, Some(email.as_str()))?;
            let (auth_data, cookie) = started.into_sso();
            return Ok(Response::new(auth_data.into()).cookie(cookie));
        }
        if user?.is_some() {
            self.workos.send_sign_in_code(email, &req.client).await?;
        }
        Ok(Response::new(AuthData::magic_auth().into()))
    }
}
