//! Users, organizations, memberships and connections.

use std::collections::BTreeMap;
use std::mem;

use serde_json::{Value, json};

use super::error::ApiError;
use super::model::{Connection, Domain, Factor, Membership, Organization, User};
use super::random;
use super::seed::{MembershipStatus, Seed, SeedConnection, SeedDomain, SeedOrganization, SeedUser};
use super::state::State;

impl State {
    /// Fills an empty directory from a validated seed.
    pub(super) fn populate(&mut self, seed: Seed) {
        self.roles = seed.roles;
        self.roles.entry("member".to_owned()).or_default();
        for organization in seed.organizations {
            self.insert_organization(organization);
        }
        for mut user in seed.users {
            let memberships = mem::take(&mut user.memberships);
            let user = self.insert_user(user);
            for seed in memberships {
                let named = |o: &&Organization| o.id == seed.organization || o.name == seed.organization;
                if let Some(id) = self.organizations.values().find(named).map(|found| found.id.clone()) {
                    self.insert_membership(&user.id, &id, &seed.role, None, seed.status);
                }
            }
        }
    }

    pub(super) fn new_factor(&mut self) -> Factor {
        Factor { id: self.new_id("auth_factor"), secret: random::token() }
    }

    /// Inserts a user without memberships.
    pub(super) fn insert_user(&mut self, seed: SeedUser) -> User {
        let now = self.now();
        let user = User {
            id: seed.id.unwrap_or_else(|| self.new_id("user")),
            email: seed.email,
            email_verified: seed.email_verified,
            first_name: seed.first_name,
            last_name: seed.last_name,
            profile_picture_url: seed.profile_picture_url,
            external_id: None,
            metadata: BTreeMap::new(),
            locale: None,
            last_sign_in_at: None,
            created_at: now,
            updated_at: now,
            totp: seed.totp.then(|| self.new_factor()),
        };
        self.users.insert(user.id.clone(), user.clone());
        user
    }

    /// Inserts a user with nothing but an address.
    pub(super) fn insert_email(&mut self, email: &str, email_verified: bool) -> User {
        self.insert_user(SeedUser { email: email.to_owned(), email_verified, ..SeedUser::default() })
    }

    /// The user with this address, created if sign-up is allowed.
    pub(super) fn sign_up(&mut self, email: &str, email_verified: bool) -> Result<User, ApiError> {
        match self.user_by_email(email) {
            Some(user) => Ok(user.clone()),
            None if self.environment.sign_up_allowed => Ok(self.insert_email(email, email_verified)),
            None => Err(ApiError::oauth("sign_up_not_allowed", "Sign up is not allowed.")),
        }
    }

    /// Inserts an organization with its connections; returns the id.
    pub(super) fn insert_organization(&mut self, seed: SeedOrganization) -> String {
        let id = seed.id.unwrap_or_else(|| self.new_id("org"));
        let domain = |domain: SeedDomain| Domain {
            id: self.new_id("org_domain"),
            domain: domain.domain,
            state: domain.state,
        };
        let organization = Organization {
            id: id.clone(),
            name: seed.name,
            domains: seed.domains.into_iter().map(domain).collect(),
            policy: seed.policy,
            created_at: self.now(),
        };
        self.organizations.insert(id.clone(), organization);
        for connection in seed.connections {
            self.insert_connection(&id, connection);
        }
        id
    }

    /// Inserts a connection for the organization's current domains; returns the id.
    pub(super) fn insert_connection(&mut self, organization_id: &str, seed: SeedConnection) -> String {
        let organization = self.organizations.get(organization_id).cloned();
        let (name, domains) = organization.map(|found| (found.name, found.domains)).unwrap_or_default();
        let id = seed.id.unwrap_or_else(|| self.new_id("conn"));
        let connection = Connection {
            id: id.clone(),
            organization_id: organization_id.to_owned(),
            connection_type: seed.connection_type.unwrap_or_else(|| "GenericSAML".to_owned()),
            name: seed.name.unwrap_or(name),
            state: seed.state,
            domains: domains.into_iter().map(|own| (self.new_id("conn_domain"), own.domain)).collect(),
            created_at: self.now(),
        };
        self.connections.insert(id.clone(), connection);
        id
    }

    /// Inserts a membership. By default it has the permissions of its role.
    pub(super) fn insert_membership(
        &mut self,
        user_id: &str,
        organization_id: &str,
        role: &str,
        permissions: Option<Vec<String>>,
        status: MembershipStatus,
    ) -> Membership {
        let membership = Membership {
            id: self.new_id("om"),
            user_id: user_id.to_owned(),
            organization_id: organization_id.to_owned(),
            status,
            role: role.to_owned(),
            permissions: permissions.or_else(|| self.roles.get(role).cloned()).unwrap_or_default(),
            created_at: self.now(),
        };
        self.memberships.insert(membership.id.clone(), membership.clone());
        membership
    }

    pub(super) fn user_by_email(&self, email: &str) -> Option<&User> {
        self.users.values().find(|user| user.email.eq_ignore_ascii_case(email))
    }

    pub(super) fn membership(&self, user_id: &str, organization_id: &str) -> Option<&Membership> {
        let mut memberships = self.memberships.values();
        memberships.find(|found| found.user_id == user_id && found.organization_id == organization_id)
    }

    /// The organization's active connections.
    pub(super) fn active_connections(&self, organization_id: &str) -> impl Iterator<Item = &Connection> {
        let connections = self.connections.values();
        connections.filter(move |found| found.organization_id == organization_id && found.is_active())
    }

    pub(super) fn membership_json(&self, membership: &Membership) -> Value {
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
            "user": self.users.get(&membership.user_id),
            "created_at": membership.created_at,
            "updated_at": membership.created_at,
        })
    }
}
