//! Ends the session at once, and returns the URL where the browser ends its WorkOS session.

use api::auth_data::AuthResponse;
use api::{ApiError, AuthData, ConfigError, Endpoint, Env, Nothing, Request, Response, Route, Tag};
use session::{SESSION_COOKIE, Sessions};
use workos::{LogOut, OAUTH_COOKIE};

/// `POST /auth/sign-out`.
pub struct SignOut {
    log_out: LogOut,
    sessions: Sessions,
}

impl Endpoint for SignOut {
    const ROUTE: Route = Route::post("/auth/sign-out")
        .session()
        .tag(Tag::Session)
        .summary("Sign out")
        .details("The session ends at once. Send the browser to `redirectURL`, which ends its WorkOS session.")
        .reasons(&[store::FAILURES])
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
    /// Ends the session.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Nothing>) -> Result<Response<AuthResponse>, ApiError> {
        let redirect_url = self.log_out.url(&req.caller()?.session_id);
        let [session, flow] = self.sessions.end(&req).await?;
        Ok(Response::new(AuthData::redirect(redirect_url, None).into()).cookie(session).cookie(flow))
    }
}
