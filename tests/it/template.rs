//! `template.yaml` and the code agree: routes, methods, protection, functions and their environment.

use std::collections::{BTreeMap, BTreeSet};

use api::{Access, Env};
use local_template::{Deployment, Template};

use crate::endpoints::{self, Endpoint};

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
    let routes = endpoints::ALL.iter().map(|Endpoint { route, .. }| {
        let protected = route.access == Access::Protected;
        ("POST".to_owned(), route.path.to_owned(), route.name.to_owned(), protected)
    });
    routes.collect()
}

#[test]
fn routes_methods_and_protection_are_those_of_the_code() {
    assert_eq!(declared(&template("dev")), coded());
}

#[test]
fn cargo_lambda_watch_routes_as_the_code_says() {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(crate::app::root())
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let router = metadata["metadata"]["lambda"]["watch"]["router"].as_object().unwrap();
    let router: BTreeMap<_, _> =
        router.iter().map(|(path, name)| (path.as_str(), name.as_str().unwrap())).collect();
    let coded: BTreeMap<_, _> =
        endpoints::ALL.iter().map(|each| (each.route.path, each.route.name)).collect();
    assert_eq!(router, coded);
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
    let mut names: Vec<_> = endpoints::functions().into_iter().map(|(name, _)| name).collect();
    names.sort_unstable();
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
    // The reader refuses a result cache: a sign-out must hold at once.
}

#[test]
fn each_function_gets_the_variables_that_it_reads_and_no_other() {
    let template = template("dev");
    for (name, load) in endpoints::functions() {
        let mut read = crate::configuration::read_by(load);
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

/// The README's table of endpoints.
fn endpoint_table() -> String {
    let mut table = "| endpoint | needs a session | success | function |\n|---|---|---|---|\n".to_owned();
    for Endpoint { route, .. } in endpoints::ALL {
        let session = match (route.access, route.name) {
            (Access::Protected, _) => "yes",
            // It acts for whoever is signed in and checks the session by itself.
            (Access::Public, "switch-organization") => "yes",
            (Access::Public, "livekit-webhook") => "LiveKit's signature",
            (Access::Public, _) => "no",
        };
        table.push_str(&format!(
            "| `POST {path}` | {session} | {success} | [{name}](functions/{name}/src/lib.rs) |\n",
            path = route.path,
            success = route.success,
            name = route.name
        ));
    }
    table
}

#[test]
fn the_readme_lists_the_endpoints() {
    const BEGIN: &str = "<!-- endpoints -->\n";
    const END: &str = "<!-- /endpoints -->";
    let readme = std::fs::read_to_string(crate::app::root().join("README.md")).expect("README.md");
    let (before, rest) = readme.split_once(BEGIN).expect("README.md has the line <!-- endpoints -->");
    let (_, after) = rest.split_once(END).expect("README.md has the line <!-- /endpoints -->");
    let table = endpoint_table();
    crate::golden::check("README.md", &format!("{before}{BEGIN}\n{table}\n{END}{after}"));
}

#[test]
fn loading_needs_no_more_than_what_is_set() {
    for (name, load) in endpoints::functions() {
        assert!(load(&Env::fixed(crate::configuration::FULL)).is_ok(), "{name}");
    }
}
