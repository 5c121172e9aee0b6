//! The document's answer to a finished sign-in.

use schemars::JsonSchema;
use serde::Serialize;
use workos::{Selection, User};

/// `{"user": …}`: the person, or with several organizations the list to choose from.
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

    /// An organization must be chosen first.
    pub fn must_choose(selection: Selection) -> Self {
        Self { user: Person::MustChoose(selection) }
    }
}
