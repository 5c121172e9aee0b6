//! Completes the sign-in of a person with several organizations, in the one that they chose.

use api::{ApiError, ConfigError, Endpoint, Env, Request, Response, Route, Step};
use schemars::JsonSchema;
use serde::Deserialize;
use session::{SESSION_COOKIE, SignIns, SignedIn, examples};
use store::{Rate, SourceLimit};
use workos::{Destination, Grants, OAUTH_COOKIE, OrganizationId, PendingToken, RedirectUri, ReturnTo};

const PER_SOURCE: SourceLimit =
    SourceLimit { scope: "select-organization", rate: Rate { max: 60, seconds: 600 } };

/// The pending sign-in and the chosen organization.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    pending_authentication_token: PendingToken,
    organization_id: OrganizationId,
    /// The address that receives `code` and `state` if the person has to sign in at an identity provider; one of
    /// `OAUTH_REDIRECT_URIS`, or by default `OAUTH_REDIRECT_URI`.
    redirect_uri: Option<RedirectUri>,
    /// Where the front end continues then; `finalize-oauth` returns it.
    return_to: Option<ReturnTo>,
}

/// `POST /auth/select-organization`.
pub struct SelectOrganization {
    grants: Grants,
    sign_ins: SignIns,
}

impl Endpoint for SelectOrganization {
    const ROUTE: Route = Route::post("/auth/select-organization")
        .summary("Choose an organization to complete a sign-in")
        .details("For a person with several organizations. The token came with the list of organizations.")
        .reasons(&[api::INPUT, workos::PENDING, workos::GRANT, store::FAILURES])
        .cookies(&[SESSION_COOKIE, OAUTH_COOKIE])
        .rounds(3)
        .example(
            r#"{
                "pendingAuthenticationToken": "KcFtu30FfyJUfyeeaTwKwU02P",
                "organizationId": "org_01K3BK4YS5SDH22RV4P9QYJR7Z"
            }"#,
        )
        .after(&[
            Step::JoinOrganizations,
            Step::Request("finalize-magic-auth"),
            Step::Take("pendingAuthenticationToken", "/user/pendingAuthenticationToken"),
            Step::Take("organizationId", "/user/organizations/0/id"),
        ])
        .success(&[("signed_in", examples::PERSON)]);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { grants: Grants::load(env)?, sign_ins: SignIns::load(env)? })
    }
}

impl SelectOrganization {
    /// Starts a session in the chosen organization.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Input>) -> Result<Response<SignedIn>, ApiError> {
        let Input { pending_authentication_token, organization_id, redirect_uri, return_to } = &req.input;
        let destination = Destination { redirect_uri: redirect_uri.clone(), return_to: return_to.clone() };
        self.sign_ins.check(&destination)?;
        PER_SOURCE.admit(self.sign_ins.table(), &req.client).await?;
        // The name is cached meanwhile: the session needs it.
        let (sign_in, _) = tokio::join!(
            self.grants.select_organization(pending_authentication_token, organization_id, &req.client),
            self.grants.workos().organization_name(organization_id.as_str()),
        );
        self.sign_ins.finish(&self.grants, "organization_selection", sign_in?, &destination, &req).await
    }
}
