//! Twirp's wire protocol: messages as JSON or protobuf, errors as JSON.
//!
//! Source: <https://twitchtv.github.io/twirp/docs/spec_v7.html>. The codes of LiveKit's `psrpc` have the same names.

use axum::Json;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A Twirp error: `{"code":"not_found","msg":"…"}` with the HTTP status of its code.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, thiserror::Error)]
#[error("{msg}")]
pub struct TwirpError {
    /// The kind of error.
    pub code: Code,
    /// LiveKit's text.
    pub msg: String,
}

/// The result of a Twirp call.
pub(crate) type Result<T> = std::result::Result<T, TwirpError>;

/// The Twirp error codes that LiveKit uses.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The token is missing, or its grants do not allow the call.
    Unauthenticated,
    /// The message decodes, but its content is invalid.
    InvalidArgument,
    /// The message fails to decode.
    Malformed,
    /// The room, participant or egress does not exist.
    NotFound,
    /// Unknown path, HTTP method or content type.
    BadRoute,
    /// The egress is in a state that does not allow the call.
    FailedPrecondition,
    /// The room is full.
    ResourceExhausted,
}

impl Code {
    /// An error with this code.
    pub(crate) fn error(self, msg: impl Into<String>) -> TwirpError {
        TwirpError { code: self, msg: msg.into() }
    }
}

impl IntoResponse for TwirpError {
    fn into_response(self) -> Response {
        let status = match self.code {
            Code::Unauthenticated => StatusCode::UNAUTHORIZED,
            Code::InvalidArgument | Code::Malformed => StatusCode::BAD_REQUEST,
            Code::NotFound | Code::BadRoute => StatusCode::NOT_FOUND,
            Code::FailedPrecondition => StatusCode::PRECONDITION_FAILED,
            Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        };
        (status, Json(self)).into_response()
    }
}

/// The encoding of a call's messages, in both directions: the request's content type.
#[derive(Clone, Copy)]
pub(crate) enum Codec {
    Json,
    Protobuf,
}

impl Codec {
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self> {
        let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        match media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "application/json" => Ok(Self::Json),
            "application/protobuf" => Ok(Self::Protobuf),
            _ => Err(Code::BadRoute.error(format!("unexpected Content-Type: {media_type:?}"))),
        }
    }

    pub(crate) fn decode<M: prost::Message + Default + DeserializeOwned>(self, body: &Bytes) -> Result<M> {
        match self {
            Self::Json => serde_json::from_slice(body)
                .map_err(|_| Code::Malformed.error("the json request could not be decoded")),
            Self::Protobuf => M::decode(body.clone())
                .map_err(|_| Code::Malformed.error("the protobuf request could not be decoded")),
        }
    }

    pub(crate) fn encode(self, message: &(impl prost::Message + Serialize)) -> Response {
        match self {
            Self::Json => Json(message).into_response(),
            Self::Protobuf => {
                ([(CONTENT_TYPE, "application/protobuf")], message.encode_to_vec()).into_response()
            }
        }
    }
}
