//! Creates an account by sending a sign-in code to a new address.
//!
//! A known address gets a sign-in code and the same response, which does not reveal who has an account. If the
//! organization of the email domain has SSO, no code is sent: the response says where to go instead.

use api::{ApiError, ConfigError, Done, EmailAddress, Endpoint, Env, Reason, Request, Response, Route};
use schemars::JsonSchema;
use serde::Deserialize;
use session::{Asked, CodeMail, Recipients, Sent};
use store::{Rate, SourceLimit};
use workos::{Destination, InvitationToken, RedirectUri, ReturnTo};

const PER_SOURCE: SourceLimit = SourceLimit { scope: "sign-up", rate: Rate { max: 60, seconds: 600 } };

/// The person to create an account for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    email: EmailAddress,
    /// The token of an invitation, which creates the account even if sign-up is closed.
    invitation_token: Option<InvitationToken>,
    /// The address that receives `code` and `state` if the person has to sign in at an identity provider; one of
    /// `OAUTH_REDIRECT_URIS`, or by default `OAUTH_REDIRECT_URI`.
    redirect_uri: Option<RedirectUri>,
    /// Where the front end continues then; `finalize-oauth` returns it.
    return_to: Option<ReturnTo>,
}

/// `POST /auth/sign-up`.
pub struct SignUp {
    mail: CodeMail,
}

impl Endpoint for SignUp {
    const ROUTE: Route = Route::post("/auth/sign-up")
        .creates()
        .summary("Create an account")
        .details(
            "Sends a code to the address, to redeem with `finalize-magic-auth`. A known address gets the same \
             response. If the email domain has SSO, no code is sent and `authData` says where to send the browser.",
        )
        .reasons(&[api::INPUT, &[Reason::InvalidEmail, Reason::RateLimited], workos::FAILURES, store::FAILURES])
        .cookies(CodeMail::COOKIES)
        .rounds(2)
        .example(r#"{ "email": "new.user@example.com" }"#)
        .success(&[
            ("created", r#"{ "code": 201, "message": "Created" }"#),
            (
                "sso",
                r#"{
                    "code": 201,
                    "message": "Created",
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

impl SignUp {
    /// Sends the code.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Input>) -> Result<Response<Sent>, ApiError> {
        let Input { email, invitation_token, redirect_uri, return_to } = &req.input;
        let (recipients, invitation) = (Recipients::Anyone, invitation_token.as_ref());
        let destination = &Destination { redirect_uri: redirect_uri.clone(), return_to: return_to.clone() };
        let asked = Asked { email, recipients, invitation, destination };
        let next = self.mail.request(PER_SOURCE, asked, &req).await?;
        Ok(next.respond(Done::CREATED))
    }
}
