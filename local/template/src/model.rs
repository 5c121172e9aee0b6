//! What the local cloud uses of a template.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

/// The id of the HTTP API, part of its domain name in AWS.
pub const API_ID: &str = "localhttp0";

/// Where the template is deployed to, and with which parameters.
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
    /// The environment variables it names, each with its value or the reason why it has none locally.
    pub(super) settings: BTreeMap<String, Result<String, TemplateError>>,
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
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "PascalCase", default)]
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

/// What is wrong with a template, or why a value exists only in AWS.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct TemplateError(pub(super) String);

impl TemplateError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl Function {
    /// The names of the variables that the template gives this function.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.settings.keys().map(String::as_str)
    }

    /// The function's environment: the variables that the template names, each with its value in `overlay`, else in the
    /// template, else in `fallback`.
    ///
    /// # Errors
    ///
    /// Names the first variable without a value.
    pub fn environment(
        &self,
        overlay: &BTreeMap<String, String>,
        fallback: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, TemplateError> {
        let environment = self.settings.iter().map(|(name, setting)| {
            let value = overlay.get(name).or(setting.as_ref().ok()).or_else(|| fallback.get(name)).cloned();
            let value = value.map_or_else(|| setting.clone(), Ok).map_err(|reason| {
                TemplateError(format!(
                    "{}: the variable {name} has no local value ({reason}); supply one for the local cloud",
                    self.logical_id
                ))
            })?;
            Ok((name.clone(), value))
        });
        environment.collect()
    }
}

impl Template {
    /// The function that runs `binary`.
    pub fn function_of_binary(&self, binary: &str) -> Option<&Function> {
        self.functions.values().find(|function| function.binary == binary)
    }
}
