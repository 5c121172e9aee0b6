//! WorkOS' three error shapes, which a single endpoint may mix: `{code, message}`, `{error, error_description}` and a
//! bare `{message}`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::{Value, json};

/// The result of an endpoint.
pub(super) type Reply<T = Json<Value>> = Result<T, ApiError>;

/// An error response.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    body: Value,
    retry_after: Option<u64>,
}

impl ApiError {
    fn new(status: StatusCode, body: Value) -> Self {
        Self { status, body, retry_after: None }
    }

    /// `{code, message}`
    fn coded(status: StatusCode, code: &str, message: &str) -> Self {
        Self::new(status, json!({"code": code, "message": message}))
    }

    /// 400 `{code, message}`
    pub(super) fn bad_request(code: &str, message: &str) -> Self {
        Self::coded(StatusCode::BAD_REQUEST, code, message)
    }

    /// 403 `{code, message}`
    pub(super) fn forbidden(code: &str, message: &str) -> Self {
        Self::coded(StatusCode::FORBIDDEN, code, message)
    }

    /// 422 `{code, message}`
    pub(super) fn unprocessable(code: &str, message: &str) -> Self {
        Self::coded(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    /// 422 for one field. `errors` is WorkOS' addition to the documented `code` and `message`.
    pub(super) fn invalid_field(field: &str, problem: &str) -> Self {
        Self::unprocessable("invalid_request_parameters", "Validation failed")
            .with("errors", json!([{"field": field, "code": format!("{field}_{problem}")}]))
    }

    /// 400 `{error, error_description}`
    pub(super) fn oauth(error: &str, description: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, json!({"error": error, "error_description": description}))
    }

    /// 400 `invalid_grant`: the code, token, user or session is unknown, used, expired or ended.
    pub(super) fn invalid_grant(description: &str) -> Self {
        Self::oauth("invalid_grant", description)
    }

    /// 400 `invitation_invalid`
    pub(super) fn invalid_invitation() -> Self {
        Self::oauth("invitation_invalid", "The invitation is unknown or no longer valid.")
    }

    /// 429 with `Retry-After` in seconds.
    pub(super) fn too_many_requests(retry_after: u64) -> Self {
        let error = Self::oauth("too_many_requests", "Too many requests.");
        Self { status: StatusCode::TOO_MANY_REQUESTS, retry_after: Some(retry_after), ..error }
    }

    /// `{message}`
    pub(super) fn plain(status: StatusCode, message: impl Into<String>) -> Self {
        Self::new(status, json!({"message": message.into()}))
    }

    /// 404 `{message}`, e.g. `Organization not found: 'org_…'.`
    pub(super) fn not_found(kind: &str, id: &str) -> Self {
        Self::plain(StatusCode::NOT_FOUND, format!("{kind} not found: '{id}'."))
    }

    /// Adds a field to the body.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        if let Value::Object(fields) = &mut self.body {
            fields.insert(name.to_owned(), value.into());
        }
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
