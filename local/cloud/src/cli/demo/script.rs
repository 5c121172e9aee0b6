//! The tour as data: `tour.yaml` tells what happens, openapi.yaml supplies paths, summaries, example requests and error
//! bodies.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::project::Failure;

/// A heading and the steps below it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Chapter {
    pub(super) title: String,
    pub(super) intro: String,
    /// [`Step`]s whose `{name}`s are not filled in yet.
    pub(super) steps: Vec<Value>,
}

/// What is done, and what must come of it. `tour.yaml` describes the fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    #[serde(rename = "do")]
    pub(super) action: String,
    #[serde(default)]
    pub(super) say: String,
    #[serde(default, rename = "as")]
    pub(super) browser: String,
    pub(super) bearer: Option<String>,
    #[serde(default)]
    pub(super) with: BTreeMap<String, String>,
    /// JSON; a text is sent as it is.
    pub(super) send: Option<Value>,
    pub(super) status: Option<u16>,
    pub(super) refused: Option<String>,
    #[serde(default)]
    pub(super) body: Value,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) signed_in: Option<bool>,
    #[serde(default)]
    pub(super) keep: BTreeMap<String, String>,
}

impl Step {
    /// The verb and its argument.
    pub(super) fn action(&self) -> (&str, &str) {
        self.action.split_once(' ').unwrap_or((&self.action, ""))
    }
}

/// An operation of openapi.yaml.
pub(super) struct Operation {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) summary: String,
    /// The example of its request.
    pub(super) example: Option<Value>,
    /// The statuses of its responses.
    pub(super) statuses: BTreeSet<u16>,
}

/// The tour and the API that it visits.
pub(super) struct Script {
    pub(super) chapters: Vec<Chapter>,
    /// By operation id.
    pub(super) operations: BTreeMap<String, Operation>,
    document: Value,
}

impl Script {
    /// Adds a step for each operation that has none. Fails if a step is malformed.
    pub(super) fn load(root: &Path) -> Result<Self, Failure> {
        let path = root.join("openapi.yaml");
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let tour: Value = serde_yaml_ng::from_str(include_str!("tour.yaml"))?;
        let chapters: Vec<Chapter> = serde_json::from_value(tour)?;
        let document: Value = serde_yaml_ng::from_str(&text)?;
        let mut script = Self { chapters, operations: operations(&document), document };

        let mut visited = BTreeSet::new();
        for step in script.chapters.iter().flat_map(|chapter| &chapter.steps) {
            let step = Step::deserialize(step).map_err(|error| format!("tour.yaml: {error} in {step}"))?;
            if let ("call", id) = step.action() {
                visited.insert(id.to_owned());
            }
        }
        let others: Vec<_> = script.operations.keys().filter(|id| !visited.contains(*id)).collect();
        if !others.is_empty() {
            let steps = others.iter().map(|id| json!({ "do": format!("call {id}"), "as": "jane" })).collect();
            let intro = "Endpoints without a step of their own are called with their examples.".to_owned();
            script.chapters.push(Chapter { title: "Other endpoints".to_owned(), intro, steps });
        }
        Ok(script)
    }

    pub(super) fn operation(&self, id: &str) -> Result<&Operation, Failure> {
        self.operations.get(id).ok_or_else(|| format!("openapi.yaml has no operation {id}").into())
    }

    /// Status and body of the error example `name`, whose request id varies; `additions` replace its other fields.
    pub(super) fn refusal(&self, name: &str, additions: &Value) -> Result<(u16, Value), Failure> {
        let example = self.document.pointer(&format!("/components/examples/{name}/value"));
        let mut body = example.and_then(Value::as_object).cloned().unwrap_or_default();
        let status = body.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
        let status = status.ok_or_else(|| format!("openapi.yaml has no error example {name}"))?;
        body.insert("requestId".to_owned(), "…".into());
        body.extend(
            additions.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())),
        );
        Ok((status, Value::Object(body)))
    }
}

fn operations(document: &Value) -> BTreeMap<String, Operation> {
    let mut operations = BTreeMap::new();
    let paths = document.get("paths").and_then(Value::as_object).into_iter().flatten();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let text =
                |name: &str| operation.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let responses = operation.get("responses").and_then(Value::as_object).into_iter().flatten();
            let found = Operation {
                method: method.to_uppercase(),
                path: with_examples(path, operation),
                summary: text("summary"),
                example: operation.pointer("/requestBody/content/application~1json/example").cloned(),
                statuses: responses.filter_map(|(status, _)| status.parse().ok()).collect(),
            };
            operations.insert(text("operationId"), found);
        }
    }
    operations
}

/// The path and query of an operation, with the examples of its parameters.
fn with_examples(path: &str, operation: &Value) -> String {
    let (mut path, mut query) = (path.to_owned(), Vec::new());
    for parameter in operation.get("parameters").and_then(Value::as_array).into_iter().flatten() {
        let text = |name: &str| parameter.get(name).and_then(Value::as_str);
        let (Some(name), Some(example)) = (text("name"), text("example")) else { continue };
        match text("in") {
            Some("path") => path = path.replace(&format!("{{{name}}}"), example),
            Some("query") => query.push(format!("{name}={example}")),
            _ => {}
        }
    }
    if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
}
