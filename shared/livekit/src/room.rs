//! Rooms: the client's names and LiveKit's.

use std::fmt;
use std::str::FromStr;

use api::{ApiError, Caller, ConfigError, Env, Reason, Variable};

api::text! {
    /// The client's name of a room: at most 128 bytes, any script, no control characters. An identifier: compared byte
    /// by byte, never normalized.
    ///
    /// LiveKit allows 256 characters, which leaves space for an organization id as prefix.
    pub struct RoomName { max: 128, reason: InvalidField, accept: |text| !text.contains(char::is_control) }
}

api::text! {
    /// The name that other participants see: at most 128 bytes, any script, in its visible form.
    pub struct Username { max: 128, reason: InvalidField, visible }
}

/// The scope of room names.
pub static ROOM_SCOPE: Variable = Variable::or(
    "ROOM_SCOPE",
    "none",
    "`none`: the LiveKit room has the client's name, so users of different organizations can meet. \
     `organization`: its name is `<organizationId>:<roomId>`, so every organization has its own rooms.",
);

/// The scope of room names: see [`ROOM_SCOPE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoomScope {
    /// All organizations share the rooms.
    None,
    /// Each organization has its own rooms.
    Organization,
}

/// LiveKit's name of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room(String);

impl RoomScope {
    /// Reads `ROOM_SCOPE`.
    ///
    /// # Errors
    /// If it has another value.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        env.parsed(&ROOM_SCOPE)
    }

    /// The room that `name` refers to for `caller`.
    ///
    /// # Errors
    /// `organization_not_allowed` if rooms belong to organizations and the caller has none.
    pub fn room(self, caller: &Caller, name: &RoomName) -> Result<Room, ApiError> {
        match (self, &caller.organization_id) {
            (Self::None, _) => Ok(Room(name.as_str().to_owned())),
            // WorkOS ids contain no colon, so a name cannot refer to another organization's room.
            (Self::Organization, Some(organization)) => Ok(Room(format!("{organization}:{}", name.as_str()))),
            (Self::Organization, None) => Err(ApiError::new(Reason::OrganizationNotAllowed)
                .because("rooms belong to organizations, and the session has none")),
        }
    }
}

impl FromStr for RoomScope {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            "organization" => Ok(Self::Organization),
            _ => Err("it must be none or organization"),
        }
    }
}

impl Room {
    /// The room with this name in LiveKit.
    pub fn named(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::caller;

    #[test]
    fn the_scope_decides_which_room_a_name_refers_to() {
        let name = RoomName::parse("daily").unwrap();
        let room = |scope: RoomScope, organization| {
            scope
                .room(&caller(organization), &name)
                .map(|room| room.to_string())
                .map_err(|error| error.reason())
        };
        assert_eq!(room(RoomScope::None, Some("org_1")), Ok("daily".into()));
        assert_eq!(room(RoomScope::None, None), Ok("daily".into()));
        assert_eq!(room(RoomScope::Organization, Some("org_1")), Ok("org_1:daily".into()));
        assert_eq!(room(RoomScope::Organization, None), Err(Reason::OrganizationNotAllowed));
    }

    #[test]
    fn room_names_allow_any_script_but_no_control_characters() {
        assert!(RoomName::parse("会議室 1").is_ok());
        assert!(RoomName::parse(&"r".repeat(128)).is_ok());
        assert_eq!(RoomName::parse(&"r".repeat(129)), Err(Reason::InvalidField));
        assert_eq!(RoomName::parse("a\u{0}b"), Err(Reason::InvalidField));
        assert_eq!(RoomName::parse(" \n "), Err(Reason::MissingField));
    }
}
