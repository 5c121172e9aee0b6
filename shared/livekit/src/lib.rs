//! Adapter over `livekit-api`'s tokens: who may enter which room, and what a call of ours to LiveKit may do.
//!
//! Everything here is computed in the process: no network, no TLS. Calls to LiveKit's servers are made by
//! `shared/recording`.

pub mod keys;
pub mod room;

/// The reasons that [`RoomScope::room`] fails with.
pub const SCOPE: &[api::Reason] = &[api::Reason::OrganizationNotAllowed];

pub use keys::{JOIN_TTL, Keys, SERVER_TTL};
pub use room::{Room, RoomName, RoomScope, Username};
