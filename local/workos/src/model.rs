//! The data the double keeps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::clock::Timestamp;
use super::settings::{ConnectionState, DomainState, MembershipStatus, Method, Policy};

/// A user, in the seed and in responses.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(tag = "object", rename = "user", default, deny_unknown_fields)]
pub(super) struct User {
    pub(super) id: String,
    pub(super) email: String,
    #[serde(default = "yes")]
    pub(super) email_verified: bool,
    pub(super) first_name: Option<String>,
    pub(super) last_name: Option<String>,
    pub(super) profile_picture_url: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) locale: Option<String>,
    #[serde(skip_deserializing)]
    pub(super) last_sign_in_at: Option<Timestamp>,
    #[serde(skip_deserializing)]
    pub(super) created_at: Timestamp,
    #[serde(skip_deserializing)]
    pub(super) updated_at: Timestamp,
    /// Whether the seed enrols an authenticator app. `WorkOs::totp_code` returns its codes.
    #[serde(skip_serializing)]
    pub(super) totp: bool,
    /// The memberships in the seed; the state keeps them apart.
    #[serde(skip_serializing)]
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

/// An authenticator app.
#[derive(Clone, Debug)]
pub(super) struct Factor {
    pub(super) id: String,
    pub(super) user_id: String,
    /// The app's labels.
    pub(super) issuer: String,
    pub(super) user: String,
    /// In Base32.
    pub(super) secret: String,
    /// Whether a code of it was ever accepted. Until then the user is not enrolled. WorkOS does not show this.
    pub(super) verified: bool,
    pub(super) created_at: Timestamp,
}

/// An organization, in the seed and in responses.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(tag = "object", rename = "organization", default, deny_unknown_fields)]
pub(super) struct Organization {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) domains: Vec<Domain>,
    pub(super) external_id: Option<String>,
    pub(super) metadata: BTreeMap<String, String>,
    #[serde(skip_deserializing)]
    pub(super) allow_profiles_outside_organization: bool,
    #[serde(skip_deserializing)]
    pub(super) created_at: Timestamp,
    #[serde(skip_deserializing)]
    pub(super) updated_at: Timestamp,
    #[serde(skip_serializing)]
    pub(super) policy: Policy,
    /// The connections in the seed; the state keeps them apart.
    #[serde(skip_serializing)]
    pub(super) connections: Vec<Connection>,
}

/// A domain of an organization, in the seed and in responses.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(tag = "object", rename = "organization_domain", default, deny_unknown_fields)]
pub(super) struct Domain {
    #[serde(skip_deserializing)]
    pub(super) id: String,
    #[serde(skip_deserializing)]
    pub(super) organization_id: String,
    pub(super) domain: String,
    pub(super) state: DomainState,
    /// `dns`.
    #[serde(skip_deserializing)]
    pub(super) verification_strategy: &'static str,
    #[serde(skip_deserializing)]
    pub(super) created_at: Timestamp,
    #[serde(skip_deserializing)]
    pub(super) updated_at: Timestamp,
}

impl Organization {
    /// Whether a seed means this organization by `name_or_id`.
    pub(super) fn is(&self, name_or_id: &str) -> bool {
        self.name == name_or_id || self.id == name_or_id
    }

    pub(super) fn has_domain(&self, domain: &str) -> bool {
        self.domains.iter().any(|own| own.domain.eq_ignore_ascii_case(domain))
    }

    /// Whether the organization's ownership of `domain` is verified.
    pub(super) fn owns(&self, domain: &str) -> bool {
        let verified = |state| matches!(state, DomainState::Verified | DomainState::LegacyVerified);
        self.domains.iter().any(|own| own.domain.eq_ignore_ascii_case(domain) && verified(own.state))
    }
}

#[derive(Clone, Debug)]
pub(super) struct Membership {
    pub(super) id: String,
    pub(super) user_id: String,
    pub(super) organization_id: String,
    pub(super) status: MembershipStatus,
    pub(super) role: String,
    pub(super) permissions: Vec<String>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
}

impl Membership {
    /// As events show it; responses have more fields.
    pub(super) fn json(&self) -> Value {
        json!({
            "object": "organization_membership",
            "id": self.id,
            "user_id": self.user_id,
            "organization_id": self.organization_id,
            "status": self.status,
            "directory_managed": false,
            "custom_attributes": {},
            "role": {"slug": self.role},
            "roles": [{"slug": self.role}],
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        })
    }
}

/// An SSO connection. It covers the domains of its organization.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Connection {
    pub(super) id: String,
    #[serde(skip)]
    pub(super) organization_id: String,
    /// `GenericSAML` by default.
    #[serde(rename = "type")]
    pub(super) connection_type: String,
    /// The organization's name by default.
    pub(super) name: String,
    pub(super) state: ConnectionState,
    /// Ids and names.
    #[serde(skip)]
    pub(super) domains: Vec<(String, String)>,
    #[serde(skip)]
    pub(super) created_at: Timestamp,
}

impl Connection {
    pub(super) fn is_active(&self) -> bool {
        self.state == ConnectionState::Active
    }

    pub(super) fn json(&self) -> Value {
        let domain = |(id, domain): &(String, String)| json!({"object": "connection_domain", "id": id, "domain": domain});
        json!({
            "object": "connection",
            "id": self.id,
            "organization_id": self.organization_id,
            "connection_type": self.connection_type,
            "name": self.name,
            "state": self.state,
            // Deprecated, but still required by the OpenAPI document and the official Rust crate.
            "status": if self.is_active() { "linked" } else { "unlinked" },
            "domains": self.domains.iter().map(domain).collect::<Vec<_>>(),
            "created_at": self.created_at,
            "updated_at": self.created_at,
        })
    }
}

/// The steps of a sign-in that the user has completed.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct SignIn {
    pub(super) user_id: String,
    #[serde(rename = "auth_method")]
    pub(super) method: Method,
    /// The organization of the SSO connection that was used.
    #[serde(skip)]
    pub(super) sso_organization: Option<String>,
    /// The requested organization; without one, the memberships decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) organization_id: Option<String>,
    /// Whether the last step verified the address.
    #[serde(skip)]
    pub(super) email_verified: bool,
    #[serde(skip)]
    pub(super) second_factor: bool,
    /// When the user proved who they are, if that was before this sign-in.
    #[serde(skip)]
    pub(super) authenticated_at: Option<Timestamp>,
    /// The id of the invitation that the sign-in accepts.
    #[serde(skip)]
    pub(super) invitation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) impersonator: Option<Impersonator>,
}

/// A user of the dashboard who signs in as somebody else.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Impersonator {
    pub(super) email: String,
    pub(super) reason: Option<String>,
}

/// A sign-in that an authorization code or a pending authentication token continues.
#[derive(Clone, Debug)]
pub(super) struct PendingSignIn {
    pub(super) sign_in: SignIn,
    /// S256 of the PKCE verifier, for an authorization code.
    pub(super) code_challenge: Option<String>,
    pub(super) expires_at: Timestamp,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum CodeKind {
    MagicAuth,
    EmailVerification,
}

/// A one-time code sent by mail.
#[derive(Clone, Debug)]
pub(super) struct MailedCode {
    pub(super) kind: CodeKind,
    pub(super) id: String,
    pub(super) user_id: String,
    pub(super) email: String,
    pub(super) code: String,
    pub(super) created_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) used: bool,
}

/// A challenge of an authenticator app.
#[derive(Clone, Debug)]
pub(super) struct Challenge {
    pub(super) factor_id: String,
    pub(super) expires_at: Timestamp,
}

/// A call to exchange a credential, without its secrets.
#[derive(Clone, Debug)]
pub struct Grant {
    /// As in the call counts, e.g. `refresh_token`.
    pub name: &'static str,
    /// `organization_id`, if the call named one.
    pub organization_id: Option<String>,
    /// `ip_address`, if the call named one.
    pub ip_address: Option<String>,
    /// `user_agent`, if the call named one.
    pub user_agent: Option<String>,
}

/// The user's address and browser, as passed on by the caller.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Client {
    pub(super) ip_address: Option<String>,
    pub(super) user_agent: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(tag = "object", rename = "session")]
pub(super) struct Session {
    pub(super) id: String,
    #[serde(flatten)]
    pub(super) sign_in: SignIn,
    #[serde(flatten)]
    pub(super) client: Client,
    pub(super) status: SessionStatus,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) ended_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SessionStatus {
    Active,
    Revoked,
}

impl Session {
    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        self.status == SessionStatus::Active && self.expires_at > now
    }
}

#[derive(Clone, Debug)]
pub(super) struct RefreshToken {
    pub(super) session_id: String,
    pub(super) exchange: Option<Exchange>,
}

/// The one exchange of a refresh token.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    /// The requested organization.
    pub(super) organization_id: Option<String>,
    pub(super) response: Value,
    /// Until then, repeating the exchange returns the same response.
    pub(super) replayable_until: Timestamp,
}
