//! CloudFormation's YAML as plain JSON: the short form of an intrinsic (`!Sub x`) becomes its long form
//! (`{"Fn::Sub": "x"}`), so that the rest of the reader knows one notation.

use serde_json::{Map, Value, json};
use serde_yaml_ng::Value as Yaml;

use super::TemplateError;

/// Parses a template into JSON, intrinsics in their long form.
pub(super) fn long_form(text: &str) -> Result<Value, TemplateError> {
    let yaml: Yaml = serde_yaml_ng::from_str(text)
        .map_err(|error| TemplateError::new(format!("the template is not YAML: {error}")))?;
    convert(yaml)
}

fn convert(yaml: Yaml) -> Result<Value, TemplateError> {
    Ok(match yaml {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => Value::Bool(value),
        Yaml::Number(number) => {
            if let Some(whole) = number.as_i64() {
                json!(whole)
            } else if let Some(whole) = number.as_u64() {
                json!(whole)
            } else {
                json!(number.as_f64())
            }
        }
        Yaml::String(text) => Value::String(text),
        Yaml::Sequence(items) => Value::Array(items.into_iter().map(convert).collect::<Result<_, _>>()?),
        Yaml::Mapping(entries) => {
            let mut object = Map::new();
            for (key, value) in entries {
                object.insert(key_text(&key)?, convert(value)?);
            }
            Value::Object(object)
        }
        Yaml::Tagged(tagged) => {
            let tag = tagged.tag.to_string();
            let tag = tag.trim_start_matches('!');
            let value = convert(tagged.value)?;
            match (tag, value) {
                ("Ref" | "Condition", value) => json!({ tag: value }),
                ("GetAtt", Value::String(path)) => {
                    let (resource, attribute) = path.split_once('.').unwrap_or((&path, ""));
                    json!({ "Fn::GetAtt": [resource, attribute] })
                }
                (tag, value) => json!({ format!("Fn::{tag}"): value }),
            }
        }
    })
}

fn key_text(key: &Yaml) -> Result<String, TemplateError> {
    match key {
        Yaml::String(text) => Ok(text.clone()),
        Yaml::Number(number) => Ok(number.to_string()),
        Yaml::Bool(value) => Ok(value.to_string()),
        _ => Err(TemplateError::new("a key of the template is not a scalar")),
    }
}
