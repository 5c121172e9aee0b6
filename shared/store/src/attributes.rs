//! Conversions between Rust values and DynamoDB attributes.

use std::collections::HashMap;

use api::{ApiError, Reason};
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;

/// An item, or some of its attributes, by name.
pub type Item = HashMap<String, AttributeValue>;

/// A string attribute.
pub fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// A number attribute.
pub fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// A binary attribute.
pub fn bytes(value: impl Into<Vec<u8>>) -> AttributeValue {
    AttributeValue::B(Blob::new(value))
}

/// A list of strings.
pub fn strings(values: &[String]) -> AttributeValue {
    AttributeValue::L(values.iter().map(text).collect())
}

/// A set of strings. DynamoDB refuses empty ones.
pub fn string_set(values: impl IntoIterator<Item = String>) -> AttributeValue {
    AttributeValue::Ss(values.into_iter().collect())
}

/// Reads attributes of an item. A missing or mistyped attribute is a bug: nothing else writes to the table.
pub struct Reader<'a>(pub &'a Item);

impl Reader<'_> {
    /// An optional string.
    pub fn optional_text(&self, name: &str) -> Option<String> {
        self.0.get(name).and_then(|value| value.as_s().ok()).cloned()
    }

    /// A string.
    ///
    /// # Errors
    /// `internal` if the attribute is missing or of another type.
    pub fn text(&self, name: &str) -> Result<String, ApiError> {
        self.optional_text(name).ok_or_else(|| corrupt(name))
    }

    /// An optional whole number.
    pub fn optional_number(&self, name: &str) -> Option<u64> {
        self.0.get(name).and_then(|value| value.as_n().ok()).and_then(|digits| digits.parse().ok())
    }

    /// A whole number.
    ///
    /// # Errors
    /// As [`Reader::text`].
    pub fn number(&self, name: &str) -> Result<u64, ApiError> {
        self.optional_number(name).ok_or_else(|| corrupt(name))
    }

    /// Optional bytes.
    pub fn optional_bytes(&self, name: &str) -> Option<Vec<u8>> {
        let value = self.0.get(name).and_then(|value| value.as_b().ok());
        value.map(|blob| blob.as_ref().to_vec())
    }

    /// A set of strings; empty if it is missing.
    pub fn string_set(&self, name: &str) -> &[String] {
        self.0.get(name).and_then(|value| value.as_ss().ok()).map_or(&[], Vec::as_slice)
    }

    /// A list of strings; empty if it is missing.
    pub fn strings(&self, name: &str) -> Vec<String> {
        let values = self.0.get(name).and_then(|value| value.as_l().ok());
        values.into_iter().flatten().filter_map(|value| value.as_s().ok()).cloned().collect()
    }
}

fn corrupt(name: &str) -> ApiError {
    ApiError::new(Reason::Internal).because(format!("attribute {name} is missing or of another type"))
}
