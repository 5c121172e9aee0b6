//! Users, organizations, memberships and connections, and the JSON that WorkOS shows of them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::clock::{Millis, iso};
use super::random;
use super::seed::{ConnectionState, DomainState, MembershipStatus, Policy, Seed};
use super::service::State;

#[derive(Clone, Debug)]
pub(super) struct User {
    pub(super) id: String,
    pub(super) email: String,
    pub(super) email_verified: bool,
    pub(super) first_name: Option<String>,
    pub(super) last_name: Option<String>,
    pub(super) profile_picture_url: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) metadata: Map<String, Value>,
    pub(super) last_sign_in_at: Option<Millis>,
    /// The authenticator app's shared secret.
    pub(super) totp: Option<Factor>,
    pub(super) created_at: Millis,
    pub(super) updated_at: Millis,
}

/// An enrolled authenticator app.
#[derive(Clone, Debug)]
pub(super) struct Factor {
    pub(super) id: String,
    pub(super) secret: String,
}

impl User {
    pub(super) fn json(&self) -> Value {
        json!({
            "object": "user",
            "id": self.id,
            "email": self.email,
            "email_verified": self.email_verified,
            "first_name": self.first_name,
            "last_name": self.last_name,
            "profile_picture_url": self.profile_picture_url,
            "external_id": self.external_id,
            "metadata": self.metadata,
            "last_sign_in_at": self.last_sign_in_at.map(iso),
            "locale": null,
            "created_at": iso(self.created_at),
            "updated_at": iso(self.updated_at),
        })
    }
}

#[derive(Clone, Debug)]
pub(super) struct Organization {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) domains: Vec<OrganizationDomain>,
    pub(super) policy: Policy,
    pub(super) created_at: Millis,
}

#[derive(Clone, Debug)]
pub(super) struct OrganizationDomain {
    pub(super) id: String,
    pub(super) domain: String,
    pub(super) state: DomainState,
}

impl Organization {
    pub(super) fn json(&self) -> Value {
        let at = iso(self.created_at);
        let domain = |domain: &OrganizationDomain| {
            json!({
                "object": "organization_domain",
                "id": domain.id,
                "organization_id": self.id,
                "domain": domain.domain,
                "state": domain.state,
                "verification_strategy": "dns",
                "created_at": at,
                "updated_at": at,
            })
        };
        json!({
            "object": "organization",
            "id": self.id,
            "name": self.name,
            "domains": self.domains.iter().map(domain).collect::<Vec<_>>(),
            "external_id": null,
            "metadata": {},
            "allow_profiles_outside_organization": false,
            "created_at": at,
            "updated_at": at,
        })
    }

    pub(super) fn has_domain(&self, domain: &str) -> bool {
        self.domains.iter().any(|own| own.domain.eq_ignore_ascii_case(domain))
    }

    /// Whether `domain` was proven to be the organization's.
    pub(super) fn owns(&self, domain: &str) -> bool {
        let proven = |state| matches!(state, DomainState::Verified | DomainState::LegacyVerified);
        self.domains.iter().any(|own| own.domain.eq_ignore_ascii_case(domain) && proven(own.state))
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
    pub(super) created_at: Millis,
}

#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) id: String,
    pub(super) organization_id: String,
    pub(super) connection_type: String,
    pub(super) name: String,
    pub(super) state: ConnectionState,
    pub(super) domains: Vec<(String, String)>,
    pub(super) created_at: Millis,
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
            // Deprecated, and still demanded by the OpenAPI document and by the official Rust crate.
            "status": if self.is_active() { "linked" } else { "unlinked" },
            "domains": self.domains.iter().map(domain).collect::<Vec<_>>(),
            "created_at": iso(self.created_at),
            "updated_at": iso(self.created_at),
        })
    }
}

impl State {
    /// Fills the directory from a seed that was checked.
    pub(super) fn plant(&mut self, seed: Seed) {
        self.roles = seed.roles;
        self.roles.entry("member".to_owned()).or_default();
        let mut names = BTreeMap::new();
        for organization in seed.organizations {
            let id = organization.id.unwrap_or_else(|| self.new_id("org"));
            let domains = organization.domains.into_iter().map(|own| (own.domain, own.state)).collect();
            self.insert_organization(id.clone(), &organization.name, domains);
            self.set_policy(&id, organization.policy);
            for connection in organization.connections {
                let connection_id = connection.id.unwrap_or_else(|| self.new_id("conn"));
                let name = connection.name.unwrap_or_else(|| organization.name.clone());
                self.insert_connection(
                    connection_id,
                    &id,
                    name,
                    connection.connection_type,
                    connection.state,
                );
            }
            names.insert(organization.name, id);
        }
        for user in seed.users {
            let id = user.id.unwrap_or_else(|| self.new_id("user"));
            self.insert_user(id.clone(), &user.email, user.email_verified);
            let factor = user.totp.then(|| self.new_factor());
            if let Some(made) = self.users.get_mut(&id) {
                made.first_name = user.first_name;
                made.last_name = user.last_name;
                made.profile_picture_url = user.profile_picture_url;
                made.totp = factor;
            }
            for membership in user.memberships {
                let organization =
                    names.get(&membership.organization).unwrap_or(&membership.organization).clone();
                self.insert_membership(&id, &organization, membership.role, None, membership.status);
            }
        }
    }

    pub(super) fn new_factor(&mut self) -> Factor {
        Factor { id: self.new_id("auth_factor"), secret: random::token() }
    }

    pub(super) fn insert_user(&mut self, id: String, email: &str, email_verified: bool) -> User {
        let now = self.now();
        let user = User {
            id: id.clone(),
            email: email.to_owned(),
            email_verified,
            first_name: None,
            last_name: None,
            profile_picture_url: None,
            external_id: None,
            metadata: Map::new(),
            last_sign_in_at: None,
            totp: None,
            created_at: now,
            updated_at: now,
        };
        self.users.insert(id, user.clone());
        user
    }

    pub(super) fn insert_organization(
        &mut self,
        id: String,
        name: &str,
        domains: Vec<(String, DomainState)>,
    ) -> Organization {
        let domains = domains
            .into_iter()
            .map(|(domain, state)| OrganizationDomain { id: self.new_id("org_domain"), domain, state })
            .collect();
        let organization = Organization {
            id: id.clone(),
            name: name.to_owned(),
            domains,
            policy: Policy::default(),
            created_at: self.now(),
        };
        self.organizations.insert(id, organization.clone());
        organization
    }

    pub(super) fn set_policy(&mut self, organization_id: &str, policy: Policy) {
        if let Some(organization) = self.organizations.get_mut(organization_id) {
            organization.policy = policy;
        }
    }

    /// A membership; where the permissions are left out, they are those of the role.
    pub(super) fn insert_membership(
        &mut self,
        user_id: &str,
        organization_id: &str,
        role: String,
        permissions: Option<Vec<String>>,
        status: MembershipStatus,
    ) -> Membership {
        let permissions = permissions.unwrap_or_else(|| self.roles.get(&role).cloned().unwrap_or_default());
        let membership = Membership {
            id: self.new_id("om"),
            user_id: user_id.to_owned(),
            organization_id: organization_id.to_owned(),
            status,
            role,
            permissions,
            created_at: self.now(),
        };
        self.memberships.insert(membership.id.clone(), membership.clone());
        membership
    }

    /// A connection that covers the organization's domains as they are now.
    pub(super) fn insert_connection(
        &mut self,
        id: String,
        organization_id: &str,
        name: String,
        connection_type: String,
        state: ConnectionState,
    ) -> Connection {
        let domains: Vec<String> = self
            .organizations
            .get(organization_id)
            .map(|organization| organization.domains.iter().map(|own| own.domain.clone()).collect())
            .unwrap_or_default();
        let domains = domains.into_iter().map(|domain| (self.new_id("conn_domain"), domain)).collect();
        let connection = Connection {
            id: id.clone(),
            organization_id: organization_id.to_owned(),
            connection_type,
            name,
            state,
            domains,
            created_at: self.now(),
        };
        self.connections.insert(id, connection.clone());
        connection
    }

    pub(super) fn user_by_email(&self, email: &str) -> Option<&User> {
        self.users.values().find(|user| user.email.eq_ignore_ascii_case(email))
    }

    pub(super) fn membership(&self, user_id: &str, organization_id: &str) -> Option<&Membership> {
        self.memberships
            .values()
            .find(|membership| membership.user_id == user_id && membership.organization_id == organization_id)
    }

    /// The user's memberships that count at sign-in.
    pub(super) fn active_memberships(&self, user_id: &str) -> impl Iterator<Item = &Membership> {
        let user_id = user_id.to_owned();
        self.memberships.values().filter(move |membership| {
            membership.user_id == user_id && membership.status == MembershipStatus::Active
        })
    }

    /// The ids of the organization's active connections.
    pub(super) fn active_connections(&self, organization_id: &str) -> Vec<String> {
        self.connections
            .values()
            .filter(|connection| connection.organization_id == organization_id && connection.is_active())
            .map(|connection| connection.id.clone())
            .collect()
    }

    pub(super) fn membership_json(&self, membership: &Membership) -> Value {
        let at = iso(membership.created_at);
        json!({
            "object": "organization_membership",
            "id": membership.id,
            "user_id": membership.user_id,
            "organization_id": membership.organization_id,
            "organization_name": self.organizations.get(&membership.organization_id).map(|found| &found.name),
            "status": membership.status,
            "directory_managed": false,
            "custom_attributes": {},
            "role": {"slug": membership.role},
            "roles": [{"slug": membership.role}],
            "user": self.users.get(&membership.user_id).map(User::json),
            "created_at": at,
            "updated_at": at,
        })
    }

    /// Removes a user with everything that hangs on it.
    pub(super) fn remove_user(&mut self, user_id: &str) -> bool {
        self.end_sessions(|session| session.user_id == user_id);
        self.memberships.retain(|_, membership| membership.user_id != user_id);
        self.users.remove(user_id).is_some()
    }

    /// Switches a membership off, which ends the sessions that are in it.
    pub(super) fn deactivate_membership(&mut self, user_id: &str, organization_id: &str) {
        for membership in self.memberships.values_mut() {
            if membership.user_id == user_id && membership.organization_id == organization_id {
                membership.status = MembershipStatus::Inactive;
            }
        }
        self.end_sessions(|session| {
            session.user_id == user_id && session.organization_id.as_deref() == Some(organization_id)
        });
    }
}
