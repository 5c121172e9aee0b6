//! What is turned away, and what every answer carries.

use http::Method;
use http::header::{ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use serde_json::{Value, json};

use super::answer::Answer;
use super::main_job::ROOM_AUTH;
use super::tour::{FRONT_END, Tour};
use crate::cli::Failure;

/// Headers of every answer of a function.
const EVERYWHERE: [&str; 6] = [
    "cache-control",
    "content-security-policy",
    "content-type",
    "referrer-policy",
    "strict-transport-security",
    "x-content-type-options",
];

pub(super) async fn tell(tour: &Tour<'_>) -> Result<(), Failure> {
    let body = json!({ "email": "jane.doe@example.com" });
    let sign_in = "/auth/sign-in";
    let mut foreign = tour.browser()?.with(ORIGIN, "https://evil.example")?;
    let refused = foreign.post("A page of a foreign origin", sign_in, &body).await?.refused(
        403,
        "Forbidden",
        "origin_not_allowed",
    )?;
    tour.look(
        "What that answer carries, like every other",
        &carried(&refused, &EVERYWHERE),
        &json!({
            "cache-control": "no-store",
            "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
            "content-type": "application/json; charset=utf-8",
            "referrer-policy": "no-referrer",
            "strict-transport-security": "max-age=63072000; includeSubDomains",
            "x-content-type-options": "nosniff",
        }),
    )?;

    let mut browser = tour.browser()?;
    let form = "application/x-www-form-urlencoded";
    browser
        .post_as("A form, which any page could send", sign_in, form, "email=jane.doe%40example.com")
        .await?
        .refused(415, "Unsupported media type", "json_required")?;
    browser.post_as("A body that is no JSON", sign_in, "application/json", "{\"email\":").await?.refused(
        400,
        "Bad request",
        "invalid_json",
    )?;
    let field = |reason: &str| json!({ "code": 400, "message": "Bad request", "reason": reason, "requestId": "…", "field": "email" });
    browser.post("A missing field is named", sign_in, &json!({})).await?.is(400, &field("missing_field"))?;
    browser
        .post("An address that is none", sign_in, &json!({ "email": "jane" }))
        .await?
        .is(400, &field("invalid_email"))?;
    browser.post("More than 16 KiB", sign_in, &json!({ "email": "a".repeat(20_000) })).await?.refused(
        413,
        "Payload too large",
        "body_too_large",
    )?;
    browser
        .post(
            "No session: API Gateway answers by itself",
            ROOM_AUTH,
            &json!({ "username": "J", "roomId": "r" }),
        )
        .await?
        .is(403, &json!({ "message": "Forbidden" }))?;
    browser
        .call("An address that does not exist", Method::POST, "/auth/nothing-here")
        .await?
        .is(404, &json!({ "message": "Not Found" }))?;

    let mut preflight = tour
        .browser()?
        .with(ACCESS_CONTROL_REQUEST_METHOD, "POST")?
        .with(ACCESS_CONTROL_REQUEST_HEADERS, "content-type")?;
    let allowed = preflight
        .call(
            "A browser asks first whether the front end may call with cookies: it may",
            Method::OPTIONS,
            sign_in,
        )
        .await?
        .is(204, &Value::Null)?;
    let names = ["access-control-allow-origin", "access-control-allow-credentials"];
    tour.look(
        "What the browser reads",
        &carried(&allowed, &names),
        &json!({ "access-control-allow-origin": FRONT_END, "access-control-allow-credentials": "true" }),
    )
}

fn carried(answer: &Answer, names: &[&str]) -> Value {
    let headers = names.iter().map(|name| ((*name).to_owned(), json!(answer.header(name))));
    Value::Object(headers.collect())
}
