//! Moves the session to another organization, under a new token.
//!
//! The route is public, so the function checks the session itself. `email` must be that of the session, if it is
//! sent. A refusal leaves the session unchanged.

use api::{ApiError, ConfigError, EmailAddress, Endpoint, Env, Reason, Request, Response, Route, Step, Tag};
use schemars::JsonSchema;
use serde::Deserialize;
use session::{SESSION_COOKIE, SignedIn, Switcher, examples};
use workos::{OAUTH_COOKIE, OrganizationId};

/// The person who switches, and the organization to switch to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The signed-in person's address. It may be left out; any other address is refused.
    email: Option<EmailAddress>,
    organization_id: OrganizationId,
}

/// `POST /auth/switch-organization`.
pub struct SwitchOrganization(Switcher);

impl Endpoint for SwitchOrganization {
    const ROUTE: Route = Route::post("/auth/switch-organization")
        .own_session()
        .tag(Tag::Session)
        .summary("Move the session to another organization")
        .details("The session gets a new token; a refusal leaves it unchanged.")
        .reasons(&[
            api::INPUT,
            &[Reason::InvalidEmail, Reason::EmailMismatch, Reason::SessionChanged],
            workos::GRANT,
            store::FAILURES,
        ])
        .cookies(&[SESSION_COOKIE, OAUTH_COOKIE])
        .rounds(4)
        .example(r#"{ "email": "johndoe@abc.com", "organizationId": "org_01K2Z1R2MEJK6B41WW7428G9YC" }"#)
        .after(&[
            Step::Request("select-organization"),
            Step::Take("organizationId", "/user/organizations/1/id"),
        ])
        .success(&[("switched", examples::PERSON)]);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        Switcher::load(env).map(Self)
    }
}

impl SwitchOrganization {
    /// Switches the organization.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Input>) -> Result<Response<SignedIn>, ApiError> {
        self.0.switch(req.input.email.as_ref(), &req.input.organization_id, &req).await
    }
}
