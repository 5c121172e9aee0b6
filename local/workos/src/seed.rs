//! Initial data, read from YAML. `local/seed.yaml` is the default and documents the format.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::email::is_email;

/// Initial organizations, users and settings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Seed {
    pub(super) environment: Environment,
    /// Permissions of each role, by slug. `member` always exists.
    pub(super) roles: BTreeMap<String, Vec<String>>,
    pub(super) organizations: Vec<SeedOrganization>,
    pub(super) users: Vec<SeedUser>,
}

/// Settings of the environment, as in the WorkOS dashboard.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Environment {
    /// Whether Magic Auth and the sign-in page may create users.
    pub sign_up_allowed: bool,
    /// Whether an unverified address must be verified before a session starts.
    pub email_verification_required: bool,
    /// The enabled methods.
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

/// An authentication method.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A code by mail.
    MagicAuth,
    /// Google.
    GoogleOauth,
    /// Microsoft.
    MicrosoftOauth,
    /// The organization's own identity provider.
    Sso,
}

impl Method {
    /// `authentication_method` of an authenticate response.
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

/// What an organization requires at sign-in, switch and refresh. SSO through its own connection always satisfies it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Require SSO: `sso_required` with the active connections, or without any the bare message
    /// "Must use SSO for selected organization".
    pub sso_required: bool,
    /// Require a second factor: `mfa_enrollment` or `mfa_challenge`.
    pub mfa_required: bool,
    /// The allowed methods; all of them by default.
    pub authentication_methods: Option<Vec<Method>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SeedOrganization {
    pub(super) id: Option<String>,
    pub(super) name: String,
    pub(super) domains: Vec<SeedDomain>,
    pub(super) connections: Vec<SeedConnection>,
    pub(super) policy: Policy,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SeedDomain {
    pub(super) domain: String,
    #[serde(default)]
    pub(super) state: DomainState,
}

/// Whether an organization's ownership of a domain is verified.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DomainState {
    /// Verified.
    #[default]
    Verified,
    /// Verified before WorkOS recorded verifications.
    LegacyVerified,
    /// Not verified yet.
    Pending,
    /// Verification failed.
    Failed,
}

/// An SSO connection. It covers the domains of its organization.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SeedConnection {
    pub(super) id: Option<String>,
    /// The organization's name by default.
    pub(super) name: Option<String>,
    #[serde(rename = "type")]
    pub(super) connection_type: Option<String>,
    pub(super) state: ConnectionState,
}

/// The state of an SSO connection.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    /// Users can sign in.
    #[default]
    Active,
    /// Switched off.
    Inactive,
    /// Being set up.
    Draft,
    /// Being tested.
    Validating,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SeedUser {
    pub(super) id: Option<String>,
    pub(super) email: String,
    pub(super) first_name: Option<String>,
    pub(super) last_name: Option<String>,
    pub(super) profile_picture_url: Option<String>,
    #[serde(default = "yes")]
    pub(super) email_verified: bool,
    /// Whether an authenticator app is enrolled. `WorkOs::totp_code` returns its codes.
    #[serde(default)]
    pub(super) totp: bool,
    #[serde(default)]
    pub(super) memberships: Vec<SeedMembership>,
}

fn yes() -> bool {
    true
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SeedMembership {
    /// The organization's id or name.
    pub(super) organization: String,
    #[serde(default = "member")]
    pub(super) role: String,
    #[serde(default)]
    pub(super) status: MembershipStatus,
}

fn member() -> String {
    "member".to_owned()
}

/// The state of a membership. Only an active one counts at sign-in.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum MembershipStatus {
    #[default]
    Active,
    Inactive,
    /// Invited.
    Pending,
}

/// What is wrong with a seed.
#[derive(Debug)]
pub struct SeedError(String);

impl fmt::Display for SeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed: {}", self.0)
    }
}

impl std::error::Error for SeedError {}

impl Seed {
    /// Parses and validates a seed.
    ///
    /// # Errors
    ///
    /// If the YAML is malformed, an address is invalid, an id, name or address occurs twice, or a membership names an
    /// unknown organization or role.
    pub fn parse(yaml: &str) -> Result<Self, SeedError> {
        let seed: Self = serde_yaml_ng::from_str(yaml).map_err(|error| SeedError(error.to_string()))?;
        seed.check().map_err(SeedError)?;
        Ok(seed)
    }

    /// The default seed, `local/seed.yaml`.
    ///
    /// # Errors
    ///
    /// As [`Seed::parse`].
    pub fn bundled() -> Result<Self, SeedError> {
        Self::parse(include_str!("../../seed.yaml"))
    }

    fn check(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        let mut once = |key: &str| {
            if seen.insert(key.to_lowercase()) { Ok(()) } else { Err(format!("{key} occurs twice")) }
        };
        for organization in &self.organizations {
            if organization.name.is_empty() {
                return Err("an organization has no name".to_owned());
            }
            once(&organization.name)?;
            let connections =
                organization.connections.iter().filter_map(|connection| connection.id.as_deref());
            organization.id.as_deref().into_iter().chain(connections).try_for_each(&mut once)?;
        }
        for user in &self.users {
            let email = &user.email;
            if !is_email(email) {
                return Err(format!("{email} is not an email address"));
            }
            once(email)?;
            user.id.as_deref().into_iter().try_for_each(&mut once)?;
            for SeedMembership { organization, role, .. } in &user.memberships {
                if !self
                    .organizations
                    .iter()
                    .any(|o| o.name == *organization || o.id.as_ref() == Some(organization))
                {
                    return Err(format!("{email}: no organization {organization}"));
                }
                if role != "member" && !self.roles.contains_key(role) {
                    return Err(format!("{email}: no role {role}"));
                }
            }
        }
        Ok(())
    }
}
