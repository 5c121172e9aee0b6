//! Ends all sessions of the caller, here and at WorkOS, and takes the person out of every room.
//!
//! The session of the request ends last. Until then, a request that could not finish can be sent again.

use api::{ApiError, ConfigError, Endpoint, Env, Reason, Request, Response, Route, Step, Tag};
use presence::Presence;
use schemars::JsonSchema;
use serde::Deserialize;
use session::{Endings, Recent, SESSION_COOKIE, SignedOut};
use workos::{Destination, OAUTH_COOKIE, RedirectUri, ReturnTo};

/// Which sessions end. The body may be empty.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Whether the session of this client goes on. It ends by default.
    except_current: Option<bool>,
    /// The address that receives `code` and `state` if the person has to sign in again at an identity provider; one of
    /// `OAUTH_REDIRECT_URIS`, or by default `OAUTH_REDIRECT_URI`.
    redirect_uri: Option<RedirectUri>,
    /// Where the front end continues then; `finalize-oauth` returns it.
    return_to: Option<ReturnTo>,
}

/// `POST /auth/sign-out-everywhere`.
pub struct SignOutEverywhere {
    endings: Endings,
    recent: Recent,
    presence: Presence,
}

impl Endpoint for SignOutEverywhere {
    const ROUTE: Route = Route::post("/auth/sign-out-everywhere")
        .session()
        .tag(Tag::Session)
        .summary("End all sessions of the signed-in person")
        .details(
            "It takes a recent sign-in. The session of this client ends last: as long as the response is \
             `sessions_remain`, the same request goes on. Then the cookies are cleared, and `authData.redirectURL` ends \
             the browser's WorkOS session. The person is removed from the rooms that were entered under the sessions.",
        )
        .reasons(&[
            api::INPUT,
            &[
                Reason::ReauthenticationRequired,
                Reason::NotWhileImpersonating,
                Reason::LivekitUnavailable,
                Reason::LivekitBusy,
                Reason::SignOutIncomplete,
                Reason::SessionsRemain,
            ],
            store::FAILURES,
        ])
        .cookies(&[SESSION_COOKIE, OAUTH_COOKIE])
        .rounds(9)
        .example(r#"{ "exceptCurrent": false }"#)
        .after(&[Step::Request("finalize-magic-auth"), Step::Elsewhere("finalize-magic-auth")])
        .success(&[
            (
                "all",
                r#"{
                    "code": 200,
                    "message": "OK",
                    "authData": {
                        "redirectURL": "https://api.workos.com/user_management/sessions/logout?return_to=...&session_id=session_01JZG38PH9VWFRMCXZB8M5B6SR"
                    }
                }"#,
            ),
            ("except_current", r#"{ "code": 200, "message": "OK" }"#),
        ]);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { endings: Endings::load(env)?, recent: Recent::load(env)?, presence: Presence::load(env)? })
    }
}

impl SignOutEverywhere {
    /// Ends the sessions.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Input>) -> Result<Response<SignedOut>, ApiError> {
        let caller = req.caller()?;
        let Input { except_current, redirect_uri, return_to } = &req.input;
        let ends_current = !except_current.unwrap_or_default();
        caller.in_person()?;
        let destination = Destination { redirect_uri: redirect_uri.clone(), return_to: return_to.clone() };
        self.recent.check(&req, &destination)?;
        let leave_rooms = self.presence.leave_all_rooms(&caller.user_id);
        self.endings.others(caller, &req.client, leave_rooms).await?;
        if ends_current {
            let leave_rooms = self.presence.leave_all_rooms(&caller.user_id);
            return self.endings.current(&req, leave_rooms).await;
        }
        Ok(Response::new(SignedOut::elsewhere()))
    }
}
