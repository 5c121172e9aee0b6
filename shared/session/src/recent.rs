//! Recent authentication: before an action that a thief of the session would take, the person proves again who they are
//! (OWASP ASVS 5.0, 7.5.2).
//!
//! The step-up is a new sign-in in the same browser, which replaces the session. So every way to sign in is one to step
//! up, with its limits and steps, and there is no second flow to secure.

use api::clock::{self, LEEWAY};
use api::{ApiError, ConfigError, Env, Reason, Request, Variable};
use workos::{Authorize, Destination};

/// How recent is recent.
pub static REAUTHENTICATION_SECONDS: Variable = Variable::or(
    "REAUTHENTICATION_SECONDS",
    "600",
    "How long after a sign-in the person can end other sessions without another one, in seconds. 150 s are added, because WorkOS' clock may differ.",
);

/// Demands a recent authentication.
#[derive(Clone, Debug)]
pub struct Recent {
    seconds: u64,
    authorize: Authorize,
}

impl Recent {
    /// Reads the configuration.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { seconds: env.seconds(&REAUTHENTICATION_SECONDS)?, authorize: Authorize::load(env)? })
    }

    /// Checks that the caller has proved recently who they are. `destination` is where the browser goes if the caller has
    /// to sign in at an identity provider.
    ///
    /// # Errors
    /// `reauthentication_required` with the next step; `not_signed_in`; `invalid_field`, see [`Authorize::check`].
    pub fn check<I>(&self, request: &Request<I>, destination: &Destination) -> Result<(), ApiError> {
        self.authorize.check(destination)?;
        let caller = request.caller()?;
        if is_recent(caller.authenticated_at, self.seconds, clock::now()) {
            return Ok(());
        }
        let error = ApiError::new(Reason::ReauthenticationRequired);
        Err(self.authorize.sign_in_again(error, caller, destination, &request.cookies))
    }
}

/// Whether `authenticated_at`, on WorkOS' clock, is recent. An authorizer of an earlier release does not tell it.
fn is_recent(authenticated_at: Option<u64>, seconds: u64, now: u64) -> bool {
    authenticated_at.is_some_and(|at| now < at.saturating_add(seconds).saturating_add(LEEWAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authentication_is_recent_to_the_second_and_never_if_unknown() {
        assert!(is_recent(Some(1000), 600, 1749));
        assert!(!is_recent(Some(1000), 600, 1750));
        assert!(!is_recent(None, 600, 0));
    }
}
