//! Types for text fields that cannot hold an invalid value: parse, don't validate.

/// Declares a type for a text field: trimmed, not empty, at most `max` bytes, and accepted by `accept`.
///
/// It deserializes from a JSON string; an invalid text is refused with `reason` and the field's name. With `secret`,
/// `Debug` does not print the text.
///
/// ```
/// api::text! {
///     /// The name of a room.
///     pub struct RoomName { max: 128, reason: InvalidField, accept: |text| !text.contains(char::is_control) }
/// }
/// assert!(RoomName::parse("daily").is_ok());
/// ```
#[macro_export]
macro_rules! text {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { max: $max:expr, reason: $reason:ident, accept: $accept:expr, secret }) => {
        $crate::text! { @type $(#[$meta])* $vis $name, $max, $reason, $accept }

        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(concat!(stringify!($name), "([redacted])"))
            }
        }
    };
    ($(#[$meta:meta])* $vis:vis struct $name:ident { max: $max:expr, reason: $reason:ident, accept: $accept:expr }) => {
        $crate::text! { @type $(#[$meta])* $vis $name, $max, $reason, $accept }

        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.0).finish()
            }
        }
    };
    (@type $(#[$meta:meta])* $vis:vis $name:ident, $max:expr, $reason:ident, $accept:expr) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq)]
        $vis struct $name(String);

        impl $name {
            /// The longest value, in bytes of UTF-8.
            $vis const MAX_BYTES: usize = $max;

            /// Parses a value.
            ///
            /// # Errors
            /// `missing_field` if `text` is blank; the type's own reason if it is too long or not accepted.
            $vis fn parse(text: &str) -> ::std::result::Result<Self, $crate::Reason> {
                let text = text.trim();
                let accept: fn(&str) -> bool = $accept;
                if text.is_empty() {
                    Err($crate::Reason::MissingField)
                } else if text.len() > Self::MAX_BYTES || !accept(text) {
                    Err($crate::Reason::$reason)
                } else {
                    Ok(Self(text.to_owned()))
                }
            }

            /// The text.
            $vis fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<'de> $crate::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::serde::Deserializer<'de>>(deserializer: D) -> ::std::result::Result<Self, D::Error> {
                let text = <::std::string::String as $crate::serde::Deserialize>::deserialize(deserializer)?;
                Self::parse(&text).map_err(|reason| $crate::serde::de::Error::custom(reason.name()))
            }
        }

        impl $crate::schemars::JsonSchema for $name {
            fn schema_name() -> ::std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut $crate::schemars::SchemaGenerator) -> $crate::schemars::Schema {
                $crate::schemars::json_schema!({ "type": "string", "minLength": 1, "maxLength": Self::MAX_BYTES })
            }
        }
    };
}

/// Whether `text` is visible ASCII only, like identifiers and codes.
pub fn is_visible_ascii(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}
