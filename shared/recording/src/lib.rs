//! Recordings of rooms, over LiveKit's egress and the table.
//!
//! | type | does | network rounds |
//! |---|---|---|
//! | [`Recorder`] | starts: queries LiveKit and the table, claims the room, starts the egress, confirms the claim | 4 |
//! | [`Stopper`] | stops: reads the record, stops the egress, writes | 3 |
//! | [`Events`] | applies LiveKit's webhooks | 1 to 5 |
//! | [`Sweeper`] | repairs what the others left behind, and ends what runs too long | 1, and 1 to 5 per egress |
//!
//! # Failures
//!
//! LiveKit allows several egresses per room and has no idempotency key, and LiveKit and the table cannot be changed
//! atomically. So the order is fixed. The claim is written first, with everything that the record will contain and a
//! random token. The egress carries the token in its object's metadata. The room's item and the record are written last,
//! in one transaction.
//!
//! | failure | leaves behind | repaired by |
//! |---|---|---|
//! | before the claim | nothing | |
//! | LiveKit refuses the start | nothing: the claim is released | |
//! | LiveKit does not respond to the start | possibly an egress | the same request, which lists the egresses; otherwise the claim stays without a lease, and the egress is adopted when it appears |
//! | after LiveKit's response, or the last write is lost | an egress with the claim's token | the webhook `egress_started` or the next start, which complete the claim |
//! | after the last write | a recording whose id no response carried | the next start: it returns the recording if the webhook completed it; otherwise it fails with `already_recording` and the id |
//! | a webhook is lost | a room that seems to be recorded | the next sweep; or the next start, which asks LiveKit about the egress and frees the room |
//! | an egress appears after another start has claimed the room | two egresses | the webhook `egress_started` or the next sweep, which stop the surplus one |
//! | a stop, after LiveKit's response | a record with status `active` | the webhook, the client's retry, or the next sweep |
//! | a slot is not given back | a user who has one recording less | the next sweep; or the user's next start beyond the limit |

use api::Reason;

/// The reasons that a caller is not admitted to a room's recording with.
pub const ADMISSION: &[Reason] = &[Reason::OrganizationNotAllowed, Reason::NotInRoom, Reason::RoomNotFound];

/// The failures of LiveKit and of the table.
pub const FAILURES: &[Reason] = &[Reason::LivekitUnavailable, Reason::LivekitBusy, Reason::StoreUnavailable];

pub mod bucket;
mod deadline;
pub mod decisions;
mod egress;
pub mod events;
pub mod fields;
#[cfg(test)]
mod fixtures;
pub mod policy;
pub mod retention;
mod server;
pub mod slots;
pub mod start;
pub mod stop;
pub mod sweep;

pub use bucket::Bucket;
pub use events::Events;
pub use fields::{EgressId, Participants, Topic, ZoneId};
pub use policy::Policy;
pub use start::{NewRecording, Recorder, Started};
pub use stop::{Stop, Stopped, Stopper};
pub use sweep::Sweeper;
