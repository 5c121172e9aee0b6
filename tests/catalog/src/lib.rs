//! Every function with its declaration, for documents, static checks, test matrices and benchmarks. The build script
//! discovers them in functions/: no list is kept by hand.

mod answer;
mod person;

use std::sync::LazyLock;

pub use answer::Answer;
use api::config::COOKIE_SAME_SITE;
use api::handler::SchemaFn;
use api::{Access, ApiConfig, ConfigError, Endpoint, Env, Handler, Route, SameSite};
pub use person::{Outcome, Outgoing, Person, Tokens};

include!("functions.rs");

/// A function.
#[derive(Debug)]
pub struct Function {
    /// The name of its folder, package and binary.
    pub name: &'static str,
    /// Its declaration.
    pub route: Route,
    /// The schema of its input; `None` if it is not JSON.
    pub input: Option<SchemaFn>,
    /// The schema of its output; `None` for a function without a route.
    pub output: Option<SchemaFn>,
    load: fn(&Env) -> Result<(), ConfigError>,
}

impl Function {
    fn of<E: Endpoint, M>(name: &'static str, handle: impl Handler<E, M>) -> Self {
        let schemas = handle.schemas();
        let load = |env: &Env| E::load(env).map(drop);
        Self { name, route: E::ROUTE, input: schemas.input, output: schemas.output, load }
    }

    /// Loads its configuration, as its process does at the start.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub fn load(&self, env: &Env) -> Result<(), ConfigError> {
        match self.route.access {
            Access::Authorizer => {
                let _: SameSite = env.parsed(&COOKIE_SAME_SITE)?;
            }
            Access::Scheduled => {}
            _ => {
                ApiConfig::load(env)?;
            }
        }
        (self.load)(env)
    }
}

static ALL: LazyLock<Vec<Function>> = LazyLock::new(all);

/// All functions by name, including those without a route.
pub fn functions() -> &'static [Function] {
    &ALL
}

/// The functions with a route, in the order of the API document: by section, path and method.
pub fn endpoints() -> Vec<&'static Function> {
    let mut endpoints: Vec<_> = ALL.iter().filter(|function| function.route.is_http()).collect();
    endpoints.sort_by_key(|Function { route, .. }| (route.tag, route.path, route.method.name()));
    endpoints
}

/// The function `name`.
pub fn function(name: &str) -> Option<&'static Function> {
    ALL.iter().find(|function| function.name == name)
}

/// The function that serves requests with this method and path.
pub fn serving(method: &str, path: &str) -> Option<&'static Function> {
    let serves = |route: &Route| route.method.name() == method && matches(route.path, path);
    endpoints().into_iter().find(|function| serves(&function.route))
}

/// Whether a path matches a route, whose `{name}` segments match any segment.
fn matches(route: &str, path: &str) -> bool {
    let (route, path) = (route.split('/'), path.split('/'));
    route.clone().count() == path.clone().count()
        && route.zip(path).all(|(expected, segment)| expected.starts_with('{') || expected == segment)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_parameter_matches_one_segment() {
        assert!(super::matches("/a/{id}", "/a/1"));
        assert!(!super::matches("/a/{id}", "/a/1/2"));
        assert!(!super::matches("/a/{id}", "/b/1"));
    }
}
