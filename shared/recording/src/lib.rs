//! The life of a room's recording, over LiveKit's egress and the table.
//!
//! | who | does | network rounds |
//! |---|---|---|
//! | [`Recorder`] | starts: asks LiveKit and the table, claims the room, starts the egress, confirms | 4 |
//! | [`Stopper`] | stops: reads the record, stops the egress, writes | 3 |
//! | [`Events`] | follows what LiveKit tells by webhook | 1 to 4 |
//!
//! # What cannot be lost
//!
//! LiveKit lets a room be recorded many times at once and has no idempotency key, and the table and LiveKit cannot be
//! changed together. So the order is fixed: the claim is written first, with everything that the record will say and
//! a random token; the egress carries the token in its object's metadata; the room's item and the record are written
//! last, in one transaction. Whatever breaks in between:
//!
//! | what breaks | what is left | what heals it |
//! |---|---|---|
//! | before the claim | nothing | |
//! | LiveKit refuses | nothing: the claim is taken back | |
//! | LiveKit does not answer | perhaps an egress | the same request asks LiveKit what runs; else the claim stays, free to take, and the egress is adopted when it turns up |
//! | after LiveKit's answer, or the last write is lost | an egress with the claim's token | the webhook `egress_started`, or the next start: either completes the same claim |
//! | after the last write | a recording nobody was told of | the next start answers with it if the webhook completed it; otherwise it is `already_recording` with its id |
//! | a webhook is lost | a room that seems recorded | the next start asks LiveKit about that egress and frees the room |
//! | an egress turns up after another start took the room | two egresses | the webhook `egress_started` stops the one that the room does not have |
//! | a stop breaks after LiveKit's answer | a record that says active | the webhook, or the client's retry: a stop can be repeated |

use api::Reason;

/// The reasons that a caller is not admitted to a room's recording with.
pub const ADMISSION: &[Reason] = &[Reason::OrganizationNotAllowed, Reason::NotInRoom, Reason::RoomNotFound];

/// The failures of LiveKit and of the table.
pub const FAILURES: &[Reason] = &[Reason::LivekitUnavailable, Reason::LivekitBusy, Reason::StoreUnavailable];

pub mod bucket;
mod deadline;
mod egress;
pub mod events;
pub mod fields;
pub mod policy;
pub mod server;
pub mod start;
pub mod stop;

pub use bucket::Bucket;
pub use events::Events;
pub use fields::{EgressId, Participants, Topic, ZoneId};
pub use policy::Policy;
pub use start::{NewRecording, Recorder, Started};
pub use stop::{Stop, Stopped, Stopper};
