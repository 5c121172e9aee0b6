//! Checks that every response in the suite is documented: [`Browser`](crate::app::Browser) and
//! [`Stage`](crate::stage::Stage) call [`check`] on each.

use api::Reason;
use api::transport::{FLOW_TOKEN, SESSION_TOKEN, header_for};
use catalog::{Answer, Function};
use serde_json::Value;

use crate::generated::openapi::{COMMON, fields, gateway_responses};

/// Asserts that a response has a request id, a status, cookies (or headers in their place) and, if it is an error, a reason
/// that its route declares.
#[track_caller]
pub fn check(function: &Function, response: &Answer) {
    let Function { name, route, .. } = function;
    let (status, body) = (response.status.as_u16(), &response.body);
    for cookie in &response.cookies {
        let cookie = cookie.split('=').next().unwrap_or_default();
        let cookie = cookie.strip_suffix("-p").unwrap_or(cookie);
        assert!(route.cookies.contains(&cookie), "{name} sets {cookie}, which its route does not declare");
    }
    for header in
        [SESSION_TOKEN, FLOW_TOKEN].into_iter().filter(|header| response.headers.contains_key(header))
    {
        let declared = route.cookies.iter().any(|cookie| header_for(cookie).as_ref() == Some(&header));
        assert!(declared, "{name} sends {header}, but its route declares no cookie for it");
    }
    let request_id = response.header("x-request-id");
    if status < 400 {
        assert!(request_id.is_some_and(|id| !id.is_empty()), "{name}: X-Request-Id");
        assert_eq!(status, route.success, "{name} succeeds with a status that its route does not declare");
        return;
    }
    let Some(reason) = body.get("reason").and_then(Value::as_str) else {
        let message = body["message"].as_str().unwrap_or_default();
        let known = gateway_responses().contains(&(status, message));
        return assert!(known, "{name} responds with {status} {body}, which API Gateway never does");
    };
    assert_eq!(request_id, body["requestId"].as_str(), "{name}: X-Request-Id");
    let reason = Reason::named(reason).unwrap_or_else(|| panic!("{name}: unknown reason {reason}"));
    assert_eq!(status, reason.status());
    assert!(
        route.all_reasons().contains(&reason),
        "{name} responds with {}, which its route does not declare: {body}",
        reason.name(),
    );
    assert_eq!(body["retryable"], reason.retryable(), "{name}: {body}");
    let own = fields(route, reason);
    for field in body.as_object().expect("an error is an object").keys() {
        let is_documented = COMMON.contains(&field.as_str()) || own.iter().any(|each| each.name == field);
        assert!(is_documented, "{name}: {} has no field {field}: {body}", reason.name());
    }
    for field in own.iter().filter(|field| field.required) {
        assert!(!body[field.name].is_null(), "{name}: {} without {}: {body}", reason.name(), field.name);
    }
    let must_wait = matches!(status, 429 | 503) && reason.retryable();
    assert_eq!(response.header("retry-after").is_some(), must_wait, "{name}: Retry-After");
}
