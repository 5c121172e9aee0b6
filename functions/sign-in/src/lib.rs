//! Starts a sign-in, through the organization's identity provider or with a code sent by mail.
//!
//! The email domain decides: if it is verified and has an active SSO connection, the browser goes there. Otherwise a
//! known address gets a code. An unknown address gets the same response, but no mail, unless the request may create an
//! account.

use api::auth_data::AuthMethod;
use api::{ApiError, ConfigError, EmailAddress, Endpoint, Env, Reason, Request, Response, Route};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use session::{Asked, CodeMail, Recipients};
use store::{Rate, SourceLimit};
use workos::{Destination, InvitationToken, RedirectUri, ReturnTo};

const PER_SOURCE: SourceLimit = SourceLimit { scope: "sign-in", rate: Rate { max: 120, seconds: 600 } };

/// The person who signs in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    email: EmailAddress,
    /// Whether to create an account if the address is unknown, as `sign-up` does.
    create_account: Option<bool>,
    /// The token of an invitation. It creates an account too, even if sign-up is closed.
    invitation_token: Option<InvitationToken>,
    /// The address that receives `code` and `state` if the person has to sign in at an identity provider; one of
    /// `OAUTH_REDIRECT_URIS`, or by default `OAUTH_REDIRECT_URI`.
    redirect_uri: Option<RedirectUri>,
    /// Where the front end continues then; `finalize-oauth` returns it.
    return_to: Option<ReturnTo>,
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
        .summary("Start a sign-in, or a sign-up")
        .details(
            "The email domain decides: with `sso`, send the browser to `redirectURL`; with `magic_auth`, a code was \
             sent by mail. An unknown address gets the same response, but no mail unless `createAccount` or \
             `invitationToken` allow an account for it. No mail is sent either to an address that had three within a \
             minute or ten within an hour: its last code stays valid.",
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
        let Input { email, create_account, invitation_token, redirect_uri, return_to } = &req.input;
        let invitation = invitation_token.as_ref();
        let may_create = create_account.unwrap_or_default() || invitation.is_some();
        let recipients = if may_create { Recipients::Anyone } else { Recipients::Users };
        let destination = &Destination { redirect_uri: redirect_uri.clone(), return_to: return_to.clone() };
        let asked = Asked { email, recipients, invitation, destination };
        let next = self.mail.request(PER_SOURCE, asked, &req).await?;
        let (auth_data, cookie) = next.into_auth_data();
        Ok(Response::new(Output { auth_data }).cookie(cookie))
    }
}
