//! LiveKit's server API: Twirp over protobuf, with the messages of `livekit-protocol`.
//!
//! Source: <https://twitchtv.github.io/twirp/docs/spec_v7.html>. LiveKit's own client is not used: it opens new
//! connections for every client it creates, and it retries a call in another region, which can start two recordings.
//! This one keeps its connections and never repeats a call that LiveKit may have processed.

use std::time::Duration;

use api::{ApiError, Reason, Secret};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use livekit_protocol::{
    EgressInfo, ListEgressRequest, ListEgressResponse, ListParticipantsRequest, ListParticipantsResponse,
    ParticipantInfo, RemoveParticipantResponse, RoomCompositeEgressRequest, RoomParticipantIdentity,
    StopEgressRequest,
};
use prost::Message;
use serde::Deserialize;
use upstream::{FailureKind, Http, Response};

/// `Retry-After` in seconds when LiveKit does not send one.
const BUSY_SECONDS: u64 = 2;

/// A method of the API, named by its request message.
pub trait Rpc: Message {
    /// `/twirp/<package>.<service>/<method>`.
    const PATH: &'static str;
    /// The response message.
    type Response: Message + Default;
}

/// The request of `RemoveParticipant`, which has the message of `GetParticipant`.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct RemoveParticipant {
    /// The room.
    #[prost(string, tag = "1")]
    pub room: String,
    /// The identity.
    #[prost(string, tag = "2")]
    pub identity: String,
    /// Tokens with an earlier `nbf`, in seconds since the Unix epoch, become invalid.
    #[prost(int64, tag = "3")]
    pub revoke_token_ts: i64,
}

macro_rules! rpcs {
    ($($path:literal: $request:ty => $response:ty;)+) => {$(
        impl Rpc for $request {
            const PATH: &'static str = concat!("/twirp/livekit.", $path);
            type Response = $response;
        }
    )+};
}

rpcs! {
    "RoomService/GetParticipant": RoomParticipantIdentity => ParticipantInfo;
    "RoomService/RemoveParticipant": RemoveParticipant => RemoveParticipantResponse;
    "RoomService/ListParticipants": ListParticipantsRequest => ListParticipantsResponse;
    "Egress/ListEgress": ListEgressRequest => ListEgressResponse;
    "Egress/StartRoomCompositeEgress": RoomCompositeEgressRequest => EgressInfo;
    "Egress/StopEgress": StopEgressRequest => EgressInfo;
}

/// Calls the API at one address. Clones share the connection pool.
#[derive(Clone, Debug)]
pub struct Client {
    http: Http,
    url: String,
}

impl Client {
    /// A client for `url`, which has no trailing slash.
    pub fn new(http: Http, url: String) -> Self {
        Self { http, url }
    }

    /// Makes a call within `timeout`.
    ///
    /// # Errors
    /// Why it failed.
    pub async fn call<R: Rpc>(
        &self,
        request: R,
        token: &Secret,
        timeout: Duration,
    ) -> Result<R::Response, Failure> {
        let body = self.post(R::PATH, request.encode_to_vec().into(), token, timeout).await?;
        R::Response::decode(body).map_err(|_| Failure::NoResponse("LiveKit's response could not be decoded"))
    }

    async fn post(
        &self,
        path: &str,
        body: Bytes,
        token: &Secret,
        timeout: Duration,
    ) -> Result<Bytes, Failure> {
        if timeout.is_zero() {
            return Err(Failure::NotSent("no time is left for a call to LiveKit"));
        }
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()))
            .map_err(|_| Failure::NotSent("the token is not a valid header value"))?;
        bearer.set_sensitive(true);
        let headers = HeaderMap::from_iter([
            (AUTHORIZATION, bearer),
            (CONTENT_TYPE, HeaderValue::from_static("application/protobuf")),
        ]);
        let url = format!("{}{path}", self.url);
        match self.http.send(Method::POST, &url, headers, Some(body), timeout).await {
            Ok(response) if response.status == StatusCode::OK => Ok(response.body),
            Ok(response) => Err(Failure::from_response(&response)),
            Err(failure) => Err(match failure.kind {
                FailureKind::Connect => Failure::NotSent("LiveKit is unreachable"),
                FailureKind::Timeout => Failure::NoResponse("LiveKit did not respond in time"),
                FailureKind::Broken => Failure::NoResponse("the connection to LiveKit broke"),
            }),
        }
    }
}

/// The body of every error response by LiveKit.
#[derive(Debug, Deserialize)]
pub struct TwirpError {
    code: String,
    #[serde(default)]
    msg: String,
}

/// Why a call failed.
#[derive(Debug)]
pub enum Failure {
    /// LiveKit has not received the call.
    NotSent(&'static str),
    /// LiveKit responded with an error.
    Twirp {
        /// The error.
        error: TwirpError,
        /// `Retry-After` in seconds.
        retry_after: Option<u64>,
    },
    /// An error response without a Twirp error: by a proxy, not by LiveKit.
    Proxy {
        /// The HTTP status.
        status: StatusCode,
        /// `Retry-After` in seconds.
        retry_after: Option<u64>,
    },
    /// No usable response: LiveKit may have processed the call.
    NoResponse(&'static str),
}

/// What a failed start may have left behind at LiveKit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// Nothing.
    Nothing,
    /// Possibly an egress. LiveKit has finished with the call, so it is listed.
    Listed,
    /// Possibly an egress that does not exist yet.
    Pending,
}

impl Failure {
    fn from_response(response: &Response) -> Self {
        let retry_after = response.retry_after();
        match serde_json::from_slice(&response.body) {
            Ok(error) => Self::Twirp { error, retry_after },
            Err(_) => Self::Proxy { status: response.status, retry_after },
        }
    }

    /// Whether LiveKit responded with the error `code`.
    pub fn is(&self, code: &str) -> bool {
        matches!(self, Self::Twirp { error, .. } if error.code == code)
    }

    /// What a start that failed this way may have left behind.
    pub fn leftover(&self) -> Leftover {
        match self {
            Self::NotSent(_) => Leftover::Nothing,
            Self::Twirp { error, .. } => match error.code.as_str() {
                "invalid_argument"
                | "malformed"
                | "not_found"
                | "bad_route"
                | "already_exists"
                | "permission_denied"
                | "unauthenticated"
                | "resource_exhausted"
                | "failed_precondition"
                | "out_of_range"
                | "unimplemented" => Leftover::Nothing,
                _ => Leftover::Listed,
            },
            // The proxy gave up on LiveKit, which may still be processing the call.
            Self::Proxy { status: StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT, .. } => {
                Leftover::Pending
            }
            Self::Proxy { .. } => Leftover::Listed,
            Self::NoResponse(_) => Leftover::Pending,
        }
    }

    /// The error for the client. `missing` is what `not_found` means for the call.
    #[track_caller]
    pub fn into_error(self, missing: Reason) -> ApiError {
        let (reason, cause, retry_after) = match self {
            Self::NotSent(cause) | Self::NoResponse(cause) => {
                (Reason::LivekitUnavailable, cause.to_owned(), None)
            }
            Self::Proxy { status, retry_after } => {
                let busy = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
                let reason = if busy { Reason::LivekitBusy } else { Reason::LivekitUnavailable };
                (reason, format!("a proxy before LiveKit responded with {}", status.as_u16()), retry_after)
            }
            Self::Twirp { error, retry_after } => {
                let reason = match error.code.as_str() {
                    "not_found" => missing,
                    "unavailable" | "resource_exhausted" => Reason::LivekitBusy,
                    _ => Reason::LivekitUnavailable,
                };
                let cause = match error.code.as_str() {
                    // The message may repeat the token.
                    "unauthenticated" => "LiveKit responded with unauthenticated".to_owned(),
                    code => format!("LiveKit responded with {code}: {}", error.msg),
                };
                (reason, cause, retry_after)
            }
        };
        let error = ApiError::new(reason).because(cause);
        match reason {
            Reason::LivekitBusy => error.retry_after(retry_after.unwrap_or(BUSY_SECONDS)),
            _ => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(status: u16, retry_after: Option<&'static str>, body: &str) -> Failure {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert("retry-after", HeaderValue::from_static(value));
        }
        Failure::from_response(&Response {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: Bytes::copy_from_slice(body.as_bytes()),
        })
    }

    fn twirp(code: &str) -> Failure {
        failure(400, None, &format!(r#"{{"code":"{code}","msg":"details"}}"#))
    }

    #[test]
    fn a_twirp_code_decides_the_reason() {
        let reason = |code| twirp(code).into_error(Reason::RoomNotFound).reason();
        assert_eq!(reason("not_found"), Reason::RoomNotFound);
        assert_eq!(reason("unavailable"), Reason::LivekitBusy);
        assert_eq!(reason("resource_exhausted"), Reason::LivekitBusy);
        for code in ["internal", "unauthenticated", "permission_denied", "a_new_code"] {
            assert_eq!(reason(code), Reason::LivekitUnavailable);
        }
    }

    #[test]
    fn without_a_twirp_code_the_status_decides_the_reason() {
        let reason = |status, body| failure(status, None, body).into_error(Reason::RoomNotFound).reason();
        assert_eq!(reason(429, "slow down"), Reason::LivekitBusy);
        assert_eq!(reason(503, "<html>"), Reason::LivekitBusy);
        for (status, body) in [(404, "not found"), (302, ""), (500, "{}"), (502, "<html>"), (504, "")] {
            assert_eq!(reason(status, body), Reason::LivekitUnavailable, "{status}");
        }
    }

    #[test]
    fn retry_after_is_passed_on() {
        let wait = |failure: Failure| failure.into_error(Reason::RoomNotFound).wait();
        let exhausted = r#"{"code":"resource_exhausted","msg":"m"}"#;
        assert_eq!(wait(failure(429, Some("7"), exhausted)), Some(7));
        assert_eq!(wait(failure(503, Some("3600"), "<html>")), Some(60));
        assert_eq!(wait(failure(503, None, "<html>")), Some(BUSY_SECONDS));
        assert_eq!(wait(failure(500, Some("7"), "<html>")), None);
    }

    #[test]
    fn the_message_about_a_refused_token_is_not_logged() {
        assert!(!twirp("unauthenticated").into_error(Reason::RoomNotFound).cause().contains("details"));
    }

    #[test]
    fn only_a_definite_refusal_leaves_nothing_behind() {
        for (failure, expected) in [
            (twirp("not_found"), Leftover::Nothing),
            (twirp("resource_exhausted"), Leftover::Nothing),
            (twirp("internal"), Leftover::Listed),
            (twirp("unavailable"), Leftover::Listed),
            (failure(500, None, "<html>"), Leftover::Listed),
            (failure(503, None, "<html>"), Leftover::Listed),
            (failure(502, None, "<html>"), Leftover::Pending),
            (failure(504, None, "<html>"), Leftover::Pending),
            (Failure::NotSent(""), Leftover::Nothing),
            (Failure::NoResponse(""), Leftover::Pending),
        ] {
            assert_eq!(failure.leftover(), expected, "{failure:?}");
        }
    }
}
