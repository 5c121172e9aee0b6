//! Converts JSON to YAML, with the keys in the usual order of an OpenAPI document.

use serde_json::Value;
use serde_yaml_ng::{Mapping, Value as Yaml};

/// Keys that come before all others, in this order.
const FIRST: &[&str] = &[
    "$ref",
    "name",
    "in",
    "operationId",
    "summary",
    "description",
    "tags",
    "security",
    "required",
    "parameters",
    "requestBody",
    "responses",
    "type",
    "format",
    "scheme",
    "title",
    "headers",
    "content",
    "schema",
    "code",
    "message",
    "reason",
];

/// The same value with its keys in order.
pub fn ordered(value: Value) -> Yaml {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.into_iter().collect();
            let rank = |key: &str| FIRST.iter().position(|first| *first == key).unwrap_or(FIRST.len());
            fields.sort_by(|(one, _), (other, _)| (rank(one), one).cmp(&(rank(other), other)));
            let fields = fields.into_iter().map(|(key, value)| (Yaml::String(key), ordered(value)));
            Yaml::Mapping(fields.collect())
        }
        Value::Array(items) => Yaml::Sequence(items.into_iter().map(ordered).collect()),
        plain => serde_yaml_ng::to_value(plain).expect("JSON is YAML"),
    }
}

/// A mapping in the order given.
pub fn mapping(fields: impl IntoIterator<Item = (String, Yaml)>) -> Yaml {
    let fields = fields.into_iter().map(|(key, value)| (Yaml::String(key), value));
    Yaml::Mapping(fields.collect::<Mapping>())
}
