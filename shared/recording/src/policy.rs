//! Who may start and stop a recording.

use std::str::FromStr;

use api::{ApiError, Caller, ConfigError, Env, Variable};
use livekit::Room;

use crate::deadline::Deadline;
use crate::server::Server;

/// Who may record.
pub static RECORDING_POLICY: Variable = Variable::or(
    "RECORDING_POLICY",
    "participants",
    "Who may start and stop a recording. `participants`: whoever is in the room, and the person who started it may stop it. \
     `anyone`: whoever is signed in, and of the recording's organization to stop it.",
);

/// Who may record: see [`RECORDING_POLICY`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Whoever is in the room, as LiveKit says.
    Participants,
    /// Whoever is signed in.
    Anyone,
}

impl Policy {
    /// Reads `RECORDING_POLICY`.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        env.parsed(&RECORDING_POLICY)
    }

    /// Lets a caller pass who may start a recording in `room`, or stop another one's.
    ///
    /// # Errors
    /// `room_not_found`, `not_in_room`, `livekit_busy`, `livekit_unavailable`.
    pub(crate) async fn admit(
        self,
        server: &Server,
        room: &Room,
        caller: &Caller,
        deadline: Deadline,
    ) -> Result<(), ApiError> {
        match self {
            Self::Participants => server.admit(room, &caller.user_id, deadline).await,
            Self::Anyone => Ok(()),
        }
    }
}

impl FromStr for Policy {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "participants" => Ok(Self::Participants),
            "anyone" => Ok(Self::Anyone),
            _ => Err("it must be participants or anyone"),
        }
    }
}
