//! Reads that decode tolerantly: SSO connections, organizations, factors, address verifications.
//!
//! They decode into types with only the fields that are used. The SDK's models require fields that WorkOS' own emulator
//! leaves out (`Connection.status`, which is deprecated), and a failed lookup locks people out.

use http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::form_urlencoded::Serializer;
use workos_sdk::Client;
use workos_sdk::transport::HttpRequest;

use crate::ConnectionId;
use crate::error::CallError;

/// One page of a list.
#[derive(Deserialize)]
pub(crate) struct Page<T> {
    pub(crate) data: Vec<T>,
    #[serde(default)]
    list_metadata: Metadata,
}

#[derive(Default, Deserialize)]
struct Metadata {
    after: Option<String>,
}

impl<T> Page<T> {
    /// The cursor of the next page; `None` if this is the last one.
    pub(crate) fn next(&self) -> Option<&str> {
        self.list_metadata.after.as_deref()
    }
}

/// `GET path?query`, decoded as a list of one page.
pub(crate) async fn list<T: DeserializeOwned>(
    client: &Client,
    path: &str,
    query: &[(&str, &str)],
) -> Result<Vec<T>, CallError> {
    page(client, path, query).await.map(|page| page.data)
}

/// `GET path?query`, decoded as a page of a list.
pub(crate) async fn page<T: DeserializeOwned>(
    client: &Client,
    path: &str,
    query: &[(&str, &str)],
) -> Result<Page<T>, CallError> {
    let query = Serializer::new(String::new()).extend_pairs(query).finish();
    get(client, &format!("{path}?{query}")).await
}

/// `GET target`, decoded.
pub(crate) async fn get<T: DeserializeOwned>(client: &Client, target: &str) -> Result<T, CallError> {
    let request = HttpRequest {
        method: Method::GET,
        url: format!("{}{target}", client.base_url()),
        headers: client.default_headers().clone(),
        body: None,
    };
    let response = client.transport().execute(request).await.map_err(workos_sdk::Error::Network)?;
    if !response.status.is_success() {
        return Err(CallError::decode(response.status, &response.headers, &response.body));
    }
    serde_json::from_slice(&response.body).map_err(|error| CallError::malformed(&error))
}

/// An SSO connection.
#[derive(Debug, Deserialize)]
pub(crate) struct Connection {
    id: String,
    organization_id: Option<String>,
    state: Option<String>,
    connection_type: Option<String>,
}

impl Connection {
    /// Whether people can sign in to an organization through it. OAuth connections to Google or Microsoft belong to no
    /// organization.
    fn is_usable(&self) -> bool {
        self.state.as_deref() == Some("active")
            && !self.connection_type.as_deref().is_some_and(|name| name.ends_with("OAuth"))
    }
}

/// An organization and its domains.
#[derive(Debug, Deserialize)]
pub(crate) struct OrganizationDomains {
    id: String,
    #[serde(default)]
    domains: Vec<Domain>,
}

#[derive(Debug, Deserialize)]
struct Domain {
    domain: String,
    state: Option<String>,
}

impl OrganizationDomains {
    /// Whether it has verified `domain`. Otherwise anybody could redirect the sign-ins of a domain to their own identity
    /// provider.
    fn owns(&self, domain: &str) -> bool {
        self.domains.iter().any(|each| {
            each.domain.eq_ignore_ascii_case(domain)
                && matches!(each.state.as_deref(), Some("verified" | "legacy_verified"))
        })
    }
}

/// The connection for a domain: the first usable one of an organization that owns it. WorkOS lists the newest first.
pub(crate) fn choose(
    domain: &str,
    connections: &[Connection],
    organizations: &[OrganizationDomains],
) -> Option<ConnectionId> {
    let is_owned = |id: &str| organizations.iter().any(|each| each.id == id && each.owns(domain));
    connections
        .iter()
        .filter(|each| each.is_usable())
        .find(|each| each.organization_id.as_deref().is_some_and(is_owned))
        .map(|each| ConnectionId::new(&each.id))
}

/// The first usable connection.
pub(crate) fn first_usable(connections: &[Connection]) -> Option<ConnectionId> {
    connections.iter().find(|each| each.is_usable()).map(|each| ConnectionId::new(&each.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: DeserializeOwned>(json: &str) -> Vec<T> {
        serde_json::from_str(json).unwrap()
    }

    fn chosen(connection: &str, organization: &str) -> Option<ConnectionId> {
        let connections = read(&format!("[{connection}]"));
        let organizations = read(&format!("[{organization}]"));
        choose("example.com", &connections, &organizations)
    }

    const ACTIVE: &str =
        r#"{"id":"conn_1","organization_id":"org_1","state":"active","connection_type":"OktaSAML"}"#;
    const OWNER: &str = r#"{"id":"org_1","domains":[{"domain":"Example.com","state":"verified"}]}"#;

    #[test]
    fn a_domain_uses_the_active_connection_of_the_organization_that_verified_it() {
        assert_eq!(chosen(ACTIVE, OWNER), Some(ConnectionId::new("conn_1")));
        assert!(chosen(ACTIVE, &OWNER.replace("verified", "legacy_verified")).is_some());
        assert!(chosen(&ACTIVE.replace("OktaSAML", "SomethingNew"), OWNER).is_some());
    }

    #[test]
    fn inactive_connections_and_unverified_domains_are_ignored() {
        for connection in [
            ACTIVE.replace("active", "inactive"),
            ACTIVE.replace("active", "validating"),
            ACTIVE.replace("org_1", "org_2"),
            ACTIVE.replace("OktaSAML", "GoogleOAuth"),
            r#"{"id":"conn_1"}"#.to_owned(),
        ] {
            assert_eq!(chosen(&connection, OWNER), None, "{connection}");
        }
        for organization in [
            OWNER.replace("verified", "pending"),
            OWNER.replace("verified", "failed"),
            OWNER.replace("Example.com", "sub.example.com"),
            r#"{"id":"org_1"}"#.to_owned(),
            r#"{"id":"org_1","domains":[{"domain":"example.com"}]}"#.to_owned(),
        ] {
            assert_eq!(chosen(ACTIVE, &organization), None, "{organization}");
        }
    }
}
