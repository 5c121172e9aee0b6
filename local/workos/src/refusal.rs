//! The three error shapes of WorkOS, which one and the same endpoint mixes: `{code, message}`,
//! `{error, error_description}` and a bare `{message}`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

/// An answer that refuses.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    body: Value,
    retry_after: Option<u64>,
}

impl Refusal {
    fn new(status: StatusCode, body: Value) -> Self {
        Self { status, body, retry_after: None }
    }

    /// `{code, message}`
    pub(super) fn coded(status: StatusCode, code: &str, message: &str) -> Self {
        Self::new(status, json!({"code": code, "message": message}))
    }

    /// 400 `{error, error_description}`
    pub(super) fn oauth(error: &str, description: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, json!({"error": error, "error_description": description}))
    }

    /// `{message}`
    pub(super) fn plain(status: StatusCode, message: impl Into<String>) -> Self {
        Self::new(status, json!({"message": message.into()}))
    }

    /// 404 `{message}`, e.g. `Organization not found: 'org_…'.`
    pub(super) fn not_found(kind: &str, id: &str) -> Self {
        Self::plain(StatusCode::NOT_FOUND, format!("{kind} not found: '{id}'."))
    }

    /// 422 about one field. `errors` is what WorkOS adds to the documented `code` and `message`.
    pub(super) fn invalid_field(field: &str, problem: &str) -> Self {
        Self::coded(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request_parameters", "Validation failed")
            .with("errors", json!([{"field": field, "code": format!("{field}_{problem}")}]))
    }

    /// 429 with `Retry-After` in seconds.
    pub(super) fn too_many_requests(retry_after: u64) -> Self {
        let body = json!({"error": "too_many_requests", "error_description": "Too many requests."});
        Self { status: StatusCode::TOO_MANY_REQUESTS, body, retry_after: Some(retry_after) }
    }

    /// 400 `invalid_grant`: WorkOS' answer to everything that is unknown, spent, expired or ended.
    pub(super) fn invalid_grant(description: &str) -> Self {
        Self::oauth("invalid_grant", description)
    }

    /// Adds a field to the body.
    pub(super) fn with(mut self, name: &str, value: Value) -> Self {
        if let Value::Object(fields) = &mut self.body {
            fields.insert(name.to_owned(), value);
        }
        self
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
