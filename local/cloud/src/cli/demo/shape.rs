//! What a body must be: JSON, in which `…` in a text stands for any characters (at least one) and the text
//! `<number>` for any whole number.

use serde_json::Value;

/// Stands for any whole number.
pub(super) const NUMBER: &str = "<number>";

/// Whether `value` is as `shape` says: the same fields, no more and no fewer.
pub(super) fn fits(shape: &Value, value: &Value) -> bool {
    match (shape, value) {
        (Value::Object(shape), Value::Object(value)) => {
            shape.len() == value.len()
                && shape.iter().all(|(name, shape)| value.get(name).is_some_and(|value| fits(shape, value)))
        }
        (Value::Array(shape), Value::Array(value)) => {
            shape.len() == value.len() && shape.iter().zip(value).all(|(shape, value)| fits(shape, value))
        }
        (Value::String(shape), Value::Number(value)) => shape == NUMBER && (value.is_u64() || value.is_i64()),
        (Value::String(shape), Value::String(value)) => text_fits(shape, value),
        (shape, value) => shape == value,
    }
}

/// Whether `text` is `shape`, each `…` standing for at least one character.
pub(super) fn text_fits(shape: &str, text: &str) -> bool {
    let mut parts = shape.split('…');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut open = false;
    for part in parts {
        let mut starts =
            rest.char_indices().skip(1).map(|(at, _)| at).chain((!rest.is_empty()).then_some(rest.len()));
        let after = starts.find_map(|at| rest.get(at..).and_then(|tail| tail.strip_prefix(part)));
        let Some(after) = after else { return false };
        open = part.is_empty();
        rest = after;
    }
    open || rest.is_empty()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_body_fits_with_exactly_the_fields_of_its_shape() {
        let shape = json!({ "id": "user_…", "at": NUMBER, "list": ["a"] });
        assert!(fits(&shape, &json!({ "id": "user_1", "at": 5, "list": ["a"] })));
        for other in [
            json!({ "id": "user_", "at": 5, "list": ["a"] }),
            json!({ "id": "user_1", "at": "5", "list": ["a"] }),
            json!({ "id": "user_1", "at": 5, "list": [] }),
            json!({ "id": "user_1", "at": 5 }),
            json!({ "id": "user_1", "at": 5, "list": ["a"], "more": null }),
        ] {
            assert!(!fits(&shape, &other), "{other}");
        }
    }

    #[test]
    fn an_ellipsis_stands_for_at_least_one_character() {
        for (shape, text) in
            [("…", "a"), ("a…", "ab"), ("a…b", "axb"), ("?code=…&state=…", "?code=1&state=2"), ("a", "a")]
        {
            assert!(text_fits(shape, text), "{shape} {text}");
        }
        for (shape, text) in
            [("…", ""), ("a…", "a"), ("a…b", "ab"), ("a…b", "axc"), ("a", "ab"), ("a…b", "axbc")]
        {
            assert!(!text_fits(shape, text), "{shape} {text}");
        }
    }
}
