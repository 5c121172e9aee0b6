//! Rooms: the name that a client uses, and the name that LiveKit uses.

use std::fmt;
use std::str::FromStr;

use api::{ApiError, Caller, ConfigError, Env, Reason, Variable};

api::text! {
    /// The name of a room, as a client says it: at most 128 bytes, any script, no control characters.
    ///
    /// LiveKit takes up to 256 characters, which leaves room for the organization's id in front.
    pub struct RoomName { max: 128, reason: InvalidField, accept: |text| !text.contains(char::is_control) }
}

api::text! {
    /// The name that other participants see: at most 128 bytes, any script, no control characters.
    pub struct Username { max: 128, reason: InvalidField, accept: |text| !text.contains(char::is_control) }
}

/// How far a room's name reaches.
pub static ROOM_SCOPE: Variable = Variable::or(
    "ROOM_SCOPE",
    "none",
    "`none`: the LiveKit room is named as the client says, so that people of different organizations can meet. \
     `organization`: it is `<organizationId>:<roomId>`, so that equal names of two organizations are two rooms.",
);

/// How far a room's name reaches: see [`ROOM_SCOPE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoomScope {
    /// One name, one room.
    None,
    /// Each organization has its own rooms.
    Organization,
}

/// A room, as LiveKit names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room(String);

impl RoomScope {
    /// Reads `ROOM_SCOPE`.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        env.parsed(&ROOM_SCOPE)
    }

    /// The room that `caller` means by `name`.
    ///
    /// # Errors
    /// [`Reason::OrganizationNotAllowed`] where rooms belong to organizations and the caller acts in none.
    pub fn room(self, caller: &Caller, name: &RoomName) -> Result<Room, ApiError> {
        match (self, &caller.organization_id) {
            (Self::None, _) => Ok(Room(name.as_str().to_owned())),
            // WorkOS' ids hold no colon: no name of one organization can lead into another.
            (Self::Organization, Some(organization)) => Ok(Room(format!("{organization}:{}", name.as_str()))),
            (Self::Organization, None) => Err(ApiError::new(Reason::OrganizationNotAllowed)
                .because("rooms belong to organizations, and the session is in none")),
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
    /// The room that LiveKit names so.
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

    fn caller(organization: Option<&str>) -> Caller {
        Caller {
            user_id: "user_1".into(),
            email: "jane@example.com".into(),
            organization_id: organization.map(str::to_owned),
            role: None,
            permissions: Vec::new(),
            session_id: "session_1".into(),
        }
    }

    #[test]
    fn a_scope_decides_how_far_a_name_reaches() {
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
    fn room_names_are_of_any_script_without_control_characters() {
        assert!(RoomName::parse("会議室 1").is_ok());
        assert!(RoomName::parse(&"r".repeat(128)).is_ok());
        assert_eq!(RoomName::parse(&"r".repeat(129)), Err(Reason::InvalidField));
        assert_eq!(RoomName::parse("a\u{0}b"), Err(Reason::InvalidField));
        assert_eq!(RoomName::parse(" \n "), Err(Reason::MissingField));
    }
}
