//! Responses: status, JSON body, cookies, and the headers that every response has.

use http::header::{self, HeaderName, HeaderValue};
use lambda_http::Body;
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use schemars::JsonSchema;
use serde::Serialize;

use crate::error::Details;
use crate::transport::Transport;
use crate::{ApiError, SetCookie};

/// Headers of every response, errors included.
pub const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=63072000; includeSubDomains")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
];

/// A successful response. Its status is that of the [`Route`](crate::Route).
///
/// ```
/// use api::{Done, Response, SetCookie};
///
/// let response = Response::new(Done::OK).cookie(SetCookie::new("__Host-example", "1", 60));
/// assert_eq!(response.cookies.len(), 1);
/// ```
#[derive(Debug)]
pub struct Response<O> {
    /// The body.
    pub body: O,
    /// Cookies to set; headers in their place for a client without cookies, see [`crate::transport`].
    pub cookies: Vec<SetCookie>,
}

impl<O> Response<O> {
    /// A response with `body`.
    pub fn new(body: O) -> Self {
        Self { body, cookies: Vec::new() }
    }

    /// Sets a cookie, unless the response already sets one of the same name.
    #[must_use]
    pub fn cookie(mut self, cookie: SetCookie) -> Self {
        cookie.add_to(&mut self.cookies);
        self
    }
}

/// A success without data: `{"code": 200, "message": "OK"}`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Done {
    code: u16,
    message: &'static str,
}

impl Done {
    /// 200 OK.
    pub const OK: Self = Self { code: 200, message: "OK" };
    /// 201 Created.
    pub const CREATED: Self = Self { code: 201, message: "Created" };
}

/// The body of an error response.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody<'a> {
    code: u16,
    message: &'static str,
    reason: &'static str,
    /// Whether the same request can succeed later.
    retryable: bool,
    request_id: &'a str,
    #[serde(flatten)]
    details: &'a Details,
}

/// Renders a success.
pub(crate) fn success<O: Serialize>(
    status: u16,
    response: &Response<O>,
    transport: &Transport,
) -> serde_json::Result<ApiGatewayV2httpResponse> {
    let body = serde_json::to_string(&response.body)?;
    Ok(render(status, body, &response.cookies, transport))
}

/// Renders an error.
pub(crate) fn failure(error: &ApiError, request_id: &str, transport: &Transport) -> ApiGatewayV2httpResponse {
    let reason = error.reason();
    let body = ErrorBody {
        code: reason.status(),
        message: reason.message(),
        reason: reason.name(),
        retryable: reason.retryable(),
        request_id,
        details: error.details(),
    };
    // Serializing plain strings and numbers cannot fail.
    let body = serde_json::to_string(&body).unwrap_or_default();
    let mut response = render(reason.status(), body, error.cookies(), transport);
    if let Some(seconds) = error.wait() {
        response.headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn render(
    status: u16,
    body: String,
    cookies: &[SetCookie],
    transport: &Transport,
) -> ApiGatewayV2httpResponse {
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = status.into();
    response.headers.extend(HEADERS);
    response.body = Some(Body::Text(body));
    transport.carry(cookies, &mut response);
    response
}
