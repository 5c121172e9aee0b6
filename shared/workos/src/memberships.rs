//! Memberships, and the names of organizations, which come with them: a grant returns only an organization's id.

use std::time::Duration;

use api::{ApiError, deadline};
use serde::Deserialize;

use crate::error::{CallError, ErrorKind};
use crate::sign_in::{NAME_BYTES, known};
use crate::{OrganizationId, WorkOs, lookup};

const PATH: &str = "/user_management/organization_memberships";

/// WorkOS' largest page.
const PAGE: &str = "100";

/// Pages that are read: the first 1,000 memberships.
const MAX_PAGES: usize = 10;

/// How long an organization's name is cached.
pub(crate) const NAME_TTL: Duration = Duration::from_secs(600);

/// The timeout of a lookup of a name. The sign-in continues without it.
const NAME_TIMEOUT: Duration = Duration::from_secs(1);

/// What a lookup of a name leaves of the invocation's time: for the write of the session, and its failure.
const TIME_AFTER_NAME: Duration = Duration::from_secs(3);

/// An active membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The organization's id.
    pub organization_id: String,
    /// The organization's name.
    pub organization_name: Option<String>,
    /// The slug of the person's role in it.
    pub role: Option<String>,
}

#[derive(Deserialize)]
struct Wire {
    user_id: String,
    organization_id: String,
    organization_name: Option<String>,
    status: String,
    role: Option<Role>,
}

#[derive(Deserialize)]
struct Role {
    slug: String,
}

impl Wire {
    /// The membership, if it is active and the user's.
    fn active_of(self, user_id: &str) -> Option<Membership> {
        (self.user_id == user_id && self.status == "active").then(|| Membership {
            organization_id: self.organization_id,
            organization_name: known(self.organization_name, NAME_BYTES),
            role: self.role.map(|role| role.slug),
        })
    }
}

impl WorkOs {
    /// The user's membership in the organization, if it is active.
    ///
    /// # Errors
    /// `workos_busy`, `workos_unavailable`.
    pub async fn membership(
        &self,
        user_id: &str,
        organization: &OrganizationId,
    ) -> Result<Option<Membership>, ApiError> {
        let organization = organization.as_str();
        let query = [("user_id", user_id), ("organization_id", organization), ("statuses", "active")];
        match lookup::list::<Wire>(&self.sdk, PATH, &query).await {
            Ok(found) => {
                let mut found = found.into_iter().filter_map(|each| each.active_of(user_id));
                Ok(found.find(|each| each.organization_id == organization))
            }
            // The organization does not exist.
            Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::OrganizationNotAllowed) => {
                Ok(None)
            }
            Err(error) => Err(error.into_outage()),
        }
    }

    /// The user's active memberships, newest first: at most 1,000. Each page of 100 is a round; the invocation's deadline
    /// limits them all, and no page is left out silently.
    ///
    /// # Errors
    /// `workos_busy`, `workos_unavailable`.
    pub async fn memberships(&self, user_id: &str) -> Result<Vec<Membership>, ApiError> {
        let mut memberships = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut query = vec![("user_id", user_id), ("statuses", "active"), ("limit", PAGE)];
            query.extend(after.as_deref().map(|cursor| ("after", cursor)));
            let page = lookup::page::<Wire>(&self.sdk, PATH, &query).await.map_err(CallError::into_outage)?;
            after = page.next().map(str::to_owned);
            memberships.extend(page.data.into_iter().filter_map(|each| each.active_of(user_id)));
            if after.is_none() {
                break;
            }
        }
        Ok(memberships)
    }

    /// The name of an organization, from any of its memberships; cached for ten minutes. `None` if it cannot be looked up
    /// within a second, or the invocation has little time left.
    pub async fn organization_name(&self, id: &str) -> Option<String> {
        if let Some(cached) = self.names.get(id) {
            return Some(cached);
        }
        let query = [("organization_id", id), ("limit", "1")];
        let timeout = NAME_TIMEOUT.min(deadline::remaining().saturating_sub(TIME_AFTER_NAME));
        let cause = match tokio::time::timeout(timeout, lookup::list::<Wire>(&self.sdk, PATH, &query)).await {
            Ok(Ok(found)) => {
                let mut found = found.into_iter().filter(|each| each.organization_id == id);
                if let Some(name) = found.find_map(|each| known(each.organization_name, NAME_BYTES)) {
                    self.names.put(id, name.clone());
                    return Some(name);
                }
                "no membership has it".to_owned()
            }
            Ok(Err(error)) => error.into_outage().cause(),
            Err(_) => "no response from WorkOS (timeout)".to_owned(),
        };
        tracing::warn!(cause, "the name of an organization could not be looked up");
        None
    }
}
