//! LiveKit rooms and access tokens, with the claims of `livekit-api`.
//!
//! No network, no TLS: room-auth links nothing else. The calls to LiveKit's API are in `shared/room-service`.

#[cfg(test)]
mod fixtures;
pub mod keys;
pub mod room;

/// The reasons that [`RoomScope::room`] fails with.
pub const SCOPE: &[api::Reason] = &[api::Reason::OrganizationNotAllowed];

pub use keys::{JOIN_TTL, Keys, LEEWAY, SERVER_TTL};
pub use room::{Room, RoomName, RoomScope, Username};
