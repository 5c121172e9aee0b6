//! Lists the organizations that the caller can switch to.

use api::{ApiError, ConfigError, Endpoint, Env, Nothing, Request, Response, Route, Step, Tag};
use schemars::JsonSchema;
use serde::Serialize;
use workos::{Membership, WorkOs};

/// The caller's organizations.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// The organizations, newest membership first: at most 1,000.
    organizations: Vec<MemberOf>,
}

/// An organization that the caller is an active member of.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MemberOf {
    /// The WorkOS organization id.
    id: String,
    /// The name; null if WorkOS sends none.
    name: Option<String>,
    /// The caller's role in it; null if WorkOS sends none.
    role: Option<String>,
    /// Whether the session is in this organization.
    current: bool,
}

/// `GET /auth/organizations`.
pub struct ListOrganizations(WorkOs);

impl Endpoint for ListOrganizations {
    const ROUTE: Route = Route::get("/auth/organizations")
        .session()
        .tag(Tag::Session)
        .summary("List the organizations of the signed-in person")
        .details(
            "Active memberships only. `current` marks the organization of the session; `switch-organization` moves it \
             to another one.",
        )
        .reasons(&[workos::FAILURES])
        .rounds(1)
        .after(&[Step::Request("select-organization")])
        .success(&[(
            "organizations",
            r#"{
                "organizations": [
                    { "id": "org_01K2Z1R2MEJK6B41WW7428G9YC", "name": "MASADAS", "role": "member", "current": true },
                    { "id": "org_01K3BK4YS5SDH22RV4P9QYJR7Z", "name": "TAUNTA SCRE", "role": "admin", "current": false }
                ]
            }"#,
        )]);

    fn load(env: &Env) -> Result<Self, ConfigError> {
        WorkOs::load(env).map(Self)
    }
}

impl ListOrganizations {
    /// Lists the organizations.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Nothing>) -> Result<Response<Output>, ApiError> {
        let caller = req.caller()?;
        let memberships = self.0.memberships(&caller.user_id).await?;
        let current = caller.organization_id.as_deref();
        let organizations =
            memberships.into_iter().map(|membership| member_of(membership, current)).collect();
        Ok(Response::new(Output { organizations }))
    }
}

fn member_of(membership: Membership, current: Option<&str>) -> MemberOf {
    let Membership { organization_id: id, organization_name: name, role } = membership;
    MemberOf { current: current == Some(id.as_str()), id, name, role }
}
