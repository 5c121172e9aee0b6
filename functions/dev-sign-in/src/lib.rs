//! Signs in the development user without mail. For development and tests: it is deployed and starts only where `STAGE`
//! is exactly `dev` and WorkOS' key is one of a test environment.
//!
//! The session is a real one: the function creates a Magic Auth code at WorkOS and redeems it.

use api::config::STAGE;
use api::{
    ApiError, ConfigError, EmailAddress, Endpoint, Env, Nothing, Reason, Request, Response, Route, Variable,
};
use schemars::JsonSchema;
use serde::Serialize;
use session::{SESSION_COOKIE, Sessions, SignIns};
use store::{Rate, SourceLimit};
use workos::config::API_KEY;
use workos::{Grants, OAUTH_COOKIE, SignIn};

const PER_SOURCE: SourceLimit = SourceLimit { scope: "dev-sign-in", rate: Rate { max: 120, seconds: 600 } };

/// The email address of the development user.
pub static DEV_SIGN_IN_EMAIL: Variable = Variable::or(
    "DEV_SIGN_IN_EMAIL",
    "admin@cazzi.com",
    "The user that `dev-sign-in` signs in, created if absent.",
);

/// The user who was signed in.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    user: DevUser,
}

/// The development user.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DevUser {
    id: String,
    email: String,
}

/// `POST /auth/dev-sign-in`.
pub struct DevSignIn {
    email: EmailAddress,
    grants: Grants,
    sessions: Sessions,
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
        .success(&[(
            "signed_in",
            r#"{ "user": { "id": "user_01HCNYK4PEV6Y1EDZ8EAZG1A1B", "email": "admin@cazzi.com" } }"#,
        )]);

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
        Ok(Self {
            email,
            grants: Grants::load(env)?,
            sessions: Sessions::load(env)?,
            sign_ins: SignIns::load(env)?,
        })
    }
}

impl DevSignIn {
    /// Starts a session for the development user.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Nothing>) -> Result<Response<Output>, ApiError> {
        PER_SOURCE.admit(self.sessions.table(), &req.client).await?;
        let authentication = match self.sign_in(&req).await? {
            SignIn::Complete(authentication) => *authentication,
            refused => return Err(self.sign_ins.refuse("dev_sign_in", refused, &req.cookies).await),
        };
        let (user, cookie) = self.sessions.sign_in(&self.grants, authentication, &req).await?;
        Ok(Response::new(Output { user: DevUser { id: user.id, email: user.email } }).cookie(cookie))
    }

    /// Redeems a code. A user with several organizations is signed in to the first one.
    async fn sign_in(&self, req: &Request<Nothing>) -> Result<SignIn, ApiError> {
        let code = self.grants.workos().create_code(&self.email, &req.client).await?;
        let sign_in = self.grants.redeem_magic_code(&self.email, &code, &req.client).await?;
        self.grants.in_first_organization(sign_in, &req.client).await
    }
}
