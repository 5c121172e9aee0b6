//! The one DynamoDB table and the items in it.
//!
//! | `pk` | item | module |
//! |---|---|---|
//! | `session#<SHA-256 of the token>` | a session | [`session`] |
//! | `switched#<session id>` | the current key of a session that has been switched | [`session`] |
//! | `ending#<user id>` | a person's sessions that WorkOS still has to revoke | [`endings`] |
//! | `ended#…` | what stays of a session that has ended | `ended` |
//! | `cursor#workos` | the last of WorkOS' events that was read | `cursor` |
//! | `limit#…` | a rate limit's counter or budget | [`limit`], [`codes`] |
//! | `device#…`, `code#…` | a browser that signed in before, or that asked for a code | [`codes`] |
//! | `pending#…`, `enrolling#…` | a sign-in that waits for a step; a person's last enrollment | [`pending`] |
//! | `recording#<egress id>`, `room#<room>` | a recording; a room's current recording | [`recording`] |
//! | `presence#<user id>` | the rooms that a person is in | [`presence`] |
//!
//! Every write that can collide is one conditional write or transaction; nothing is read, changed and written back.
//! DynamoDB removes items after `expires_at`, but late (AWS: "typically within a few days"), so every reader checks the
//! time itself.

pub mod attributes;
mod budget;
pub mod codes;
mod connector;
mod cursor;
mod ended;
pub mod endings;
pub mod limit;
pub mod pending;
pub mod presence;
pub mod recording;
pub mod session;
mod table;
mod user_sessions;
mod write;

/// The reasons that every call to the table fails with.
pub const FAILURES: &[api::Reason] = &[api::Reason::StoreUnavailable];

pub use codes::{BrowserKey, CodeRequest, CodeTry, Mail, MailGrant, TryGrant, admit_mail};
pub use cursor::Cursor;
pub use endings::Ending;
pub use limit::{Rate, SourceLimit};
pub use pending::{LastEnrollment, PendingKey, PendingSignIn, StepTry, StepTryGrant};
pub use session::{SessionId, SessionItem, SessionKey};
pub use table::{SESSION_TABLE, Table, to_deadline};
