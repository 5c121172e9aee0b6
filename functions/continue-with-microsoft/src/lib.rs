//! Starts a sign-in with Microsoft. No network call is made.

use api::auth_data::AuthResponse;
use api::{ApiError, ConfigError, Endpoint, Env, Request, Response, Route};
use workos::{Authorize, Destination, Selector, continue_with};

/// `POST /auth/continue-with-microsoft`.
pub struct ContinueWithMicrosoft(Authorize);

impl Endpoint for ContinueWithMicrosoft {
    const ROUTE: Route =
        continue_with("/auth/continue-with-microsoft").summary("Start a sign-in with Microsoft");

    fn load(env: &Env) -> Result<Self, ConfigError> {
        Authorize::load(env).map(Self)
    }
}

impl ContinueWithMicrosoft {
    /// Returns the URL where the browser signs in.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Destination>) -> Result<Response<AuthResponse>, ApiError> {
        self.0.continue_with(Selector::Microsoft, &req)
    }
}
