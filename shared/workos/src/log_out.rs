//! The end of a session at WorkOS. A browser must visit the log-out URL: a call from the back end would leave WorkOS' own
//! cookie in place.

use std::time::Duration;

use api::{ApiError, ConfigError, Env, deadline};
use futures_util::future::join_all;
use url::form_urlencoded::Serializer;

use crate::config::API_URL;
use crate::{RedirectUri, RedirectUris, WorkOs};

/// Timeout of a revocation, for which the browser waits.
const REVOKE_TIMEOUT: Duration = Duration::from_secs(2);

/// Ends WorkOS' sessions.
#[derive(Debug)]
pub struct LogOut {
    workos: WorkOs,
    api_url: String,
    return_tos: RedirectUris,
}

impl LogOut {
    /// Reads the configuration.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self {
            workos: WorkOs::load(env)?,
            api_url: env.url(&API_URL)?,
            return_tos: RedirectUris::after_sign_out(env)?,
        })
    }

    /// The calls that end a session without the browser.
    pub fn workos(&self) -> &WorkOs {
        &self.workos
    }

    /// The address that the browser returns to: the requested one if it is listed, or the default.
    ///
    /// # Errors
    /// `invalid_field`: `returnTo` is not listed.
    pub fn return_to<'a>(&'a self, requested: Option<&'a RedirectUri>) -> Result<&'a str, ApiError> {
        self.return_tos.choose(requested, "returnTo")
    }

    /// The URL that ends the WorkOS session `session_id` and then redirects to `return_to`. The parameters are in the
    /// order of the API's specification.
    pub fn url(&self, session_id: &str, return_to: &str) -> String {
        let query = Serializer::new(String::new())
            .append_pair("return_to", return_to)
            .append_pair("session_id", session_id)
            .finish();
        format!("{}/user_management/sessions/logout?{query}", self.api_url)
    }

    /// Ends sessions that no browser will log out of, as well as possible: a failure is logged.
    pub async fn revoke(&self, session_ids: &[&str]) {
        let timeout = deadline::remaining().min(REVOKE_TIMEOUT);
        let revoked = join_all(
            session_ids.iter().map(|id| tokio::time::timeout(timeout, self.workos.revoke_session(id))),
        );
        for outcome in revoked.await {
            let cause = match outcome {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.cause(),
                Err(_) => "WorkOS did not respond in time".to_owned(),
            };
            tracing::warn!(cause, "a session could not be revoked at WorkOS");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_are_in_the_specified_order() {
        let env = Env::fixed([
            ("WORKOS_API_KEY", "sk_test_1"),
            ("WORKOS_CLIENT_ID", "client_1"),
            ("SIGN_OUT_RETURN_TO", "https://app.example.com/bye?a=b"),
        ]);
        let log_out = LogOut::load(&env).unwrap();
        assert_eq!(
            log_out.url("session_01", log_out.return_to(None).unwrap()),
            "https://api.workos.com/user_management/sessions/logout?return_to=https%3A%2F%2Fapp.example.com%2Fbye%3Fa%3Db&session_id=session_01"
        );
    }
}
