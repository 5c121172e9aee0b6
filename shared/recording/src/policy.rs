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
    "Who may start and stop a recording. `participants`: everyone in the room; the user who started it may also stop it \
     from outside. `anyone`: every signed-in user; only members of the recording's organization may stop it.",
);

/// Who may record: see [`RECORDING_POLICY`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Everyone in the room, according to LiveKit.
    Participants,
    /// Every signed-in user.
    Anyone,
}

impl Policy {
    /// Reads `RECORDING_POLICY`.
    ///
    /// # Errors
    /// If it has another value.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        env.parsed(&RECORDING_POLICY)
    }

    /// Checks that a caller may start a recording in `room`, or stop one that another user started.
    ///
    /// # Errors
    /// `room_not_found`, `not_in_room`, `livekit_busy`, `livekit_unavailable`.
    pub(crate) async fn authorize(
        self,
        server: &Server,
        room: &Room,
        caller: &Caller,
        deadline: Deadline,
    ) -> Result<(), ApiError> {
        match self {
            Self::Participants => server.expect_participant(room, &caller.user_id, deadline).await,
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
