//! Settings as in the WorkOS dashboard.

use serde::{Deserialize, Serialize};

/// Settings of the environment.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Environment {
    /// Whether Magic Auth and the sign-in page may create users.
    pub sign_up_allowed: bool,
    /// Whether an unverified address must be verified before a session starts.
    pub email_verification_required: bool,
    /// Whether everybody who does not use SSO needs a second factor, whatever the organization.
    pub mfa_required: bool,
    /// The enabled methods.
    pub authentication_methods: Vec<Method>,
}

impl Default for Environment {
    fn default() -> Self {
        Self {
            sign_up_allowed: true,
            email_verification_required: true,
            mfa_required: false,
            authentication_methods: vec![
                Method::MagicAuth,
                Method::GoogleOauth,
                Method::MicrosoftOauth,
                Method::Sso,
            ],
        }
    }
}

/// An authentication method, serialized as `auth_method` of a session.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A code by mail.
    #[default]
    #[serde(rename(serialize = "magic_code"))]
    MagicAuth,
    /// Google.
    #[serde(rename(serialize = "oauth"))]
    GoogleOauth,
    /// Microsoft.
    #[serde(rename(serialize = "oauth"))]
    MicrosoftOauth,
    /// The organization's own identity provider.
    Sso,
    /// The dashboard: a member of the team signs in as the user.
    #[serde(skip_deserializing)]
    Impersonation,
}

impl Method {
    /// `authentication_method` of an authenticate response.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::MagicAuth => "MagicAuth",
            Self::GoogleOauth => "GoogleOAuth",
            Self::MicrosoftOauth => "MicrosoftOAuth",
            Self::Sso => "SSO",
            Self::Impersonation => "Impersonation",
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
