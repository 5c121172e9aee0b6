//! Beginning and ending sessions.

use api::config::COOKIE_SAME_SITE;
use api::{
    ApiError, Caller, ConfigError, Cookies, Env, Reason, Request, Response, SameSite, Secret, SetCookie,
};
use api::{clock, metrics};
use store::{SessionItem, Table};
use workos::{
    Authentication, Authorize, FlowState, OAUTH_COOKIE, OAuthFlow, Selector, SignIn, SsoRequired, User,
};

use crate::{Lifetimes, SessionToken, SignedIn};

/// The cookie that holds the session token.
pub const SESSION_COOKIE: &str = "__Host-session";

/// Begins and ends sessions.
#[derive(Clone, Debug)]
pub struct Sessions {
    pub(crate) table: Table,
    pub(crate) lifetimes: Lifetimes,
    same_site: SameSite,
    authorize: Option<Authorize>,
}

impl Sessions {
    /// Reads the configuration.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self {
            table: Table::load(env)?,
            lifetimes: Lifetimes::load(env)?,
            same_site: env.parsed(&COOKIE_SAME_SITE)?,
            authorize: None,
        })
    }

    /// Also reads what is needed to send a browser to an identity provider, for where a sign-in turns out to need SSO.
    pub fn load_with_redirect(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { authorize: Some(Authorize::load(env)?), ..Self::load(env)? })
    }

    /// The table that the sessions are in.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Finds the flow that a browser finishes, see [`OAuthFlow::finish`].
    ///
    /// # Errors
    /// `flow_expired` where the browser has no such flow under way.
    pub fn finish_flow(
        &self,
        cookies: &Cookies,
        state: Option<&FlowState>,
    ) -> Result<(OAuthFlow, SetCookie), ApiError> {
        OAuthFlow::finish(cookies, state, self.same_site)
    }

    /// Goes on after a grant: begins a session with a new token and ends the one that the client held; or answers the
    /// list of organizations; or says that SSO is required, and how to go there.
    ///
    /// # Errors
    /// `sso_required` with `authData`; `store_unavailable`.
    pub async fn begin<I>(
        &self,
        method: &'static str,
        sign_in: SignIn,
        request: &Request<I>,
    ) -> Result<Response<SignedIn>, ApiError> {
        match sign_in {
            SignIn::Complete(authentication) => {
                let (user, cookie) = self.begin_session(*authentication, request).await?;
                count(method, "complete");
                Ok(Response::new(SignedIn::complete(user)).cookie(cookie))
            }
            SignIn::ChooseOrganization(selection) => {
                count(method, "choose_organization");
                Ok(Response::new(SignedIn::must_choose(selection)))
            }
            SignIn::SsoRequired(required) => {
                count(method, "sso_required");
                Err(self.sso_required(required, &request.cookies))
            }
        }
    }

    /// Begins a session and answers whom it belongs to, with the cookie.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn begin_session<I>(
        &self,
        authentication: Authentication,
        request: &Request<I>,
    ) -> Result<(User, SetCookie), ApiError> {
        let token = SessionToken::generate()?;
        let session = self.new_session(&token, &authentication)?;
        match held(&request.cookies, request.bearer.as_ref()) {
            Some(old) => {
                self.table.replace_session(&old.key(), None, &token.key(), &session).await?;
            }
            None => self.table.put_session(&token.key(), &session).await?,
        }
        Ok((authentication.user, self.cookie(&token)))
    }

    /// Ends the session that the client holds and clears its cookies. Ending it twice is no error.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn end<I>(&self, request: &Request<I>) -> Result<[SetCookie; 2], ApiError> {
        if let Some(token) = held(&request.cookies, request.bearer.as_ref()) {
            self.table.delete_session(&token.key()).await?;
        }
        Ok([self.cleared_cookie(), SetCookie::clear(OAUTH_COOKIE, self.same_site)])
    }

    /// The error that sends the browser to the identity provider which an organization demands.
    #[track_caller]
    pub(crate) fn sso_required(&self, required: SsoRequired, cookies: &Cookies) -> ApiError {
        let SsoRequired { connection_id, pending_authentication_token, email } = required;
        let pending = pending_authentication_token.map(|token| token.expose().to_owned());
        let error = ApiError::new(Reason::SsoRequired).pending(pending);
        let Some(authorize) = &self.authorize else { return error };
        match authorize.start(Selector::Connection(connection_id), cookies, email.as_deref()) {
            Ok(started) => {
                let (auth_data, cookie) = started.into_sso();
                error.auth_data(auth_data).cookie(cookie)
            }
            Err(failed) => failed,
        }
    }

    pub(crate) fn new_session(
        &self,
        token: &SessionToken,
        authentication: &Authentication,
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
            created_at: now,
            last_seen_at: now,
            expires_at: self.lifetimes.end(now, now),
        })
    }

    pub(crate) fn cookie(&self, token: &SessionToken) -> SetCookie {
        SetCookie::new(SESSION_COOKIE, token.reveal(), self.same_site, self.lifetimes.absolute)
    }

    pub(crate) fn cleared_cookie(&self) -> SetCookie {
        SetCookie::clear(SESSION_COOKIE, self.same_site)
    }
}

/// The session token that a client holds: `Authorization: Bearer` where it is sent, else the cookie. One rule for the
/// authorizer and the functions, so that they never speak of different sessions.
pub(crate) fn held(cookies: &Cookies, bearer: Option<&Secret>) -> Option<SessionToken> {
    match bearer {
        Some(token) => SessionToken::parse(token.expose()),
        None => SessionToken::parse(cookies.get(SESSION_COOKIE)?),
    }
}

/// Who the session belongs to, for the functions.
pub(crate) fn caller(session: SessionItem) -> Caller {
    Caller {
        user_id: session.user_id,
        email: session.email,
        organization_id: session.organization_id,
        role: session.role,
        permissions: session.permissions,
        session_id: session.workos_session_id,
    }
}

fn count(method: &'static str, outcome: &'static str) {
    metrics::count("SignIn", &[("Method", method), ("Outcome", outcome)]);
}
