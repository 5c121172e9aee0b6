//! CloudFormation's intrinsic functions, as far as a local value exists.
//!
//! Source: "Intrinsic function reference" and "Pseudo parameters reference" of the AWS CloudFormation user guide.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::model::{API_ID, Deployment, TemplateError};

/// The only field of what [`Resolver::lenient`] puts in place of a value that exists only in AWS: the reason.
const UNRESOLVED: &str = "Unresolved";

/// `None` is `AWS::NoValue`: the property is left out.
type Resolved = Result<Option<Value>, TemplateError>;

/// Evaluates intrinsics against one template and one deployment.
pub(super) struct Resolver<'a> {
    root: &'a Value,
    deployment: &'a Deployment,
    parameters: BTreeMap<String, Value>,
}

/// Stops references that form a circle.
const MAX_DEPTH: usize = 32;

impl<'a> Resolver<'a> {
    pub(super) fn new(root: &'a Value, deployment: &'a Deployment) -> Result<Self, TemplateError> {
        let declared = root.get("Parameters").and_then(Value::as_object).cloned().unwrap_or_default();
        if let Some(name) = deployment.parameters.keys().find(|name| !declared.contains_key(*name)) {
            return Err(TemplateError::new(format!("the template has no parameter {name}")));
        }
        let mut parameters = BTreeMap::new();
        for (name, declaration) in &declared {
            let given = deployment.parameters.get(name).cloned();
            let Some(text) = given.or_else(|| declaration.get("Default").and_then(scalar)) else { continue };
            let allowed = declaration.get("AllowedValues").and_then(Value::as_array);
            if allowed.is_some_and(|values| !values.iter().filter_map(scalar).any(|value| value == text)) {
                return Err(TemplateError::new(format!("parameter {name}: {text} is not an allowed value")));
            }
            let kind = declaration.get("Type").and_then(Value::as_str).unwrap_or("String");
            let value = if kind == "CommaDelimitedList" || kind.starts_with("List<") {
                Value::Array(text.split(',').map(|item| Value::from(item.trim())).collect())
            } else if let ("Number", Ok(number)) = (kind, text.parse::<u64>()) {
                number.into()
            } else {
                Value::String(text)
            };
            parameters.insert(name.clone(), value);
        }
        Ok(Self { root, deployment, parameters })
    }

    /// Whether the resource's `Condition` holds; a resource without one is always deployed.
    pub(super) fn is_deployed(&self, resource: &Value) -> Result<bool, TemplateError> {
        match resource.get("Condition").and_then(Value::as_str) {
            Some(name) => self.named_condition(name, 0),
            None => Ok(true),
        }
    }

    /// The value; a field that exists only in AWS becomes an object that [`unresolved`] recognizes.
    pub(super) fn lenient(&self, value: &Value) -> Value {
        match value {
            Value::Object(object) if intrinsic(object).is_none() => {
                let fields = object.iter().filter(|(_, value)| !self.is_no_value(value));
                fields.map(|(name, value)| (name.clone(), self.lenient(value))).collect::<Map<_, _>>().into()
            }
            value => match self.evaluate(value, 0) {
                Ok(value) => value.unwrap_or_default(),
                Err(reason) => json!({ UNRESOLVED: reason.to_string() }),
            },
        }
    }

    fn is_no_value(&self, value: &Value) -> bool {
        value.as_object().and_then(intrinsic).is_some() && matches!(self.evaluate(value, 0), Ok(None))
    }

    /// The name that the resource has in AWS: its own, or one made of stack and logical id.
    pub(super) fn physical_name(&self, id: &str) -> Result<String, TemplateError> {
        self.name_of(id, 0)
    }

    fn evaluate(&self, value: &Value, depth: usize) -> Resolved {
        if depth > MAX_DEPTH {
            return Err(TemplateError::new("values refer to each other in a circle"));
        }
        let depth = depth + 1;
        match value {
            Value::Object(object) => {
                if let Some((name, argument)) = intrinsic(object) {
                    return self.intrinsic(name, argument, depth);
                }
                let mut resolved = Map::new();
                for (name, value) in object {
                    if let Some(value) = self.evaluate(value, depth)? {
                        resolved.insert(name.clone(), value);
                    }
                }
                Ok(Some(Value::Object(resolved)))
            }
            Value::Array(items) => {
                let mut resolved = Vec::new();
                for item in items {
                    resolved.extend(self.evaluate(item, depth)?);
                }
                Ok(Some(Value::Array(resolved)))
            }
            Value::String(text) if text.contains("{{resolve:") => {
                Err(TemplateError::new("it is a dynamic reference to a secret or parameter store"))
            }
            plain => Ok(Some(plain.clone())),
        }
    }

    fn intrinsic(&self, name: &str, argument: &Value, depth: usize) -> Resolved {
        let text = |text: String| Ok(Some(Value::String(text)));
        match (name, array(argument)) {
            ("Ref", _) => self.reference(argument.as_str().unwrap_or_default(), depth),
            ("Sub", _) => self.substitute(argument, depth),
            ("GetAtt", []) => text(self.attribute(argument.as_str().unwrap_or_default(), depth)?),
            ("GetAtt", _) => text(self.attribute(&self.list(argument, depth)?.join("."), depth)?),
            ("If", [condition, yes, no]) => {
                let holds = self.named_condition(condition.as_str().unwrap_or_default(), depth)?;
                self.evaluate(if holds { yes } else { no }, depth)
            }
            ("Join", [separator, items]) => {
                text(self.list(items, depth)?.join(separator.as_str().unwrap_or_default()))
            }
            ("Split", [separator, value]) => {
                let value = self.text(value, depth)?;
                let items = value.split(separator.as_str().unwrap_or_default());
                Ok(Some(items.map(Value::from).collect()))
            }
            ("FindInMap", [_, _, _]) => {
                let path = self.list(argument, depth)?.join("/");
                let value = self.root.pointer(&format!("/Mappings/{path}")).cloned();
                value.map(Some).ok_or_else(|| TemplateError(format!("there is no mapping {path}")))
            }
            ("Equals" | "And" | "Or" | "Not", _) => Ok(Some(self.condition(name, argument, depth)?.into())),
            _ => Err(TemplateError(format!("{name} with these arguments has no local value"))),
        }
    }

    fn reference(&self, name: &str, depth: usize) -> Resolved {
        let text = match name {
            "AWS::NoValue" => return Ok(None),
            "AWS::Region" => self.deployment.region.clone(),
            "AWS::AccountId" => self.deployment.account.clone(),
            "AWS::StackName" => self.deployment.stack.clone(),
            "AWS::Partition" => "aws".to_owned(),
            "AWS::URLSuffix" => "amazonaws.com".to_owned(),
            _ => {
                if let Some(value) = self.parameters.get(name) {
                    return Ok(Some(value.clone()));
                }
                if self.root.pointer("/Parameters").and_then(|all| all.get(name)).is_some() {
                    return Err(TemplateError::new(format!("the parameter {name} has no default")));
                }
                // `!Ref Function.Alias` and `.Version` are SAM's names for what it generates: ARNs.
                match name.split_once('.') {
                    Some((id, "Alias" | "Version")) => self.function_arn(id, depth)?,
                    _ => self.name_of(name, depth)?,
                }
            }
        };
        Ok(Some(Value::String(text)))
    }

    fn substitute(&self, argument: &Value, depth: usize) -> Resolved {
        let (pattern, variables) = match argument {
            Value::String(pattern) => (pattern.as_str(), None),
            _ => match array(argument) {
                [Value::String(pattern), variables] => (pattern.as_str(), variables.as_object()),
                _ => return Err(TemplateError::new("Fn::Sub takes a text")),
            },
        };
        let mut text = String::new();
        let mut rest = pattern;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, after)) = after.split_once('}') else { break };
            text.push_str(before);
            if let Some(literal) = name.strip_prefix('!') {
                text.push_str("${");
                text.push_str(literal);
                text.push('}');
            } else if let Some(value) = variables.and_then(|variables| variables.get(name)) {
                text.push_str(&self.text(value, depth)?);
            } else if self.parameters.contains_key(name) || !name.contains('.') {
                text.push_str(&self.text(&json!({ "Ref": name }), depth)?);
            } else {
                text.push_str(&self.attribute(name, depth)?);
            }
            rest = after;
        }
        text.push_str(rest);
        if text.contains("{{resolve:") {
            return Err(TemplateError::new("it is a dynamic reference to a secret or parameter store"));
        }
        Ok(Some(Value::String(text)))
    }

    /// `Resource.Attribute`, for the resources that exist locally.
    fn attribute(&self, path: &str, depth: usize) -> Result<String, TemplateError> {
        let (id, attribute) = path.split_once('.').unwrap_or((path, ""));
        let Deployment { region, account, .. } = self.deployment;
        match (self.kind(id)?, attribute) {
            ("AWS::Serverless::Function" | "AWS::Lambda::Function", "Arn") => self.function_arn(id, depth),
            ("AWS::DynamoDB::Table", "Arn") => {
                Ok(format!("arn:aws:dynamodb:{region}:{account}:table/{}", self.name_of(id, depth)?))
            }
            ("AWS::S3::Bucket", "Arn") => Ok(format!("arn:aws:s3:::{}", self.name_of(id, depth)?)),
            ("AWS::IAM::Role", "Arn") => {
                Ok(format!("arn:aws:iam::{account}:role/{}", self.name_of(id, depth)?))
            }
            (kind, _) => Err(TemplateError::new(format!("{path} is an attribute of a {kind}"))),
        }
    }

    fn function_arn(&self, id: &str, depth: usize) -> Result<String, TemplateError> {
        let Deployment { region, account, .. } = self.deployment;
        Ok(format!("arn:aws:lambda:{region}:{account}:function:{}", self.name_of(id, depth)?))
    }

    fn kind(&self, id: &str) -> Result<&'a str, TemplateError> {
        let resource = self.root.get("Resources").and_then(|resources| resources.get(id));
        resource
            .and_then(|resource| resource.get("Type")?.as_str())
            .ok_or_else(|| TemplateError::new(format!("there is no parameter or resource {id}")))
    }

    fn name_of(&self, id: &str, depth: usize) -> Result<String, TemplateError> {
        let property = match self.kind(id)? {
            "AWS::Serverless::Function" | "AWS::Lambda::Function" => "FunctionName",
            "AWS::DynamoDB::Table" => "TableName",
            "AWS::S3::Bucket" => "BucketName",
            "AWS::IAM::Role" => "RoleName",
            "AWS::Serverless::HttpApi" => return Ok(API_ID.to_owned()),
            kind => return Err(TemplateError::new(format!("{id} is a {kind}"))),
        };
        let name = self.root.pointer(&format!("/Resources/{id}/Properties/{property}"));
        let given = match name {
            Some(name) => self.evaluate(name, depth)?.as_ref().and_then(scalar),
            None => None,
        };
        let generated = format!("{}-{id}", self.deployment.stack);
        Ok(given.unwrap_or(if property == "BucketName" { generated.to_lowercase() } else { generated }))
    }

    fn named_condition(&self, name: &str, depth: usize) -> Result<bool, TemplateError> {
        let condition = self.root.get("Conditions").and_then(|conditions| conditions.get(name));
        let condition =
            condition.ok_or_else(|| TemplateError::new(format!("there is no condition {name}")))?;
        self.holds(condition, depth)
    }

    fn holds(&self, condition: &Value, depth: usize) -> Result<bool, TemplateError> {
        if depth > MAX_DEPTH {
            return Err(TemplateError::new("conditions refer to each other in a circle"));
        }
        match condition.as_object() {
            Some(object) => match (intrinsic(object), object.get("Condition")) {
                (Some((name, argument)), _) => self.condition(name, argument, depth + 1),
                (None, Some(name)) => self.condition("Condition", name, depth + 1),
                (None, None) => Err(TemplateError::new("a condition is not an intrinsic")),
            },
            None => Err(TemplateError::new("a condition is not an intrinsic")),
        }
    }

    fn condition(&self, name: &str, argument: &Value, depth: usize) -> Result<bool, TemplateError> {
        match (name, array(argument)) {
            ("Condition", _) => self.named_condition(argument.as_str().unwrap_or_default(), depth),
            ("Equals", [left, right]) => Ok(self.text(left, depth)? == self.text(right, depth)?),
            ("Not", [condition]) => Ok(!self.holds(condition, depth)?),
            ("And" | "Or", conditions) => {
                let all = name == "And";
                for condition in conditions {
                    if self.holds(condition, depth)? != all {
                        return Ok(!all);
                    }
                }
                Ok(all)
            }
            _ => Err(TemplateError(format!("{name} with these arguments is not a condition"))),
        }
    }

    fn text(&self, value: &Value, depth: usize) -> Result<String, TemplateError> {
        match self.evaluate(value, depth)? {
            Some(Value::Array(items)) => Ok(items.iter().filter_map(scalar).collect::<Vec<_>>().join(",")),
            Some(value) => scalar(&value).ok_or_else(|| TemplateError::new("a scalar is expected")),
            None => Ok(String::new()),
        }
    }

    fn list(&self, value: &Value, depth: usize) -> Result<Vec<String>, TemplateError> {
        let list = self.evaluate(value, depth)?;
        let list =
            list.as_ref().and_then(Value::as_array).map(|items| items.iter().filter_map(scalar).collect());
        list.ok_or_else(|| TemplateError::new("a list is expected"))
    }
}

/// Text of a string, number or boolean.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

/// Why a value exists only in AWS.
pub(super) fn unresolved(value: &Value) -> Option<&str> {
    value.get(UNRESOLVED)?.as_str()
}

/// Name and argument of an intrinsic in its long form (`{"Fn::Sub": …}`) or as a tag (`!Sub …`).
fn intrinsic(object: &Map<String, Value>) -> Option<(&str, &Value)> {
    let (name, argument) = object.iter().next().filter(|_| object.len() == 1)?;
    let short = name.strip_prefix("Fn::").or_else(|| name.strip_prefix('!'));
    Some((short.or_else(|| (name == "Ref").then_some("Ref"))?, argument))
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
