//! Configuration: environment variables, each declared once and read once, at start-up.
//!
//! A configuration struct reads its [`Variable`]s from an [`Env`], which records them. Tests compare that record with
//! docs/configuration.md and with each function's environment in template.yaml.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::{SameSite, Secret};

/// An environment variable.
#[derive(Debug, PartialEq, Eq)]
pub struct Variable {
    /// The name.
    pub name: &'static str,
    /// The meaning, with its unit.
    pub meaning: &'static str,
    /// What applies if the variable is unset or empty.
    pub default: Default,
}

/// What applies if a variable is unset or empty.
#[derive(Debug, PartialEq, Eq)]
pub enum Default {
    /// The function does not start.
    Required,
    /// The function works without a value.
    Unset,
    /// This value is used.
    Value(&'static str),
    /// A value that is derived from other variables, described in words.
    Derived(&'static str),
}

impl Variable {
    /// A variable that must be set.
    pub const fn required(name: &'static str, meaning: &'static str) -> Self {
        Self { name, meaning, default: Default::Required }
    }

    /// A variable that may be unset.
    pub const fn optional(name: &'static str, meaning: &'static str) -> Self {
        Self { name, meaning, default: Default::Unset }
    }

    /// A variable with a default.
    pub const fn or(name: &'static str, default: &'static str, meaning: &'static str) -> Self {
        Self { name, meaning, default: Default::Value(default) }
    }

    /// A variable whose default is derived from others.
    pub const fn derived(name: &'static str, default: &'static str, meaning: &'static str) -> Self {
        Self { name, meaning, default: Default::Derived(default) }
    }
}

/// Why a function does not start: a variable and its problem, but never its value, which may be a key.
#[derive(Debug)]
pub struct ConfigError {
    variable: &'static str,
    problem: String,
}

impl ConfigError {
    /// `problem` completes the sentence "environment variable NAME …".
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

/// The source of the configuration.
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

    /// The variables that have been read so far.
    pub fn asked(&self) -> Vec<&'static Variable> {
        self.asked.borrow().clone()
    }

    /// The variable's value or default; `None` if it has neither. Empty counts as unset, because CloudFormation cannot
    /// leave a variable out.
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

    /// The variable's value or default.
    ///
    /// # Errors
    /// If it has neither.
    pub fn required(&self, variable: &'static Variable) -> Result<String, ConfigError> {
        self.optional(variable).ok_or_else(|| ConfigError::new(variable, "is not set"))
    }

    /// [`Env::required`] for keys.
    ///
    /// # Errors
    /// See [`Env::required`].
    pub fn secret(&self, variable: &'static Variable) -> Result<Secret, ConfigError> {
        self.required(variable).map(Secret::new)
    }

    /// [`Env::required`], parsed.
    ///
    /// # Errors
    /// See [`Env::required`]; if the value fails to parse.
    pub fn parsed<T: FromStr<Err: fmt::Display>>(
        &self,
        variable: &'static Variable,
    ) -> Result<T, ConfigError> {
        self.required(variable)?
            .parse()
            .map_err(|error| ConfigError::new(variable, format!("is not valid: {error}")))
    }

    /// The variable as a positive number of seconds.
    ///
    /// # Errors
    /// See [`Env::parsed`]; if the value is 0.
    pub fn seconds(&self, variable: &'static Variable) -> Result<u64, ConfigError> {
        match self.parsed(variable)? {
            0 => Err(ConfigError::new(variable, "must be at least 1 second")),
            seconds => Ok(seconds),
        }
    }

    /// The variable as an `https` URL, without a trailing slash. Plain `http` is for this machine only.
    ///
    /// # Errors
    /// See [`Env::required`]; if the value is not such a URL.
    pub fn url(&self, variable: &'static Variable) -> Result<String, ConfigError> {
        let url = self.required(variable)?;
        let is_accepted = match url.split_once("://") {
            Some(("https", rest)) => !rest.is_empty() && !rest.starts_with('/'),
            Some(("http", rest)) => is_loopback(rest),
            _ => false,
        };
        if !is_accepted {
            return Err(ConfigError::new(variable, "must be an https URL"));
        }
        Ok(url.trim_end_matches('/').to_owned())
    }
}

/// Whether a URL, without its scheme, leads to this machine.
fn is_loopback(rest: &str) -> bool {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    ["localhost", "127.0.0.1", "[::1]"].into_iter().any(|host| {
        let port = authority.strip_prefix(host).map(|port| port.strip_prefix(':').unwrap_or(port));
        port.is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

#[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
fn process_variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The deployment stage: `dev`, `staging`, `prod` or any other name.
pub static STAGE: Variable =
    Variable::required("STAGE", "The deployment stage. `dev-sign-in` starts only if it is exactly `dev`.");

/// The origins whose pages may call the API.
pub static ALLOWED_ORIGINS: Variable = Variable::optional(
    "ALLOWED_ORIGINS",
    "Comma-separated origins whose pages may call the API, such as `https://app.example.com`; none if unset. API Gateway's CORS uses the same list.",
);

/// The `SameSite` attribute of all cookies.
pub static COOKIE_SAME_SITE: Variable = Variable::or(
    "COOKIE_SAME_SITE",
    "lax",
    "The `SameSite` of all cookies: `lax`, or `none` for front ends on a different site than the API. With `none` the cookies are partitioned and have names of their own, such as `__Host-session-p`. A change signs everybody out.",
);

/// The transports that clients may use.
pub static SESSION_TRANSPORTS: Variable = Variable::or(
    "SESSION_TRANSPORTS",
    "cookie",
    "How clients may receive a session: `cookie`, or `cookie,header` to allow `Session-Transport: header` as well.",
);

/// The configuration that all endpoints share.
#[derive(Debug)]
pub struct ApiConfig {
    /// `ALLOWED_ORIGINS`, each without a trailing slash.
    pub allowed_origins: Vec<String>,
    /// `COOKIE_SAME_SITE`.
    pub same_site: SameSite,
    /// Whether `SESSION_TRANSPORTS` lists `header`.
    pub header_transport: bool,
}

impl ApiConfig {
    /// Reads the configuration.
    ///
    /// # Errors
    /// If a variable is invalid.
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
        Ok(Self {
            allowed_origins,
            same_site: env.parsed(&COOKIE_SAME_SITE)?,
            header_transport: header_transport(env)?,
        })
    }
}

/// Cookies cannot be disabled: a browser that has a session cookie can always sign out.
fn header_transport(env: &Env) -> Result<bool, ConfigError> {
    let listed = env.required(&SESSION_TRANSPORTS)?;
    let mut transports: Vec<_> = listed.split(',').map(str::trim).collect();
    transports.sort_unstable();
    match transports[..] {
        ["cookie"] => Ok(false),
        ["cookie", "header"] => Ok(true),
        _ => Err(ConfigError::new(&SESSION_TRANSPORTS, "must be `cookie` or `cookie,header`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static LIFETIME: Variable = Variable::or("LIFETIME", "60", "seconds");
    static KEY: Variable = Variable::required("KEY", "a key");

    #[test]
    fn an_empty_value_counts_as_unset() {
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
    fn a_url_is_https_except_on_this_machine() {
        static URL: Variable = Variable::required("URL", "a URL");
        let url = |text: &str| Env::fixed([("URL", text)]).url(&URL).ok();
        assert_eq!(url("https://api.example.com/").as_deref(), Some("https://api.example.com"));
        for accepted in ["http://127.0.0.1:8000", "http://localhost/jwks", "http://[::1]:1"] {
            assert_eq!(url(accepted).as_deref(), Some(accepted));
        }
        for refused in [
            "http://api.example.com",
            "http://localhost.example.com",
            "http://localhost@example.com",
            "http://localhost:8000@example.com",
            "https:///path",
            "ftp://localhost",
            "api.example.com",
        ] {
            assert_eq!(url(refused), None, "{refused}");
        }
    }

    #[test]
    fn header_transport_is_allowed_beside_cookies_only() {
        let allowed = |listed: &str| header_transport(&Env::fixed([("SESSION_TRANSPORTS", listed)])).ok();
        assert_eq!((allowed(""), allowed("cookie")), (Some(false), Some(false)));
        assert_eq!((allowed("cookie,header"), allowed("header, cookie")), (Some(true), Some(true)));
        for refused in ["header", "cookie,", "cookie,cookie", "Cookie", "cookie;header", "cookie,header,none"]
        {
            assert_eq!(allowed(refused), None, "{refused}");
        }
    }

    #[test]
    fn each_variable_that_is_read_is_recorded_once() {
        let env = Env::fixed([("KEY", "k")]);
        let _ = (env.optional(&KEY), env.optional(&KEY), env.optional(&LIFETIME));
        assert_eq!(env.asked().iter().map(|variable| variable.name).collect::<Vec<_>>(), ["KEY", "LIFETIME"]);
    }
}
