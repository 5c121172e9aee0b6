//! Route selection. Source: "Routing API requests" in "Work with routes for HTTP APIs", API Gateway developer guide:
//! the most specific match wins, in the order full match, path variables, greedy path variable, `$default`.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use local_template::Route;

/// The route that serves a request, and the values of its path variables.
pub(super) fn select<'r>(
    routes: &'r [Route],
    method: &str,
    path: &str,
) -> Option<(&'r Route, BTreeMap<String, String>)> {
    routes
        .iter()
        .filter(|route| route.path == "$default" || route.method == "ANY" || route.method == method)
        .filter_map(|route| {
            let (variables, greedy) = capture(&route.path, path)?;
            let rank = (
                Reverse(route.path == "$default"),
                Reverse(greedy),
                Reverse(variables.len()),
                Reverse(route.method == "ANY"),
            );
            Some((rank, route, variables))
        })
        .max_by(|(left, ..), (right, ..)| left.cmp(right))
        .map(|(_, route, variables)| (route, variables))
}

/// The route key as events show it, e.g. `POST /auth/sign-in`.
pub(super) fn key(route: &Route) -> String {
    match route.path.as_str() {
        "$default" => "$default".to_owned(),
        path => format!("{} {path}", route.method),
    }
}

fn capture(pattern: &str, path: &str) -> Option<(BTreeMap<String, String>, bool)> {
    let mut variables = BTreeMap::new();
    if pattern == "$default" {
        return Some((variables, false));
    }
    let mut segments = path.split('/');
    for expected in pattern.split('/') {
        let variable = expected.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        if let Some(name) = variable.and_then(|name| name.strip_suffix('+')) {
            let rest = segments.collect::<Vec<_>>().join("/");
            if rest.is_empty() {
                return None;
            }
            variables.insert(name.to_owned(), rest);
            return Some((variables, true));
        }
        let segment = segments.next()?;
        match variable {
            Some(_) if segment.is_empty() => return None,
            Some(name) => {
                variables.insert(name.to_owned(), segment.to_owned());
            }
            None if segment != expected => return None,
            None => {}
        }
    }
    segments.next().is_none().then_some((variables, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(key: &str) -> Route {
        let (method, path) = key.split_once(' ').unwrap_or(("ANY", key));
        Route { method: method.to_owned(), path: path.to_owned(), function: key.to_owned(), authorizer: None }
    }

    #[test]
    fn the_most_specific_route_wins() {
        let routes = ["$default", "ANY /{proxy+}", "POST /a/{id}", "POST /a/b", "ANY /a/b"].map(route);
        for (method, path, expected) in [
            ("POST", "/a/b", "POST /a/b"),
            ("GET", "/a/b", "ANY /a/b"),
            ("POST", "/a/c", "POST /a/{id}"),
            ("GET", "/a/c", "ANY /{proxy+}"),
            ("GET", "/", "$default"),
        ] {
            let selected = select(&routes, method, path).map(|(route, _)| route.function.as_str());
            assert_eq!(selected, Some(expected), "{method} {path}");
        }
    }

    #[test]
    fn other_methods_and_longer_paths_match_nothing() {
        let routes = [route("POST /auth/sign-in")];
        for (method, path) in [
            ("GET", "/auth/sign-in"),
            ("POST", "/auth/sign-in/"),
            ("POST", "/auth"),
            ("POST", "/AUTH/sign-in"),
        ] {
            assert!(select(&routes, method, path).is_none(), "{method} {path}");
        }
    }
}
