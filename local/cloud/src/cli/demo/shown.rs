//! How values are printed. A secret is shortened to its beginning: enough to see that it changed.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::Value;

/// Words of this length are secrets, unless they are ids.
const SECRET_LENGTH: usize = 32;
const KEPT: usize = 8;

/// Headers that differ between requests and between responses.
const VARYING: [&str; 7] = [
    "access-control-request-method",
    "authorization",
    "cookie",
    "location",
    "origin",
    "retry-after",
    "set-cookie",
];

/// A text with its secrets shortened.
pub(super) fn text(text: &str) -> String {
    let in_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let mut shown = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        if is_secret(word) {
            shown.extend(word.chars().take(KEPT).chain(['…']));
        } else {
            shown.push_str(word);
        }
        let next = tail.find(in_word).unwrap_or(tail.len());
        let (between, after) = tail.split_at(next);
        shown.push_str(between);
        rest = after;
    }
    shown
}

/// A body: pretty JSON, the heading of a page, or text, abbreviated if it is long.
pub(super) fn body(body: &Value) -> Option<String> {
    match body {
        Value::Null => None,
        Value::String(page) => {
            Some(match page.split_once("<h1>").and_then(|(_, rest)| rest.split_once("</h1>")) {
                Some((heading, _)) => format!("(a page: {heading})"),
                None if page.chars().count() > 80 => format!("({} bytes)", page.len()),
                None => text(page),
            })
        }
        json => serde_json::to_string_pretty(json).ok().map(|pretty| text(&pretty)),
    }
}

/// Headers worth a look, a line each: those that vary, a content type other than JSON, and the `expected` ones.
pub(super) fn headers(headers: &HeaderMap, expected: &[&str]) -> Vec<String> {
    let shown = headers.iter().filter(|(name, value)| {
        let is_json = value.as_bytes().starts_with(b"application/json");
        VARYING.contains(&name.as_str())
            || expected.contains(&name.as_str())
            || (*name == CONTENT_TYPE && !is_json)
    });
    shown
        .map(|(name, value)| format!("{name}: {}", text(&String::from_utf8_lossy(value.as_bytes()))))
        .collect()
}

/// `text` with each line indented.
pub(super) fn indented(text: &str) -> String {
    text.lines().map(|line| format!("      {line}")).collect::<Vec<_>>().join("\n")
}

/// Tokens and hashes are long. So are ids, but they are a name and 26 characters (`session_01JZG38PH9VWFRMCXZB8M5B6SR`)
/// or a UUID, and header names, which have dashes (`access-control-allow-credentials`).
fn is_secret(word: &str) -> bool {
    let is_id = word.split_once('_').is_some_and(|(name, id)| {
        let upper = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
        name.chars().all(|c| c.is_ascii_lowercase()) && id.len() == 26 && id.chars().all(upper)
    });
    let is_uuid = word.split('-').map(str::len).eq([8, 4, 4, 4, 12])
        && word.chars().all(|c| c == '-' || c.is_ascii_hexdigit());
    let is_name = word.contains('-') && word.chars().all(|c| c == '-' || c.is_ascii_lowercase());
    word.len() >= SECRET_LENGTH && !is_id && !is_uuid && !is_name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_shortened_and_ids_are_not() {
        let token = "vGFQKtaeOd-9PN4qT6eFytKIzr2H47-5At8pVGbaoew";
        let id = "session_01JZG38PH9VWFRMCXZB8M5B6SR";
        assert_eq!(
            text(&format!("__Host-session={token}; id={id}")),
            format!("__Host-session=vGFQKtae…; id={id}")
        );
        let uuid = "73aac137-aa65-45f6-b50b-adae3d7400fb";
        assert_eq!(text(uuid), uuid);
        assert_eq!(text("access-control-allow-credentials"), "access-control-allow-credentials");
        assert_eq!(text("http://127.0.0.1:80/a?b=c"), "http://127.0.0.1:80/a?b=c");
    }
}
