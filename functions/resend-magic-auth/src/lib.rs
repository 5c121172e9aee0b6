//! Sends another sign-in code.
//!
//! An unknown address gets the same response, but no mail. If the organization of the email domain has SSO, no code is
//! sent: the response says where to go instead.

use api::{ApiError, ConfigError, Done, EmailAddress, Endpoint, Env, Reason, Request, Response, Route};
use schemars::JsonSchema;
use serde::Deserialize;
use session::{Asked, CodeMail, Recipients, Sent};
use store::{Rate, SourceLimit};
use workos::{Destination, RedirectUri, ReturnTo};

const PER_SOURCE: SourceLimit =
    SourceLimit { scope: "resend-magic-auth", rate: Rate { max: 60, seconds: 600 } };

/// The address to send a code to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    email: EmailAddress,
    /// The address that receives `code` and `state` if the person has to sign in at an identity provider; one of
    /// `OAUTH_REDIRECT_URIS`, or by default `OAUTH_REDIRECT_URI`.
    redirect_uri: Option<RedirectUri>,
    /// Where the front end continues then; `finalize-oauth` returns it.
    return_to: Option<ReturnTo>,
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
        let Input { email, redirect_uri, return_to } = &req.input;
        let destination = &Destination { redirect_uri: redirect_uri.clone(), return_to: return_to.clone() };
        let asked = Asked { email, recipients: Recipients::Users, invitation: None, destination };
        let next = self.mail.request(PER_SOURCE, asked, &req).await?;
        Ok(next.respond(Done::OK))
    }
}
