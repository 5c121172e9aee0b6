//! Types for text fields that cannot hold an invalid value: parse, don't validate.

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory};
use icu_properties::{CodePointMapData, CodePointSetData};

/// Declares a type for a text field: trimmed, not empty, at most `max` bytes.
///
/// Identifiers state what they `accept` and keep every byte. Text that people see is declared `visible` and has the
/// form of [`visible`](crate::text::visible). It deserializes from a JSON string; an invalid text is refused with
/// `reason` and the field's name. With `secret`, `Debug` does not print the text.
///
/// ```
/// api::text! {
///     /// The name of a room.
///     pub struct RoomName { max: 128, reason: InvalidField, accept: |text| !text.contains(char::is_control) }
/// }
/// assert!(RoomName::parse("daily").is_ok());
///
/// api::text! {
///     /// The name of a person.
///     pub struct Name { max: 128, reason: InvalidField, visible }
/// }
/// assert_eq!(Name::parse("Ｊａｎｅ\u{200b}").unwrap().as_str(), "Jane");
/// ```
#[macro_export]
macro_rules! text {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { max: $max:expr, reason: $reason:ident, accept: $accept:expr, secret }) => {
        $crate::text! { @type $(#[$meta])* $vis $name, $max, $reason, |text| $crate::text::trimmed(text, $accept) }

        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(concat!(stringify!($name), "([redacted])"))
            }
        }
    };
    ($(#[$meta:meta])* $vis:vis struct $name:ident { max: $max:expr, reason: $reason:ident, accept: $accept:expr }) => {
        $crate::text! { @type $(#[$meta])* $vis $name, $max, $reason, |text| $crate::text::trimmed(text, $accept) }
        $crate::text! { @debug $name }
    };
    ($(#[$meta:meta])* $vis:vis struct $name:ident { max: $max:expr, reason: $reason:ident, visible }) => {
        $crate::text! { @type $(#[$meta])* $vis $name, $max, $reason, $crate::text::visible }
        $crate::text! { @debug $name }
    };
    (@debug $name:ident) => {
        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.0).finish()
            }
        }
    };
    (@type $(#[$meta:meta])* $vis:vis $name:ident, $max:expr, $reason:ident, $read:expr) => {
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
                let read: fn(&str) -> ::std::option::Option<::std::string::String> = $read;
                match read(text) {
                    Some(text) if text.is_empty() => Err($crate::Reason::MissingField),
                    Some(text) if text.len() <= Self::MAX_BYTES => Ok(Self(text)),
                    _ => Err($crate::Reason::$reason),
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

/// An identifier without the white space around it. `None` if `accept` refuses it.
pub fn trimmed(text: &str, accept: fn(&str) -> bool) -> Option<String> {
    let text = text.trim();
    (text.is_empty() || accept(text)).then(|| text.to_owned())
}

/// The one form of a text that people see, so that texts that look alike are equal and no text is invisible:
///
/// - NFKC, without blanks around it. A text without a visible character is empty.
/// - Without format characters (Unicode's category Cf) and other ignorable ones. They come with copied text: a byte
///   order mark, a zero-width space, a soft hyphen.
/// - ZWNJ and ZWJ stay between visible characters, where Persian, Indic scripts and emoji need them, and a variation
///   selector stays after one.
///
/// `None` if it contains control characters, line separators, or characters that override the direction of the text
/// that follows: nobody types these into a name.
pub fn visible(text: &str) -> Option<String> {
    let text = text.trim();
    if text.contains(is_control) {
        return None;
    }
    let mut kept = String::with_capacity(text.len());
    let mut joiner = None;
    for each in text.chars() {
        let last = kept.chars().next_back().filter(|last| !is_blank(*last));
        if matches!(each, '\u{200c}' | '\u{200d}') {
            joiner = Some(each);
        } else if !is_ignorable(each) {
            kept.extend(joiner.take().filter(|_| last.is_some() && !is_blank(each)));
            kept.push(each);
        } else if is_variation_selector(each) && last.is_some_and(|last| !is_ignorable(last)) {
            kept.push(each);
        }
    }
    Some(nfkc(&kept).trim_matches(is_blank).to_owned())
}

/// `text` in NFKC: full-width letters, ligatures and composed letters each have one form.
pub(crate) fn nfkc(text: &str) -> Cow<'_, str> {
    ComposingNormalizerBorrowed::new_nfkc().normalize(text)
}

/// Whether `each` leaves a gap: white space, or the braille pattern without dots.
pub(crate) fn is_blank(each: char) -> bool {
    each.is_whitespace() || each == '\u{2800}'
}

/// Whether nothing is drawn for `each`: format characters, and those that Unicode lists as ignorable in display, such
/// as Hangul fillers and variation selectors.
pub(crate) fn is_ignorable(each: char) -> bool {
    CodePointMapData::<GeneralCategory>::new().get(each) == GeneralCategory::Format
        || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(each)
}

/// Whether `each` controls a device, a line, or the direction of the text after it: embeddings, overrides, isolates.
fn is_control(each: char) -> bool {
    each.is_control() || matches!(each, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether `each` chooses among the shapes of the character before it: of emoji, of Han characters, of Mongolian.
fn is_variation_selector(each: char) -> bool {
    matches!(each, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' | '\u{180b}'..='\u{180d}' | '\u{180f}')
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn texts_that_look_alike_are_equal() {
        for (text, seen) in [
            ("  Jane\u{a0}Doe\n", "Jane Doe"),
            ("Ｊａｎｅ", "Jane"),
            ("Zoe\u{308}", "Zoë"),
            ("Zoe\u{34f}\u{308}", "Zoë"),
            ("\u{feff}Ja\u{ad}ne\u{200b}\u{2060}\u{200e}", "Jane"),
            ("김\u{3164}\u{115f}", "김"),
            ("a\u{e0041}\u{e0042}", "a"),
        ] {
            assert_eq!(visible(text).as_deref(), Some(seen), "{text:?}");
        }
    }

    #[test]
    fn joiners_and_selectors_stay_where_a_script_needs_them() {
        for text in [
            "می\u{200c}خواهم",
            "क्\u{200d}ष",
            "👩\u{200d}👩\u{200d}👧\u{200d}👦",
            "❤\u{fe0f}\u{200d}🔥",
            "葛\u{e0100}飾",
        ] {
            assert_eq!(visible(text).as_deref(), Some(text), "{text:?}");
        }
        for (text, seen) in [
            ("\u{200d}Jane\u{200c}", "Jane"),
            ("Jane \u{200c} Doe", "Jane  Doe"),
            ("می\u{200c}\u{200c}خواهم", "می\u{200c}خواهم"),
            ("\u{fe0f}a\u{fe0f}\u{fe0f}", "a\u{fe0f}"),
        ] {
            assert_eq!(visible(text).as_deref(), Some(seen), "{text:?}");
        }
    }

    #[test]
    fn a_text_without_visible_characters_is_empty() {
        for text in
            ["", " \t", "\u{200b}", "\u{200d}", "\u{3164}", "\u{2800}", "\u{feff} \u{fe0f}", "\u{e0001}"]
        {
            assert_eq!(visible(text).as_deref(), Some(""), "{text:?}");
        }
    }

    #[test]
    fn control_characters_and_changes_of_direction_are_refused() {
        for each in ('\u{0}'..='\u{1f}')
            .chain('\u{7f}'..='\u{9f}')
            .chain('\u{2028}'..='\u{202e}')
            .chain('\u{2066}'..='\u{2069}')
        {
            assert_eq!(visible(&format!("Jane{each}Doe")), None, "{each:?}");
        }
    }
}
