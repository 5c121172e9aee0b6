//! `template.yaml` and the code agree on routes, methods, protection, functions and their environment.

use std::collections::{BTreeMap, BTreeSet};

use api::transport::{FLOW_TOKEN, SESSION_TOKEN, SESSION_TRANSPORT};
use api::{Access, Env};
use catalog::Function;
use local_template::{Deployment, Template};
use serde_yaml_ng::Value as Yaml;

use crate::generated::configuration::{FULL, read_by};

/// The template as deployed to `stage`.
pub fn template(stage: &str) -> Template {
    let text = std::fs::read_to_string(crate::app::root().join("template.yaml")).unwrap();
    let parameters = [("Stage", stage), ("AllowedOrigins", crate::app::ORIGIN)];
    let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Template::parse(&text, &Deployment { parameters, ..Deployment::default() }).unwrap()
}

/// The template as written, with `Globals` and intrinsic functions unresolved.
pub fn source() -> Yaml {
    let text = std::fs::read_to_string(crate::app::root().join("template.yaml")).unwrap();
    serde_yaml_ng::from_str(&text).unwrap()
}

/// Each function's resource as written, by binary.
pub fn functions(source: &Yaml) -> BTreeMap<&str, &Yaml> {
    let resources = source["Resources"].as_mapping().unwrap().values();
    resources
        .filter(|resource| resource["Type"] == "AWS::Serverless::Function")
        .map(|function| (function["Metadata"]["BuildProperties"]["Binary"].as_str().unwrap(), function))
        .collect()
}

/// The variables in an `Environment` section, which a function may lack.
fn variables(environment: &Yaml) -> BTreeMap<&str, &Yaml> {
    let variables = environment["Variables"].as_mapping().into_iter().flatten();
    variables.map(|(name, value)| (name.as_str().unwrap(), value)).collect()
}

fn variable_names(environment: &Yaml) -> BTreeSet<&str> {
    variables(environment).into_keys().collect()
}

/// Method, path, function, and whether the authorizer protects the route.
type Routes = BTreeSet<(String, String, String, bool)>;

fn declared(template: &Template) -> Routes {
    let routes = template.routes.iter().map(|route| {
        let function = &template.functions[&route.function];
        (route.method.clone(), route.path.clone(), function.binary.clone(), route.authorizer.is_some())
    });
    routes.collect()
}

fn coded() -> Routes {
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
fn schedules_are_those_of_the_code() {
    let source = source();
    let scheduled = functions(&source).into_iter().filter_map(|(binary, function)| {
        let schedule = &function["Properties"]["Events"]["Schedule"]["Properties"]["ScheduleExpression"];
        Some((binary, schedule.as_str()?))
    });
    let coded = catalog::functions().iter().filter_map(|each| Some((each.name, each.route.schedule?)));
    assert_eq!(scheduled.collect::<BTreeSet<_>>(), coded.collect());
}

#[test]
fn cors_allows_the_method_of_every_route() {
    let template = template("dev");
    let allowed = &template.cors.as_ref().expect("the template configures CORS").allow_methods;
    for route in &template.routes {
        assert!(
            allowed.contains(&route.method),
            "CORS allows {allowed:?}, not {} {}",
            route.method,
            route.path
        );
    }
}

#[test]
fn cors_allows_and_exposes_the_headers_of_header_transport() {
    let cors = template("dev").cors.expect("the template configures CORS");
    for header in [SESSION_TRANSPORT, FLOW_TOKEN] {
        assert!(
            cors.allow_headers.iter().any(|name| header == name.as_str()),
            "{header}: {:?}",
            cors.allow_headers
        );
    }
    for header in [SESSION_TOKEN, FLOW_TOKEN] {
        assert!(
            cors.expose_headers.iter().any(|name| header == name.as_str()),
            "{header}: {:?}",
            cors.expose_headers
        );
    }
}

/// API Gateway rejects the whole deployment otherwise.
#[test]
fn every_throttled_route_exists() {
    let template = template("prod");
    let routes: BTreeSet<_> =
        template.routes.iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    let source = source();
    let throttled = source["Resources"]["HttpApi"]["Properties"]["RouteSettings"].as_mapping().unwrap();
    for route in throttled.keys() {
        assert!(routes.contains(route.as_str().unwrap()), "RouteSettings name {route:?}, which is no route");
    }
}

#[test]
fn only_the_stage_dev_has_dev_sign_in() {
    let mut expected = coded();
    assert_eq!(declared(&template("dev")), expected);
    expected.retain(|(_, _, function, _)| function != "dev-sign-in");
    for stage in ["staging", "prod"] {
        let template = template(stage);
        assert_eq!(declared(&template), expected, "{stage}");
        assert_eq!(template.functions.len(), catalog::functions().len() - 1, "{stage}");
    }
    assert!(source()["Parameters"]["Stage"].get("Default").is_none(), "a deployment names its stage");
}

#[test]
fn functions_have_the_names_of_the_code_and_time_for_their_deadline() {
    let template = template("dev");
    let names: Vec<_> = catalog::functions().iter().map(|function| function.name).collect();
    let mut binaries: Vec<_> = template.functions.values().map(|each| each.binary.as_str()).collect();
    binaries.sort_unstable();
    assert_eq!(binaries, names);
    for function in template.functions.values() {
        assert_eq!(function.name, format!("local-{}", function.binary));
        // Functions respond within their own 8 s deadline, and API Gateway times out at 30 s.
        assert!((9..30).contains(&function.timeout.as_secs()), "{}: {:?}", function.binary, function.timeout);
    }
}

#[test]
fn the_authorizer_sees_every_request_and_caches_no_result() {
    let template = template("dev");
    let [authorizer] = template.authorizers.values().collect::<Vec<_>>()[..] else {
        panic!("one authorizer")
    };
    assert_eq!(template.functions[&authorizer.function].binary, "authorizer");
    assert!(authorizer.identity_sources.is_empty(), "{:?}", authorizer.identity_sources);
    // The template reader refuses a result cache: a sign-out must take effect immediately.
}

/// The variables that each function reads, by name of the function, without those that Lambda sets.
pub fn variables_read() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let functions = catalog::functions().iter();
    functions
        .map(|function| {
            let read = read_by(function).into_iter().map(|variable| variable.name);
            (function.name, read.filter(|name| !name.starts_with("AWS_")).collect())
        })
        .collect()
}

#[test]
fn each_function_gets_the_variables_that_it_reads_and_no_other() {
    let template = template("dev");
    let source = source();
    let global = variable_names(&source["Globals"]["Function"]["Environment"]);
    let functions = functions(&source);
    for (name, read) in variables_read() {
        let own = variable_names(&functions[name]["Properties"]["Environment"]);
        assert_eq!(
            own,
            &read - &global,
            "{name}: its own variables (left), and what it reads beyond Globals"
        );
        let given: BTreeSet<_> = template.function_of_binary(name).unwrap().variables().collect();
        assert_eq!(
            given,
            &read | &global,
            "{name}: all its variables (left), and what it reads or Globals set"
        );
    }
}

#[test]
fn globals_hold_no_secret_and_only_what_most_functions_read() {
    let source = source();
    let globals = serde_yaml_ng::to_string(&source["Globals"]).unwrap();
    assert!(!globals.contains("{{resolve:"), "Globals refer to a secret:\n{globals}");
    let read = variables_read();
    for name in variable_names(&source["Globals"]["Function"]["Environment"]) {
        assert!(!names_a_secret(name), "{name} belongs to the functions that use it, not to Globals");
        let readers = read.values().filter(|variables| variables.contains(name)).count();
        // Only `dev-sign-in` reads `STAGE`; it also labels every function in the console.
        assert!(name == "STAGE" || readers > read.len() / 2, "only {readers} functions read {name}");
    }
}

#[test]
fn every_variable_with_a_secret_is_named_as_one() {
    let source = source();
    for (binary, function) in functions(&source) {
        for (name, value) in variables(&function["Properties"]["Environment"]) {
            let is_secret = serde_yaml_ng::to_string(value).unwrap().contains("{{resolve:");
            assert_eq!(names_a_secret(name), is_secret, "{binary}: {name}");
        }
    }
}

fn names_a_secret(variable: &str) -> bool {
    variable.split('_').any(|word| matches!(word, "KEY" | "SECRET"))
}

#[test]
fn the_functions_that_read_the_tables_name_are_those_with_a_policy_on_it() {
    let policies = crate::policies::policies();
    for (function, read) in variables_read() {
        assert_eq!(read.contains("SESSION_TABLE"), policies.contains_key(function), "{function}");
    }
}

#[test]
fn every_function_loads_from_the_documented_variables() {
    for function in catalog::functions() {
        assert!(function.load(&Env::fixed(FULL)).is_ok(), "{}", function.name);
    }
}
