//! Beginning and ending sessions.

use api::config::COOKIE_SAME_SITE;
use api::{ApiError, ConfigError, Env, Reason, Request, SameSite, SetCookie, clock};
use store::{SessionItem, Table};
use workos::{Authentication, OAUTH_COOKIE, User};

use crate::{Lifetimes, SessionToken};

/// The cookie with the session token.
pub const SESSION_COOKIE: &str = "__Host-session";

/// Begins and ends sessions.
#[derive(Clone, Debug)]
pub struct Sessions {
    pub(crate) table: Table,
    pub(crate) same_site: SameSite,
    lifetimes: Lifetimes,
}

impl Sessions {
    /// Reads the configuration.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self {
            table: Table::load(env)?,
            same_site: env.parsed(&COOKIE_SAME_SITE)?,
            lifetimes: Lifetimes::load(env)?,
        })
    }

    /// The table with the sessions.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Begins a session under a new token and ends the client's old one. Returns the person and the cookie.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn begin<I>(
        &self,
        authentication: Authentication,
        request: &Request<I>,
    ) -> Result<(User, SetCookie), ApiError> {
        let token = SessionToken::generate()?;
        let session = self.new_session(&token, &authentication, clock::now())?;
        match SessionToken::from_request(&request.cookies, request.bearer.as_ref()) {
            Some(old) => {
                self.table.replace_session(&old.key(), None, &token.key(), &session).await?;
            }
            None => self.table.put_session(&token.key(), &session).await?,
        }
        Ok((authentication.user, self.cookie(&token)))
    }

    /// Ends the client's session, if there is one. Returns the cookies that clear the browser's.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn end<I>(&self, request: &Request<I>) -> Result<[SetCookie; 2], ApiError> {
        if let Some(token) = SessionToken::from_request(&request.cookies, request.bearer.as_ref()) {
            self.table.delete_session(&token.key()).await?;
        }
        Ok([self.cleared_cookie(), SetCookie::clear(OAUTH_COOKIE, self.same_site)])
    }

    /// The client's session, for endpoints that are not behind the authorizer.
    pub(crate) async fn current<I>(
        &self,
        request: &Request<I>,
    ) -> Result<(SessionToken, SessionItem), ApiError> {
        let token = SessionToken::from_request(&request.cookies, request.bearer.as_ref())
            .ok_or(Reason::NotSignedIn)?;
        let session = self.table.session(&token.key()).await?.ok_or(Reason::NotSignedIn)?;
        if self.lifetimes.is_live(&session, clock::now()) {
            Ok((token, session))
        } else {
            Err(Reason::NotSignedIn.into())
        }
    }

    /// A session that began at `created_at`.
    pub(crate) fn new_session(
        &self,
        token: &SessionToken,
        authentication: &Authentication,
        created_at: u64,
    ) -> Result<SessionItem, ApiError> {
        let now = clock::now();
        let claims = &authentication.claims;
        Ok(SessionItem {
            user_id: claims.user_id.clone(),
            email: authentication.user.email.clone(),
            workos_session_id: claims.session_id.clone(),
            organization_id: claims.organization_id.clone(),
            role: claims.role.clone(),
            permissions: claims.permissions.clone(),
            access_expires_at: claims.expires_at,
            sealed_refresh_token: token.seal(&authentication.refresh_token)?,
            generation: 0,
            created_at,
            last_seen_at: now,
            expires_at: self.lifetimes.expiry(created_at, now),
        })
    }

    pub(crate) fn cookie(&self, token: &SessionToken) -> SetCookie {
        SetCookie::new(SESSION_COOKIE, token.reveal(), self.same_site, self.lifetimes.absolute)
    }

    pub(crate) fn cleared_cookie(&self) -> SetCookie {
        SetCookie::clear(SESSION_COOKIE, self.same_site)
    }
}
