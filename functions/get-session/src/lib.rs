//! Returns who is signed in, and where. Everything comes from the authorizer: no network call is made.

use api::{
    ApiError, ConfigError, CurrentOrganization, Endpoint, Env, Impersonator, Nothing, Reason, Request,
    Response, Route, Tag, User,
};
use schemars::JsonSchema;
use serde::Serialize;

/// The session.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// The person.
    user: User,
    /// The organization that the session is in; null if it is in none.
    organization: Option<CurrentOrganization>,
    /// The role in that organization.
    role: Option<String>,
    /// The permissions in that organization.
    permissions: Vec<String>,
    /// How the person signed in: `magic_auth`, `sso`, `google_oauth`, `microsoft_oauth` or another method of WorkOS; null
    /// if unknown.
    method: Option<String>,
    /// Who acts as the person, from WorkOS' dashboard. Such a session ends after an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    impersonator: Option<Impersonator>,
    /// When the session started, in seconds since the Unix epoch.
    created_at: u64,
    /// When the session ends unless it is used again, in seconds since the Unix epoch.
    expires_at: u64,
}

/// `GET /auth/session`.
pub struct GetSession;

impl Endpoint for GetSession {
    const ROUTE: Route = Route::get("/auth/session")
        .session()
        .tag(Tag::Session)
        .summary("Return who is signed in")
        .details(
            "The person, the organization and the end of the session. Use postpones the end, at most once in a \
             twentieth of the idle lifetime and never past the absolute lifetime.",
        )
        .success(&[(
            "session",
            r#"{
                "user": {
                    "id": "user_01HCNYK4PEV6Y1EDZ8EAZG1A1B",
                    "email": "johndoe@abc.com",
                    "firstName": "John",
                    "lastName": "Doe",
                    "avatarURL": "https://example.com/avatar.png"
                },
                "organization": { "id": "org_01K2Z1R2MEJK6B41WW7428G9YC", "name": "MASADAS" },
                "role": "member",
                "permissions": ["rooms:join"],
                "method": "magic_auth",
                "createdAt": 1764000000,
                "expiresAt": 1764604800
            }"#,
        )]);

    fn load(_: &Env) -> Result<Self, ConfigError> {
        Ok(Self)
    }
}

impl GetSession {
    /// Returns the session.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Nothing>) -> Result<Response<Output>, ApiError> {
        let caller = req.caller()?;
        let (Some(created_at), Some(expires_at)) = (caller.created_at, caller.expires_at) else {
            return Err(
                ApiError::new(Reason::StoreUnavailable).because("the authorizer is of an earlier release")
            );
        };
        Ok(Response::new(Output {
            user: caller.user(),
            organization: caller.organization(),
            role: caller.role.clone(),
            permissions: caller.permissions.clone(),
            method: caller.method.clone(),
            impersonator: caller.impersonator.clone(),
            created_at,
            expires_at,
        }))
    }
}
