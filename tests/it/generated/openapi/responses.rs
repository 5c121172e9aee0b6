//! The responses of an endpoint by status: our own, with every reason, and those of API Gateway.

use std::collections::{BTreeMap, BTreeSet};

use api::transport::header_for;
use api::{Access, Reason, Route};
use serde_json::{Map, Value, json};

use super::errors;

/// The errors that API Gateway itself can return on every route: status and message.
pub fn gateway_responses() -> [(u16, &'static str); 5] {
    [
        (413, "Request Entity Too Large"),
        (429, "Too Many Requests"),
        (431, "Request Header Fields Too Large"),
        (500, "Internal Server Error"),
        (503, "Service Unavailable"),
    ]
}

/// All responses of a route: the OpenAPI `responses`.
pub fn responses(route: &Route, success: &str) -> Value {
    let mut reasons: BTreeMap<u16, Vec<Reason>> = BTreeMap::new();
    for reason in route.all_reasons() {
        reasons.entry(reason.status()).or_default().push(reason);
    }
    let gateway: BTreeMap<_, _> = gateway_responses().into_iter().collect();
    let mut responses = Map::new();
    responses.insert(route.success.to_string(), successful(route, success));
    let statuses: std::collections::BTreeSet<_> = reasons.keys().chain(gateway.keys()).collect();
    for status in statuses {
        let own = reasons.get(status).map(Vec::as_slice).unwrap_or_default();
        let response = match shared_name(*status) {
            Some(name) => {
                let common = own.iter().all(|reason| Reason::COMMON.contains(reason));
                assert!(common, "{}: {status} is not the same on all routes", route.path);
                json!({ "$ref": format!("#/components/responses/{name}") })
            }
            None => failed(route, *status, own, gateway.get(status).copied(), route.cookies),
        };
        responses.insert(status.to_string(), response);
    }
    Value::Object(responses)
}

/// The name of the response with this status, if it is the same on every route.
fn shared_name(status: u16) -> Option<&'static str> {
    match status {
        413 => Some("PayloadTooLarge"),
        415 => Some("UnsupportedMediaType"),
        431 => Some("HeaderFieldsTooLarge"),
        500 => Some("InternalServerError"),
        _ => None,
    }
}

/// The responses that are the same on every route, by name.
pub fn shared() -> Value {
    let gateway: BTreeMap<_, _> = gateway_responses().into_iter().collect();
    let shared = [413, 415, 431, 500].into_iter().filter_map(|status| {
        let reasons: Vec<_> =
            Reason::COMMON.iter().copied().filter(|reason| reason.status() == status).collect();
        let response = failed(&Route::post("/"), status, &reasons, gateway.get(&status).copied(), &[]);
        Some((shared_name(status)?.to_owned(), response))
    });
    Value::Object(shared.collect())
}

/// An example of every error, by reason.
pub fn examples() -> Value {
    let examples = Reason::ALL.iter();
    Value::Object(
        examples.map(|reason| (reason.name().to_owned(), json!({ "value": example(*reason) }))).collect(),
    )
}

fn successful(route: &Route, schema: &str) -> Value {
    let example = |json| json!({ "value": super::parse(json) });
    let examples: Map<_, _> =
        route.responses.iter().map(|(name, json)| ((*name).to_owned(), example(json))).collect();
    let description: Vec<_> =
        ["Success.".to_owned()].into_iter().chain(sets(route.cookies, "Sets or clears")).collect();
    let mut headers = headers(route.cookies);
    if route.success == 302 {
        headers["Location"] = json!({
            "required": true,
            "description": "Where the browser goes.",
            "schema": { "type": "string", "format": "uri" },
        });
    }
    json!({
        "description": description.join(" "),
        "headers": headers,
        "content": { "application/json": { "schema": { "$ref": schema }, "examples": examples } },
    })
}

fn failed(route: &Route, status: u16, reasons: &[Reason], gateway: Option<&str>, cookies: &[&str]) -> Value {
    let mut description: Vec<_> =
        reasons.iter().map(|reason| format!("- `{}`: {}", reason.name(), reason.action())).collect();
    let mut schemas = Vec::new();
    let mut examples = Map::new();
    if !reasons.is_empty() {
        schemas.extend(errors::schema(route, status, reasons));
        examples.extend(reasons.iter().map(|reason| {
            let shared = format!("#/components/examples/{}", reason.name());
            let in_browser = redirected(route, *reason).map(|example| json!({ "value": example }));
            (reason.name().to_owned(), in_browser.unwrap_or_else(|| json!({ "$ref": shared })))
        }));
    }
    if let Some(message) = gateway {
        description.push(format!("- `{{\"message\":\"{message}\"}}`: {}", gateway_meaning(status)));
        schemas.push(super::gateway_error(json!({ "type": "string", "const": message })));
        examples.insert("api_gateway".to_owned(), json!({ "value": { "message": message } }));
    }
    let schema = match <[Value; 1]>::try_from(schemas) {
        Ok([schema]) => schema,
        Err(schemas) => json!({ "oneOf": schemas }),
    };
    let cookies = if matches!(status, 400..=403) { cookies } else { &[] };
    description.extend(sets(cookies, "Can set or clear").map(|line| format!("\n{line}")));
    // API Gateway sends none of our headers.
    let mut headers = if gateway.is_none() { headers(cookies) } else { json!({}) };
    if gateway.is_some() {
        headers["Apigw-Requestid"] = header("Apigw-Requestid");
    }
    if matches!(status, 429 | 503) {
        headers["Retry-After"] = header("Retry-After");
    }
    json!({
        "description": description.join("\n"),
        "headers": headers,
        "content": { "application/json": { "schema": schema, "examples": examples } },
    })
}

fn gateway_meaning(status: u16) -> &'static str {
    match status {
        413 => "The body is larger than 10 MB.",
        429 => "The rate limit of the route is exceeded: wait and try again.",
        431 => "The headers are larger than 10 KB.",
        500 => "The function or the authorizer failed: try again, then report the header `apigw-requestid`.",
        _ => "There is no capacity for the function: try again.",
    }
}

/// The headers of a function's response.
fn headers(cookies: &[&str]) -> Value {
    let constant = super::constant_headers().into_iter().map(|(name, _)| name);
    let cookie = (!cookies.is_empty()).then(|| "Set-Cookie".to_owned());
    let tokens = cookies.iter().filter_map(|cookie| header_for(cookie));
    let tokens: BTreeSet<_> = tokens.map(|header| super::title(header.as_str())).collect();
    let names = constant.chain(["X-Request-Id".to_owned()]).chain(cookie).chain(tokens);
    Value::Object(names.map(|name| (name.clone(), header(&name))).collect())
}

/// A reference to a header among the components.
fn header(name: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{}", super::component(name)) })
}

/// The sentence about the cookies that a response may set.
fn sets(cookies: &[&str], verb: &str) -> Option<String> {
    (!cookies.is_empty()).then(|| format!("{verb} `{}`.", cookies.join("` or `")))
}

/// The example of a step that a switch cannot take, and WorkOS' page can.
fn redirected(route: &Route, reason: Reason) -> Option<Value> {
    let mut body = example(reason);
    body.as_object_mut()?.remove("pendingAuthenticationToken")?;
    body["next"] = json!("redirect");
    body["authData"] = example(Reason::AuthenticationMethodNotAllowed)["authData"].take();
    (route.access == Access::OwnSession).then_some(body)
}

fn example(reason: Reason) -> Value {
    let mut body = json!({
        "code": reason.status(),
        "message": reason.message(),
        "reason": reason.name(),
        "retryable": reason.retryable(),
        "requestId": "8f5ae6d5-6a4f-4d0e-9a53-3f1c2b7d9e10",
    });
    match reason {
        Reason::MissingField | Reason::InvalidField | Reason::InvalidEmail => body["field"] = json!("email"),
        Reason::SsoRequired => {
            body["next"] = json!("redirect");
            body["authData"] = json!({
                "authMethod": "sso",
                "redirectURL": "https://api.workos.com/sso/authorize?client_id=...",
                "state": "a_random_state_string_for_security",
            });
        }
        Reason::EmailVerificationRequired | Reason::MfaEnrollment | Reason::MfaChallenge => {
            body["next"] = json!(match reason {
                Reason::EmailVerificationRequired => "verify_email",
                Reason::MfaEnrollment => "enroll_mfa",
                _ => "challenge_mfa",
            });
            body["pendingAuthenticationToken"] = json!("uMc1tPo4wDjpsnb2mEZlOv8KD");
        }
        Reason::AuthenticationMethodNotAllowed => {
            body["next"] = json!("redirect");
            body["allowedMethods"] = json!(["google_oauth"]);
            body["authData"] = json!({
                "redirectURL": "https://api.workos.com/user_management/authorize?provider=GoogleOAuth...",
                "state": "a_random_state_string_for_security",
            });
        }
        Reason::WrongStep => body["next"] = json!("challenge_mfa"),
        Reason::AlreadyRecording => body["egressId"] = json!("egress-456789"),
        _ => {}
    }
    body
}
