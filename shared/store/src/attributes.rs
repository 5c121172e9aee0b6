//! Attributes in and out of items.

use std::collections::HashMap;

use api::{ApiError, Reason};
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;

/// An item, as the SDK gives and takes it.
pub type Item = HashMap<String, AttributeValue>;

/// A string.
pub fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// A whole number.
pub fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// Bytes.
pub fn bytes(value: impl Into<Vec<u8>>) -> AttributeValue {
    AttributeValue::B(Blob::new(value))
}

/// A list of strings.
pub fn texts(values: &[String]) -> AttributeValue {
    AttributeValue::L(values.iter().map(text).collect())
}

/// Reads attributes of one item. A missing or mistyped attribute is our own error: nobody else writes to the table.
pub struct Reader<'a>(pub &'a Item);

impl Reader<'_> {
    /// A string, if there is one.
    pub fn optional_text(&self, name: &str) -> Option<String> {
        self.0.get(name).and_then(|value| value.as_s().ok()).cloned()
    }

    /// A string.
    pub fn text(&self, name: &str) -> Result<String, ApiError> {
        self.optional_text(name).ok_or_else(|| corrupt(name))
    }

    /// A whole number.
    pub fn number(&self, name: &str) -> Result<u64, ApiError> {
        self.optional_number(name).ok_or_else(|| corrupt(name))
    }

    /// A whole number, if there is one.
    pub fn optional_number(&self, name: &str) -> Option<u64> {
        self.0.get(name).and_then(|value| value.as_n().ok()).and_then(|digits| digits.parse().ok())
    }

    /// Bytes.
    pub fn bytes(&self, name: &str) -> Result<Vec<u8>, ApiError> {
        let value = self.0.get(name).and_then(|value| value.as_b().ok());
        value.map(|blob| blob.as_ref().to_vec()).ok_or_else(|| corrupt(name))
    }

    /// A list of strings; empty where there is none.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let values = self.0.get(name).and_then(|value| value.as_l().ok());
        values.into_iter().flatten().filter_map(|value| value.as_s().ok()).cloned().collect()
    }
}

fn corrupt(name: &str) -> ApiError {
    ApiError::new(Reason::Internal)
        .because(format!("the item's attribute {name} is missing or of another type"))
}
