//! Ends one of the caller's sessions, here and at WorkOS, and takes its person out of the rooms entered under it.
//!
//! Ending another session takes a recent sign-in: whoever stole this one must not lock the person out. Ending the
//! session of the request takes none, and is a sign-out.

use api::{ApiError, ConfigError, Endpoint, Env, Reason, Request, Response, Route, Step, Tag};
use presence::Presence;
use schemars::JsonSchema;
use serde::Deserialize;
use session::{Endings, Recent, SESSION_COOKIE, SignedOut};
use store::SessionId;
use workos::{Destination, OAUTH_COOKIE, RedirectUri, ReturnTo};

api::text! {
    /// The id of a session.
    pub struct Id { max: 128, reason: InvalidField, accept: |_| true }
}

/// The session to end.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The id, from `GET /auth/sessions`.
    session_id: Id,
    /// The address that receives `code` and `state` if the person has to sign in again at an identity provider; one of
    /// `OAUTH_REDIRECT_URIS`, or by default `OAUTH_REDIRECT_URI`.
    redirect_uri: Option<RedirectUri>,
    /// Where the front end continues then; `finalize-oauth` returns it.
    return_to: Option<ReturnTo>,
}

/// `POST /auth/end-session`.
pub struct EndSession {
    endings: Endings,
    recent: Recent,
    presence: Presence,
}

impl Endpoint for EndSession {
    const ROUTE: Route = Route::post("/auth/end-session")
        .session()
        .tag(Tag::Session)
        .summary("End a session of the signed-in person")
        .details(
            "Its next request is refused, and its person is removed from the rooms that were entered under it. Another \
             session than this client's takes a recent sign-in. If it is this client's, the cookies are cleared, and \
             `authData.redirectURL` ends the browser's WorkOS session.",
        )
        .reasons(&[
            api::INPUT,
            &[
                Reason::ReauthenticationRequired,
                Reason::NotWhileImpersonating,
                Reason::SessionNotFound,
                Reason::LivekitUnavailable,
                Reason::LivekitBusy,
                Reason::SignOutIncomplete,
                Reason::SessionsRemain,
            ],
            store::FAILURES,
        ])
        .cookies(&[SESSION_COOKIE, OAUTH_COOKIE])
        .rounds(5)
        .example(r#"{ "sessionId": "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg" }"#)
        .after(&[
            Step::Request("finalize-magic-auth"),
            Step::Elsewhere("finalize-magic-auth"),
            Step::Request("list-sessions"),
            Step::Take("sessionId", "/sessions/1/id"),
        ])
        .success(&[
            ("another", r#"{ "code": 200, "message": "OK" }"#),
            (
                "current",
                r#"{
                    "code": 200,
                    "message": "OK",
                    "authData": {
                        "redirectURL": "https://api.workos.com/user_management/sessions/logout?return_to=...&session_id=session_01JZG38PH9VWFRMCXZB8M5B6SR"
                    }
                }"#,
            ),
        ]);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { endings: Endings::load(env)?, recent: Recent::load(env)?, presence: Presence::load(env)? })
    }
}

impl EndSession {
    /// Ends the session.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Input>) -> Result<Response<SignedOut>, ApiError> {
        let caller = req.caller()?;
        let Input { session_id, redirect_uri, return_to } = &req.input;
        let leave_rooms = self.presence.leave_rooms(&caller.user_id, None);
        if caller.session.as_deref() == Some(session_id.as_str()) {
            return self.endings.current(&req, leave_rooms).await;
        }
        caller.in_person()?;
        let destination = Destination { redirect_uri: redirect_uri.clone(), return_to: return_to.clone() };
        self.recent.check(&req, &destination)?;
        let id = SessionId::parse(session_id.as_str()).ok_or(Reason::SessionNotFound)?;
        self.endings.other(caller, &id, &req.client, leave_rooms).await?;
        Ok(Response::new(SignedOut::elsewhere()))
    }
}
