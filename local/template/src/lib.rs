//! What the local cloud reads from `template.yaml`: functions, routes, authorizers, CORS and tables, so that what runs
//! locally is what deploys.
//!
//! [`Template::parse`] takes the text of a SAM template and the values that a deployment would give it
//! ([`Deployment`]). Resources whose `Condition` is false are left out. An environment variable whose value exists only
//! in AWS (a secret, an attribute of a resource that is not emulated) is kept with the reason; it is an error only when
//! nobody supplies it: see [`Function::environment`].

mod intrinsics;
mod yaml;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value, json};

use intrinsics::{Resolver, Unresolved};

/// The id of the HTTP API, part of its domain name in AWS.
pub const API_ID: &str = "localhttp0";

/// The parameter, stack and account values that CloudFormation would resolve with.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// Name of the stack; prefix of generated resource names.
    pub stack: String,
    /// AWS region.
    pub region: String,
    /// AWS account id.
    pub account: String,
    /// Values for the template's parameters, over their defaults.
    pub parameters: BTreeMap<String, String>,
}

impl Default for Deployment {
    fn default() -> Self {
        Self {
            stack: "local".to_owned(),
            region: "us-east-1".to_owned(),
            account: "123456789012".to_owned(),
            parameters: BTreeMap::new(),
        }
    }
}

/// Everything that the local cloud needs from a template.
#[derive(Clone, Debug)]
pub struct Template {
    /// The functions by logical id.
    pub functions: BTreeMap<String, Function>,
    /// The routes of the HTTP API.
    pub routes: Vec<Route>,
    /// The HTTP API's Lambda authorizers by name.
    pub authorizers: BTreeMap<String, Authorizer>,
    /// The HTTP API's CORS configuration, if it has one.
    pub cors: Option<Cors>,
    /// The DynamoDB tables.
    pub tables: Vec<Table>,
    /// The schedules on which functions run.
    pub schedules: Vec<Schedule>,
    /// The deployment that the values were resolved with.
    pub deployment: Deployment,
}

/// One Lambda function.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its logical id in the template.
    pub logical_id: String,
    /// Its name in AWS: `FunctionName`, or stack and logical id.
    pub name: String,
    /// The cargo binary that it runs.
    pub binary: String,
    /// How long one invocation may take.
    pub timeout: Duration,
    /// Memory in MiB.
    pub memory_mb: u32,
    /// Reserved concurrency, if the template sets one.
    pub reserved_concurrency: Option<usize>,
    /// The environment variables it names, each with its value or with the reason why there is none locally.
    settings: BTreeMap<String, Result<String, Unresolved>>,
}

/// One route of the HTTP API.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    /// Upper-case HTTP method, or `ANY`.
    pub method: String,
    /// The path as API Gateway writes it, e.g. `/auth/sign-in`, `/items/{id}`, `/{proxy+}`, or `$default`.
    pub path: String,
    /// Logical id of the function.
    pub function: String,
    /// Name of the authorizer that protects the route.
    pub authorizer: Option<String>,
}

/// A Lambda authorizer of the HTTP API (payload 2.0, simple responses).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Authorizer {
    /// Logical id of its function.
    pub function: String,
    /// Identity sources in API Gateway's notation, e.g. `$request.header.Authorization`.
    pub identity_sources: Vec<String>,
}

/// The CORS configuration of the HTTP API.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cors {
    /// `Access-Control-Allow-Origin`: exact origins, `*`, or `https://*`.
    pub allow_origins: Vec<String>,
    /// `Access-Control-Allow-Methods`.
    pub allow_methods: Vec<String>,
    /// `Access-Control-Allow-Headers`.
    pub allow_headers: Vec<String>,
    /// `Access-Control-Expose-Headers`.
    pub expose_headers: Vec<String>,
    /// `Access-Control-Allow-Credentials`.
    pub allow_credentials: bool,
    /// `Access-Control-Max-Age` in seconds.
    pub max_age: Option<u64>,
}

/// A DynamoDB table.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Its logical id in the template.
    pub logical_id: String,
    /// Its name: `TableName`, or stack and logical id.
    pub name: String,
    /// The body of the `CreateTable` call that makes it.
    pub definition: Value,
    /// The TTL attribute, if TTL is enabled.
    pub ttl_attribute: Option<String>,
}

impl Table {
    /// The same table under another name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        if let Some(defined) = self.definition.get_mut("TableName") {
            *defined = json!(name);
        }
        self
    }
}

/// A schedule that invokes a function.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Schedule {
    /// Logical id of the function.
    pub function: String,
    /// The ARN of the rule or schedule, as the event names it.
    pub arn: String,
    /// The service that sends the event: `aws.events`, or `aws.scheduler` for `ScheduleV2`.
    pub source: &'static str,
    /// The time between two events.
    pub every: Duration,
}

/// What is wrong with a template.
#[derive(Debug)]
pub struct TemplateError(String);

impl TemplateError {
    fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TemplateError {}

impl Function {
    /// The names of the variables that the template gives this function.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.settings.keys().map(String::as_str)
    }

    /// The function's environment: exactly the variables that the template names, each with the value of `overlay`
    /// where it has one, else the template's own, else that of `fallback`.
    ///
    /// # Errors
    ///
    /// Names the first variable that has a value in none of them.
    pub fn environment(
        &self,
        overlay: &BTreeMap<String, String>,
        fallback: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, TemplateError> {
        let mut environment = BTreeMap::new();
        for (name, setting) in &self.settings {
            let value = overlay.get(name).or(setting.as_ref().ok()).or_else(|| fallback.get(name));
            match (value, setting) {
                (Some(value), _) => environment.insert(name.clone(), value.clone()),
                (None, Ok(_)) => None,
                (None, Err(reason)) => {
                    return Err(TemplateError(format!(
                        "{}: the variable {name} has no local value ({reason}); supply one for the local cloud",
                        self.logical_id
                    )));
                }
            };
        }
        Ok(environment)
    }
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// When the text is no YAML, a parameter is unknown or not allowed, or a resource lacks what is needed to run it;
    /// the message names the resource.
    pub fn parse(text: &str, deployment: &Deployment) -> Result<Self, TemplateError> {
        let root = yaml::long_form(text)?;
        let resolver = Resolver::new(&root, deployment)?;
        let resources = object(&root, "/Resources");
        let mut template = Self {
            functions: BTreeMap::new(),
            routes: Vec::new(),
            authorizers: BTreeMap::new(),
            cors: None,
            tables: Vec::new(),
            schedules: Vec::new(),
            deployment: deployment.clone(),
        };
        let global_api = root.pointer("/Globals/HttpApi").cloned().unwrap_or_else(|| json!({}));
        let mut default_authorizer = text_at(&global_api, "/Auth/DefaultAuthorizer");
        template.read_api(&resolver, &global_api)?;

        let mut events = Vec::new();
        for (id, resource) in &resources {
            if !resolver.is_deployed(resource).map_err(|reason| in_resource(id, &reason))? {
                continue;
            }
            let properties = resource.get("Properties").cloned().unwrap_or_else(|| json!({}));
            match resource.get("Type").and_then(Value::as_str).unwrap_or_default() {
                "AWS::Serverless::HttpApi" => {
                    if properties.get("DefinitionBody").is_some() || properties.get("DefinitionUri").is_some()
                    {
                        return Err(TemplateError(format!(
                            "{id}: routes are read from function events only"
                        )));
                    }
                    default_authorizer =
                        text_at(&properties, "/Auth/DefaultAuthorizer").or(default_authorizer);
                    template.read_api(&resolver, &properties)?;
                }
                "AWS::Serverless::Function" => {
                    let function = read_function(&resolver, &root, id, resource, &properties)?;
                    template.functions.insert(id.clone(), function);
                    for (name, event) in object(&properties, "/Events") {
                        if let Some(schedule) = read_schedule(&resolver, id, &name, &event)? {
                            template.schedules.push(schedule);
                        } else {
                            events.push((id.clone(), event));
                        }
                    }
                }
                "AWS::DynamoDB::Table" => template.tables.push(read_table(&resolver, id, &properties)?),
                _ => {}
            }
        }

        for (function, event) in events {
            if text_at(&event, "/Type").as_deref() != Some("HttpApi") {
                continue;
            }
            // `NONE` on an event takes the default away; a default of `NONE` is none.
            let authorizer = text_at(&event, "/Properties/Auth/Authorizer")
                .or_else(|| default_authorizer.clone())
                .filter(|name| name != "NONE");
            if let Some(name) = &authorizer
                && !template.authorizers.contains_key(name)
            {
                return Err(TemplateError(format!("{function}: there is no authorizer {name}")));
            }
            template.routes.push(Route {
                method: text_at(&event, "/Properties/Method").map_or_else(
                    || "ANY".to_owned(),
                    |method| match method.to_uppercase() {
                        method if method == "X-AMAZON-APIGATEWAY-ANY-METHOD" => "ANY".to_owned(),
                        method => method,
                    },
                ),
                path: text_at(&event, "/Properties/Path").unwrap_or_else(|| "$default".to_owned()),
                function,
                authorizer,
            });
        }
        Ok(template)
    }

    /// The function that runs `binary`.
    pub fn function_of_binary(&self, binary: &str) -> Option<&Function> {
        self.functions.values().find(|function| function.binary == binary)
    }

    fn read_api(&mut self, resolver: &Resolver<'_>, properties: &Value) -> Result<(), TemplateError> {
        if let Some(cors) = properties.get("CorsConfiguration") {
            self.cors = read_cors(resolver, cors)?;
        }
        for (name, authorizer) in object(properties, "/Auth/Authorizers") {
            let reference = authorizer.get("FunctionArn").ok_or_else(|| {
                TemplateError(format!("authorizer {name}: FunctionArn is missing (only Lambda is emulated)"))
            })?;
            let function = resolver
                .function_behind(reference)
                .ok_or_else(|| TemplateError(format!("authorizer {name}: FunctionArn names no function")))?;
            let version = scalar_at(&authorizer, "/AuthorizerPayloadFormatVersion").unwrap_or_default();
            let simple = authorizer.get("EnableSimpleResponses").and_then(Value::as_bool).unwrap_or(false);
            if !version.starts_with('2') || !simple {
                return Err(TemplateError(format!(
                    "authorizer {name}: only AuthorizerPayloadFormatVersion 2.0 with EnableSimpleResponses is emulated"
                )));
            }
            let identity = authorizer.get("Identity").cloned().unwrap_or_else(|| json!({}));
            let mut identity_sources = Vec::new();
            for (list, prefix) in [
                ("/Headers", "$request.header."),
                ("/QueryStrings", "$request.querystring."),
                ("/Context", "$context."),
                ("/StageVariables", "$stageVariables."),
            ] {
                let names = identity.pointer(list).and_then(Value::as_array).into_iter().flatten();
                identity_sources
                    .extend(names.filter_map(Value::as_str).map(|name| format!("{prefix}{name}")));
            }
            if identity.get("ReauthorizeEvery").and_then(Value::as_u64).unwrap_or(0) != 0 {
                return Err(TemplateError(format!("authorizer {name}: ReauthorizeEvery is not emulated")));
            }
            self.authorizers.insert(name, Authorizer { function, identity_sources });
        }
        Ok(())
    }
}

fn read_function(
    resolver: &Resolver<'_>,
    root: &Value,
    id: &str,
    resource: &Value,
    properties: &Value,
) -> Result<Function, TemplateError> {
    let globals = root.pointer("/Globals/Function").cloned().unwrap_or_else(|| json!({}));
    let number = |name: &str, default: u64| -> Result<u64, TemplateError> {
        let Some(value) = properties.get(name).or_else(|| globals.get(name)) else { return Ok(default) };
        let value = resolver.resolve(value).map_err(|reason| in_resource(id, &reason))?;
        value
            .as_ref()
            .and_then(intrinsics::scalar)
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| TemplateError(format!("{id}: {name} is not a whole number")))
    };
    let binary = text_at(resource, "/Metadata/BuildProperties/Binary")
        .or_else(|| {
            let folder = text_at(properties, "/CodeUri").or_else(|| text_at(&globals, "/CodeUri"))?;
            let last = folder.trim_end_matches('/').rsplit('/').next()?.to_owned();
            (!last.is_empty() && last != ".").then_some(last)
        })
        .ok_or_else(|| TemplateError(format!("{id}: Metadata.BuildProperties.Binary is missing")))?;

    let mut variables = object(&globals, "/Environment/Variables");
    variables.extend(object(properties, "/Environment/Variables"));
    let mut settings = BTreeMap::new();
    for (name, value) in variables {
        let setting = match resolver.resolve(&value) {
            Ok(None) => continue,
            Ok(Some(value)) => {
                intrinsics::scalar(&value).ok_or_else(|| Unresolved::new("it is not a scalar"))
            }
            Err(reason) => Err(reason),
        };
        settings.insert(name, setting);
    }
    let reserved_concurrency = match properties.get("ReservedConcurrentExecutions") {
        Some(_) => usize::try_from(number("ReservedConcurrentExecutions", 0)?).ok(),
        None => None,
    };
    Ok(Function {
        logical_id: id.to_owned(),
        name: resolver.physical_name(id).map_err(|reason| in_resource(id, &reason))?,
        binary,
        // The defaults of AWS::Lambda::Function.
        timeout: Duration::from_secs(number("Timeout", 3)?),
        memory_mb: u32::try_from(number("MemorySize", 128)?).unwrap_or(u32::MAX),
        reserved_concurrency,
        settings,
    })
}

/// The schedule of a `Schedule` or `ScheduleV2` event that is enabled.
fn read_schedule(
    resolver: &Resolver<'_>,
    function: &str,
    name: &str,
    event: &Value,
) -> Result<Option<Schedule>, TemplateError> {
    let (expression, source, kind) = match text_at(event, "/Type").as_deref() {
        Some("Schedule") => ("Schedule", "aws.events", "events"),
        Some("ScheduleV2") => ("ScheduleExpression", "aws.scheduler", "scheduler"),
        _ => return Ok(None),
    };
    let properties = event.get("Properties").cloned().unwrap_or_default();
    let properties = resolver.resolve(&properties).map_err(|reason| in_resource(function, &reason))?;
    let properties = properties.unwrap_or_default();
    if properties.get("Enabled") == Some(&json!(false)) || properties.get("State") == Some(&json!("DISABLED"))
    {
        return Ok(None);
    }
    let every =
        text_at(&properties, &format!("/{expression}")).and_then(|text| rate(&text)).ok_or_else(|| {
            TemplateError(format!(
                "{function}: event {name}: {expression} must be rate(…); cron and at are not emulated"
            ))
        })?;
    let Deployment { stack, region, account, .. } = resolver.deployment();
    let name = text_at(&properties, "/Name").unwrap_or_else(|| format!("{stack}-{function}{name}"));
    let resource = if kind == "events" { format!("rule/{name}") } else { format!("schedule/default/{name}") };
    let arn = format!("arn:aws:{kind}:{region}:{account}:{resource}");
    Ok(Some(Schedule { function: function.to_owned(), arn, source, every }))
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

fn read_cors(resolver: &Resolver<'_>, cors: &Value) -> Result<Option<Cors>, TemplateError> {
    let resolved =
        resolver.resolve(cors).map_err(|reason| TemplateError(format!("CorsConfiguration: {reason}")))?;
    let origin = match &resolved {
        None | Some(Value::Null | Value::Bool(false)) => return Ok(None),
        // A bare origin and `true` are SAM's short forms.
        Some(Value::String(origin)) => Some(origin.as_str()),
        Some(Value::Bool(true)) => Some("*"),
        Some(_) => None,
    };
    if let Some(origin) = origin {
        return Ok(Some(Cors { allow_origins: vec![origin.to_owned()], ..Cors::default() }));
    }
    let resolved = resolved.unwrap_or_default();
    let list = |name: &str| -> Vec<String> {
        match resolved.get(name) {
            Some(Value::Array(items)) => items.iter().filter_map(intrinsics::scalar).collect(),
            Some(Value::String(items)) => items.split(',').map(|item| item.trim().to_owned()).collect(),
            _ => Vec::new(),
        }
    };
    Ok(Some(Cors {
        allow_origins: list("AllowOrigins"),
        allow_methods: list("AllowMethods"),
        allow_headers: list("AllowHeaders"),
        expose_headers: list("ExposeHeaders"),
        allow_credentials: scalar_at(&resolved, "/AllowCredentials").as_deref() == Some("true"),
        max_age: scalar_at(&resolved, "/MaxAge").and_then(|seconds| seconds.parse().ok()),
    }))
}

fn read_table(resolver: &Resolver<'_>, id: &str, properties: &Value) -> Result<Table, TemplateError> {
    let name = resolver.physical_name(id).map_err(|reason| in_resource(id, &reason))?;
    let mut definition = Map::new();
    definition.insert("TableName".to_owned(), json!(name));
    for part in [
        "AttributeDefinitions",
        "KeySchema",
        "GlobalSecondaryIndexes",
        "LocalSecondaryIndexes",
        "BillingMode",
        "ProvisionedThroughput",
    ] {
        let Some(value) = properties.get(part) else { continue };
        if let Some(value) = resolver.resolve(value).map_err(|reason| in_resource(id, &reason))? {
            definition.insert(part.to_owned(), value);
        }
    }
    let ttl = properties.get("TimeToLiveSpecification").cloned().unwrap_or_else(|| json!({}));
    let ttl = resolver.resolve(&ttl).map_err(|reason| in_resource(id, &reason))?.unwrap_or(Value::Null);
    let ttl_attribute = (scalar_at(&ttl, "/Enabled").as_deref() == Some("true"))
        .then(|| text_at(&ttl, "/AttributeName"))
        .flatten();
    Ok(Table { logical_id: id.to_owned(), name, definition: Value::Object(definition), ttl_attribute })
}

fn in_resource(id: &str, reason: &Unresolved) -> TemplateError {
    TemplateError(format!("{id}: {reason}"))
}

fn object(value: &Value, pointer: &str) -> Map<String, Value> {
    value.pointer(pointer).and_then(Value::as_object).cloned().unwrap_or_default()
}

fn text_at(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
}

fn scalar_at(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer).and_then(intrinsics::scalar)
}

#[cfg(test)]
mod tests;
