//! The response to a sign-in.

use schemars::JsonSchema;
use serde::Serialize;
use workos::{ReturnTo, Selection, User};

/// `{"user": …}`: the person, or the organizations to choose from.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignedIn {
    user: Person,
    /// From `finalize-oauth`: where the front end continues, as the sign-in asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    return_to: Option<String>,
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
        Self { user: Person::SignedIn(user), return_to: None }
    }

    /// The person must choose an organization first.
    pub fn must_choose(selection: Selection) -> Self {
        Self { user: Person::MustChoose(selection), return_to: None }
    }

    /// Adds where the front end continues.
    #[must_use]
    pub fn returning_to(self, page: Option<&ReturnTo>) -> Self {
        Self { return_to: page.map(|page| page.as_str().to_owned()), ..self }
    }
}
