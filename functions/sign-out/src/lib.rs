//! Ends every session that the client holds at once, and returns the URL where the browser ends its WorkOS session.
//!
//! It needs only the table: whatever the authorizer's verdict is, it ends the session whose token it receives, so that
//! nobody stays signed in on a shared computer because WorkOS is down.

use api::auth_data::AuthResponse;
use api::{ApiError, AuthData, ConfigError, Endpoint, Env, Reason, Request, Response, Route, Tag};
use schemars::JsonSchema;
use serde::Deserialize;
use session::{SESSION_COOKIE, Sessions};
use workos::{LogOut, OAUTH_COOKIE, RedirectUri};

/// Where to go. The body may be empty.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The page that WorkOS sends the browser to; one of `SIGN_OUT_RETURN_TOS`, or by default `SIGN_OUT_RETURN_TO`.
    return_to: Option<RedirectUri>,
}

/// `POST /auth/sign-out`.
pub struct SignOut {
    log_out: LogOut,
    sessions: Sessions,
}

impl Endpoint for SignOut {
    const ROUTE: Route = Route::post("/auth/sign-out")
        .any_verdict()
        .tag(Tag::Session)
        .summary("Sign out")
        .details(
            "The session ends at once, even while WorkOS is down. With a cookie and a bearer token, both sessions end. \
             Send the browser to `redirectURL`, which ends its WorkOS session. Every response clears the cookies, unless \
             the request itself is invalid: then nothing happens.",
        )
        .reasons(&[api::INPUT, &[Reason::SignOutIncomplete]])
        .cookies(&[SESSION_COOKIE, OAUTH_COOKIE])
        .rounds(1)
        .success(&[(
            "redirect",
            r#"{
                "authData": {
                    "redirectURL": "https://api.workos.com/user_management/sessions/logout?return_to=...&session_id=session_01JZG38PH9VWFRMCXZB8M5B6SR"
                }
            }"#,
        )]);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { log_out: LogOut::load(env)?, sessions: Sessions::load(env)? })
    }
}

impl SignOut {
    /// Ends the sessions.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Input>) -> Result<Response<AuthResponse>, ApiError> {
        let return_to = self.log_out.return_to(req.input.return_to.as_ref())?;
        let [session, flow] = self.sessions.cleared_cookies();
        match self.sign_out(&req, return_to).await {
            Ok(data) => Ok(Response::new(data.into()).cookie(session).cookie(flow)),
            Err(error) => Err(error.cookie(session).cookie(flow)),
        }
    }

    async fn sign_out(&self, req: &Request<Input>, return_to: &str) -> Result<AuthData, ApiError> {
        let ended = self.sessions.end(req).await?;
        // If the response to a deletion is lost, its repetition finds no session; the authorizer has seen it.
        let caller = req.caller().ok().map(|caller| caller.session_id.as_str());
        let mut ids = Vec::new();
        for id in ended.iter().map(|session| session.workos_session_id.as_str()).chain(caller) {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        let (first, others) = ids.split_first().ok_or(Reason::NotSignedIn)?;
        self.log_out.revoke(others).await;
        Ok(AuthData::redirect(self.log_out.url(first, return_to), None))
    }
}
