//! Sends another sign-in code.
//!
//! An unknown address gets the same response, but no mail. If the organization of the email domain has SSO, no code is
//! sent: the response says where to go instead.

use api::{ApiError, ConfigError, Done, EmailAddress, Endpoint, Env, Reason, Request, Response, Route};
use schemars::JsonSchema;
use serde::Deserialize;
use session::{CodeMail, Recipients, Sent};
use store::{Rate, SourceLimit};

const PER_SOURCE: SourceLimit =
    SourceLimit { scope: "resend-magic-auth", rate: Rate { max: 60, seconds: 600 } };

/// The address to send a code to.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Input {
    email: EmailAddress,
}

/// `POST /auth/resend-magic-auth`.
pub struct ResendMagicAuth {
    mail: CodeMail,
}

impl Endpoint for ResendMagicAuth {
    const ROUTE: Route = Route::post("/auth/resend-magic-auth")
        .summary("Send another sign-in code")
        .details(
            "An unknown address gets the same response, but no mail; so does one that had three mails within a minute \
             or ten within an hour: its last code stays valid. If the email domain has SSO, no code is sent and \
             `authData` says where to send the browser.",
        )
        .reasons(&[
            api::INPUT,
            &[Reason::InvalidEmail, Reason::RateLimited],
            workos::FAILURES,
            store::FAILURES,
        ])
        .cookies(CodeMail::COOKIES)
        .rounds(3)
        .example(r#"{ "email": "user.with.magic.auth@example.com" }"#)
        .success(&[
            ("sent", r#"{ "code": 200, "message": "OK" }"#),
            (
                "sso",
                r#"{
                    "code": 200,
                    "message": "OK",
                    "authData": {
                        "authMethod": "sso",
                        "redirectURL": "https://api.workos.com/sso/authorize?client_id=...",
                        "state": "a_random_state_string_for_security"
                    }
                }"#,
            ),
        ]);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { mail: CodeMail::load(env)? })
    }
}

impl ResendMagicAuth {
    /// Sends a code if the address is known.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Input>) -> Result<Response<Sent>, ApiError> {
        let next = self.mail.request(PER_SOURCE, Recipients::Users, &req.input.email, &req).await?;
        Ok(next.respond(Done::OK))
    }
}
