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
    /// The kind of the items: their partition key up to and including the first `#`. `index/<name>` for a query of an index.
    /// Empty if the call has no key.
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
    if let Some(items) = body.get("TransactItems").and_then(Value::as_array) {
        let accesses = items.iter().filter_map(Value::as_object).flatten();
        return accesses.map(|(name, access)| (format!("{name}Item"), kind(access))).collect();
    }
    if let Some(tables) = body.get("RequestItems").and_then(Value::as_object) {
        let keys = tables.values().filter_map(|table| table.get("Keys")?.as_array()).flatten();
        return keys.map(|key| (operation.to_owned(), kind_of(key))).collect();
    }
    if let Some(index) = body.get("IndexName").and_then(Value::as_str) {
        return vec![(operation.to_owned(), format!("index/{index}"))];
    }
    vec![(operation.to_owned(), kind(body))]
}

/// The kind of the item in `Key` or `Item`.
fn kind(call: &Value) -> String {
    call.get("Key").or_else(|| call.get("Item")).map(kind_of).unwrap_or_default()
}

/// The kind of the item with this key.
fn kind_of(item: &Value) -> String {
    let key = item.pointer("/pk/S").and_then(Value::as_str).unwrap_or_default();
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
    fn a_batch_is_an_access_to_each_of_its_items_and_a_query_to_its_index() {
        let keys = json!([{ "pk": { "S": "session#a" } }, { "pk": { "S": "switched#a" } }]);
        let body = json!({ "RequestItems": { "sessions": { "Keys": keys, "ConsistentRead": true } } });
        let expected = [("BatchGetItem", "session#"), ("BatchGetItem", "switched#")];
        let expected = expected.map(|(action, kind)| (action.to_owned(), kind.to_owned()));
        assert_eq!(actions("BatchGetItem", &body), expected);
        let query = json!({ "IndexName": "by_user", "KeyConditionExpression": "user_id = :user_id" });
        assert_eq!(actions("Query", &query), [("Query".to_owned(), "index/by_user".to_owned())]);
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
