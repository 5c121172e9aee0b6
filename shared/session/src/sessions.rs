//! Beginning and ending sessions.

use std::time::Duration;

use api::audit::{self, Cause};
use api::{
    ApiError, Client, ConfigError, CurrentOrganization, Env, OAUTH_COOKIE, Reason, Request, Response,
    SESSION_COOKIE, SetCookie, User, clock,
};
use futures_util::future::join_all;
use store::session::{Ended, Profile, RefreshState};
use store::{SessionId, SessionItem, SessionKey, Table, to_deadline};
use workos::{Authentication, Grants};

use crate::chain::Chain;
use crate::{Lifetimes, SessionToken, SignedIn, Standing, trail};

/// Timeout of reading the sessions that a sign-in replaces, which is for the audit trail only.
const READ_TIMEOUT: Duration = Duration::from_secs(1);

/// The most bytes that a session stores of a `User-Agent`.
const USER_AGENT_BYTES: usize = 256;

/// Begins and ends sessions.
#[derive(Clone, Debug)]
pub struct Sessions {
    pub(crate) table: Table,
    lifetimes: Lifetimes,
}

impl Sessions {
    /// Reads the configuration.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { table: Table::load(env)?, lifetimes: Lifetimes::load(env)? })
    }

    /// Begins a session under `token` and ends those that the client holds, trying until `reserve` is left of the time.
    /// The session starts without the name of its organization if that cannot be looked up. Returns the outcome, with the
    /// cookie.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub(crate) async fn begin<I>(
        &self,
        token: &SessionToken,
        grants: &Grants,
        authentication: Authentication,
        request: &Request<I>,
        reserve: Duration,
    ) -> Result<Response<SignedIn>, ApiError> {
        let mut old = Chain::of(&SessionToken::held(&request.cookies, request.bearer.as_ref()));
        let key = token.key();
        let organization = async {
            let id = authentication.claims.organization_id.clone()?;
            let name = grants.workos().organization_name(&id).await;
            Some(CurrentOrganization { id, name })
        };
        let (organization, mut replaced) = tokio::join!(organization, self.live(old.ends()));
        let session =
            self.new_session(token, &authentication, organization.as_ref(), &request.client, None)?;
        while let Some(linked) =
            to_deadline(reserve, || self.table.begin_session(&key, &session, old.ends(), old.known())).await?
        {
            let added = old.add_links_of(&linked, clock::now());
            replaced.extend(self.live(&added).await);
        }
        for (key, session) in &replaced {
            trail::ended(Cause::Replaced, key, session, &request.client);
        }
        let signed_in = SignedIn::begun(authentication.user, organization);
        Ok(Response::new(signed_in).cookie(self.cookie(token, &session)))
    }

    /// The sessions of `keys` that are live. Those that cannot be read are left out.
    async fn live(&self, keys: &[SessionKey]) -> Vec<(SessionKey, SessionItem)> {
        let reads = join_all(keys.iter().map(|key| self.table.session(key)));
        let Ok(read) = tokio::time::timeout(READ_TIMEOUT, reads).await else {
            tracing::warn!("the sessions that a sign-in replaces could not be read in time");
            return Vec::new();
        };
        let mut live = Vec::new();
        for (key, session) in keys.iter().zip(read) {
            match session {
                Ok(session) => live.extend(
                    session.filter(|session| self.is_live(session)).map(|session| (key.clone(), session)),
                ),
                Err(error) => {
                    tracing::warn!(
                        cause = error.cause(),
                        "a session that a sign-in replaces could not be read"
                    );
                }
            }
        }
        live
    }

    /// Deletes the session of a sign-in that failed: its write may have succeeded although the response was lost.
    pub(crate) async fn discard(&self, token: &SessionToken, client: &Client) {
        let key = token.key();
        let known = std::slice::from_ref(&key);
        if let Err(error) = self.end_one(Cause::Discarded, &key, known, client).await {
            tracing::warn!(cause = error.cause(), "the session of a failed sign-in may remain");
        }
    }

    /// Ends one session, see [`Table::end_session`], and logs its end unless a switch or its lifetime has ended it.
    pub(crate) async fn end_one(
        &self,
        cause: Cause,
        key: &SessionKey,
        known: &[SessionKey],
        client: &Client,
    ) -> Result<Ended, ApiError> {
        let ended = self.table.end_session(key, known).await?;
        if let Ended::Gone(Some(session)) = &ended
            && self.is_live(session)
        {
            trail::ended(cause, key, session, client);
        }
        Ok(ended)
    }

    pub(crate) fn is_live(&self, session: &SessionItem) -> bool {
        self.lifetimes.standing(session, clock::now()) == Standing::Live
    }

    /// Whether nothing can be done with the session any more.
    pub(crate) fn has_ended(&self, session: &SessionItem) -> bool {
        self.lifetimes.standing(session, clock::now()) == Standing::Ended
    }

    /// Ends the sessions that the client holds, whatever their state, with those before and after a switch. Returns the
    /// ones that could still be used; those of the cookies come first.
    ///
    /// # Errors
    /// `sign_out_incomplete` if the table failed. Some of the sessions may have ended.
    pub async fn end<I>(&self, request: &Request<I>) -> Result<Vec<SessionItem>, ApiError> {
        let mut chain = Chain::of(&SessionToken::held(&request.cookies, request.bearer.as_ref()));
        let mut ended = Vec::new();
        let mut pending = chain.ends().to_vec();
        audit::note(|notes| notes.session = pending.first().map(SessionKey::prefix));
        while !pending.is_empty() {
            // All of them are tried, even if one fails.
            let end = |key| self.end_one(Cause::SignOut, key, chain.known(), &request.client);
            let ends = join_all(pending.iter().map(end)).await;
            let mut next = Vec::new();
            for (key, outcome) in pending.into_iter().zip(ends) {
                match outcome.map_err(|error| {
                    ApiError::new(Reason::SignOutIncomplete).because(format!(
                        "{}: {}",
                        error.at(),
                        error.cause()
                    ))
                })? {
                    Ended::Gone(session) => ended.extend(session.map(|session| (key, *session))),
                    Ended::Linked(session) => {
                        next.push(key);
                        next.extend(chain.add_links_of(&session, clock::now()));
                    }
                }
            }
            pending = next;
        }
        ended.retain(|(_, session)| self.lifetimes.standing(session, clock::now()) != Standing::Ended);
        ended.sort_by_key(|(key, _)| chain.ends().iter().position(|each| each == key));
        Ok(ended.into_iter().map(|(_, session)| session).collect())
    }

    /// The cookies that clear those of the browser: of the session and of pending flows.
    pub fn cleared_cookies(&self) -> [SetCookie; 2] {
        [self.cleared_cookie(), SetCookie::clear(OAUTH_COOKIE)]
    }

    /// The client's session, for endpoints that are not behind the authorizer.
    pub(crate) async fn current<I>(
        &self,
        request: &Request<I>,
    ) -> Result<(SessionToken, SessionItem), ApiError> {
        let token = SessionToken::from_request(&request.cookies, request.bearer.as_ref())
            .ok_or(Reason::NotSignedIn)?;
        let session = self.table.session(&token.key()).await?.ok_or(Reason::NotSignedIn)?;
        self.check_is_live(&session)?;
        Ok((token, session))
    }

    /// Checks that a session can be switched.
    ///
    /// # Errors
    /// `not_signed_in` if it has ended or was replaced.
    pub(crate) fn check_is_live(&self, session: &SessionItem) -> Result<(), ApiError> {
        if self.is_live(session) { Ok(()) } else { Err(Reason::NotSignedIn.into()) }
    }

    /// A session that a sign-in by `client` begins, or a switch of `old` continues.
    pub(crate) fn new_session(
        &self,
        token: &SessionToken,
        authentication: &Authentication,
        organization: Option<&CurrentOrganization>,
        client: &Client,
        old: Option<&SessionItem>,
    ) -> Result<SessionItem, ApiError> {
        let now = clock::now();
        let claims = &authentication.claims;
        let mut session = SessionItem {
            id: old.map_or_else(|| SessionId(token.key().0), |old| old.id.clone()),
            user_id: claims.user_id.clone(),
            email: authentication.user.email.clone(),
            workos_session_id: claims.session_id.clone(),
            organization_id: claims.organization_id.clone(),
            role: claims.role.clone(),
            permissions: claims.permissions.clone(),
            claims_issued_at: claims.issued_at,
            access_expires_at: claims.expires_at,
            claims_stale_at: None,
            profile: profile(&authentication.user),
            organization_name: organization.and_then(|organization| organization.name.clone()),
            method: authentication.method.clone(),
            sealed_refresh_token: token.seal(&authentication.refresh_token)?,
            generation: 0,
            refresh: RefreshState::default(),
            created_at: old.map_or(now, |old| old.created_at),
            // A person whom WorkOS still knew from before has not proved anything now.
            authenticated_at: old.map_or_else(
                || claims.authenticated_at.map_or(now, |at| at.min(now)),
                |old| old.authenticated_at,
            ),
            ip_address: old.map_or_else(|| client.ip.map(|ip| ip.to_string()), |old| old.ip_address.clone()),
            user_agent: old.map_or_else(|| user_agent(client), |old| old.user_agent.clone()),
            last_seen_at: now,
            expires_at: 0,
            replaced_by: None,
            replaces: None,
            impersonator: authentication.impersonator.clone(),
        };
        session.expires_at = self.lifetimes.expiry(&session, now);
        Ok(session)
    }

    /// The cookie of a session. The browser removes it when the session ends at the latest.
    pub(crate) fn cookie(&self, token: &SessionToken, session: &SessionItem) -> SetCookie {
        let left = self.lifetimes.absolute_end(session).saturating_sub(session.last_seen_at);
        SetCookie::new(SESSION_COOKIE, token.reveal(), left)
    }

    pub(crate) fn cleared_cookie(&self) -> SetCookie {
        SetCookie::clear(SESSION_COOKIE)
    }
}

/// What a session stores of its client's `User-Agent`.
fn user_agent(client: &Client) -> Option<String> {
    let text = client.user_agent.as_deref()?;
    Some(text[..text.floor_char_boundary(USER_AGENT_BYTES)].to_owned())
}

/// What a session stores of its person, for `get-session`.
pub(crate) fn profile(user: &User) -> Profile {
    Profile {
        first_name: user.first_name.clone(),
        last_name: user.last_name.clone(),
        avatar_url: user.avatar_url.clone(),
    }
}
