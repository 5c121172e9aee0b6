//! Email addresses.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use ring::digest::{SHA256, digest};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::{Reason, text};

/// An email address in one form, whatever form it was typed or pasted in: at most 254 bytes (RFC 5321 4.5.3.1.3).
///
/// The local part is in NFKC without characters that nobody sees; the domain is in lower case, international ones in
/// their ASCII form (UTS #46). Accepts addresses that mail can be sent to, not every form of RFC 5322: one `@`, no
/// white space or control characters, a local part of at most 64 bytes, and a domain with a dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailAddress(String);

impl EmailAddress {
    /// Parses an address.
    ///
    /// # Errors
    /// `missing_field` if `text` is blank, `invalid_email` if it is not an address.
    pub fn parse(text: &str) -> Result<Self, Reason> {
        let text = text::visible(text).ok_or(Reason::InvalidEmail)?;
        if text.is_empty() {
            return Err(Reason::MissingField);
        }
        let (local, domain) = text.rsplit_once('@').ok_or(Reason::InvalidEmail)?;
        // Joiners and variation selectors distinguish names, never mailboxes.
        let local = local.replace(text::is_ignorable, "");
        let local = text::nfkc(&local);
        let local_fits = (1..=64).contains(&local.len())
            && !local.contains(|each| text::is_blank(each) || "@,;:<>()[]\\\"".contains(each))
            && !local.starts_with('.')
            && !local.ends_with('.')
            && !local.contains("..");
        let domain = Uts46::new()
            .to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify)
            .map_err(|_| Reason::InvalidEmail)?;
        let address = format!("{local}@{domain}");
        if address.len() > 254 || !local_fits || !domain.contains('.') {
            return Err(Reason::InvalidEmail);
        }
        Ok(Self(address))
    }

    /// The address, with the case of its local part as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The domain, in lower case and ASCII.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// The address in lower case, for comparing and counting addresses.
    pub fn folded(&self) -> String {
        self.0.to_lowercase()
    }

    /// The SHA-256 of the address, however it is written, as base64url: stands for the address in logs and keys.
    pub fn hash(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, self.folded().as_bytes()))
    }

    /// Whether `other` is the same address, regardless of case and of how it is written.
    pub fn is_same_as(&self, other: &str) -> bool {
        Self::parse(other).is_ok_and(|other| self.folded() == other.folded())
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
    fn one_address_has_one_form() {
        let expected = "jürgen@xn--bcher-kva.example";
        for text in [
            "jürgen@bücher.example",
            "ju\u{308}rgen@BU\u{308}CHER.example",
            "jürgen@xn--bcher-kva.example",
            "jürgen@XN--BCHER-KVA.example",
            "ｊürgen＠bücher。ｅxample",
            "\u{feff}jür\u{200b}gen@bü\u{200b}cher.example\u{200e}",
            "jür\u{200d}gen@bücher.example",
            "jü\u{fe0f}rgen\u{200c}@bücher.example",
            "ju\u{200c}\u{308}rgen@bücher.example",
        ] {
            assert_eq!(
                EmailAddress::parse(text).as_ref().map(EmailAddress::as_str),
                Ok(expected),
                "{text:?}"
            );
            assert!(EmailAddress::parse(expected).unwrap().is_same_as(&text.to_uppercase()), "{text:?}");
        }
        // A joiner that a script requires makes another domain (RFC 5892 A.1); elsewhere it is invalid.
        let address = |text: &str| EmailAddress::parse(text).map(|email| email.0);
        assert_ne!(address("a@نامه\u{200c}ای.example"), address("a@نامهای.example"));
        assert_eq!(address("a@exa\u{200c}mple.com"), Err(Reason::InvalidEmail));
    }

    #[test]
    fn an_address_of_invisible_characters_is_blank() {
        for text in ["\u{200b}", "\u{feff} \u{2060}", "\u{3164}"] {
            assert_eq!(EmailAddress::parse(text), Err(Reason::MissingField), "{text:?}");
        }
        for text in
            ["\u{200b}@example.com", "\u{2800}@example.com", "a@\u{200b}.com", "a\u{202e}b@example.com"]
        {
            assert_eq!(EmailAddress::parse(text), Err(Reason::InvalidEmail), "{text:?}");
        }
    }
}
