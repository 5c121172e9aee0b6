//! Every answer that a test gets is one that its route documents. The browsers of the suite call [`check`] on each.

use api::{Access, Reason};
use serde_json::Value;

use crate::app::Answer;
use crate::generated::openapi;

/// Asserts that the answer of `path` has a documented status, and as an error a documented reason.
///
/// # Panics
/// Where it does not; such an answer would surprise whoever reads openapi.yaml.
#[track_caller]
pub fn check(method: &str, path: &str, answer: &Answer) {
    let Some(function) = catalog::at(method, path) else { return };
    let (route, status) = (&function.route, answer.status.as_u16());
    for cookie in &answer.cookies {
        let name = cookie.split('=').next().unwrap_or_default();
        assert!(
            route.cookies.contains(&name),
            "{path} sets {name}, which openapi.yaml does not say"
        );
    }
    if answer.status.is_success() {
        assert_eq!(status, route.success, "{path} succeeds with another status than documented");
        return;
    }
    let Some(reason) = answer.body.get("reason").and_then(Value::as_str) else {
        let known = openapi::gateway_answers(route);
        let known = known
            .iter()
            .any(|(each, message)| (*each, *message) == (status, answer.text("/message").as_str()));
        return assert!(known, "{path} answers {status} {}, and API Gateway does not", answer.body);
    };
    let reason = Reason::named(reason).unwrap_or_else(|| panic!("{path}: there is no reason {reason}"));
    assert_eq!(status, reason.status());
    assert!(
        route.all_reasons().contains(&reason),
        "{path} answers {}, which its route does not list: {}",
        reason.name(),
        answer.body
    );
    assert!(answer.header("retry-after").is_some() == matches!(status, 429 | 503), "{path}: Retry-After");
}

#[test]
fn only_protected_routes_are_refused_by_the_authorizer() {
    for endpoint in catalog::endpoints() {
        let refused = openapi::gateway_answers(&endpoint.route).iter().any(|(status, _)| *status == 403);
        assert_eq!(refused, endpoint.route.access == Access::Session);
    }
}
