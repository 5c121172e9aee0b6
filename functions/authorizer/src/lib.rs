//! Checks the session of every request to a protected route and passes the caller on to the function.
//!
//! It has no identity source and no result cache, so that cookie and bearer token both work and a sign-out takes effect
//! at once. It allows every request through with an explicit verdict, and the function refuses with our error body what
//! is not signed in (401) or could not be checked (502, 503): a refusal by API Gateway would be a bare 403.

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
    /// Returns the caller, that nobody is signed in, or that the session could not be checked.
    pub async fn handle(&self, Credentials { cookies, bearer, client }: Credentials) -> Verdict {
        self.0.authenticate(cookies, bearer, client).await
    }
}
