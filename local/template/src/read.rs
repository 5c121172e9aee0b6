//! Reads a template whose intrinsics are resolved.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::intrinsics::{Resolver, scalar, unresolved};
use super::model::{Authorizer, Cors, Deployment, Function, Route, Schedule, Table, Template, TemplateError};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Resource {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(default)]
    properties: Map<String, Value>,
    #[serde(default)]
    metadata: Value,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Globals {
    function: FunctionProperties,
    http_api: ApiProperties,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct FunctionProperties {
    code_uri: Option<String>,
    timeout: Option<u64>,
    memory_size: Option<u32>,
    reserved_concurrent_executions: Option<usize>,
    environment: Environment,
    events: BTreeMap<String, Event>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Environment {
    variables: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(default)]
    properties: EventProperties,
}

/// Of an `HttpApi`, `Schedule` or `ScheduleV2` event.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct EventProperties {
    method: Option<String>,
    path: Option<String>,
    auth: Value,
    name: Option<String>,
    #[serde(alias = "ScheduleExpression")]
    schedule: String,
    enabled: Option<bool>,
    state: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ApiProperties {
    cors_configuration: Option<Cors>,
    auth: ApiAuth,
    definition_body: Option<Value>,
    definition_uri: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ApiAuth {
    default_authorizer: Option<String>,
    authorizers: BTreeMap<String, AuthorizerProperties>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AuthorizerProperties {
    function_arn: String,
    #[serde(default)]
    authorizer_payload_format_version: Value,
    #[serde(default)]
    enable_simple_responses: bool,
    #[serde(default)]
    identity: Identity,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Identity {
    headers: Vec<String>,
    query_strings: Vec<String>,
    context: Vec<String>,
    reauthorize_every: u64,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// If the text is not YAML, a parameter is unknown or not allowed, or a resource lacks what is needed to run it. The
    /// message names the resource.
    pub fn parse(text: &str, deployment: &Deployment) -> Result<Self, TemplateError> {
        // Tags (`!Sub x`) become objects (`{"!Sub": "x"}`).
        let root = serde_yaml_ng::from_str::<serde_yaml_ng::Value>(text).map_err(|error| error.to_string());
        let root = root.and_then(|yaml| serde_json::to_value(yaml).map_err(|error| error.to_string()));
        let root = root.map_err(|error| TemplateError(format!("the template is not YAML: {error}")))?;
        let resolver = Resolver::new(&root, deployment)?;
        let mut template = Self {
            functions: BTreeMap::new(),
            routes: Vec::new(),
            authorizers: BTreeMap::new(),
            cors: None,
            tables: Vec::new(),
            schedules: Vec::new(),
            deployment: deployment.clone(),
        };
        let globals =
            root.get("Globals").map(|globals| resolver.lenient(globals)).unwrap_or_else(|| json!({}));
        let globals: Globals = typed("Globals", globals)?;
        let mut apis = vec![("Globals".to_owned(), globals.http_api)];
        let mut events = Vec::new();
        for (id, resource) in root.get("Resources").and_then(Value::as_object).into_iter().flatten() {
            if !resolver.is_deployed(resource).map_err(|reason| in_resource(id, &reason))? {
                continue;
            }
            let Resource { kind, properties, metadata } = typed(id, resolver.lenient(resource))?;
            let properties = Value::Object(properties);
            let name = || resolver.physical_name(id).map_err(|reason| in_resource(id, &reason));
            match kind.as_str() {
                "AWS::Serverless::HttpApi" => apis.push((id.clone(), typed(id, properties)?)),
                "AWS::Serverless::Function" => {
                    let mut properties: FunctionProperties = typed(id, properties)?;
                    for (name, event) in std::mem::take(&mut properties.events) {
                        events.push((id.clone(), name, event));
                    }
                    let function = function(id, name()?, &properties, &globals.function, &metadata)?;
                    template.functions.insert(id.clone(), function);
                }
                "AWS::DynamoDB::Table" => template.tables.push(table(id, name()?, &properties)),
                _ => {}
            }
        }

        let mut default_authorizer = None;
        for (id, api) in apis {
            if api.definition_body.is_some() || api.definition_uri.is_some() {
                return Err(TemplateError(format!("{id}: routes are read from function events only")));
            }
            for (name, properties) in api.auth.authorizers {
                let authorizer = template.authorizer(properties);
                let authorizer =
                    authorizer.map_err(|reason| in_resource(&format!("authorizer {name}"), &reason))?;
                template.authorizers.insert(name, authorizer);
            }
            default_authorizer = api.auth.default_authorizer.or(default_authorizer);
            template.cors = api.cors_configuration.or(template.cors);
        }
        for (function, name, event) in events {
            if event.kind == "HttpApi" {
                let route = template.route(function, event.properties, default_authorizer.as_ref())?;
                template.routes.push(route);
            } else {
                template.schedules.extend(schedule(deployment, function, &name, event)?);
            }
        }
        Ok(template)
    }

    fn authorizer(&self, properties: AuthorizerProperties) -> Result<Authorizer, TemplateError> {
        let function = self.functions.values().find(|function| {
            properties.function_arn.rsplit_once(":function:").is_some_and(|(_, name)| name == function.name)
        });
        let function = function.ok_or_else(|| TemplateError::new("FunctionArn names no function"))?;
        let version = scalar(&properties.authorizer_payload_format_version).unwrap_or_default();
        if !version.starts_with('2') || !properties.enable_simple_responses {
            let only = "only AuthorizerPayloadFormatVersion 2.0 with EnableSimpleResponses is emulated";
            return Err(TemplateError::new(only));
        }
        if properties.identity.reauthorize_every != 0 {
            return Err(TemplateError::new("ReauthorizeEvery is not emulated"));
        }
        let Identity { headers, query_strings, context, .. } = properties.identity;
        let sources =
            [("request.header", headers), ("request.querystring", query_strings), ("context", context)];
        let named = |(prefix, names): (&'static str, Vec<String>)| {
            names.into_iter().map(move |name| format!("${prefix}.{name}"))
        };
        Ok(Authorizer {
            function: function.logical_id.clone(),
            identity_sources: sources.into_iter().flat_map(named).collect(),
        })
    }

    fn route(
        &self,
        function: String,
        event: EventProperties,
        default_authorizer: Option<&String>,
    ) -> Result<Route, TemplateError> {
        // `NONE` removes the default authorizer from a route; a default of `NONE` is no authorizer.
        let authorizer = event.auth.get("Authorizer").and_then(Value::as_str).map(str::to_owned);
        let authorizer = authorizer.or_else(|| default_authorizer.cloned());
        let authorizer = authorizer.filter(|name| name != "NONE");
        if let Some(name) = authorizer.as_ref().filter(|name| !self.authorizers.contains_key(*name)) {
            return Err(TemplateError(format!("{function}: there is no authorizer {name}")));
        }
        let method = event.method.unwrap_or_default().to_uppercase();
        let any = method.is_empty() || method == "X-AMAZON-APIGATEWAY-ANY-METHOD";
        Ok(Route {
            method: if any { "ANY".to_owned() } else { method },
            path: event.path.unwrap_or_else(|| "$default".to_owned()),
            function,
            authorizer,
        })
    }
}

fn function(
    id: &str,
    name: String,
    properties: &FunctionProperties,
    globals: &FunctionProperties,
    metadata: &Value,
) -> Result<Function, TemplateError> {
    let binary = metadata.pointer("/BuildProperties/Binary").and_then(Value::as_str);
    let folder =
        properties.code_uri.as_deref().and_then(|folder| folder.trim_end_matches('/').rsplit('/').next());
    let binary = binary
        .or(folder)
        .ok_or_else(|| TemplateError(format!("{id}: Metadata.BuildProperties.Binary is missing")))?;
    let mut variables = globals.environment.variables.clone();
    variables.extend(properties.environment.variables.clone());
    let settings = variables.into_iter().map(|(name, value)| {
        let reason = || TemplateError::new(unresolved(&value).unwrap_or("it is not a scalar"));
        (name, scalar(&value).ok_or_else(reason))
    });
    Ok(Function {
        logical_id: id.to_owned(),
        name,
        binary: binary.to_owned(),
        // The defaults of AWS::Lambda::Function.
        timeout: Duration::from_secs(properties.timeout.or(globals.timeout).unwrap_or(3)),
        memory_mb: properties.memory_size.or(globals.memory_size).unwrap_or(128),
        reserved_concurrency: properties.reserved_concurrent_executions,
        settings: settings.collect(),
    })
}

/// The schedule of a `Schedule` or `ScheduleV2` event that is enabled.
fn schedule(
    deployment: &Deployment,
    function: String,
    name: &str,
    event: Event,
) -> Result<Option<Schedule>, TemplateError> {
    let (property, source, kind) = match event.kind.as_str() {
        "Schedule" => ("Schedule", "aws.events", "events:rule/"),
        "ScheduleV2" => ("ScheduleExpression", "aws.scheduler", "scheduler:schedule/default/"),
        _ => return Ok(None),
    };
    let EventProperties { name: given, schedule, enabled, state, .. } = event.properties;
    if enabled == Some(false) || state.as_deref() == Some("DISABLED") {
        return Ok(None);
    }
    let every = rate(&schedule).ok_or_else(|| {
        TemplateError(format!(
            "{function}: event {name}: {property} must be rate(…); cron and at are not emulated"
        ))
    })?;
    let Deployment { stack, region, account, .. } = deployment;
    let (service, resource) = kind.split_once(':').unwrap_or_default();
    let name = given.unwrap_or_else(|| format!("{stack}-{function}{name}"));
    Ok(Some(Schedule {
        arn: format!("arn:aws:{service}:{region}:{account}:{resource}{name}"),
        function,
        source,
        every,
    }))
}

/// The period of `rate(5 minutes)`.
fn rate(expression: &str) -> Option<Duration> {
    let (number, unit) = expression.strip_prefix("rate(")?.strip_suffix(')')?.split_once(' ')?;
    let seconds = match unit.trim().trim_end_matches('s') {
        "minute" => 60,
        "hour" => 60 * 60,
        "day" => 24 * 60 * 60,
        _ => return None,
    };
    let number = number.parse::<u64>().ok().filter(|number| *number > 0)?;
    Some(Duration::from_secs(number * seconds))
}

fn table(id: &str, name: String, properties: &Value) -> Table {
    let mut definition = Map::from_iter([("TableName".to_owned(), json!(name))]);
    for part in [
        "AttributeDefinitions",
        "KeySchema",
        "GlobalSecondaryIndexes",
        "LocalSecondaryIndexes",
        "BillingMode",
        "ProvisionedThroughput",
    ] {
        definition.extend(properties.get(part).map(|value| (part.to_owned(), value.clone())));
    }
    let ttl =
        properties.get("TimeToLiveSpecification").filter(|ttl| ttl.get("Enabled") == Some(&json!(true)));
    let ttl_attribute = ttl.and_then(|ttl| ttl.get("AttributeName")?.as_str()).map(str::to_owned);
    Table { logical_id: id.to_owned(), name, definition: Value::Object(definition), ttl_attribute }
}

fn typed<T: DeserializeOwned>(id: &str, value: Value) -> Result<T, TemplateError> {
    serde_json::from_value(value).map_err(|error| TemplateError(format!("{id}: {error}")))
}

fn in_resource(id: &str, reason: &TemplateError) -> TemplateError {
    TemplateError(format!("{id}: {reason}"))
}
