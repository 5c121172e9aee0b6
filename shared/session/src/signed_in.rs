//! The response to a sign-in.

use api::{CurrentOrganization, User};
use schemars::JsonSchema;
use serde::Serialize;
use workos::Selection;

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
    },
    /// There is no session yet: the person must choose an organization.
    #[schemars(title = "OrganizationChoice")]
    ChooseOrganization {
        /// The person and the organizations.
        user: Selection,
    },
}
