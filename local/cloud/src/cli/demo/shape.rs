//! Expected JSON: in a string `…` stands for at least one character, and the string `<number>` for a whole number.

use serde_json::Value;

/// Stands for a whole number, or for its digits in a text.
const NUMBER: &str = "<number>";

/// Whether `value` matches `shape`: exactly its fields.
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
        (Value::String(shape), Value::String(value)) => shape != NUMBER && text_fits(shape, value),
        (shape, value) => shape == value,
    }
}

/// Whether `text` matches `shape`.
pub(super) fn text_fits(shape: &str, text: &str) -> bool {
    if shape == NUMBER {
        return text.parse::<u64>().is_ok();
    }
    let Some((before, after)) = shape.split_once('…') else { return shape == text };
    text.strip_prefix(before).is_some_and(|rest| {
        let ends =
            rest.char_indices().map(|(at, _)| at).skip(1).chain((!rest.is_empty()).then_some(rest.len()));
        ends.filter_map(|at| rest.get(at..)).any(|rest| text_fits(after, rest))
    })
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
        for (shape, text) in [
            ("…", "a"),
            ("a…", "ab"),
            ("a…b", "axb"),
            ("?code=…&state=…", "?code=1&state=2"),
            ("a", "a"),
            ("a…b", "axbxb"),
        ] {
            assert!(text_fits(shape, text), "{shape} {text}");
        }
        for (shape, text) in
            [("…", ""), ("a…", "a"), ("a…b", "ab"), ("a…b", "axc"), ("a", "ab"), ("a…b", "axbc")]
        {
            assert!(!text_fits(shape, text), "{shape} {text}");
        }
    }
}
