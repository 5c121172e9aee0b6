//! Users, organizations, memberships and connections.

use std::mem;

use serde_json::{Value, json};

use super::error::ApiError;
use super::model::{Connection, Membership, Organization, SeedMembership, Session, User};
use super::seed::Seed;
use super::settings::MembershipStatus;
use super::state::State;

impl State {
    /// Fills an empty directory from a validated seed.
    pub(super) fn populate(&mut self, seed: Seed) {
        self.roles = seed.roles;
        self.roles.entry("member".to_owned()).or_default();
        for organization in seed.organizations {
            self.insert_organization(organization);
        }
        for user in seed.users {
            let user = self.insert_user(user);
            for SeedMembership { organization, role, status } in user.memberships {
                let found = self.organizations.values().find(|found| found.is(&organization));
                if let Some(organization_id) = found.map(|found| found.id.clone()) {
                    self.insert_membership(&user.id, &organization_id, &role, None, status);
                }
            }
        }
    }

    fn default_id(&mut self, id: &mut String, prefix: &str) {
        if id.is_empty() {
            *id = self.new_id(prefix);
        }
    }

    /// Inserts a user without its memberships.
    pub(super) fn insert_user(&mut self, mut user: User) -> User {
        self.default_id(&mut user.id, "user");
        user.created_at = self.now();
        user.updated_at = user.created_at;
        self.users.insert(user.id.clone(), user.clone());
        if user.totp {
            self.enroll(&user, None, None, true);
        }
        self.user_event("user.created", &user);
        user
    }

    /// Changes a user; `None` if there is none with this id.
    pub(super) fn update_user(&mut self, id: &str, change: impl FnOnce(&mut User)) -> Option<User> {
        let now = self.now();
        let user = self.users.get_mut(id)?;
        change(user);
        user.updated_at = now;
        let user = user.clone();
        self.user_event("user.updated", &user);
        Some(user)
    }

    /// Removes a user with its sessions and memberships; `None` if there is none with this id.
    pub(super) fn remove_user(&mut self, id: &str) -> Option<User> {
        let user = self.users.get(id)?.clone();
        self.end_sessions(|session| session.sign_in.user_id == id);
        let memberships = self.memberships.values().filter(|membership| membership.user_id == id);
        let memberships: Vec<_> = memberships.map(|membership| membership.id.clone()).collect();
        for membership in memberships {
            self.remove_membership(&membership);
        }
        self.factors.retain(|_, factor| factor.user_id != id);
        self.users.remove(id);
        self.user_event("user.deleted", &user);
        Some(user)
    }

    /// Inserts a user with nothing but an address.
    pub(super) fn insert_email(&mut self, email: &str, email_verified: bool) -> User {
        self.insert_user(User { email: email.to_owned(), email_verified, ..User::default() })
    }

    /// The user with this address, created if sign-up is allowed.
    pub(super) fn sign_up(&mut self, email: &str, email_verified: bool) -> Result<User, ApiError> {
        match self.user_by_email(email) {
            Some(user) => Ok(user.clone()),
            None if self.environment.sign_up_allowed => Ok(self.insert_email(email, email_verified)),
            None => Err(ApiError::oauth("sign_up_not_allowed", "Sign up is not allowed.")),
        }
    }

    /// As [`State::sign_up`]. With an invitation, sign-up may be closed.
    pub(super) fn sign_up_invited(
        &mut self,
        email: &str,
        email_verified: bool,
        invitation: Option<&str>,
    ) -> Result<User, ApiError> {
        let Some(token) = invitation else { return self.sign_up(email, email_verified) };
        // Here WorkOS does not say that the invitation was sent to another address.
        self.invitation_for(token, email).map_err(|_| ApiError::invalid_invitation())?;
        let known = self.user_by_email(email).cloned();
        Ok(known.unwrap_or_else(|| self.insert_email(email, email_verified)))
    }

    /// Inserts an organization with its connections; returns the id.
    pub(super) fn insert_organization(&mut self, mut organization: Organization) -> String {
        self.default_id(&mut organization.id, "org");
        organization.created_at = self.now();
        organization.updated_at = organization.created_at;
        for domain in &mut organization.domains {
            domain.id = self.new_id("org_domain");
            domain.verification_strategy = "dns";
            domain.organization_id.clone_from(&organization.id);
            (domain.created_at, domain.updated_at) = (organization.created_at, organization.created_at);
        }
        let (id, connections) = (organization.id.clone(), mem::take(&mut organization.connections));
        self.organizations.insert(id.clone(), organization);
        for connection in connections {
            self.insert_connection(&id, connection);
        }
        id
    }

    /// Inserts a connection for the organization's current domains; returns the id.
    pub(super) fn insert_connection(&mut self, organization_id: &str, mut connection: Connection) -> String {
        self.default_id(&mut connection.id, "conn");
        let Organization { name, domains, .. } =
            self.organizations.get(organization_id).cloned().unwrap_or_default();
        if connection.name.is_empty() {
            connection.name = name;
        }
        if connection.connection_type.is_empty() {
            "GenericSAML".clone_into(&mut connection.connection_type);
        }
        organization_id.clone_into(&mut connection.organization_id);
        connection.domains =
            domains.into_iter().map(|own| (self.new_id("conn_domain"), own.domain)).collect();
        connection.created_at = self.now();
        let id = connection.id.clone();
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
        let now = self.now();
        let membership = Membership {
            id: self.new_id("om"),
            user_id: user_id.to_owned(),
            organization_id: organization_id.to_owned(),
            status,
            role: role.to_owned(),
            permissions: permissions.or_else(|| self.roles.get(role).cloned()).unwrap_or_default(),
            created_at: now,
            updated_at: now,
        };
        self.memberships.insert(membership.id.clone(), membership.clone());
        self.membership_event("organization_membership.created", &membership);
        membership
    }

    /// Changes a membership; `None` if there is none with this id. If it is not active afterwards, the user's sessions in
    /// the organization end.
    pub(super) fn update_membership(
        &mut self,
        id: &str,
        change: impl FnOnce(&mut Membership),
    ) -> Option<Membership> {
        let now = self.now();
        let membership = self.memberships.get_mut(id)?;
        change(membership);
        membership.updated_at = now;
        let membership = membership.clone();
        self.membership_event("organization_membership.updated", &membership);
        if membership.status != MembershipStatus::Active {
            self.end_sessions_of(&membership);
        }
        Some(membership)
    }

    /// Removes a membership and ends the user's sessions in the organization; `None` if there is none with this id.
    pub(super) fn remove_membership(&mut self, id: &str) -> Option<Membership> {
        let membership = self.memberships.remove(id)?;
        self.membership_event("organization_membership.deleted", &membership);
        self.end_sessions_of(&membership);
        Some(membership)
    }

    /// Ends the sessions that a membership allowed.
    fn end_sessions_of(&mut self, Membership { user_id, organization_id, .. }: &Membership) {
        self.end_sessions(|Session { sign_in, .. }| {
            sign_in.user_id == *user_id && sign_in.organization_id.as_ref() == Some(organization_id)
        });
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
        let mut body = membership.json();
        let organization = self.organizations.get(&membership.organization_id);
        if let Value::Object(fields) = &mut body {
            fields.insert("organization_name".to_owned(), json!(organization.map(|found| &found.name)));
            fields.insert("user".to_owned(), json!(self.users.get(&membership.user_id)));
        }
        body
    }
}
