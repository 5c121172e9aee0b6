//! The response to a sign-in.

use api::{CurrentOrganization, User};
use schemars::JsonSchema;
use serde::Serialize;
use workos::{ReturnTo, Selection};

/// The outcome of a sign-in; `status` tells which one.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum SignedIn {
    /// A session has started.
    #[schemars(title = "SessionStarted")]
    SignedIn {
        /// The person.
        user: User,
        /// The organization that the session is in; null if it is in none.
        organization: Option<CurrentOrganization>,
        /// From `finalize-oauth`: where the front end continues, as the sign-in asked.
        #[serde(skip_serializing_if = "Option::is_none", rename = "returnTo")]
        return_to: Option<String>,
    },
    /// There is no session yet: the person must choose an organization.
    #[schemars(title = "OrganizationChoice")]
    ChooseOrganization {
        /// The person and the organizations.
        user: Selection,
        /// From `finalize-oauth`: where the front end continues, as the sign-in asked.
        #[serde(skip_serializing_if = "Option::is_none", rename = "returnTo")]
        return_to: Option<String>,
    },
}

impl SignedIn {
    /// A session has started.
    pub fn begun(user: User, organization: Option<CurrentOrganization>) -> Self {
        Self::SignedIn { user, organization, return_to: None }
    }

    /// The person must choose an organization first.
    pub fn must_choose(selection: Selection) -> Self {
        Self::ChooseOrganization { user: selection, return_to: None }
    }

    /// Adds where the front end continues.
    #[must_use]
    pub fn returning_to(mut self, page: Option<&ReturnTo>) -> Self {
        let (Self::SignedIn { return_to, .. } | Self::ChooseOrganization { return_to, .. }) = &mut self;
        *return_to = page.map(|page| page.as_str().to_owned());
        self
    }
}
