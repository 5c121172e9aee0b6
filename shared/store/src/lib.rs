//! The one DynamoDB table and the items in it.
//!
//! | `pk` | item | module |
//! |---|---|---|
//! | `session#<SHA-256 of the token>` | a session | [`session`] |
//! | `limit#…` | a rate limit's counter or budget | [`limit`], [`codes`] |
//! | `device#…`, `code#…` | a browser that signed in before, or that asked for a code | [`codes`] |
//! | `pending#…`, `enrolling#…` | a sign-in that waits for a step; a person's last enrollment | [`pending`] |
//! | `recording#<egress id>`, `room#<room>` | a recording; a room's current recording | [`recording`] |
//!
//! Every write that can collide is one conditional write or transaction; nothing is read, changed and written back.
//! DynamoDB removes items after `expires_at`, but late (AWS: "typically within a few days"), so every reader checks the
//! time itself.

pub mod attributes;
mod budget;
pub mod codes;
mod connector;
pub mod limit;
pub mod pending;
pub mod recording;
pub mod session;
mod table;
mod write;

/// The reasons that every call to the table fails with.
pub const FAILURES: &[api::Reason] = &[api::Reason::StoreUnavailable];

pub use codes::{BrowserKey, CodeRequest, CodeTry, Mail, MailGrant, TryGrant, admit_mail};
pub use limit::{Rate, SourceLimit};
pub use pending::{LastEnrollment, PendingKey, PendingSignIn, StepTry, StepTryGrant};
pub use session::{SessionItem, SessionKey};
pub use table::{SESSION_TABLE, Table, to_deadline};
