//! The client: users, memberships and SSO connections.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use api::{ApiError, Client, ConfigError, EmailAddress, Env};
use serde::Deserialize;
use upstream::{Http, Roots};
use workos_sdk::models::RevokeSession;
use workos_sdk::user_management::{CreateUserParams, CreateUserParamsBody, RevokeSessionParams};

use crate::cache::Cache;
use crate::config::{API_KEY, API_URL, CLIENT_ID};
use crate::error::{CallError, ErrorKind};
use crate::lookup;
use crate::memberships::NAME_TTL;
use crate::transport::Transport;
use crate::{ConnectionId, OrganizationId};

/// The timeout of one call. One call always fits into a function's deadline of 8 seconds; a second one does only if the
/// first is quick.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the result for a domain is cached, whether there is a connection or not.
const CONNECTION_TTL: Duration = Duration::from_secs(60);

/// The longest `User-Agent` that is passed on, in bytes.
const USER_AGENT_BYTES: usize = 512;

/// WorkOS' users, memberships and SSO connections, and the codes that it mails. Create one per process: it keeps
/// HTTP connections, and caches what it looked up.
///
/// Calls are not retried once they were sent, because codes are single use and mail would go out twice. A call that
/// failed to connect was not sent; [`upstream::Http`] retries it once.
pub struct WorkOs {
    pub(crate) sdk: workos_sdk::Client,
    /// The SSO connection of each domain, or that it has none.
    connections: Cache<Option<ConnectionId>>,
    /// The names of organizations.
    pub(crate) names: Cache<String>,
}

impl fmt::Debug for WorkOs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The SDK's client holds the API key.
        f.debug_struct("WorkOs").field("api_url", &self.sdk.base_url()).finish_non_exhaustive()
    }
}

impl WorkOs {
    /// Reads the configuration. Makes no call.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Self::with_http(env, http()?)
    }

    /// [`WorkOs::load`] over an HTTP client that others use as well.
    pub(crate) fn with_http(env: &Env, http: Http) -> Result<Self, ConfigError> {
        let sdk = sdk(env, http, CALL_TIMEOUT)?;
        Ok(Self { sdk, connections: Cache::new(CONNECTION_TTL), names: Cache::new(NAME_TTL) })
    }

    /// The id of the user with this address, regardless of case; `None` if there is none.
    ///
    /// # Errors
    /// `workos_busy`, `workos_unavailable`.
    pub async fn find_user(&self, email: &EmailAddress) -> Result<Option<String>, ApiError> {
        #[derive(Deserialize)]
        struct Found {
            id: String,
            email: String,
        }
        let query = [("email", email.as_str()), ("limit", "10")];
        match lookup::list::<Found>(&self.sdk, "/user_management/users", &query).await {
            Ok(users) => Ok(users.into_iter().find(|user| email.is_same_as(&user.email)).map(|user| user.id)),
            // No user has an address that WorkOS considers invalid.
            Err(error) if error.kind == ErrorKind::InvalidEmail => Ok(None),
            Err(error) => Err(error.into_outage()),
        }
    }

    /// Creates a user. It is fine if the user exists already.
    pub(crate) async fn create_user(&self, email: &EmailAddress) -> Result<(), CallError> {
        let params = CreateUserParams::new(CreateUserParamsBody::new(email.as_str()));
        match self.sdk.user_management().create_user(params).await {
            // A 2xx response that fails to decode still created the user.
            Ok(_) | Err(workos_sdk::Error::Decode(_)) => Ok(()),
            Err(error) => match CallError::from(error) {
                error if error.kind == ErrorKind::UserExists => Ok(()),
                error => Err(error),
            },
        }
    }

    /// The SSO connection for a mail domain: it must be active, and its organization must have verified the domain. One
    /// network round; the result is cached for 60 seconds.
    ///
    /// # Errors
    /// `workos_busy`, `workos_unavailable`.
    pub async fn sso_connection(&self, domain: &str) -> Result<Option<ConnectionId>, ApiError> {
        let domain = domain.to_lowercase();
        if let Some(cached) = self.connections.get(&domain) {
            return Ok(cached);
        }
        let (by_domain, by_domains) = (
            [("domain", domain.as_str()), ("limit", "100")],
            [("domains", domain.as_str()), ("limit", "100")],
        );
        let found = tokio::try_join!(
            lookup::list(&self.sdk, "/connections", &by_domain),
            lookup::list(&self.sdk, "/organizations", &by_domains),
        );
        let (connections, organizations): (Vec<_>, Vec<_>) = found.map_err(CallError::into_outage)?;
        let connection = lookup::choose(&domain, &connections, &organizations);
        self.connections.put(&domain, connection.clone());
        Ok(connection)
    }

    /// The first SSO connection of the organization that people can sign in through.
    pub(crate) async fn connection_of(
        &self,
        organization: &OrganizationId,
    ) -> Result<Option<ConnectionId>, CallError> {
        let query = [("organization_id", organization.as_str()), ("limit", "100")];
        let connections: Vec<_> = lookup::list(&self.sdk, "/connections", &query).await?;
        Ok(lookup::first_usable(&connections))
    }

    /// Ends a session at WorkOS. Ending it twice is not an error.
    ///
    /// # Errors
    /// `workos_busy`, `workos_unavailable`.
    pub async fn revoke_session(&self, session_id: &str) -> Result<(), ApiError> {
        let params = RevokeSessionParams::new(RevokeSession { session_id: session_id.to_owned() });
        match self.sdk.user_management().revoke_session(params).await.map_err(CallError::from) {
            Err(error) if error.kind != ErrorKind::NotFound => Err(error.into_outage()),
            _ => Ok(()),
        }
    }
}

/// The SDK's client, with a timeout for each call.
pub(crate) fn sdk(env: &Env, http: Http, timeout: Duration) -> Result<workos_sdk::Client, ConfigError> {
    workos_sdk::Client::builder()
        .api_key(env.secret(&API_KEY)?.expose())
        .client_id(env.required(&CLIENT_ID)?)
        .base_url(env.url(&API_URL)?)
        // The SDK would sleep for any `Retry-After`, past our deadline.
        .max_retries(0)
        .transport(Arc::new(Transport { http, timeout }))
        .try_build()
        .map_err(|_| ConfigError::new(&API_KEY, "does not fit into an HTTP header"))
}

/// The HTTP client for WorkOS.
pub(crate) fn http() -> Result<Http, ConfigError> {
    Http::new("WorkOS", Roots::Public).map_err(|error| ConfigError::new(&API_URL, error))
}

/// The client's IP address, for WorkOS' risk assessment.
pub(crate) fn ip_address(client: &Client) -> Option<String> {
    client.ip.map(|ip| ip.to_string())
}

/// The client's `User-Agent`, for WorkOS' risk assessment.
pub(crate) fn user_agent(client: &Client) -> Option<String> {
    let text = client.user_agent.as_deref()?;
    Some(text.get(..text.floor_char_boundary(USER_AGENT_BYTES))?.to_owned())
}
