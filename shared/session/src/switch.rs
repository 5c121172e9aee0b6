//! Moving a session to another organization.

use std::time::Duration;

use api::{ApiError, Cookies, EmailAddress, Reason, Request, Response, Secret, clock, random};
use store::SessionItem;
use store::session::{Renewal, RenewedAccess};
use workos::{Authentication, OrganizationId, RefreshError, Refreshed, WorkOs};

use crate::authenticate::{LEASE, RETRY_AFTER_TROUBLE};
use crate::sessions::held;
use crate::{SessionToken, Sessions, SignedIn};

/// How often, and at what distance, a switch tries again while a refresh is under way.
const TRIES: u32 = 12;
const TRY_DISTANCE: Duration = Duration::from_millis(250);

impl Sessions {
    /// Moves the session that the client holds to `organization`, under a new token. A refusal leaves the old session
    /// as it is.
    ///
    /// A switch uses up the refresh token like a refresh does, so it takes part in the same election.
    ///
    /// # Errors
    /// `not_signed_in`; `email_mismatch` where `email` is not the session's; `organization_not_allowed`, `sso_required`
    /// and the other refusals of the organization; `session_changed` where a refresh stays under way;
    /// `workos_unavailable`, `workos_busy`, `store_unavailable`.
    pub async fn switch<I>(
        &self,
        workos: &WorkOs,
        email: &EmailAddress,
        organization: &OrganizationId,
        request: &Request<I>,
    ) -> Result<Response<SignedIn>, ApiError> {
        let (token, session) = self.current(&request.cookies, request.bearer.as_ref()).await?;
        if !email.is_same_as(&session.email) {
            return Err(Reason::EmailMismatch.into());
        }
        let owner = random::name()?;
        let user_id = session.user_id.clone();
        // WorkOS checks the membership as well; asking first spares the refresh token where the answer is no.
        let (session, member) =
            tokio::join!(self.claim(&token, session, &owner), workos.is_member(&user_id, organization));
        let session = session?;
        let allowed = member.and_then(|member| match member {
            true => Ok(()),
            false => Err(Reason::OrganizationNotAllowed.into()),
        });
        if let Err(refusal) = allowed {
            self.give_back(&token, &owner, clock::now()).await;
            return Err(refusal);
        }

        let refresh_token = token.unseal(&session.sealed_refresh_token)?;
        match workos.refresh(&refresh_token, Some(organization), &request.client).await {
            Ok(Refreshed { refresh_token, claims: Some(claims), user }) => {
                self.replace(&token, session, Authentication { user, claims, refresh_token, method: None })
                    .await
            }
            Ok(Refreshed { refresh_token, claims: None, .. }) => {
                Err(self.keep(&token, session, &refresh_token).await)
            }
            Err(RefreshError::Ended(error)) => {
                self.table.delete_session_of(&token.key(), session.generation).await?;
                let ended =
                    ApiError::new(Reason::NotSignedIn).because(format!("WorkOS ended it: {}", error.cause()));
                Err(ended.cookie(self.cleared_cookie()))
            }
            Err(RefreshError::SsoRequired(required)) => {
                self.give_back(&token, &owner, clock::now()).await;
                Err(self.sso_required(required, &request.cookies))
            }
            Err(RefreshError::Refused(error)) => {
                self.give_back(&token, &owner, clock::now()).await;
                Err(error)
            }
            Err(RefreshError::Transient(error)) => {
                self.give_back(&token, &owner, clock::now() + RETRY_AFTER_TROUBLE).await;
                Err(error)
            }
        }
    }

    /// The session that the client holds, read from the table: this endpoint is not behind the authorizer.
    async fn current(
        &self,
        cookies: &Cookies,
        bearer: Option<&Secret>,
    ) -> Result<(SessionToken, SessionItem), ApiError> {
        let token = held(cookies, bearer).ok_or(Reason::NotSignedIn)?;
        let session = self.table.session(&token.key()).await?.ok_or(Reason::NotSignedIn)?;
        if self.lifetimes.is_live(&session, clock::now()) {
            Ok((token, session))
        } else {
            Err(Reason::NotSignedIn.into())
        }
    }

    /// Wins the election for the session, after the refresh that may be under way.
    async fn claim(
        &self,
        token: &SessionToken,
        mut session: SessionItem,
        owner: &str,
    ) -> Result<SessionItem, ApiError> {
        let key = token.key();
        for _ in 0..TRIES {
            let now = clock::now();
            if self.table.claim_refresh(&key, session.generation, owner, now, now + LEASE).await? {
                return Ok(session);
            }
            tokio::time::sleep(TRY_DISTANCE).await;
            session = self.table.session(&key).await?.ok_or(Reason::NotSignedIn)?;
        }
        Err(Reason::SessionChanged.into())
    }

    /// Ends this request's election. Where that fails the lease ends by itself.
    async fn give_back(&self, token: &SessionToken, owner: &str, free_at: u64) {
        if let Err(error) = self.table.release_refresh(&token.key(), owner, free_at).await {
            tracing::warn!(cause = error.cause(), "a refresh could not be given back");
        }
    }

    /// Puts the session in the new organization in the place of the old one. It keeps its age: a switch does not
    /// prolong the absolute lifetime.
    async fn replace(
        &self,
        old_token: &SessionToken,
        old: SessionItem,
        authentication: Authentication,
    ) -> Result<Response<SignedIn>, ApiError> {
        let token = SessionToken::generate()?;
        let new = self.new_session(&token, &authentication)?;
        let expires_at = self.lifetimes.end(old.created_at, new.last_seen_at);
        let new = SessionItem { created_at: old.created_at, expires_at, ..new };
        let generation = Some(old.generation);
        if self.table.replace_session(&old_token.key(), generation, &token.key(), &new).await? {
            Ok(Response::new(SignedIn::complete(authentication.user)).cookie(self.cookie(&token)))
        } else {
            // Signed out meanwhile: that holds.
            Err(Reason::NotSignedIn.into())
        }
    }

    /// WorkOS switched, but the new access token could not be verified: the session keeps its claims and takes the new
    /// refresh token, so that the next try finds it usable.
    #[must_use]
    async fn keep(&self, token: &SessionToken, session: SessionItem, refresh_token: &Secret) -> ApiError {
        let unverified =
            ApiError::new(Reason::WorkosUnavailable).because("the new access token is not verified");
        let sealed_refresh_token = match token.seal(refresh_token) {
            Ok(sealed) => sealed,
            Err(error) => return error,
        };
        let access = RenewedAccess::Unverified { retry_at: clock::now() };
        let renewal = Renewal { sealed_refresh_token, access };
        match self.table.renew_session(&token.key(), session.generation, renewal).await {
            Ok(_) => unverified,
            Err(error) => error,
        }
    }
}
