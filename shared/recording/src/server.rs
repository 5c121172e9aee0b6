//! Calls to LiveKit, and what its answers mean to us.
//!
//! Each client lives for one request: it is made with a token that carries the one grant its calls need and that
//! outlives the request by seconds. LiveKit's own failover is off: it would send a start to a second region when the
//! first does not answer, and that can start two recordings.
//!
//! | LiveKit | reason |
//! |---|---|
//! | `not_found` | what was asked for is not there |
//! | `unavailable`, `resource_exhausted` | `livekit_busy` |
//! | everything else, and no answer | `livekit_unavailable` |

use std::future::Future;
use std::time::Duration;

use api::{ApiError, ConfigError, Env, Reason, Variable, clock, metrics};
use livekit::{Keys, Room};
use livekit_api::services::egress::{
    EgressClient, EgressListFilter, EgressListOptions, EgressOutput, RoomCompositeOptions,
};
use livekit_api::services::room::RoomClient;
use livekit_api::services::{ServerError, ServerErrorCode, ServiceError};
use livekit_protocol::EncodedFileOutput;

use crate::deadline::Deadline;
use crate::egress::Egress;

/// LiveKit's address.
pub static LIVEKIT_URL: Variable = Variable::required(
    "LIVEKIT_URL",
    "The address of LiveKit, such as `wss://example.livekit.cloud`; `ws`, `wss`, `http` and `https` are the same here.",
);

/// LiveKit names no time to wait.
const BUSY_SECONDS: u64 = 2;

/// LiveKit.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    url: String,
    pub(crate) keys: Keys,
}

impl Server {
    pub(crate) fn load(env: &Env) -> Result<Self, ConfigError> {
        let url = env.required(&LIVEKIT_URL)?;
        let url = match url.strip_prefix("ws") {
            Some(rest) => format!("http{rest}"),
            None => url,
        };
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(ConfigError::new(&LIVEKIT_URL, "must be a ws, wss, http or https URL"));
        }
        Ok(Self { url, keys: Keys::load(env)? })
    }

    /// Checks that somebody is in a room.
    ///
    /// # Errors
    /// `room_not_found`, `not_in_room`.
    pub(crate) async fn admit(
        &self,
        room: &Room,
        identity: &str,
        deadline: Deadline,
    ) -> Result<(), ApiError> {
        let token = self.keys.room_admin_token(room)?;
        let client = RoomClient::with_token(&self.url, token.expose()).with_failover(false);
        let found = client.get_participant(room.as_str(), identity);
        let found = call(deadline.call(Duration::ZERO), found).await;
        match found.and_then(|participant| about(participant, |it| it.identity == identity)) {
            Ok(_) => return Ok(()),
            Err(failure) if failure.is(ServerErrorCode::NOT_FOUND) => {}
            Err(failure) => return Err(failure.error(Reason::RoomNotFound)),
        }
        // LiveKit's answer is the same where there is no room. A room is there while somebody is in it.
        let participants = client.list_participants(room.as_str());
        match call(deadline.call(Duration::ZERO), participants).await {
            Ok(participants) if participants.is_empty() => Err(Reason::RoomNotFound.into()),
            Ok(_) => Err(Reason::NotInRoom.into()),
            Err(failure) => Err(failure.error(Reason::RoomNotFound)),
        }
    }

    /// A client for egresses, for one request.
    pub(crate) fn egresses(&self, deadline: Deadline) -> Result<Egresses, ApiError> {
        let token = self.keys.room_record_token()?;
        let client = EgressClient::with_token(&self.url, token.expose()).with_failover(false);
        Ok(Egresses { client, deadline })
    }
}

/// LiveKit's egresses.
#[derive(Debug)]
pub(crate) struct Egresses {
    client: EgressClient,
    deadline: Deadline,
}

impl Egresses {
    /// The egresses of a room that have not ended.
    pub(crate) async fn of_room(&self, room: &str, reserve: Duration) -> Result<Vec<Egress>, ApiError> {
        let filter = EgressListFilter::Room(room.to_owned());
        let list = self.client.list_egress(EgressListOptions {
            filter,
            active: true,
            ..EgressListOptions::default()
        });
        let egresses = call(self.deadline.call(reserve), list).await;
        let egresses = egresses.map_err(|failure| failure.error(Reason::RoomNotFound))?;
        // LiveKit has answered with other rooms where it ignored the filter: the room is checked here too.
        Ok(egresses.into_iter().map(Egress::from).filter(|egress| egress.room == room).collect())
    }

    /// One egress; `None` where LiveKit does not know it (any more: it forgets them after a day).
    pub(crate) async fn get(&self, id: &str, reserve: Duration) -> Result<Option<Egress>, ApiError> {
        let filter = EgressListFilter::Egress(id.to_owned());
        let list = self.client.list_egress(EgressListOptions { filter, ..EgressListOptions::default() });
        match call(self.deadline.call(reserve), list).await {
            Ok(egresses) => Ok(egresses.into_iter().map(Egress::from).find(|egress| egress.id == id)),
            Err(failure) if failure.is(ServerErrorCode::NOT_FOUND) => Ok(None),
            Err(failure) => Err(failure.error(Reason::RecordingNotFound)),
        }
    }

    /// Starts recording a room.
    pub(crate) async fn start(
        &self,
        room: &str,
        file: EncodedFileOutput,
        reserve: Duration,
    ) -> Result<Egress, Failure> {
        let outputs = vec![EgressOutput::File(file)];
        let start = self.client.start_room_composite_egress(room, outputs, RoomCompositeOptions::default());
        let started = call(self.deadline.call(reserve), start).await?;
        about(started, |info| !info.egress_id.is_empty() && info.room_name == room).map(Egress::from)
    }

    /// Stops an egress; `None` where there is nothing to stop any more.
    pub(crate) async fn stop(&self, id: &str, reserve: Duration) -> Result<Option<Egress>, ApiError> {
        let stopped = call(self.deadline.call(reserve), self.client.stop_egress(id)).await;
        match stopped.and_then(|info| about(info, |info| info.egress_id == id)) {
            Ok(info) => Ok(Some(info.into())),
            Err(failure)
                if failure.is(ServerErrorCode::FAILED_PRECONDITION)
                    || failure.is(ServerErrorCode::NOT_FOUND) =>
            {
                Ok(None)
            }
            Err(failure) => Err(failure.error(Reason::RecordingNotFound)),
        }
    }
}

/// Why there is no good answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No connection: nothing was sent.
    NotSent,
    /// LiveKit answered with an error.
    Answered(ServerErrorCode),
    /// Something answered, in words that are not LiveKit's.
    NotUnderstood,
    /// No answer, or no whole one.
    NoAnswer(&'static str),
}

/// What a failed start may have left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aftermath {
    /// Nothing.
    Nothing,
    /// Perhaps an egress: LiveKit is done with the request, so it would be listed.
    Settled,
    /// Perhaps an egress that is yet to come.
    Open,
}

impl Failure {
    fn is(&self, code: &str) -> bool {
        matches!(self, Self::Answered(error) if error.code == code)
    }

    /// What a start may have left behind that failed so.
    pub(crate) fn aftermath(&self) -> Aftermath {
        match self {
            Self::NotSent => Aftermath::Nothing,
            Self::Answered(error) => match error.code.as_str() {
                ServerErrorCode::INVALID_ARGUMENT
                | ServerErrorCode::MALFORMED
                | ServerErrorCode::NOT_FOUND
                | ServerErrorCode::BAD_ROUTE
                | ServerErrorCode::ALREADY_EXISTS
                | ServerErrorCode::PERMISSION_DENIED
                | ServerErrorCode::UNAUTHENTICATED
                | ServerErrorCode::RESOURCE_EXHAUSTED
                | ServerErrorCode::FAILED_PRECONDITION
                | ServerErrorCode::OUT_OF_RANGE
                | ServerErrorCode::UNIMPLEMENTED => Aftermath::Nothing,
                _ => Aftermath::Settled,
            },
            Self::NotUnderstood => Aftermath::Settled,
            Self::NoAnswer(_) => Aftermath::Open,
        }
    }

    /// The error that the client sees. `missing` is what `not_found` means for the call.
    #[track_caller]
    pub(crate) fn error(self, missing: Reason) -> ApiError {
        match self {
            Self::NotSent => unavailable("LiveKit could not be reached"),
            Self::NotUnderstood => unavailable("LiveKit's answer was not understood"),
            Self::NoAnswer(why) => unavailable(why),
            Self::Answered(error) => {
                let cause = match error.code.as_str() {
                    // A refused token may be repeated in the message.
                    ServerErrorCode::UNAUTHENTICATED => "LiveKit answered unauthenticated".to_owned(),
                    code => format!("LiveKit answered {code}: {}", error.msg),
                };
                match error.code.as_str() {
                    ServerErrorCode::NOT_FOUND => ApiError::new(missing).because(cause),
                    ServerErrorCode::UNAVAILABLE | ServerErrorCode::RESOURCE_EXHAUSTED => {
                        ApiError::new(Reason::LivekitBusy).retry_after(BUSY_SECONDS).because(cause)
                    }
                    _ => ApiError::new(Reason::LivekitUnavailable).because(cause),
                }
            }
        }
    }
}

#[track_caller]
fn unavailable(cause: &str) -> ApiError {
    ApiError::new(Reason::LivekitUnavailable).because(cause)
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Twirp(ServerError::Twirp(error)) => Self::Answered(error),
            ServiceError::Twirp(ServerError::Request(error)) if error.is_connect() => Self::NotSent,
            ServiceError::Twirp(ServerError::Request(error)) if error.is_decode() => Self::NotUnderstood,
            ServiceError::Twirp(ServerError::Request(_)) => Self::NoAnswer("the connection to LiveKit broke"),
            // A success whose body cannot be read is a success all the same.
            ServiceError::Twirp(ServerError::Prost(_)) => Self::NoAnswer("LiveKit's answer was garbled"),
            ServiceError::Twirp(ServerError::Url(_))
            | ServiceError::Env(_)
            | ServiceError::AccessToken(_) => Self::NotSent,
        }
    }
}

/// Takes an answer only where it is about what was asked. Protobuf reads an empty body as a message with nothing in it:
/// without this, an empty 200 from something between us and LiveKit would admit everybody.
fn about<T>(answer: T, is_asked: impl FnOnce(&T) -> bool) -> Result<T, Failure> {
    if is_asked(&answer) { Ok(answer) } else { Err(Failure::NoAnswer("LiveKit's answer is about nothing")) }
}

/// Waits for a call, at most `timeout`, and measures it.
async fn call<T>(
    timeout: Duration,
    call: impl Future<Output = Result<T, ServiceError>>,
) -> Result<T, Failure> {
    let started = clock::now_millis();
    let result = match tokio::time::timeout(timeout, call).await {
        Ok(result) => result.map_err(Failure::from),
        Err(_) => Err(Failure::NoAnswer("LiveKit did not answer in time")),
    };
    let outcome = match &result {
        Ok(_) => "ok",
        Err(Failure::NotSent) => "connect",
        Err(Failure::Answered(_)) => "refused",
        Err(Failure::NotUnderstood) => "not_understood",
        Err(Failure::NoAnswer(_)) => "no_answer",
    };
    let millis = clock::now_millis().saturating_sub(started);
    metrics::latency("UpstreamLatency", millis, &[("Upstream", "LiveKit"), ("Outcome", outcome)]);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: &str) -> Failure {
        Failure::Answered(ServerErrorCode {
            code: code.to_owned(),
            msg: "words".to_owned(),
            meta: Default::default(),
        })
    }

    #[test]
    fn an_answer_becomes_a_reason_once() {
        let reason = |code| answered(code).error(Reason::RoomNotFound).reason();
        assert_eq!(reason("not_found"), Reason::RoomNotFound);
        assert_eq!(reason("unavailable"), Reason::LivekitBusy);
        assert_eq!(reason("resource_exhausted"), Reason::LivekitBusy);
        for code in ["internal", "unauthenticated", "permission_denied", "a_new_code"] {
            assert_eq!(reason(code), Reason::LivekitUnavailable);
        }
        let none = Failure::NoAnswer("LiveKit did not answer in time");
        assert_eq!(none.error(Reason::RoomNotFound).reason(), Reason::LivekitUnavailable);
    }

    #[test]
    fn a_refused_token_is_not_logged() {
        assert!(!answered("unauthenticated").error(Reason::RoomNotFound).cause().contains("words"));
    }

    #[test]
    fn only_a_clear_refusal_leaves_nothing_behind() {
        assert_eq!(answered("not_found").aftermath(), Aftermath::Nothing);
        assert_eq!(answered("internal").aftermath(), Aftermath::Settled);
        assert_eq!(answered("unavailable").aftermath(), Aftermath::Settled);
        assert_eq!(Failure::NotUnderstood.aftermath(), Aftermath::Settled);
        assert_eq!(Failure::NotSent.aftermath(), Aftermath::Nothing);
        assert_eq!(Failure::NoAnswer("").aftermath(), Aftermath::Open);
    }

    #[test]
    fn a_websocket_address_is_the_same_place() {
        let load = |url| {
            let keys = [("LIVEKIT_URL", url), ("LIVEKIT_API_KEY", "k"), ("LIVEKIT_API_SECRET", "s")];
            Server::load(&Env::fixed(keys)).map(|server| server.url)
        };
        assert_eq!(load("wss://x.livekit.cloud").unwrap(), "https://x.livekit.cloud");
        assert_eq!(load("ws://127.0.0.1:7880").unwrap(), "http://127.0.0.1:7880");
        assert_eq!(load("https://x.livekit.cloud").unwrap(), "https://x.livekit.cloud");
        assert!(load("x.livekit.cloud").is_err());
    }
}
