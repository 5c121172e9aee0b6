//! What the double knows when it starts, read from YAML. `local/seed.yaml` is the commented example and the default.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Seed {
    /// Settings of the environment, as in the dashboard.
    pub environment: Environment,
    /// Permissions of each role, by the role's slug. `member` exists always, without permissions.
    pub roles: BTreeMap<String, Vec<String>>,
    /// Organizations with their domains, connections and policies.
    pub organizations: Vec<SeedOrganization>,
    /// People and their memberships.
    pub users: Vec<SeedUser>,
}

/// Settings of the environment.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Environment {
    /// Whether Magic Auth and the sign-in page may make users.
    pub sign_up_allowed: bool,
    /// Whether an unverified address must be proven before a session begins.
    pub email_verification_required: bool,
    /// The methods that are switched on.
    pub authentication_methods: Vec<Method>,
}

impl Default for Environment {
    fn default() -> Self {
        Self {
            sign_up_allowed: true,
            email_verification_required: true,
            authentication_methods: vec![
                Method::MagicAuth,
                Method::GoogleOauth,
                Method::MicrosoftOauth,
                Method::Sso,
            ],
        }
    }
}

/// A way to sign in.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A code by mail.
    MagicAuth,
    /// Google.
    GoogleOauth,
    /// Microsoft.
    MicrosoftOauth,
    /// An organization's own identity provider.
    Sso,
}

impl Method {
    /// `authentication_method` in the authenticate answer.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::MagicAuth => "MagicAuth",
            Self::GoogleOauth => "GoogleOAuth",
            Self::MicrosoftOauth => "MicrosoftOAuth",
            Self::Sso => "SSO",
        }
    }

    /// `auth_method` of a session.
    pub(super) fn session_name(self) -> &'static str {
        match self {
            Self::MagicAuth => "magic_code",
            Self::GoogleOauth | Self::MicrosoftOauth => "oauth",
            Self::Sso => "sso",
        }
    }
}

/// What an organization demands of its members at sign-in, switch and refresh.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Only the organization's own SSO will do: `sso_required` with its active connections, or, where it has none,
    /// the bare message "Must use SSO for selected organization".
    pub sso_required: bool,
    /// A second factor is demanded of everybody who did not come by SSO: `mfa_enrollment` or `mfa_challenge`.
    pub mfa_required: bool,
    /// The methods that the organization takes; SSO through its own connection always counts. Without it, all.
    pub authentication_methods: Option<Vec<Method>>,
}

/// An organization of the seed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedOrganization {
    /// `org_…`; made up where it is left out.
    pub id: Option<String>,
    /// The name that people see.
    pub name: String,
    /// Its mail domains.
    #[serde(default)]
    pub domains: Vec<SeedDomain>,
    /// Its SSO connections.
    #[serde(default)]
    pub connections: Vec<SeedConnection>,
    /// Its policy.
    #[serde(default)]
    pub policy: Policy,
}

/// A mail domain.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedDomain {
    /// `acme.test`
    pub domain: String,
    /// Whether its ownership was proven.
    #[serde(default = "verified")]
    pub state: DomainState,
}

fn verified() -> DomainState {
    DomainState::Verified
}

/// Whether an organization has proven that a domain is its own.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DomainState {
    /// Proven.
    Verified,
    /// Proven before WorkOS kept a record of proofs.
    LegacyVerified,
    /// Asked for, not yet proven.
    Pending,
    /// Tried in vain.
    Failed,
}

/// An SSO connection; it covers the domains of its organization.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedConnection {
    /// `conn_…`; made up where it is left out.
    pub id: Option<String>,
    /// The name that administrators see; the organization's where it is left out.
    pub name: Option<String>,
    /// WorkOS' word for the identity provider.
    #[serde(rename = "type", default = "generic_saml")]
    pub connection_type: String,
    /// Only an active one signs anybody in.
    #[serde(default = "active")]
    pub state: ConnectionState,
}

fn generic_saml() -> String {
    "GenericSAML".to_owned()
}

fn active() -> ConnectionState {
    ConnectionState::Active
}

/// The state of a connection.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    /// Signs people in.
    Active,
    /// Switched off.
    Inactive,
    /// Being set up.
    Draft,
    /// Being tried out.
    Validating,
}

/// A person of the seed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedUser {
    /// `user_…`; made up where it is left out.
    pub id: Option<String>,
    /// The address.
    pub email: String,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// URL of a picture.
    pub profile_picture_url: Option<String>,
    /// Whether the address was proven.
    #[serde(default = "yes")]
    pub email_verified: bool,
    /// Whether an authenticator app is enrolled; its codes come out of the double, see `WorkOs::totp_code`.
    #[serde(default)]
    pub totp: bool,
    /// The organizations that the person belongs to.
    #[serde(default)]
    pub memberships: Vec<SeedMembership>,
}

fn yes() -> bool {
    true
}

/// A membership.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedMembership {
    /// The organization's id or name.
    pub organization: String,
    /// The role's slug.
    #[serde(default = "member")]
    pub role: String,
    /// Only an active one counts at sign-in.
    #[serde(default = "active_membership")]
    pub status: MembershipStatus,
}

fn member() -> String {
    "member".to_owned()
}

fn active_membership() -> MembershipStatus {
    MembershipStatus::Active
}

/// The state of a membership.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MembershipStatus {
    /// Counts.
    Active,
    /// Switched off.
    Inactive,
    /// Invited.
    Pending,
}

impl MembershipStatus {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Pending => "pending",
        }
    }
}

/// Why a seed was not taken; says what to mend.
#[derive(Debug)]
pub struct SeedError(String);

impl fmt::Display for SeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed: {}", self.0)
    }
}

impl std::error::Error for SeedError {}

impl Seed {
    /// Reads and checks a seed: its addresses are addresses, no address and no id occurs twice, and every
    /// membership names an organization and a role that exist.
    pub fn parse(yaml: &str) -> Result<Self, SeedError> {
        let seed: Self = serde_yaml_ng::from_str(yaml).map_err(|error| SeedError(error.to_string()))?;
        seed.check()?;
        Ok(seed)
    }

    /// The seed that comes with the product, `local/seed.yaml`.
    pub fn bundled() -> Result<Self, SeedError> {
        Self::parse(include_str!("../../seed.yaml"))
    }

    fn check(&self) -> Result<(), SeedError> {
        let mut seen = std::collections::BTreeSet::new();
        let mut once = |what: &str| {
            if seen.insert(what.to_lowercase()) {
                Ok(())
            } else {
                Err(SeedError(format!("{what} occurs twice")))
            }
        };
        for organization in &self.organizations {
            once(&organization.name)?;
            let connections =
                organization.connections.iter().filter_map(|connection| connection.id.as_deref());
            organization.id.as_deref().into_iter().chain(connections).try_for_each(&mut once)?;
        }
        for user in &self.users {
            if !super::request::is_email(&user.email) {
                return Err(SeedError(format!("{} is not an email address", user.email)));
            }
            once(&user.email)?;
            user.id.as_deref().into_iter().try_for_each(&mut once)?;
            for membership in &user.memberships {
                let wanted = membership.organization.as_str();
                if !self.organizations.iter().any(|o| o.name == wanted || o.id.as_deref() == Some(wanted)) {
                    return Err(SeedError(format!("{}: no organization {wanted}", user.email)));
                }
                if membership.role != "member" && !self.roles.contains_key(&membership.role) {
                    return Err(SeedError(format!("{}: no role {}", user.email, membership.role)));
                }
            }
        }
        Ok(())
    }
}
