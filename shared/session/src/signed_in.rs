//! The response to a sign-in.

use schemars::JsonSchema;
use serde::Serialize;
use workos::{Selection, User};

/// `{"user": …}`: the person, or the organizations to choose from.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SignedIn {
    user: Person,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum Person {
    SignedIn(User),
    MustChoose(Selection),
}

impl SignedIn {
    /// A session has begun.
    pub fn complete(user: User) -> Self {
        Self { user: Person::SignedIn(user) }
    }

    /// The person must choose an organization first.
    pub fn must_choose(selection: Selection) -> Self {
        Self { user: Person::MustChoose(selection) }
    }
}
