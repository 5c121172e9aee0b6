//! CloudFormation's intrinsic functions, as far as a local value exists.
//!
//! Source: "Intrinsic function reference" and "Pseudo parameters reference" of the AWS CloudFormation user guide.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use super::{Deployment, TemplateError};

/// Why a value exists only in AWS.
#[derive(Clone, Debug)]
pub(super) struct Unresolved(String);

impl Unresolved {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `None` is `AWS::NoValue`: the property is left out.
pub(super) type Resolved = Result<Option<Value>, Unresolved>;

/// Evaluates intrinsics against one template and one deployment.
pub(super) struct Resolver<'a> {
    root: &'a Value,
    deployment: &'a Deployment,
    parameters: BTreeMap<String, Value>,
}

/// Names that refer to each other in a circle would otherwise recurse without end.
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
            } else {
                Value::String(text)
            };
            parameters.insert(name.clone(), value);
        }
        Ok(Self { root, deployment, parameters })
    }

    pub(super) fn deployment(&self) -> &'a Deployment {
        self.deployment
    }

    /// Whether the resource's `Condition` holds; a resource without one is always deployed.
    pub(super) fn is_deployed(&self, resource: &Value) -> Result<bool, Unresolved> {
        match resource.get("Condition").and_then(Value::as_str) {
            Some(name) => self.named_condition(name, 0),
            None => Ok(true),
        }
    }

    pub(super) fn resolve(&self, value: &Value) -> Resolved {
        self.evaluate(value, 0)
    }

    /// The name that the resource has in AWS: its own, or one made of stack and logical id.
    pub(super) fn physical_name(&self, id: &str) -> Result<String, Unresolved> {
        self.name_of(id, 0)
    }

    /// The logical id of the function that `reference` (an ARN, however it is written) leads to.
    pub(super) fn function_behind(&self, reference: &Value) -> Option<String> {
        let arn = self.resolve(reference).ok().flatten()?;
        let arn = arn.as_str()?;
        let resources = self.root.get("Resources")?.as_object()?;
        resources.iter().find_map(|(id, resource)| {
            let is_function = resource.get("Type")?.as_str()? == "AWS::Serverless::Function";
            (is_function && self.function_arn(id, 0).ok()? == arn).then(|| id.clone())
        })
    }

    fn evaluate(&self, value: &Value, depth: usize) -> Resolved {
        if depth > MAX_DEPTH {
            return Err(Unresolved::new("values refer to each other in a circle"));
        }
        let depth = depth + 1;
        match value {
            Value::Object(object) => {
                if let (1, Some((name, argument))) = (object.len(), object.iter().next())
                    && (name == "Ref" || name.starts_with("Fn::"))
                {
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
                Err(Unresolved::new("it is a dynamic reference to a secret or parameter store"))
            }
            plain => Ok(Some(plain.clone())),
        }
    }

    fn intrinsic(&self, name: &str, argument: &Value, depth: usize) -> Resolved {
        match name {
            "Ref" => self.reference(argument.as_str().unwrap_or_default(), depth),
            "Fn::Sub" => self.substitute(argument, depth),
            "Fn::GetAtt" => {
                let path = match argument {
                    Value::String(path) => path.clone(),
                    _ => self.list(argument, depth)?.join("."),
                };
                self.attribute(&path, depth).map(|value| Some(Value::String(value)))
            }
            "Fn::If" => match array(argument) {
                [condition, yes, no] => {
                    let holds = self.named_condition(condition.as_str().unwrap_or_default(), depth)?;
                    self.evaluate(if holds { yes } else { no }, depth)
                }
                _ => Err(Unresolved::new("Fn::If takes three arguments")),
            },
            "Fn::Join" => match array(argument) {
                [separator, items] => {
                    let items = self.list(items, depth)?;
                    Ok(Some(Value::String(items.join(separator.as_str().unwrap_or_default()))))
                }
                _ => Err(Unresolved::new("Fn::Join takes two arguments")),
            },
            "Fn::Split" => match array(argument) {
                [separator, text] => {
                    let text = self.text(text, depth)?;
                    let items = text.split(separator.as_str().unwrap_or_default());
                    Ok(Some(Value::Array(items.map(Value::from).collect())))
                }
                _ => Err(Unresolved::new("Fn::Split takes two arguments")),
            },
            "Fn::Select" => match array(argument) {
                [index, items] => {
                    let index = self.text(index, depth)?.parse::<usize>().ok();
                    let items = self.list(items, depth)?;
                    let item = index.and_then(|index| items.get(index)).cloned();
                    item.map(|item| Some(Value::String(item)))
                        .ok_or_else(|| Unresolved::new("Fn::Select is out of bounds"))
                }
                _ => Err(Unresolved::new("Fn::Select takes two arguments")),
            },
            "Fn::FindInMap" => match self.list(argument, depth)?.as_slice() {
                [map, first, second] => self
                    .root
                    .get("Mappings")
                    .and_then(|maps| maps.get(map)?.get(first)?.get(second))
                    .map(|value| Some(value.clone()))
                    .ok_or_else(|| Unresolved::new(format!("the mapping {map} has no {first}.{second}"))),
                _ => Err(Unresolved::new("Fn::FindInMap takes three arguments")),
            },
            "Fn::Equals" | "Fn::And" | "Fn::Or" | "Fn::Not" => {
                self.condition(name, argument, depth).map(|holds| Some(Value::Bool(holds)))
            }
            other => Err(Unresolved::new(format!("{other} has no local value"))),
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
                    return Err(Unresolved::new(format!("the parameter {name} has no default")));
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
                _ => return Err(Unresolved::new("Fn::Sub takes a text")),
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
                text.push_str(&self.text(&serde_json::json!({ "Ref": name }), depth)?);
            } else {
                text.push_str(&self.attribute(name, depth)?);
            }
            rest = after;
        }
        text.push_str(rest);
        if text.contains("{{resolve:") {
            return Err(Unresolved::new("it is a dynamic reference to a secret or parameter store"));
        }
        Ok(Some(Value::String(text)))
    }

    /// `Resource.Attribute`, for the resources that exist locally.
    fn attribute(&self, path: &str, depth: usize) -> Result<String, Unresolved> {
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
            (kind, _) => Err(Unresolved::new(format!("{path} is an attribute of a {kind}"))),
        }
    }

    fn function_arn(&self, id: &str, depth: usize) -> Result<String, Unresolved> {
        let Deployment { region, account, .. } = self.deployment;
        Ok(format!("arn:aws:lambda:{region}:{account}:function:{}", self.name_of(id, depth)?))
    }

    fn kind(&self, id: &str) -> Result<&'a str, Unresolved> {
        let resource = self.root.get("Resources").and_then(|resources| resources.get(id));
        resource
            .and_then(|resource| resource.get("Type")?.as_str())
            .ok_or_else(|| Unresolved::new(format!("there is no parameter or resource {id}")))
    }

    fn name_of(&self, id: &str, depth: usize) -> Result<String, Unresolved> {
        let property = match self.kind(id)? {
            "AWS::Serverless::Function" | "AWS::Lambda::Function" => "FunctionName",
            "AWS::DynamoDB::Table" => "TableName",
            "AWS::S3::Bucket" => "BucketName",
            "AWS::IAM::Role" => "RoleName",
            "AWS::Serverless::HttpApi" => return Ok(super::API_ID.to_owned()),
            kind => return Err(Unresolved::new(format!("{id} is a {kind}"))),
        };
        let name = self.root.pointer(&format!("/Resources/{id}/Properties/{property}"));
        let given = match name {
            Some(name) => self.evaluate(name, depth)?.as_ref().and_then(scalar),
            None => None,
        };
        let generated = format!("{}-{id}", self.deployment.stack);
        Ok(given.unwrap_or(if property == "BucketName" { generated.to_lowercase() } else { generated }))
    }

    fn named_condition(&self, name: &str, depth: usize) -> Result<bool, Unresolved> {
        let condition = self.root.get("Conditions").and_then(|conditions| conditions.get(name));
        let condition = condition.ok_or_else(|| Unresolved::new(format!("there is no condition {name}")))?;
        self.holds(condition, depth)
    }

    fn holds(&self, condition: &Value, depth: usize) -> Result<bool, Unresolved> {
        if depth > MAX_DEPTH {
            return Err(Unresolved::new("conditions refer to each other in a circle"));
        }
        match condition.as_object().and_then(|object| object.iter().next()) {
            Some((name, argument)) => self.condition(name, argument, depth + 1),
            None => Err(Unresolved::new("a condition is not an intrinsic")),
        }
    }

    fn condition(&self, name: &str, argument: &Value, depth: usize) -> Result<bool, Unresolved> {
        match name {
            "Condition" => self.named_condition(argument.as_str().unwrap_or_default(), depth),
            "Fn::Equals" => match array(argument) {
                [left, right] => Ok(self.text(left, depth)? == self.text(right, depth)?),
                _ => Err(Unresolved::new("Fn::Equals takes two arguments")),
            },
            "Fn::Not" => match array(argument) {
                [condition] => Ok(!self.holds(condition, depth)?),
                _ => Err(Unresolved::new("Fn::Not takes one argument")),
            },
            "Fn::And" | "Fn::Or" => {
                let all = name == "Fn::And";
                for condition in array(argument) {
                    if self.holds(condition, depth)? != all {
                        return Ok(!all);
                    }
                }
                Ok(all)
            }
            other => Err(Unresolved::new(format!("{other} is not a condition"))),
        }
    }

    fn text(&self, value: &Value, depth: usize) -> Result<String, Unresolved> {
        match self.evaluate(value, depth)? {
            Some(Value::Array(items)) => Ok(items.iter().filter_map(scalar).collect::<Vec<_>>().join(",")),
            Some(value) => scalar(&value).ok_or_else(|| Unresolved::new("a text is expected")),
            None => Ok(String::new()),
        }
    }

    fn list(&self, value: &Value, depth: usize) -> Result<Vec<String>, Unresolved> {
        match self.evaluate(value, depth)? {
            Some(Value::Array(items)) => Ok(items.iter().filter_map(scalar).collect()),
            _ => Err(Unresolved::new("a list is expected")),
        }
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

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
