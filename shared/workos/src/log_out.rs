//! WorkOS' log-out URL. The browser must visit it: a call from the back end would leave WorkOS' own cookie in place.

use api::{ConfigError, Env};
use url::form_urlencoded::Serializer;

use crate::config::{API_URL, SIGN_OUT_RETURN_TO};

/// Builds log-out URLs.
#[derive(Clone, Debug)]
pub struct LogOut {
    api_url: String,
    return_to: String,
}

impl LogOut {
    /// Reads the configuration.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { api_url: env.url(&API_URL)?, return_to: env.required(&SIGN_OUT_RETURN_TO)? })
    }

    /// The URL that ends the WorkOS session `session_id` and then redirects to `SIGN_OUT_RETURN_TO`. The parameters are
    /// in the order of the API's specification.
    pub fn url(&self, session_id: &str) -> String {
        let query = Serializer::new(String::new())
            .append_pair("return_to", &self.return_to)
            .append_pair("session_id", session_id)
            .finish();
        format!("{}/user_management/sessions/logout?{query}", self.api_url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_are_in_the_specified_order() {
        let env = Env::fixed([("SIGN_OUT_RETURN_TO", "https://app.example.com/bye?a=b")]);
        assert_eq!(
            LogOut::load(&env).unwrap().url("session_01"),
            "https://api.workos.com/user_management/sessions/logout?return_to=https%3A%2F%2Fapp.example.com%2Fbye%3Fa%3Db&session_id=session_01"
        );
    }
}
