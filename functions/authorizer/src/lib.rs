//! Checks the session of every request to a protected route and passes the caller on to the function.
//!
//! It has no identity source and no result cache, so that cookie and bearer token both work and a sign-out takes effect
//! at once. If the store or WorkOS fails, the request is allowed through, marked `unavailable`, and the function
//! returns 502 or 503 with our error body: to clients, a 403 would look like a sign-out.

use api::{ConfigError, Credentials, Endpoint, Env, Route, Verdict};
use session::Authenticator;

/// The authorizer of the API.
pub struct Authorizer(Authenticator);

impl Endpoint for Authorizer {
    const ROUTE: Route = Route::authorizer().summary("Check the session of a protected request").rounds(1);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        Authenticator::load(env).map(Self)
    }
}

impl Authorizer {
    /// Returns the caller, `None` if nobody is signed in, or that the session could not be checked.
    pub async fn handle(&self, Credentials { cookies, bearer, client }: Credentials) -> Option<Verdict> {
        self.0.authenticate(cookies, bearer, client).await
    }
}
