//! WorkOS' events: what changes at WorkOS takes effect here.
//!
//! [`Webhooks`] receives them within seconds. [`Backstop`] reads them again from WorkOS' list, because webhooks get lost.
//! WorkOS repeats webhooks for days and in any order, so every effect can be applied any number of times, and late: it
//! depends on when the change happened, never on when it was reported.

mod backstop;
mod effects;
mod webhooks;

use api::{Reason, metrics};
pub use backstop::Backstop;
pub use webhooks::Webhooks;
use workos::Event;

/// The reasons that applying an event fails with.
pub const FAILURES: &[Reason] = &[Reason::StoreUnavailable, Reason::LivekitUnavailable, Reason::LivekitBusy];

/// Counts an event, by how it was reported and what became of it.
fn count(source: &'static str, outcome: &'static str) {
    metrics::count("WorkosEvent", &[("Source", source), ("Outcome", outcome)]);
}

/// Reports an event that lacks a field. Its data are personal and stay out of the log.
fn report_undecodable(source: &'static str, event: &Event, field: &'static str) {
    count(source, "undecodable");
    let (event_id, event) = (&*event.id, &*event.name);
    tracing::error!(event_id, event, field, "an event of WorkOS lacks a field: it has no effect");
}
