//! Email addresses.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::Reason;

/// An email address: trimmed, with the domain in lower case, at most 254 bytes (RFC 5321 4.5.3.1.3).
///
/// Accepts addresses that mail can be sent to, not every form of RFC 5322: one `@`, no white space or control
/// characters, a local part of at most 64 bytes, and a domain with a dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailAddress(String);

impl EmailAddress {
    /// Parses an address.
    ///
    /// # Errors
    /// `missing_field` if `text` is blank, `invalid_email` if it is not an address.
    pub fn parse(text: &str) -> Result<Self, Reason> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Reason::MissingField);
        }
        let (local, domain) = text.rsplit_once('@').ok_or(Reason::InvalidEmail)?;
        let local_fits = (1..=64).contains(&local.len())
            && local
                .chars()
                .all(|each| !each.is_whitespace() && !each.is_control() && !"@,;:<>()[]\\\"".contains(each))
            && !local.starts_with('.')
            && !local.ends_with('.')
            && !local.contains("..");
        let labels_fit = domain.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.chars().all(|each| each.is_alphanumeric() || each == '-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        });
        if text.len() > 254 || !local_fits || !labels_fit || !domain.contains('.') {
            return Err(Reason::InvalidEmail);
        }
        Ok(Self(format!("{local}@{}", domain.to_lowercase())))
    }

    /// The address as written, except that the domain is in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The domain, in lower case.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// The address in lower case, for comparing and counting addresses.
    pub fn folded(&self) -> String {
        self.0.to_lowercase()
    }

    /// Whether `other` is the same address, regardless of case.
    pub fn is_same_as(&self, other: &str) -> bool {
        self.folded() == other.trim().to_lowercase()
    }
}

impl<'de> Deserialize<'de> for EmailAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|reason| de::Error::custom(reason.name()))
    }
}

impl JsonSchema for EmailAddress {
    fn schema_name() -> Cow<'static, str> {
        "EmailAddress".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "email", "minLength": 3, "maxLength": 254 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_is_lowercased_and_the_local_part_is_kept() {
        let email = EmailAddress::parse("  Jane.Doe@Example.COM ").unwrap();
        assert_eq!(email.as_str(), "Jane.Doe@example.com");
        assert_eq!(email.domain(), "example.com");
        assert!(email.is_same_as("jane.doe@EXAMPLE.com"));
    }

    #[test]
    fn undeliverable_addresses_are_refused() {
        for text in [
            "jane",
            "@example.com",
            "jane@",
            "jane@localhost",
            "a b@example.com",
            "a@b@example.com",
            "a@ex..com",
            "a@-x.com",
            "a\n@example.com",
            "<a@example.com>",
            ".a@example.com",
            &format!("{}@example.com", "a".repeat(65)),
            &format!("a@{}.com", "b".repeat(260)),
        ] {
            assert_eq!(EmailAddress::parse(text), Err(Reason::InvalidEmail), "{text}");
        }
        assert_eq!(EmailAddress::parse("  "), Err(Reason::MissingField));
    }

    #[test]
    fn international_addresses_are_accepted() {
        assert!(EmailAddress::parse("jürgen@bücher.example").is_ok());
    }
}
