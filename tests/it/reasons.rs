//! Every response that a test gets is one that its route documents. The browsers of the suite call [`check`] on each.

use api::{Access, Reason};
use catalog::{Answer, Function};
use serde_json::Value;

use crate::generated::openapi::gateway_answers;

/// Asserts that a response has a documented status and documented cookies, and as an error a documented reason.
///
/// # Panics
/// If it has not: it would surprise a reader of openapi.yaml.
#[track_caller]
pub fn check(function: &Function, answer: &Answer) {
    let Function { name, route, .. } = function;
    let (status, body) = (answer.status.as_u16(), &answer.body);
    for cookie in &answer.cookies {
        let cookie = cookie.split('=').next().unwrap_or_default();
        assert!(route.cookies.contains(&cookie), "{name} sets {cookie}, which openapi.yaml does not say");
    }
    if answer.status.is_success() {
        assert_eq!(status, route.success, "{name} succeeds with another status than documented");
        return;
    }
    let Some(reason) = body.get("reason").and_then(Value::as_str) else {
        let message = body["message"].as_str().unwrap_or_default();
        let known = gateway_answers(route).contains(&(status, message));
        return assert!(known, "{name} responds with {status} {body}, and API Gateway does not");
    };
    let reason = Reason::named(reason).unwrap_or_else(|| panic!("{name}: there is no reason {reason}"));
    assert_eq!(status, reason.status());
    assert!(
        route.all_reasons().contains(&reason),
        "{name} responds with {}, which its route does not list: {body}",
        reason.name(),
    );
    assert!(answer.header("retry-after").is_some() == matches!(status, 429 | 503), "{name}: Retry-After");
}

#[test]
fn only_protected_routes_are_refused_by_the_authorizer() {
    for function in catalog::endpoints() {
        let refused = gateway_answers(&function.route).iter().any(|(status, _)| *status == 403);
        assert_eq!(refused, function.route.access == Access::Session);
    }
}
