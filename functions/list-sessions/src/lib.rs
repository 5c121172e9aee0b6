//! Lists the caller's sessions, wherever they are signed in. Somebody who acts as the person does not see them: they
//! tell where the person is.

use std::cmp::Reverse;

use api::{
    ApiError, Caller, ConfigError, CurrentOrganization, Endpoint, Env, Impersonator, Nothing, Reason,
    Request, Response, Route, Tag,
};
use schemars::JsonSchema;
use serde::Serialize;
use session::UserSessions;
use store::SessionItem;

/// The caller's sessions.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// The session of this client, then the others, last used first.
    sessions: Vec<ListedSession>,
}

/// A session.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListedSession {
    /// The session's id, for `end-session`. It gives no access. A switch of the organization keeps it.
    id: String,
    /// Whether this client holds it.
    current: bool,
    /// When the session started, in seconds since the Unix epoch.
    created_at: u64,
    /// When it was last used, in seconds since the Unix epoch, to within a twentieth of the idle lifetime.
    last_seen_at: u64,
    /// How the person signed in, as in `GET /auth/session`; null if unknown.
    method: Option<String>,
    /// The address that the person signed in from; null if unknown.
    ip_address: Option<String>,
    /// The header `User-Agent` of the sign-in, at most 256 bytes of it; null if unknown.
    user_agent: Option<String>,
    /// The organization that the session is in; null if it is in none.
    organization: Option<CurrentOrganization>,
    /// Who acts as the person, from WorkOS' dashboard.
    #[serde(skip_serializing_if = "Option::is_none")]
    impersonator: Option<Impersonator>,
}

/// `GET /auth/sessions`.
pub struct ListSessions(UserSessions);

impl Endpoint for ListSessions {
    const ROUTE: Route = Route::get("/auth/sessions")
        .session()
        .tag(Tag::Session)
        .summary("List the sessions of the signed-in person")
        .details(
            "All devices and browsers that the person is signed in on. `end-session` ends one of them. A session that \
             began within the last second may be missing.",
        )
        .reasons(&[&[Reason::NotWhileImpersonating], store::FAILURES])
        .rounds(2)
        .success(&[(
            "sessions",
            r#"{
                "sessions": [
                    {
                        "id": "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg",
                        "current": true,
                        "createdAt": 1764000000,
                        "lastSeenAt": 1764003600,
                        "method": "magic_auth",
                        "ipAddress": "203.0.113.7",
                        "userAgent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
                        "organization": { "id": "org_01K2Z1R2MEJK6B41WW7428G9YC", "name": "MASADAS" }
                    }
                ]
            }"#,
        )]);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        UserSessions::load(env).map(Self)
    }
}

impl ListSessions {
    /// Lists the sessions.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Nothing>) -> Result<Response<Output>, ApiError> {
        let caller = req.caller()?;
        caller.in_person()?;
        let live = self.0.of(&caller.user_id).await?;
        let mut sessions: Vec<_> = live.into_iter().map(|(_, session)| listed(session, caller)).collect();
        // The session of this request is the one last used, whatever is stored.
        sessions.sort_by_key(|each| (!each.current, Reverse((each.last_seen_at, each.created_at))));
        Ok(Response::new(Output { sessions }))
    }
}

fn listed(session: SessionItem, caller: &Caller) -> ListedSession {
    let name = session.organization_name;
    ListedSession {
        current: caller.session.as_ref() == Some(&session.id.0),
        id: session.id.0,
        created_at: session.created_at,
        last_seen_at: session.last_seen_at,
        method: session.method,
        ip_address: session.ip_address,
        user_agent: session.user_agent,
        organization: session.organization_id.map(|id| CurrentOrganization { id, name }),
        impersonator: session.impersonator,
    }
}
