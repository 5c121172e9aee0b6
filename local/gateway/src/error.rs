//! The gateway's own error responses.

use http::StatusCode;
use local_runtime::InvokeError;

/// See the table in the crate's documentation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum GatewayError {
    Unauthorized,
    Forbidden,
    NotFound,
    TooLarge,
    HeadersTooLarge,
    Internal,
    Unavailable,
}

impl GatewayError {
    pub(super) fn status_and_message(self) -> (StatusCode, &'static str) {
        match self {
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "Unauthorized"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "Forbidden"),
            Self::NotFound => (StatusCode::NOT_FOUND, "Not Found"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large"),
            Self::HeadersTooLarge => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Request Header Fields Too Large")
            }
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
        }
    }
}

impl From<InvokeError> for GatewayError {
    fn from(error: InvokeError) -> Self {
        match error {
            InvokeError::EventTooLarge => Self::TooLarge,
            InvokeError::Throttled | InvokeError::Unavailable(_) => Self::Unavailable,
            InvokeError::Function { .. } | InvokeError::UnknownFunction(_) => Self::Internal,
        }
    }
}
