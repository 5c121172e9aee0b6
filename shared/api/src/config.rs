//! Configuration: environment variables, read once at start, each declared in one place.
//!
//! A configuration struct reads its [`Variable`]s from an [`Env`]. The `Env` keeps the list of what was asked for, and
//! that list is what docs/configuration.md and each function's environment in template.yaml are compared with.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::Secret;

/// An environment variable.
#[derive(Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What it means, with its unit.
    pub meaning: &'static str,
    /// What counts where it is not set or empty.
    pub default: Default,
}

/// What counts where a variable is not set or empty.
#[derive(Debug, PartialEq, Eq)]
pub enum Default {
    /// The function does not start.
    Required,
    /// The function does without.
    Unset,
    /// This value.
    Value(&'static str),
    /// A value that follows from others, told in words.
    Derived(&'static str),
}

impl Variable {
    /// A variable that must be set.
    pub const fn required(name: &'static str, meaning: &'static str) -> Self {
        Self { name, meaning, default: Default::Required }
    }

    /// A variable that may be left out.
    pub const fn optional(name: &'static str, meaning: &'static str) -> Self {
        Self { name, meaning, default: Default::Unset }
    }

    /// A variable with a default.
    pub const fn or(name: &'static str, default: &'static str, meaning: &'static str) -> Self {
        Self { name, meaning, default: Default::Value(default) }
    }

    /// A variable whose default follows from others.
    pub const fn derived(name: &'static str, default: &'static str, meaning: &'static str) -> Self {
        Self { name, meaning, default: Default::Derived(default) }
    }
}

/// Why a function does not start: one variable and what is wrong with it. Its value is not repeated: it may be a key.
#[derive(Debug)]
pub struct ConfigError {
    variable: &'static str,
    problem: String,
}

impl ConfigError {
    /// `variable` does not fit, for `problem`.
    pub fn new(variable: &'static Variable, problem: impl fmt::Display) -> Self {
        Self { variable: variable.name, problem: problem.to_string() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "environment variable {} {}", self.variable, self.problem)
    }
}

impl std::error::Error for ConfigError {}

/// Where configuration is read from.
pub struct Env {
    values: Option<BTreeMap<String, String>>,
    asked: RefCell<Vec<&'static Variable>>,
}

impl Env {
    /// The process's environment.
    pub fn process() -> Self {
        Self { values: None, asked: RefCell::default() }
    }

    /// A fixed set of variables.
    pub fn fixed<K: Into<String>, V: Into<String>>(values: impl IntoIterator<Item = (K, V)>) -> Self {
        let values = values.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { values: Some(values), asked: RefCell::default() }
    }

    /// The variables that were asked for so far.
    pub fn asked(&self) -> Vec<&'static Variable> {
        self.asked.borrow().clone()
    }

    /// The variable's value or default; `None` where it has neither. An empty value counts as not set, since
    /// CloudFormation cannot leave a variable out.
    pub fn optional(&self, variable: &'static Variable) -> Option<String> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&variable) {
            asked.push(variable);
        }
        let value = match &self.values {
            Some(values) => values.get(variable.name).cloned(),
            None => process_variable(variable.name),
        };
        let value = value.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        match variable.default {
            Default::Value(default) => value.or_else(|| Some(default.to_owned())),
            _ => value,
        }
    }

    /// The variable's value or default, which it must have.
    pub fn required(&self, variable: &'static Variable) -> Result<String, ConfigError> {
        self.optional(variable).ok_or_else(|| ConfigError::new(variable, "is not set"))
    }

    /// Like [`Env::required`], for keys.
    pub fn secret(&self, variable: &'static Variable) -> Result<Secret, ConfigError> {
        self.required(variable).map(Secret::new)
    }

    /// Like [`Env::required`], read into a type.
    pub fn parsed<T: FromStr<Err: fmt::Display>>(
        &self,
        variable: &'static Variable,
    ) -> Result<T, ConfigError> {
        self.required(variable)?
            .parse()
            .map_err(|error| ConfigError::new(variable, format!("is not valid: {error}")))
    }

    /// The variable as a whole number of seconds, at least one.
    pub fn seconds(&self, variable: &'static Variable) -> Result<u64, ConfigError> {
        match self.parsed(variable)? {
            0 => Err(ConfigError::new(variable, "must be at least 1 second")),
            seconds => Ok(seconds),
        }
    }

    /// The variable as an `http` or `https` URL, without a trailing slash.
    pub fn url(&self, variable: &'static Variable) -> Result<String, ConfigError> {
        let url = self.required(variable)?;
        match url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")) {
            Some(rest) if !rest.is_empty() && !rest.starts_with('/') => {
                Ok(url.trim_end_matches('/').to_owned())
            }
            _ => Err(ConfigError::new(variable, "must be an http or https URL")),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
fn process_variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Where the code runs: `dev`, `staging`, `prod` or any other name.
pub static STAGE: Variable =
    Variable::or("STAGE", "dev", "The deployment stage. `dev-sign-in` refuses to start where it is `prod`.");

/// The origins whose pages may call.
pub static ALLOWED_ORIGINS: Variable = Variable::optional(
    "ALLOWED_ORIGINS",
    "Comma-separated origins whose pages may call, such as `https://app.example.com`; unset, no page may. API Gateway's CORS uses the same list.",
);

/// The `SameSite` of all cookies.
pub static COOKIE_SAME_SITE: Variable = Variable::or(
    "COOKIE_SAME_SITE",
    "lax",
    "The cookies' SameSite: `lax`, or `none` for front ends on another site than the API.",
);

/// What every endpoint reads.
#[derive(Debug)]
pub struct ApiConfig {
    /// `ALLOWED_ORIGINS`, each without a trailing slash.
    pub allowed_origins: Vec<String>,
}

impl ApiConfig {
    /// Reads the configuration.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        let origins = env.optional(&ALLOWED_ORIGINS).unwrap_or_default();
        let origins = origins.split(',').map(|origin| origin.trim().trim_end_matches('/').to_owned());
        let allowed_origins: Vec<_> = origins.filter(|origin| !origin.is_empty()).collect();
        if allowed_origins.iter().any(|origin| !origin.contains("://")) {
            return Err(ConfigError::new(
                &ALLOWED_ORIGINS,
                "must list origins such as https://app.example.com",
            ));
        }
        Ok(Self { allowed_origins })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static LIFETIME: Variable = Variable::or("LIFETIME", "60", "seconds");
    static KEY: Variable = Variable::required("KEY", "a key");

    #[test]
    fn an_empty_value_counts_as_not_set() {
        let env = Env::fixed([("LIFETIME", ""), ("KEY", " ")]);
        assert_eq!(env.seconds(&LIFETIME).unwrap(), 60);
        assert_eq!(env.secret(&KEY).unwrap_err().to_string(), "environment variable KEY is not set");
    }

    #[test]
    fn an_error_names_the_variable_and_not_its_value() {
        let env = Env::fixed([("LIFETIME", "sk_live"), ("KEY", "k")]);
        let error = env.seconds(&LIFETIME).unwrap_err().to_string();
        assert!(error.contains("LIFETIME") && !error.contains("sk_live"), "{error}");
    }

    #[test]
    fn what_was_asked_for_is_kept() {
        let env = Env::fixed([("KEY", "k")]);
        let _ = (env.optional(&KEY), env.optional(&KEY), env.optional(&LIFETIME));
        assert_eq!(env.asked().iter().map(|variable| variable.name).collect::<Vec<_>>(), ["KEY", "LIFETIME"]);
    }
}
