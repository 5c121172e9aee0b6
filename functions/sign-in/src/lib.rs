//! Starts the sign-in of an existing user, through the organization's identity provider or with a code sent by mail.
//!
//! The email domain decides: if it is verified and has an active SSO connection, the browser goes there. Otherwise a
//! known address gets a code. An unknown address gets the same response, but no mail.

use api::auth_data::AuthMethod;
use api::{ApiError, ConfigError, EmailAddress, Endpoint, Env, Reason, Request, Response, Route};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use session::{CodeMail, Recipients};
use store::{Rate, SourceLimit};

const PER_SOURCE: SourceLimit = SourceLimit { scope: "sign-in", rate: Rate { max: 120, seconds: 600 } };

/// The person who signs in.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Input {
    email: EmailAddress,
}

/// The next step.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    auth_data: AuthMethod,
}

/// `POST /auth/sign-in`.
pub struct SignIn {
    mail: CodeMail,
}

impl Endpoint for SignIn {
    const ROUTE: Route = Route::post("/auth/sign-in")
        .summary("Start the sign-in of an existing user")
        .details(
            "The email domain decides: with `sso`, send the browser to `redirectURL`; with `magic_auth`, a code was \
             sent by mail. An unknown address gets the same response, but no mail; so does one that had three mails \
             within a minute or ten within an hour: its last code stays valid.",
        )
        .reasons(&[api::INPUT, &[Reason::InvalidEmail, Reason::RateLimited], workos::FAILURES, store::FAILURES])
        .cookies(CodeMail::COOKIES)
        .rounds(3)
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
        Ok(Self { mail: CodeMail::load(env)? })
    }
}

impl SignIn {
    /// Returns the next step.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Input>) -> Result<Response<Output>, ApiError> {
        let next = self.mail.request(PER_SOURCE, Recipients::Users, &req.input.email, &req).await?;
        let (auth_data, cookie) = next.into_auth_data();
        Ok(Response::new(Output { auth_data }).cookie(cookie))
    }
}
