//! Switching a session to another organization.

use std::time::Duration;

use api::audit::{self, Cause, Effect};
use api::{
    ApiError, Client, ConfigError, Cookies, CurrentOrganization, EmailAddress, Env, Impersonator, Reason,
    Request, Response,
};
use store::SessionItem;
use store::session::Link;
use workos::{
    Authentication, Authorize, Destination, Grants, Membership, OrganizationId, RefreshError, Refreshed,
    Selector,
};

use crate::lease::{Lease, RETRY_PAUSE, count, unverified};
use crate::lifetimes::readable_until;
use crate::{SessionToken, Sessions, SignedIn, trail};

/// Attempts at the lease and their interval, while a refresh is in progress.
const ATTEMPTS: u32 = 12;
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(250);

/// Switches sessions.
#[derive(Debug)]
pub struct Switcher {
    sessions: Sessions,
    grants: Grants,
    authorize: Authorize,
}

impl Switcher {
    /// Reads the configuration.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self {
            sessions: Sessions::load(env)?,
            grants: Grants::load(env)?,
            authorize: Authorize::load(env)?,
        })
    }

    /// Switches the client's session to `organization`, under a new token. A refusal leaves the old session unchanged.
    /// Other tabs still send the old token, so it can be read for 30 s more; nothing else can be done with it.
    ///
    /// A switch uses up the refresh token like a refresh does, so it takes the same lease.
    ///
    /// # Errors
    /// `invalid_field`, see [`Authorize::check`]; `not_signed_in`; `email_mismatch` if `email` is sent and not the
    /// session's; `organization_not_allowed`, `sso_required` and the other refusals of the organization;
    /// `session_changed` if a refresh stays in progress; `workos_unavailable`, `workos_busy`, `store_unavailable`.
    pub async fn switch<I>(
        &self,
        email: Option<&EmailAddress>,
        organization: &OrganizationId,
        destination: &Destination,
        request: &Request<I>,
    ) -> Result<Response<SignedIn>, ApiError> {
        self.authorize.check(destination)?;
        audit::note(|notes| notes.organization_id = Some(organization.as_str().to_owned()));
        let (token, session) = self.sessions.current(request).await?;
        audit::note(|notes| {
            notes.user_id = Some(session.user_id.clone());
            notes.session = Some(token.key().prefix());
            notes.impersonator_hash = session.impersonator.as_ref().and_then(Impersonator::hash);
        });
        if email.is_some_and(|email| !email.is_same_as(&session.email)) {
            return Err(Reason::EmailMismatch.into());
        }
        let lease = Lease::new(&self.sessions.table, &token)?;
        let user_id = session.user_id.clone();
        // WorkOS checks the membership as well, but a refused refresh could use up the refresh token.
        let (session, membership) = tokio::join!(
            self.claim(&lease, &token, session),
            self.grants.workos().membership(&user_id, organization)
        );
        let session = session?;
        let not_allowed = || ApiError::new(Reason::OrganizationNotAllowed);
        let membership = match membership.and_then(|found| found.ok_or_else(not_allowed)) {
            Ok(membership) => membership,
            Err(error) => {
                lease.release(0).await;
                return Err(error);
            }
        };

        let refresh_token = token.unseal(&session.sealed_refresh_token)?;
        match self.grants.switch(&refresh_token, organization, &request.client).await {
            Ok(Refreshed { refresh_token, claims: Some(claims), user }) => {
                let authentication = Authentication {
                    user,
                    claims,
                    refresh_token,
                    method: session.method.clone(),
                    // WorkOS reports it at the sign-in; a switch does not end it.
                    impersonator: session.impersonator.clone(),
                };
                self.replace(&lease, &token, session, authentication, membership, &request.client).await
            }
            Ok(Refreshed { refresh_token, claims: None, .. }) => {
                lease.store_unverified(session.generation, &refresh_token, 0).await?;
                Err(unverified())
            }
            Err(RefreshError::Ended(error)) => {
                let key = token.key();
                if self.sessions.table.delete_session_of(&key, session.generation).await? {
                    trail::ended(Cause::Workos, &key, &session, &request.client);
                }
                let ended = ApiError::new(Reason::NotSignedIn)
                    .because(format!("WorkOS ended the session: {}", error.cause()));
                Err(ended.cookie(self.sessions.cleared_cookie()))
            }
            Err(RefreshError::SsoRequired(required)) => {
                lease.release(0).await;
                Err(self.authorize.sso_required(required, destination, &request.cookies))
            }
            Err(RefreshError::Refused(error)) => {
                lease.release(0).await;
                Err(self.in_browser(error, organization, &session.email, destination, &request.cookies))
            }
            Err(failed @ (RefreshError::Transient(_) | RefreshError::Lost(_))) => {
                if matches!(failed, RefreshError::Lost(_)) {
                    count("lost");
                }
                lease.release(RETRY_PAUSE).await;
                Err(failed.into())
            }
        }
    }

    /// The error of a refused switch. A refresh leaves no pending sign-in, so a step that the organization requires is
    /// taken on WorkOS' page and ends in `finalize-oauth`.
    fn in_browser(
        &self,
        error: ApiError,
        organization: &OrganizationId,
        email: &str,
        destination: &Destination,
        cookies: &Cookies,
    ) -> ApiError {
        match error.reason() {
            Reason::EmailVerificationRequired
            | Reason::MfaEnrollment
            | Reason::MfaChallenge
            | Reason::AuthenticationMethodNotAllowed => {
                let selector = Selector::Organization(organization.clone());
                self.authorize.redirect(error, selector, Some(email), destination, cookies)
            }
            _ => error,
        }
    }

    /// Claims the lease, after a refresh that may be in progress. Returns the current session.
    async fn claim(
        &self,
        lease: &Lease<'_>,
        token: &SessionToken,
        mut session: SessionItem,
    ) -> Result<SessionItem, ApiError> {
        let key = token.key();
        for _ in 0..ATTEMPTS {
            if lease.claim(&session).await? {
                return Ok(session);
            }
            tokio::time::sleep(ATTEMPT_INTERVAL).await;
            session = self.sessions.table.session(&key).await?.ok_or(Reason::NotSignedIn)?;
            self.sessions.check_is_live(&session)?;
        }
        Err(Reason::SessionChanged.into())
    }

    /// Atomically replaces the old session, which can be read for a while. The new one keeps its age: a switch does not
    /// extend the absolute lifetime.
    async fn replace(
        &self,
        lease: &Lease<'_>,
        old_token: &SessionToken,
        old: SessionItem,
        authentication: Authentication,
        membership: Membership,
        client: &Client,
    ) -> Result<Response<SignedIn>, ApiError> {
        let (table, token) = (&self.sessions.table, SessionToken::generate()?);
        let (old_key, key) = (old_token.key(), token.key());
        let organization = authentication.claims.organization_id.clone().map(|id| {
            let is_same = id == membership.organization_id;
            CurrentOrganization { id, name: membership.organization_name.filter(|_| is_same) }
        });
        let new =
            self.sessions.new_session(&token, &authentication, organization.as_ref(), client, Some(&old))?;
        let at = new.last_seen_at;
        let new = SessionItem { replaces: Some(Link { key: old_key.clone(), at }), ..new };
        let until = readable_until(at);
        let replaced = match table.replace_session(&old_key, old.generation, until, (&key, &new)).await {
            Ok(replaced) => replaced,
            Err(error) => {
                // WorkOS has used up the old session's refresh token. Without the new one, it would end at its next
                // refresh.
                let refresh_token = &authentication.refresh_token;
                if lease.store_unverified(old.generation, refresh_token, 0).await? {
                    return Err(error);
                }
                // The session has ended, or one of the writes succeeded and only its response was lost.
                match table.session(&old_key).await? {
                    Some(SessionItem { replaced_by: None, .. }) => return Err(error),
                    old => old.and_then(|old| old.replaced_by).is_some_and(|link| link.key == key),
                }
            }
        };
        if replaced {
            audit::note(|notes| {
                notes.previous_session = notes.session.replace(key.prefix());
                notes.effect = Some(Effect::SessionSwitched);
            });
            let cookie = self.sessions.cookie(&token, &new);
            Ok(Response::new(SignedIn::begun(authentication.user, organization)).cookie(cookie))
        } else {
            // The client signed out meanwhile.
            Err(Reason::NotSignedIn.into())
        }
    }
}
