//! Records the accesses to items, which an IAM policy would have to allow.
//!
//! The session token of a signed call identifies the function: the local runtime sets it to the name of the binary. A
//! transaction needs the permissions of its writes. Source: "Amazon DynamoDB Transactions: How it works", section
//! "Using IAM with transactions", DynamoDB developer guide.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;
use serde_json::Value;

/// An action on items of one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    /// The function's binary: the session token of the caller. Empty without a session token.
    pub function: String,
    /// The IAM action without its service, e.g. `UpdateItem`.
    pub action: String,
    /// The kind of the items: their partition key up to and including the first `#`. Empty if the call has no key.
    pub kind: String,
}

/// All accesses so far. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accesses(Arc<Mutex<BTreeSet<Access>>>);

impl Accesses {
    pub(crate) fn all(&self) -> BTreeSet<Access> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn record(&self, headers: &HeaderMap, operation: &str, body: &[u8]) {
        let token =
            headers.get("x-amz-security-token").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let body = serde_json::from_slice(body).unwrap_or_default();
        let accesses = actions(operation, &body).into_iter().map(|(action, kind)| Access {
            function: token.to_owned(),
            action,
            kind,
        });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(accesses);
    }
}

/// The IAM actions of a call, each with the kind of its items. `Put` in a transaction needs `PutItem`, and so on.
fn actions(operation: &str, body: &Value) -> Vec<(String, String)> {
    let Some(items) = body.get("TransactItems").and_then(Value::as_array) else {
        return vec![(operation.to_owned(), kind(body))];
    };
    let accesses = items.iter().filter_map(Value::as_object).flatten();
    accesses.map(|(name, access)| (format!("{name}Item"), kind(access))).collect()
}

/// The kind of the item in `Key` or `Item`.
fn kind(call: &Value) -> String {
    let key = call.get("Key").or_else(|| call.get("Item")).and_then(|item| item.pointer("/pk/S"));
    let key = key.and_then(Value::as_str).unwrap_or_default();
    key.split_once('#').map_or_else(|| key.to_owned(), |(kind, _)| format!("{kind}#"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_transaction_needs_the_permissions_of_its_writes() {
        let body = json!({ "TransactItems": [
            { "Put": { "Item": { "pk": { "S": "session#new" } } } },
            { "Delete": { "Key": { "pk": { "S": "session#old" } } } },
            { "ConditionCheck": { "Key": { "pk": { "S": "room#a" } } } },
        ] });
        let expected = [("PutItem", "session#"), ("DeleteItem", "session#"), ("ConditionCheckItem", "room#")];
        let expected = expected.map(|(action, kind)| (action.to_owned(), kind.to_owned()));
        assert_eq!(actions("TransactWriteItems", &body), expected);
    }

    #[test]
    fn a_call_counts_for_the_function_whose_session_signed_it() {
        let (accesses, mut headers) = (Accesses::default(), HeaderMap::new());
        headers.insert("x-amz-security-token", http::HeaderValue::from_static("sign-in"));
        accesses.record(&headers, "UpdateItem", br##"{"Key":{"pk":{"S":"limit#a#b"}}}"##);
        accesses.record(&HeaderMap::new(), "Scan", b"{}");
        let access = |function: &str, action: &str, kind: &str| Access {
            function: function.to_owned(),
            action: action.to_owned(),
            kind: kind.to_owned(),
        };
        let expected = [access("", "Scan", ""), access("sign-in", "UpdateItem", "limit#")];
        assert_eq!(accesses.all(), BTreeSet::from(expected));
    }
}
