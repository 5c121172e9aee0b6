//! The router of `cargo lambda watch`, in Cargo.toml.

use std::fmt::Write as _;

use catalog::Function;

const BEGIN: &str = "[workspace.metadata.lambda.watch.router]\n";

#[test]
fn the_router_matches_the_code() {
    let manifest = std::fs::read_to_string(crate::app::root().join("Cargo.toml")).unwrap();
    let (before, rest) = manifest.split_once(BEGIN).expect("Cargo.toml has the router of cargo lambda watch");
    let (_, after) = rest.split_once("\n\n").expect("a section follows");
    super::golden::check("Cargo.toml", &format!("{before}{BEGIN}{}\n{after}", router()));
}

/// Routes by path, since cargo-lambda's short form accepts any method; with methods if a path has several functions.
fn router() -> String {
    let endpoints = catalog::endpoints();
    let mut router = String::new();
    for Function { name, route, .. } in &endpoints {
        let of_path: Vec<_> = endpoints.iter().filter(|each| each.route.path == route.path).collect();
        if of_path.len() == 1 {
            writeln!(router, "{:?} = {name:?}", route.path).unwrap();
        } else if of_path.first().is_some_and(|first| first.name == *name) {
            let methods = of_path.iter().map(|each| {
                format!("{{ method = {:?}, function = {:?} }}", each.route.method.name(), each.name)
            });
            writeln!(router, "{:?} = [{}]", route.path, methods.collect::<Vec<_>>().join(", ")).unwrap();
        }
    }
    router
}
