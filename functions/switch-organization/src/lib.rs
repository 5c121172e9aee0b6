//! Moves the session to another organization, under a new token.
//!
//! The route is public, so the function checks the session itself. `email` must be that of the session, if it is
//! sent. A refusal leaves the session unchanged.

use api::{ApiError, ConfigError, EmailAddress, Endpoint, Env, Reason, Request, Response, Route, Step, Tag};
use schemars::JsonSchema;
use serde::Deserialize;
use session::{SESSION_COOKIE, SignedIn, Switcher, examples};
use workos::{Destination, OAUTH_COOKIE, OrganizationId, RedirectUri, ReturnTo};

/// The person who switches, and the organization to switch to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The signed-in person's address. It may be left out; any other address is refused.
    email: Option<EmailAddress>,
    organization_id: OrganizationId,
    /// The address that receives `code` and `state` if the person has to sign in at an identity provider; one of
    /// `OAUTH_REDIRECT_URIS`, or by default `OAUTH_REDIRECT_URI`.
    redirect_uri: Option<RedirectUri>,
    /// Where the front end continues then; `finalize-oauth` returns it.
    return_to: Option<ReturnTo>,
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
        let Input { email, organization_id, redirect_uri, return_to } = &req.input;
        let destination = Destination { redirect_uri: redirect_uri.clone(), return_to: return_to.clone() };
        self.0.switch(email.as_ref(), organization_id, &destination, &req).await
    }
}
