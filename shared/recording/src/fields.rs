//! The fields of requests about recordings.

use std::borrow::Cow;

use api::Reason;
use api::text::visible;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

api::text! {
    /// Application-defined area, such as a building or a team: at most 64 bytes, any script, no control characters.
    /// An identifier: compared byte by byte, never normalized.
    pub struct ZoneId { max: 64, reason: InvalidField, accept: |text| !text.contains(char::is_control) }
}

api::text! {
    /// The topic of a conference: at most 200 bytes, any script, in its visible form.
    pub struct Topic { max: 200, reason: InvalidField, visible }
}

api::text! {
    /// LiveKit's id of an egress: at most 64 bytes of visible ASCII.
    pub struct EgressId { max: 64, reason: InvalidField, accept: api::text::is_visible_ascii }
}

/// Participants as a comma-separated list: at most 500 names of at most 128 bytes each, any script, in their visible
/// form. Empty entries and repeated names are dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participants(Vec<String>);

impl Participants {
    /// The maximum number of names.
    pub const MAX: usize = 500;
    /// The maximum length of a name, in bytes of UTF-8.
    pub const MAX_NAME_BYTES: usize = 128;

    /// Parses a list.
    ///
    /// # Errors
    /// `missing_field` without any name; `invalid_field` for too many names, or a name that is too long or contains
    /// control characters.
    pub fn parse(list: &str) -> Result<Self, Reason> {
        // The whole list first: its form can contain a comma that the list does not, such as a full-width one's.
        let list = visible(list).ok_or(Reason::InvalidField)?;
        let mut seen = std::collections::HashSet::new();
        let names: Vec<_> = list
            .split(',')
            .filter_map(visible)
            .filter(|name| !name.is_empty() && seen.insert(name.clone()))
            .collect();
        if names.is_empty() {
            Err(Reason::MissingField)
        } else if names.len() > Self::MAX || names.iter().any(|name| name.len() > Self::MAX_NAME_BYTES) {
            Err(Reason::InvalidField)
        } else {
            Ok(Self(names))
        }
    }

    /// The names, in their original order.
    pub fn names(&self) -> &[String] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Participants {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = String::deserialize(deserializer)?;
        Self::parse(&list).map_err(|reason| de::Error::custom(reason.name()))
    }
}

impl JsonSchema for Participants {
    fn schema_name() -> Cow<'static, str> {
        "Participants".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "description": "Comma-separated names." })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> Result<Vec<String>, Reason> {
        Participants::parse(list).map(|participants| participants.0)
    }

    #[test]
    fn names_are_trimmed_and_repetitions_dropped() {
        assert_eq!(
            names("alice, bob ,,alice, , チャーリー"),
            Ok(vec!["alice".into(), "bob".into(), "チャーリー".into()])
        );
        assert_eq!(
            names("Jane,Ｊａｎｅ，\u{200b},Ja\u{ad}ne,می\u{200c}خواهم\u{200c},"),
            Ok(vec!["Jane".into(), "می\u{200c}خواهم".into()])
        );
        assert_eq!(names(" , ,\u{200b}"), Err(Reason::MissingField));
        assert_eq!(names(""), Err(Reason::MissingField));
    }

    #[test]
    fn a_list_has_limits() {
        let list = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        assert_eq!(names(&list(500)).map(|names| names.len()), Ok(500));
        assert_eq!(names(&list(501)), Err(Reason::InvalidField));
        assert_eq!(names(&format!("{},{}", list(500), list(500))).map(|names| names.len()), Ok(500));
        assert!(names(&"n".repeat(128)).is_ok());
        assert_eq!(names(&"n".repeat(129)), Err(Reason::InvalidField));
        assert_eq!(names("a\u{7}b"), Err(Reason::InvalidField));
        assert_eq!(names("a,b\u{202e}c"), Err(Reason::InvalidField));
    }
}
