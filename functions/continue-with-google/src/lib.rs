//! Starts a sign-in with Google. No network call is made.

use api::auth_data::AuthResponse;
use api::{ApiError, ConfigError, Endpoint, Env, Request, Response, Route};
use workos::{Authorize, Destination, Selector, continue_with};

/// `POST /auth/continue-with-google`.
pub struct ContinueWithGoogle(Authorize);

impl Endpoint for ContinueWithGoogle {
    const ROUTE: Route = continue_with("/auth/continue-with-google").summary("Start a sign-in with Google");

    fn load(env: &Env) -> Result<Self, ConfigError> {
        Authorize::load(env).map(Self)
    }
}

impl ContinueWithGoogle {
    /// Returns the URL where the browser signs in.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Destination>) -> Result<Response<AuthResponse>, ApiError> {
        self.0.continue_with(Selector::Google, &req)
    }
}
