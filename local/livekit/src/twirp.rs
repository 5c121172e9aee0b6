//! Twirp on the wire: two encodings of one message, and errors as JSON.
//!
//! Source: the Twirp wire protocol, <https://twitchtv.github.io/twirp/docs/spec_v7.html>, and LiveKit's `psrpc` codes,
//! which map onto the same words.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A Twirp error: `{"code":"not_found","msg":"…"}` with the HTTP status that belongs to the code.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct TwirpError {
    /// What kind of error it is.
    pub code: Code,
    /// What LiveKit says about it.
    pub msg: String,
}

/// The Twirp error codes that LiveKit answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The token is missing, or its grants do not allow the call.
    Unauthenticated,
    /// The message is well formed and its content is not.
    InvalidArgument,
    /// The message cannot be decoded.
    Malformed,
    /// The room, participant or egress does not exist.
    NotFound,
    /// The path, method or content type leads nowhere.
    BadRoute,
    /// The egress is past the point where the call makes sense.
    FailedPrecondition,
    /// The room is full.
    ResourceExhausted,
}

impl Code {
    fn status(self) -> StatusCode {
        match self {
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::InvalidArgument | Self::Malformed => StatusCode::BAD_REQUEST,
            Self::NotFound | Self::BadRoute => StatusCode::NOT_FOUND,
            Self::FailedPrecondition => StatusCode::PRECONDITION_FAILED,
            Self::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        }
    }
}

impl TwirpError {
    /// An error of this kind.
    pub fn new(code: Code, msg: impl Into<String>) -> Self {
        Self { code, msg: msg.into() }
    }
}

impl std::fmt::Display for TwirpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.msg)
    }
}

impl std::error::Error for TwirpError {}

impl IntoResponse for TwirpError {
    fn into_response(self) -> Response {
        (self.code.status(), axum::Json(self)).into_response()
    }
}

/// How a call's messages are encoded: the request's content type decides, and the answer follows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Codec {
    Json,
    Protobuf,
}

impl Codec {
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, TwirpError> {
        let content_type =
            headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        match content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "application/json" => Ok(Self::Json),
            "application/protobuf" => Ok(Self::Protobuf),
            _ => Err(TwirpError::new(Code::BadRoute, format!("unexpected Content-Type: {content_type:?}"))),
        }
    }

    /// Decodes the request, lets `serve` answer it, and encodes the answer.
    pub(super) fn serve<Q, A>(
        self,
        body: &Bytes,
        serve: impl FnOnce(Q) -> Result<A, TwirpError>,
    ) -> Result<Response, TwirpError>
    where
        Q: prost::Message + Default + DeserializeOwned,
        A: prost::Message + Serialize,
    {
        match self {
            Self::Json => {
                let request = serde_json::from_slice(body)
                    .map_err(|_| TwirpError::new(Code::Malformed, "the json request could not be decoded"))?;
                Ok(axum::Json(serve(request)?).into_response())
            }
            Self::Protobuf => {
                let request = Q::decode(body.clone()).map_err(|_| {
                    TwirpError::new(Code::Malformed, "the protobuf request could not be decoded")
                })?;
                let answer = serve(request)?.encode_to_vec();
                Ok(([(CONTENT_TYPE, "application/protobuf")], answer).into_response())
            }
        }
    }
}
