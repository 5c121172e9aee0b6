//! Finishing sign-ins.

use std::time::Duration;

use api::audit::{self, Effect};
use api::{
    ApiError, ConfigError, Cookies, Env, Impersonator, Reason, Request, Response, SetCookie, clock, metrics,
};
use store::{PendingKey, PendingSignIn, Table, to_deadline};
use workos::{Authentication, Authorize, Destination, FlowState, Grants, OAuthFlow, SignIn, StepUp};

use crate::{SessionToken, Sessions, SignedIn};

/// Time that the write of a session leaves for ending WorkOS' session, should the write fail.
const RESERVE: Duration = Duration::from_millis(2500);

/// Finishes sign-ins.
#[derive(Clone, Debug)]
pub struct SignIns {
    sessions: Sessions,
    authorize: Authorize,
}

impl SignIns {
    /// Reads the configuration.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { sessions: Sessions::load(env)?, authorize: Authorize::load(env)? })
    }

    /// The table with the sessions.
    pub fn table(&self) -> &Table {
        &self.sessions.table
    }

    /// Finishes a browser's flow, see [`Authorize::finish`].
    ///
    /// # Errors
    /// `flow_expired` if the browser has no such flow.
    pub fn finish_flow(
        &self,
        cookies: &Cookies,
        state: Option<&FlowState>,
    ) -> Result<(OAuthFlow, SetCookie), ApiError> {
        self.authorize.finish(cookies, state)
    }

    /// Checks where a sign-in is to lead, should it have to continue at an identity provider.
    ///
    /// # Errors
    /// `invalid_field`, see [`Authorize::check`].
    pub fn check(&self, destination: &Destination) -> Result<(), ApiError> {
        self.authorize.check(destination).map(drop)
    }

    /// Turns the outcome of a grant into a response: begins a session and ends the client's old one, or returns the
    /// organizations to choose from. `method` is the metric's dimension, `destination` where the browser goes if it has
    /// to continue at an identity provider.
    ///
    /// # Errors
    /// `sso_required` and `authentication_method_not_allowed` with `authData`; `email_verification_required`, `mfa_enrollment`
    /// and `mfa_challenge` with the pending sign-in; `sign_in_interrupted`.
    pub async fn finish<I>(
        &self,
        grants: &Grants,
        method: &'static str,
        sign_in: SignIn,
        destination: &Destination,
        request: &Request<I>,
    ) -> Result<Response<SignedIn>, ApiError> {
        match sign_in {
            SignIn::Complete(authentication) => {
                let response = self.sessions.sign_in(grants, *authentication, request).await?;
                count(method, "complete");
                Ok(response)
            }
            SignIn::ChooseOrganization(selection) => {
                count(method, "choose_organization");
                audit::note(|notes| {
                    notes.user_id = Some(selection.id.clone());
                    notes.effect = Some(Effect::ChooseOrganization);
                });
                Ok(Response::new(SignedIn::must_choose(selection)))
            }
            SignIn::SsoRequired(required) => {
                count(method, "sso_required");
                Err(self.authorize.sso_required(required, destination, &request.cookies))
            }
            SignIn::StepUp(step_up) => {
                count(method, step_up.step.name());
                Err(self.begin_step(step_up).await)
            }
            SignIn::OtherMethod(other) => {
                count(method, "other_method");
                Err(self.authorize.other_method(other, destination, &request.cookies))
            }
        }
    }

    /// Writes a pending sign-in down. The credential is redeemed, so the write is tried to the deadline.
    async fn begin_step(&self, step_up: StepUp) -> ApiError {
        let StepUp { step, pending_authentication_token: token, error, .. } = step_up;
        let pending = PendingSignIn {
            step,
            refused_at: clock::now(),
            user_id: step_up.user_id,
            email: step_up.email,
            email_verification_id: step_up.email_verification_id,
            apps: step_up.apps,
        };
        audit::note(|notes| notes.user_id.clone_from(&pending.user_id));
        let key = PendingKey::of(token.expose());
        match to_deadline(RESERVE, || self.table().begin_step(&key, &pending)).await {
            Ok(()) => error.next(step).pending(Some(token.expose().to_owned())),
            Err(failed) => ApiError::new(Reason::SignInInterrupted).because(failed.cause()),
        }
    }
}

impl Sessions {
    /// Begins a session for a completed sign-in, and ends the client's old one. The credential is redeemed, so the write
    /// is tried to the deadline. If it fails, the sign-in is over, and so is the session that WorkOS began.
    ///
    /// # Errors
    /// `sign_in_interrupted`.
    async fn sign_in<I>(
        &self,
        grants: &Grants,
        authentication: Authentication,
        request: &Request<I>,
    ) -> Result<Response<SignedIn>, ApiError> {
        let (token, session_id) = (SessionToken::generate()?, authentication.claims.session_id.clone());
        audit::note(|notes| {
            notes.user_id = Some(authentication.claims.user_id.clone());
            notes.organization_id.clone_from(&authentication.claims.organization_id);
            notes.method.clone_from(&authentication.method);
            notes.session = Some(token.key().prefix());
            notes.impersonator_hash = authentication.impersonator.as_ref().and_then(Impersonator::hash);
        });
        match self.begin(&token, grants, authentication, request, RESERVE).await {
            Ok(begun) => {
                audit::note(|notes| notes.effect = Some(Effect::SessionBegun));
                Ok(begun)
            }
            Err(error) => {
                tokio::join!(grants.abandon(&session_id), self.discard(&token, &request.client));
                Err(ApiError::new(Reason::SignInInterrupted).because(error.cause()))
            }
        }
    }
}

fn count(method: &'static str, outcome: &'static str) {
    metrics::count("SignIn", &[("Method", method), ("Outcome", outcome)]);
}
