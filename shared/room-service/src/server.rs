//! A LiveKit server, and the participants of its rooms.
//!
//! Each call carries a token with the one grant it needs, valid for minutes. Responses are checked for the room or
//! participant that was asked about.

use std::time::Duration;

use api::{ApiError, ConfigError, Env, Reason, Variable, clock};
use livekit::{Keys, LEEWAY, Room};
use livekit_protocol::{ListParticipantsRequest, ParticipantInfo, RoomParticipantIdentity};
use upstream::{Http, Roots};

use crate::twirp::{Client, Failure, RemoveParticipant};

/// LiveKit's address.
pub static LIVEKIT_URL: Variable = Variable::required(
    "LIVEKIT_URL",
    "The address of LiveKit, such as `wss://example.livekit.cloud`; `ws`, `wss`, `http` and `https` are the same here.",
);

/// A LiveKit server, or LiveKit Cloud. Clones share the connection pool.
#[derive(Clone, Debug)]
pub struct Server {
    client: Client,
    keys: Keys,
}

impl Server {
    /// Reads the configuration. Connections are opened by the first call.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        let url = http_url(&env.required(&LIVEKIT_URL)?)
            .ok_or_else(|| ConfigError::new(&LIVEKIT_URL, "must be a ws, wss, http or https URL"))?;
        let http =
            Http::new("LiveKit", Roots::Public).map_err(|error| ConfigError::new(&LIVEKIT_URL, error))?;
        Ok(Self { client: Client::new(http, url), keys: Keys::load(env)? })
    }

    /// The client, for calls with other tokens.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The API key.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The participant with this identity; `None` if there is none, or no such room.
    ///
    /// # Errors
    /// `livekit_busy`, `livekit_unavailable`.
    pub async fn participant(
        &self,
        room: &Room,
        identity: &str,
        timeout: Duration,
    ) -> Result<Option<ParticipantInfo>, ApiError> {
        let token = self.keys.room_admin_token(room)?;
        let request = RoomParticipantIdentity {
            room: room.as_str().to_owned(),
            identity: identity.to_owned(),
            ..RoomParticipantIdentity::default()
        };
        let found = self.client.call(request, &token, timeout).await;
        match found.and_then(|found| expect_subject(found, |found| found.identity == identity)) {
            Ok(found) => Ok(Some(found)),
            Err(failure) if failure.is("not_found") => Ok(None),
            Err(failure) => Err(failure.into_error(Reason::RoomNotFound)),
        }
    }

    /// The participants of a room. A room exists while somebody is in it: if there is no such room, there are none.
    ///
    /// # Errors
    /// `livekit_busy`, `livekit_unavailable`.
    pub async fn participants(
        &self,
        room: &Room,
        timeout: Duration,
    ) -> Result<Vec<ParticipantInfo>, ApiError> {
        let token = self.keys.room_admin_token(room)?;
        let request = ListParticipantsRequest { room: room.as_str().to_owned() };
        match self.client.call(request, &token, timeout).await {
            Ok(response) => Ok(response.participants),
            Err(failure) if failure.is("not_found") => Ok(Vec::new()),
            Err(failure) => Err(failure.into_error(Reason::RoomNotFound)),
        }
    }

    /// Removes a participant; it is no error if they have left already.
    ///
    /// LiveKit Cloud also revokes the tokens that we have issued to the identity for the room until now; later ones are
    /// valid. A self-hosted livekit-server (1.13) revokes none: the same token gets back in. Source: the field
    /// `revoke_token_ts` in livekit_room.proto, the `nbf` in seconds before which a token is invalid. Ours are valid
    /// from [`LEEWAY`] before their issue.
    ///
    /// # Errors
    /// `livekit_busy`, `livekit_unavailable`.
    pub async fn remove(&self, room: &Room, identity: &str, timeout: Duration) -> Result<(), ApiError> {
        let token = self.keys.room_admin_token(room)?;
        let revoked = clock::now().saturating_sub(LEEWAY.as_secs());
        let request = RemoveParticipant {
            room: room.as_str().to_owned(),
            identity: identity.to_owned(),
            revoke_token_ts: i64::try_from(revoked).unwrap_or(i64::MAX),
        };
        match self.client.call(request, &token, timeout).await {
            Err(failure) if !failure.is("not_found") => Err(failure.into_error(Reason::RoomNotFound)),
            _ => Ok(()),
        }
    }
}

/// Rejects a response about something else. Protobuf decodes an empty body as a message of defaults: without this
/// check, an empty 200 from a proxy would put every caller in the room.
///
/// # Errors
/// If it is about something else.
pub fn expect_subject<T>(response: T, matches: impl FnOnce(&T) -> bool) -> Result<T, Failure> {
    if matches(&response) {
        Ok(response)
    } else {
        Err(Failure::NoResponse("LiveKit's response is about something else"))
    }
}

/// The `http` or `https` URL of LiveKit's API, without a trailing slash.
fn http_url(url: &str) -> Option<String> {
    let url = match url.strip_prefix("ws") {
        Some(rest) => format!("http{rest}"),
        None => url.to_owned(),
    };
    let is_http = url.starts_with("http://") || url.starts_with("https://");
    is_http.then(|| url.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_websocket_address_becomes_an_http_one() {
        assert_eq!(http_url("wss://x.livekit.cloud").as_deref(), Some("https://x.livekit.cloud"));
        assert_eq!(http_url("ws://127.0.0.1:7880").as_deref(), Some("http://127.0.0.1:7880"));
        assert_eq!(http_url("https://x.livekit.cloud/").as_deref(), Some("https://x.livekit.cloud"));
        assert_eq!(http_url("x.livekit.cloud"), None);
    }
}
