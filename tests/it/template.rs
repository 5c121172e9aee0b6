//! `template.yaml` and the code agree: routes, methods, protection, functions and their environment.

use std::collections::{BTreeMap, BTreeSet};

use api::{Access, Env};
use catalog::Function;
use local_template::{Deployment, Template};

use crate::generated::configuration::{FULL, read_by};

/// The template of a stage.
pub fn template(stage: &str) -> Template {
    let text = std::fs::read_to_string(crate::app::root().join("template.yaml")).unwrap();
    let parameters = [("Stage", stage), ("AllowedOrigins", crate::app::ORIGIN)];
    let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Template::parse(&text, &Deployment { parameters, ..Deployment::default() }).unwrap()
}

/// What is known of a route: method, path, function, and whether the authorizer stands before it.
type Known = BTreeSet<(String, String, String, bool)>;

fn declared(template: &Template) -> Known {
    let routes = template.routes.iter().map(|route| {
        let function = &template.functions[&route.function];
        (route.method.clone(), route.path.clone(), function.binary.clone(), route.authorizer.is_some())
    });
    routes.collect()
}

fn coded() -> Known {
    let routes = catalog::endpoints().into_iter().map(|Function { name, route, .. }| {
        let method = route.method.name().to_owned();
        (method, route.path.to_owned(), (*name).to_owned(), route.access == Access::Session)
    });
    routes.collect()
}

#[test]
fn routes_methods_and_protection_are_those_of_the_code() {
    assert_eq!(declared(&template("dev")), coded());
}

#[test]
fn production_lacks_dev_sign_in_and_nothing_else() {
    let mut expected = coded();
    expected.retain(|(_, _, function, _)| function != "dev-sign-in");
    let production = template("prod");
    assert_eq!(declared(&production), expected);
    assert_eq!(production.functions.len(), expected.len() + 1, "each route's function and the authorizer");
}

#[test]
fn functions_are_named_as_in_the_code_and_have_time_for_their_deadline() {
    let template = template("dev");
    let names: Vec<_> = catalog::functions().iter().map(|function| function.name).collect();
    let mut binaries: Vec<_> = template.functions.values().map(|each| each.binary.as_str()).collect();
    binaries.sort_unstable();
    assert_eq!(binaries, names);
    for function in template.functions.values() {
        assert_eq!(function.name, format!("local-{}", function.binary));
        // Functions answer within 8 s by themselves, and API Gateway gives up after 30 s.
        assert!((9..30).contains(&function.timeout.as_secs()), "{}: {:?}", function.binary, function.timeout);
    }
}

#[test]
fn the_authorizer_sees_every_request_and_remembers_none() {
    let template = template("dev");
    let [authorizer] = template.authorizers.values().collect::<Vec<_>>()[..] else {
        panic!("one authorizer")
    };
    assert_eq!(template.functions[&authorizer.function].binary, "authorizer");
    assert!(authorizer.identity_sources.is_empty(), "{:?}", authorizer.identity_sources);
    assert!(authorizer.cache.is_zero(), "a sign-out must hold at once");
}

#[test]
fn each_function_gets_the_variables_that_it_reads_and_no_other() {
    let template = template("dev");
    for function in catalog::functions() {
        let name = function.name;
        let mut read = read_by(function);
        // Lambda's own, and the endpoint of a table on the developer's machine.
        read.retain(|variable| !variable.name.starts_with("AWS_"));
        let read: BTreeSet<_> = read.iter().map(|variable| variable.name).collect();
        let mut given: BTreeSet<_> = template.function_of_binary(name).unwrap().variables().collect();
        // Every function gets it, for the person who looks at one in the console; `dev-sign-in` reads it.
        given.remove("STAGE");
        let read: BTreeSet<_> = read.into_iter().filter(|variable| *variable != "STAGE").collect();
        assert_eq!(given, read, "{name}: template.yaml (left) and the code (right)");
    }
}

#[test]
fn the_tables_name_reaches_every_function_that_has_a_policy_on_it() {
    let template = template("dev");
    let with_policy: BTreeMap<_, _> = crate::policies::policies();
    for function in template.functions.values() {
        let has_table = function.variables().any(|name| name == "SESSION_TABLE");
        assert_eq!(has_table, with_policy.contains_key(&function.binary), "{}", function.binary);
    }
}

#[test]
fn loading_needs_no_more_than_what_is_set() {
    for function in catalog::functions() {
        assert!(function.load(&Env::fixed(FULL)).is_ok(), "{}", function.name);
    }
}
