//! Ends every session that the client holds at once, and returns the URL where the browser ends its WorkOS session.
//!
//! It needs only the table: whatever the authorizer's verdict is, it ends the session whose token it receives, so that
//! nobody stays signed in on a shared computer because WorkOS or LiveKit is down.
//!
//! Meetings go on unless the client asks to leave them. WorkOS reports the end of its session later and cannot tell a
//! sign-out from a revocation, so a sign-out that leaves meetings alone leaves a note.

use api::{ApiError, AuthData, ConfigError, Endpoint, Env, Reason, Request, Response, Route, Tag};
use futures_util::future::join_all;
use presence::Presence;
use room_service::Server;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use session::{SESSION_COOKIE, Sessions, UserSessions};
use store::{SessionId, SessionItem};
use workos::{LogOut, OAUTH_COOKIE, RedirectUri};

/// Where to go. The body may be empty.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The page that WorkOS sends the browser to; one of `SIGN_OUT_RETURN_TOS`, or by default `SIGN_OUT_RETURN_TO`.
    return_to: Option<RedirectUri>,
    /// Whether the person also leaves the rooms that they are in under the sessions that end. By default, meetings go on.
    leave_rooms: Option<bool>,
}

/// Where to send the browser.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// The next step.
    auth_data: AuthData,
    /// Whether the person has left the rooms; only if `leaveRooms` was `true`. If it is `false`, LiveKit failed: they may
    /// still be in some of them, but cannot rejoin.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_rooms: Option<bool>,
}

/// `POST /auth/sign-out`.
pub struct SignOut {
    log_out: LogOut,
    sessions: Sessions,
    presence: Presence,
}

impl Endpoint for SignOut {
    const ROUTE: Route = Route::post("/auth/sign-out")
        .any_verdict()
        .tag(Tag::Session)
        .summary("Sign out")
        .details(
            "The session ends at once, even while WorkOS is down. With a cookie and a bearer token, both sessions end. \
             Send the browser to `redirectURL`, which ends its WorkOS session. Meetings go on unless `leaveRooms` is \
             `true`; without a session, nobody rejoins one. Every response clears the cookies, unless the request itself \
             is invalid: then nothing happens.",
        )
        .reasons(&[api::INPUT, &[Reason::SignOutIncomplete]])
        .cookies(&[SESSION_COOKIE, OAUTH_COOKIE])
        .rounds(1)
        .success(&[
            (
                "redirect",
                r#"{
                    "authData": {
                        "redirectURL": "https://api.workos.com/user_management/sessions/logout?return_to=...&session_id=session_01JZG38PH9VWFRMCXZB8M5B6SR"
                    }
                }"#,
            ),
            (
                "left_rooms",
                r#"{
                    "authData": {
                        "redirectURL": "https://api.workos.com/user_management/sessions/logout?return_to=...&session_id=session_01JZG38PH9VWFRMCXZB8M5B6SR"
                    },
                    "leftRooms": true
                }"#,
            ),
        ]);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        let sessions = Sessions::load(env)?;
        let presence = Presence::over(UserSessions::over(sessions.clone()), Server::load(env)?);
        Ok(Self { log_out: LogOut::load(env)?, sessions, presence })
    }
}

impl SignOut {
    /// Ends the sessions.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Input>) -> Result<Response<Output>, ApiError> {
        let return_to = self.log_out.return_to(req.input.return_to.as_ref())?;
        let [session, flow] = self.sessions.cleared_cookies();
        match self.sign_out(&req, return_to).await {
            Ok(output) => Ok(Response::new(output).cookie(session).cookie(flow)),
            Err(error) => Err(error.cookie(session).cookie(flow)),
        }
    }

    async fn sign_out(&self, req: &Request<Input>, return_to: &str) -> Result<Output, ApiError> {
        let leaves_rooms = req.input.leave_rooms == Some(true);
        let ended = if leaves_rooms { self.sessions.end(req).await? } else { self.end_and_stay(req).await? };
        // If the response to a deletion is lost, its repetition finds no session; the authorizer has seen it.
        let caller = req.caller().ok();
        let ids = ended.iter().map(|session| session.workos_session_id.as_str());
        let ids = distinct(ids.chain(caller.map(|caller| caller.session_id.as_str())));
        let (first, others) = ids.split_first().ok_or(Reason::NotSignedIn)?;
        let users = ended.iter().map(|session| session.user_id.as_str());
        let users = distinct(users.chain(caller.map(|caller| caller.user_id.as_str())));
        let leave = async { if leaves_rooms { Some(self.leave_rooms(&users).await) } else { None } };
        let ((), left_rooms) = tokio::join!(self.log_out.revoke(others), leave);
        Ok(Output { auth_data: AuthData::redirect(self.log_out.url(first, return_to), None), left_rooms })
    }

    /// Ends the sessions, with a note that meetings go on.
    async fn end_and_stay(&self, req: &Request<Input>) -> Result<Vec<SessionItem>, ApiError> {
        let callers = req.caller().ok().and_then(|caller| caller.session.clone()).map(SessionId);
        let noted: Vec<_> = callers.iter().collect();
        let (ended, ()) = tokio::join!(self.sessions.end(req), self.presence.stay_in_rooms(&noted));
        let ended = ended?;
        // Without a caller, only the ended session has its id.
        let others: Vec<_> =
            ended.iter().map(|session| &session.id).filter(|id| !noted.contains(id)).collect();
        self.presence.stay_in_rooms(&others).await;
        Ok(ended)
    }

    /// Returns whether everybody has left.
    async fn leave_rooms(&self, users: &[&str]) -> bool {
        let outcomes = join_all(users.iter().map(|user_id| self.presence.leave_rooms(user_id, None))).await;
        let failures: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
        for error in &failures {
            tracing::warn!(cause = error.cause(), "a person who has signed out may still be in a room");
        }
        failures.is_empty()
    }
}

/// The different texts, in their order.
fn distinct<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut distinct = Vec::new();
    for text in texts {
        if !distinct.contains(&text) {
            distinct.push(text);
        }
    }
    distinct
}
