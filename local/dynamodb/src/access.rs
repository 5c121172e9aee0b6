//! Who did what to which items: what an IAM policy would have to allow.
//!
//! In AWS each function has a role of its own. Here the session token that comes with every signed call tells the
//! functions apart: the local runtime gives each the name of its binary. A transaction needs the permissions of its writes.
//! Source: "Amazon DynamoDB Transactions: How it works", section "Using IAM with transactions", DynamoDB developer guide.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;
use serde_json::Value;

/// One thing that was done to items of one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    /// The session token of the caller: a function's binary; empty for anybody else.
    pub function: String,
    /// The IAM action without its service, e.g. `UpdateItem`.
    pub action: String,
    /// The kind of the items: their partition key up to the first `#`, which is kept. Empty where the call names none.
    pub kind: String,
}

/// What was done so far. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Accesses(Arc<Mutex<BTreeSet<Access>>>);

impl Accesses {
    pub(super) fn all(&self) -> BTreeSet<Access> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn record(&self, headers: &HeaderMap, operation: &str, body: &[u8]) {
        let token = headers.get("x-amz-security-token").and_then(|value| value.to_str().ok());
        let function = token.unwrap_or_default();
        let body = serde_json::from_slice(body).unwrap_or_default();
        let accesses = actions(operation, &body).into_iter().map(|(action, kind)| Access {
            function: function.to_owned(),
            action: action.to_owned(),
            kind,
        });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(accesses);
    }
}

fn actions<'a>(operation: &'a str, body: &Value) -> Vec<(&'a str, String)> {
    match operation {
        "TransactWriteItems" => writes(
            body,
            &[
                ("Put", "PutItem"),
                ("Update", "UpdateItem"),
                ("Delete", "DeleteItem"),
                ("ConditionCheck", "ConditionCheckItem"),
            ],
        ),
        "TransactGetItems" => writes(body, &[("Get", "GetItem")]),
        operation => vec![(operation, kind(body))],
    }
}

fn writes(body: &Value, names: &[(&str, &'static str)]) -> Vec<(&'static str, String)> {
    let items = body.get("TransactItems").and_then(Value::as_array);
    let writes = items.into_iter().flatten().flat_map(|item| {
        names.iter().filter_map(|(name, action)| item.get(name).map(|write| (*action, kind(write))))
    });
    writes.collect()
}

/// The kind of the item that a call names by its key, or writes as a whole.
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
        let expected = expected.map(|(action, kind)| (action, kind.to_owned()));
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
