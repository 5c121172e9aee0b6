//! Finishing sign-ins.

use api::{ApiError, ConfigError, Cookies, Env, Request, Response, SetCookie, metrics};
use store::Table;
use workos::{Authorize, FlowState, OAuthFlow, SignIn};

use crate::{Sessions, SignedIn};

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
        OAuthFlow::finish(cookies, state, self.sessions.same_site)
    }

    /// Turns the outcome of a grant into a response: begins a session, as [`Sessions::begin`] does, or returns the
    /// organizations to choose from. `method` is the metric's dimension.
    ///
    /// # Errors
    /// `sso_required` with `authData`; `store_unavailable`.
    pub async fn finish<I>(
        &self,
        method: &'static str,
        sign_in: SignIn,
        request: &Request<I>,
    ) -> Result<Response<SignedIn>, ApiError> {
        match sign_in {
            SignIn::Complete(authentication) => {
                let (user, cookie) = self.sessions.begin(*authentication, request).await?;
                count(method, "complete");
                Ok(Response::new(SignedIn::complete(user)).cookie(cookie))
            }
            SignIn::ChooseOrganization(selection) => {
                count(method, "choose_organization");
                Ok(Response::new(SignedIn::must_choose(selection)))
            }
            SignIn::SsoRequired(required) => {
                count(method, "sso_required");
                Err(self.authorize.sso_required(required, &request.cookies))
            }
        }
    }
}

fn count(method: &'static str, outcome: &'static str) {
    metrics::count("SignIn", &[("Method", method), ("Outcome", outcome)]);
}
