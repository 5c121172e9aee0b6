//! Authorizes the requests of protected routes and tells their functions who calls.
//!
//! It has no identity source and no result cache, so cookie and bearer both work and a sign-out holds at once. If the store
//! or WorkOS fails, the request is allowed through, marked `unavailable`, and the function returns 502 or 503 in our error
//! shape: clients would take a 403 for a sign-out.

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
    /// Returns who calls, `None` if nobody is signed in, or that it is unknown.
    pub async fn handle(&self, Credentials { cookies, bearer, client }: Credentials) -> Option<Verdict> {
        self.0.authenticate(cookies, bearer, client).await
    }
}
