//! Finishing sign-ins.

use std::time::Duration;

use api::audit::{self, Effect};
use api::{ApiError, ConfigError, Cookies, Env, Reason, Request, Response, SetCookie, clock, metrics};
use store::{PendingKey, PendingSignIn, Table, to_deadline};
use workos::{Authentication, Authorize, FlowState, Grants, OAuthFlow, SignIn, StepUp, User};

use crate::{SessionToken, Sessions, SignedIn};

/// Time that the write of a session leaves for ending WorkOS' session, should the write fail.
const RESERVE: Duration = Duration::from_secs(1);

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

    /// Finishes a browser's flow, see [`OAuthFlow::finish`].
    ///
    /// # Errors
    /// `flow_expired` if the browser has no such flow.
    pub fn finish_flow(
        &self,
        cookies: &Cookies,
        state: Option<&FlowState>,
    ) -> Result<(OAuthFlow, SetCookie), ApiError> {
        OAuthFlow::finish(cookies, state)
    }

    /// Turns the outcome of a grant into a response: begins a session, as [`Sessions::sign_in`] does, or returns the
    /// organizations to choose from. `method` is the metric's dimension.
    ///
    /// # Errors
    /// Those of [`SignIns::refuse`].
    pub async fn finish<I>(
        &self,
        grants: &Grants,
        method: &'static str,
        sign_in: SignIn,
        request: &Request<I>,
    ) -> Result<Response<SignedIn>, ApiError> {
        match sign_in {
            SignIn::Complete(authentication) => {
                let (user, cookie) = self.sessions.sign_in(grants, *authentication, request).await?;
                count(method, "complete");
                Ok(Response::new(SignedIn::complete(user)).cookie(cookie))
            }
            SignIn::ChooseOrganization(selection) => {
                count(method, "choose_organization");
                audit::note(|notes| {
                    notes.user_id = Some(selection.id.clone());
                    notes.effect = Some(Effect::ChooseOrganization);
                });
                Ok(Response::new(SignedIn::must_choose(selection)))
            }
            refused => Err(self.refuse(method, refused, &request.cookies).await),
        }
    }

    /// The error of a sign-in that needs another step: `sso_required` with `authData`; `email_verification_required`,
    /// `mfa_enrollment` and `mfa_challenge` with the pending sign-in, which is written down for the step;
    /// `authentication_method_not_allowed`; `sign_in_interrupted`.
    pub async fn refuse(&self, method: &'static str, sign_in: SignIn, cookies: &Cookies) -> ApiError {
        match sign_in {
            SignIn::SsoRequired(required) => {
                count(method, "sso_required");
                self.authorize.sso_required(required, cookies)
            }
            SignIn::StepUp(step_up) => {
                count(method, step_up.step.name());
                self.begin_step(step_up).await
            }
            SignIn::OtherMethod(other) => {
                count(method, "other_method");
                self.authorize.other_method(other, cookies)
            }
            SignIn::Complete(_) | SignIn::ChooseOrganization(_) => {
                ApiError::new(Reason::SignInInterrupted).because("the sign-in needs no such step")
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
    pub async fn sign_in<I>(
        &self,
        grants: &Grants,
        authentication: Authentication,
        request: &Request<I>,
    ) -> Result<(User, SetCookie), ApiError> {
        let (token, session_id) = (SessionToken::generate()?, authentication.claims.session_id.clone());
        audit::note(|notes| {
            notes.user_id = Some(authentication.claims.user_id.clone());
            notes.organization_id.clone_from(&authentication.claims.organization_id);
            notes.method.clone_from(&authentication.method);
            notes.session = Some(token.key().prefix());
        });
        match self.begin(&token, authentication, request, RESERVE).await {
            Ok(user) => {
                audit::note(|notes| notes.effect = Some(Effect::SessionBegun));
                Ok((user, self.cookie(&token)))
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
