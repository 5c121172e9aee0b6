//! Initial data, read from YAML. `local/seed.yaml` is the default and documents the format.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::Error as _;
use serde_yaml_ng::Error;

use super::email::is_email;
use super::model::{Organization, SeedMembership, User};
use super::settings::Environment;

/// Initial organizations, users and settings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Seed {
    pub(super) environment: Environment,
    /// Permissions of each role, by slug. `member` always exists.
    pub(super) roles: BTreeMap<String, Vec<String>>,
    pub(super) organizations: Vec<Organization>,
    pub(super) users: Vec<User>,
}

impl Seed {
    /// Parses and validates a seed.
    ///
    /// # Errors
    ///
    /// If the YAML is malformed, an address is invalid, an id, name or address occurs twice, or a membership names an
    /// unknown organization or role.
    pub fn parse(yaml: &str) -> Result<Self, Error> {
        let seed: Self = serde_yaml_ng::from_str(yaml)?;
        seed.check().map_err(Error::custom)?;
        Ok(seed)
    }

    /// The default seed, `local/seed.yaml`.
    ///
    /// # Errors
    ///
    /// As [`Seed::parse`].
    pub fn bundled() -> Result<Self, Error> {
        Self::parse(include_str!("../../seed.yaml"))
    }

    /// The users' addresses, each with the names or ids of its organizations.
    pub fn users(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        self.users.iter().map(|user| {
            let organizations = user.memberships.iter().map(|membership| membership.organization.as_str());
            (user.email.as_str(), organizations.collect())
        })
    }

    fn check(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        let mut once = |key: &String| {
            if key.is_empty() || seen.insert(key.to_lowercase()) {
                Ok(())
            } else {
                Err(format!("{key} occurs twice"))
            }
        };
        for organization in &self.organizations {
            if organization.name.is_empty() {
                return Err("an organization has no name".to_owned());
            }
            [&organization.name, &organization.id].into_iter().try_for_each(&mut once)?;
            organization.connections.iter().map(|connection| &connection.id).try_for_each(&mut once)?;
        }
        for user in &self.users {
            let email = &user.email;
            if !is_email(email) {
                return Err(format!("{email} is not an email address"));
            }
            [email, &user.id].into_iter().try_for_each(&mut once)?;
            for SeedMembership { organization, role, .. } in &user.memberships {
                if !self.organizations.iter().any(|found| found.is(organization)) {
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
