//! Sends the browser into a sign-in at AuthKit, WorkOS' own sign-in page. No network call is made.
//!
//! It is the "initiate login" URL of the WorkOS dashboard: what begins at WorkOS (an invitation, an impersonation, a
//! sign-in from the page of an identity provider) comes here first. So it gets a flow with PKCE in this browser, and
//! ends in `finalize-oauth` like every other sign-in.
//!
//! Any page can send a browser here. That starts a sign-in, which the person has to complete, and nothing else: the
//! redirect goes to WorkOS, and from there only to an address that is listed.

use api::{ApiError, ConfigError, Done, Endpoint, Env, Reason, Request, Response, Route};
use schemars::JsonSchema;
use serde::Deserialize;
use workos::{
    Authorize, Destination, Hints, InvitationToken, LoginHint, OAUTH_COOKIE, OrganizationId, RedirectUri,
    ReturnTo, Selector,
};

/// What WorkOS knows about the person, under its names, and where the browser goes, under ours.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Input {
    /// The token of the invitation to accept.
    invitation_token: Option<InvitationToken>,
    /// The address that the sign-in page fills in.
    login_hint: Option<LoginHint>,
    /// The organization to sign in to.
    organization_id: Option<OrganizationId>,
    /// The address that receives `code` and `state`; one of `OAUTH_REDIRECT_URIS`, or by default `OAUTH_REDIRECT_URI`.
    #[serde(rename = "redirectUri")]
    redirect_uri: Option<RedirectUri>,
    /// Where the front end continues; `finalize-oauth` returns it.
    #[serde(rename = "returnTo")]
    return_to: Option<ReturnTo>,
}

/// `GET /auth/login`.
pub struct StartLogin(Authorize);

impl Endpoint for StartLogin {
    const ROUTE: Route = Route::get("/auth/login")
        .redirects()
        .summary("Send the browser to WorkOS' sign-in page")
        .details(
            "The \"initiate login\" URL for the WorkOS dashboard, and a link for front ends without a sign-in page. The \
             browser comes back with `code` and `state`, or with `error`, for `finalize-oauth`. API and front end must be \
             on one site: otherwise browsers keep the cookie of this page apart from that of `finalize-oauth`.",
        )
        .reasons(&[&[Reason::InvalidField]])
        .cookies(&[OAUTH_COOKIE])
        .example(r#"{ "login_hint": "jane.doe@example.com", "returnTo": "/rooms" }"#)
        .success(&[("redirect", r#"{ "code": 302, "message": "Found" }"#)]);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        Authorize::load(env).map(Self)
    }
}

impl StartLogin {
    /// Redirects to the authorization URL.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Input>) -> Result<Response<Done>, ApiError> {
        let Input { invitation_token, login_hint, organization_id, redirect_uri, return_to } = req.input;
        let hints = Hints {
            login: login_hint.as_ref().map(LoginHint::as_str),
            organization: organization_id.as_ref(),
            invitation: invitation_token.as_ref(),
            ..Hints::default()
        };
        let destination = Destination { redirect_uri, return_to };
        let started = self.0.start(Selector::AuthKit, hints, &destination, &req.cookies)?;
        Ok(Response::found(started.url).cookie(started.cookie))
    }
}
