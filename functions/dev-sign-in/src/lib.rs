//! Signs in the development user without mail. For development and tests: it is deployed and starts only where `STAGE`
//! is exactly `dev` and WorkOS' key is one of a test environment.
//!
//! The session is a real one: the function creates a Magic Auth code at WorkOS and redeems it.

use api::config::STAGE;
use api::{
    ApiError, ConfigError, EmailAddress, Endpoint, Env, Nothing, Reason, Request, Response, Route, Variable,
};
use session::{SESSION_COOKIE, SignIns, SignedIn, examples};
use store::{Rate, SourceLimit};
use workos::config::API_KEY;
use workos::{Destination, Grants, OAUTH_COOKIE, SignIn};

const PER_SOURCE: SourceLimit = SourceLimit { scope: "dev-sign-in", rate: Rate { max: 120, seconds: 600 } };

/// The email address of the development user.
pub static DEV_SIGN_IN_EMAIL: Variable = Variable::or(
    "DEV_SIGN_IN_EMAIL",
    "admin@cazzi.com",
    "The user that `dev-sign-in` signs in, created if absent.",
);

/// `POST /auth/dev-sign-in`.
pub struct DevSignIn {
    email: EmailAddress,
    grants: Grants,
    sign_ins: SignIns,
}

impl Endpoint for DevSignIn {
    const ROUTE: Route = Route::post("/auth/dev-sign-in")
        .summary("Sign in the development user")
        .details("For development and tests. It exists only in the stage `dev`.")
        .reasons(&[&[Reason::RateLimited], workos::CODE, workos::GRANT, store::FAILURES])
        .cookies(&[SESSION_COOKIE, OAUTH_COOKIE])
        .rounds(4)
        .example("{}")
        .success(&[("signed_in", examples::PERSON)]);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        if env.required(&STAGE)? != "dev" {
            return Err(ConfigError::new(&STAGE, "must be dev: dev-sign-in is for development only"));
        }
        if !env.secret(&API_KEY)?.expose().starts_with("sk_test_") {
            return Err(ConfigError::new(
                &API_KEY,
                "must begin with sk_test_: dev-sign-in is for development only",
            ));
        }
        let email = env.required(&DEV_SIGN_IN_EMAIL)?;
        let email = EmailAddress::parse(&email)
            .map_err(|_| ConfigError::new(&DEV_SIGN_IN_EMAIL, "must be an email address"))?;
        Ok(Self { email, grants: Grants::load(env)?, sign_ins: SignIns::load(env)? })
    }
}

impl DevSignIn {
    /// Starts a session for the development user.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Nothing>) -> Result<Response<SignedIn>, ApiError> {
        PER_SOURCE.admit(self.sign_ins.table(), &req.client).await?;
        let sign_in = self.sign_in(&req).await?;
        self.sign_ins.finish(&self.grants, "dev_sign_in", sign_in, &Destination::default(), &req).await
    }

    /// Redeems a code. A user with several organizations is signed in to the first one.
    async fn sign_in(&self, req: &Request<Nothing>) -> Result<SignIn, ApiError> {
        let code = self.grants.workos().create_code(&self.email, &req.client).await?;
        let sign_in = self.grants.redeem_magic_code(&self.email, &code, None, &req.client).await?;
        self.grants.in_first_organization(sign_in, &req.client).await
    }
}
