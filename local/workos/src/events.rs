//! The event log: what happened to users, memberships and sessions, in order. `GET /events` lists it, and webhooks send
//! it.
//!
//! Names and data follow the event schemas of WorkOS' OpenAPI document.

use std::time::Duration;

use axum::Json;
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::clock::Timestamp;
use super::error::{ApiError, Reply};
use super::model::{Membership, Session, User};
use super::request::Query;
use super::state::{Authorized, State};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long WorkOS keeps events: <https://workos.com/docs/events/data-syncing/events-api>.
const RETENTION: u32 = 90;

/// How many days a query without a cursor covers.
const RANGE: u32 = 30;

/// An event, as `GET /events` lists it and a webhook sends it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "object", rename = "event")]
pub struct Event {
    /// `event_` and a ULID. A later event has a greater id.
    pub id: String,
    /// For example `session.revoked`.
    #[serde(rename = "event")]
    pub name: &'static str,
    /// The object after the change; the last state of a deleted one.
    pub data: Value,
    pub(super) created_at: Timestamp,
    context: Value,
}

impl Event {
    /// The body of its webhook.
    pub fn body(&self) -> String {
        json!(self).to_string()
    }

    /// Whether the event is about this organization: about itself, a membership of it, or a session in it.
    fn concerns(&self, organization_id: &str) -> bool {
        self.data.get("organization_id").is_some_and(|id| id == organization_id)
    }
}

impl State {
    pub(super) fn user_event(&mut self, name: &'static str, user: &User) {
        self.emit(name, json!(user));
    }

    pub(super) fn membership_event(&mut self, name: &'static str, membership: &Membership) {
        self.emit(name, membership.json());
    }

    pub(super) fn session_event(&mut self, name: &'static str, session: &Session) {
        self.emit(name, json!(session));
    }

    /// Logs an event, and has it sent.
    fn emit(&mut self, name: &'static str, data: Value) {
        let context = json!({"client_id": self.options.client_id});
        let event = Event { id: self.new_id("event"), name, data, created_at: self.now(), context };
        self.events.push(event.clone());
        self.post(event);
    }
}

/// `GET /events`: newest first unless the query says `order=asc`. `events` is required. A query has a cursor or a range;
/// with neither it covers the last 30 days. A cursor that is unknown or older than the retention is refused.
pub(super) async fn list(Authorized(service): Authorized, query: Query) -> Reply {
    let (names, state) = (query.all("events"), service.state());
    if names.is_empty() {
        return Err(ApiError::invalid_field("events", "required"));
    }
    let (since, after) = (state.now() - DAY * RETENTION, query.get("after"));
    // The cursor may be an event of another type.
    let place = |id: &str| state.events.iter().position(|event| event.id == id && event.created_at >= since);
    let invalid = || ApiError::invalid_field("after", "invalid");
    let place = after.map(|cursor| place(cursor).ok_or_else(invalid)).transpose()?;
    let (start, end) = (time(&query, "range_start")?, time(&query, "range_end")?);
    if after.is_some() && (start.is_some() || end.is_some()) {
        return Err(ApiError::invalid_field("after", "excludes_a_range"));
    }
    let start = start.or_else(|| after.is_none().then(|| state.now() - DAY * RANGE));
    let organization = query.get("organization_id");
    let matching = |event: &&Event| {
        names.contains(&event.name)
            && event.created_at >= since
            && start.is_none_or(|start| event.created_at >= start)
            && end.is_none_or(|end| event.created_at < end)
            && organization.is_none_or(|id| event.concerns(id))
    };
    let limit = query.limit()?;
    let events: Vec<&Event> = match query.get("order") {
        None | Some("desc") => {
            let older = state.events.iter().take(place.unwrap_or(state.events.len())).rev();
            older.filter(matching).take(limit + 1).collect()
        }
        Some("asc") => {
            let newer = state.events.iter().skip(place.map_or(0, |place| place + 1));
            newer.filter(matching).take(limit + 1).collect()
        }
        Some(_) => return Err(ApiError::invalid_field("order", "invalid")),
    };
    Ok(Json(page(events, limit)))
}

/// One page of the events found, of which one too many says that there are more. Unlike other lists, this one has no page
/// before it.
fn page(mut events: Vec<&Event>, limit: usize) -> Value {
    let more = events.len() > limit;
    events.truncate(limit);
    let after = events.last().filter(|_| more).map(|event| &event.id);
    json!({"object": "list", "data": events, "list_metadata": {"after": after}})
}

/// A time in the query, in the format of RFC 3339.
fn time(query: &Query, name: &str) -> Result<Option<Timestamp>, ApiError> {
    let parse = |text: &str| OffsetDateTime::parse(text, &Rfc3339).map(Timestamp::from);
    let invalid = |_| ApiError::invalid_field(name, "invalid");
    query.get(name).map(parse).transpose().map_err(invalid)
}
