//! WorkOS' events, as webhooks send them and `GET /events` lists them.
//!
//! Names and data: the event schemas of WorkOS' OpenAPI document. Only the fields that are needed are decoded, so that new
//! ones and missing ones do no harm.

use api::{ApiError, Reason, User};
use http::StatusCode;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::CallError;
use crate::sign_in::{NAME_BYTES, URL_BYTES, known};
use crate::{WorkOs, lookup};

/// The names of the events that have an effect here. docs/operations.md lists them for the WorkOS dashboard.
pub const EVENTS: [&str; 5] = [
    "organization_membership.deleted",
    "organization_membership.updated",
    "session.revoked",
    "user.deleted",
    "user.updated",
];

/// Events of a page. It is half of WorkOS' largest one, so that a page is applied within the time of an invocation even if
/// everything is slow.
const PAGE: &str = "50";

/// The longest id that is decoded, in bytes.
const ID_BYTES: usize = 128;

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its id, which is a cursor of the list as well; empty if it has none.
    pub id: String,
    /// Its name; empty if it has none.
    pub name: String,
    /// When it happened, in seconds since the Unix epoch by WorkOS' clock; `None` if it does not say so.
    pub at: Option<u64>,
    /// What has changed; `None` if it is nothing that concerns sessions. An error names the field that is missing or invalid.
    pub change: Result<Option<Change>, &'static str>,
}

/// What has changed at WorkOS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A session was revoked, or the person has signed out of it.
    SessionRevoked {
        /// The user.
        user_id: String,
        /// WorkOS' id of the session (`sid`).
        session_id: String,
    },
    /// A user was deleted.
    UserDeleted {
        /// The user.
        user_id: String,
    },
    /// A user was updated.
    UserUpdated {
        /// The user after the change.
        user: User,
        /// When, in seconds since the Unix epoch by WorkOS' clock.
        at: u64,
    },
    /// A membership was deleted or has become inactive.
    MembershipEnded {
        /// The member.
        user_id: String,
        /// The organization.
        organization_id: String,
        /// When, in seconds since the Unix epoch by WorkOS' clock.
        at: u64,
    },
    /// A membership was updated: it may have another role.
    MembershipUpdated {
        /// The member.
        user_id: String,
        /// The organization.
        organization_id: String,
        /// When, in seconds since the Unix epoch by WorkOS' clock.
        at: u64,
    },
}

impl Event {
    /// Decodes the body of a webhook; `None` if it is not a JSON object.
    pub fn from_json(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().filter(Value::is_object).map(|event| Self::decode(&event))
    }

    fn decode(event: &Value) -> Self {
        let text = |name| text(event, name).unwrap_or_default();
        let (name, at) = (text("event"), time(event, "created_at"));
        let change = match event.get("data") {
            _ if name.is_empty() => Err("event"),
            Some(data) => Change::decode(&name, at, data),
            None => Change::decode(&name, at, &Value::Null),
        };
        Self { id: text("id"), name, at, change }
    }
}

impl Change {
    /// The user whom it concerns.
    pub fn user_id(&self) -> &str {
        match self {
            Self::SessionRevoked { user_id, .. }
            | Self::UserDeleted { user_id }
            | Self::MembershipEnded { user_id, .. }
            | Self::MembershipUpdated { user_id, .. } => user_id,
            Self::UserUpdated { user, .. } => &user.id,
        }
    }

    fn decode(name: &str, at: Option<u64>, data: &Value) -> Result<Option<Self>, &'static str> {
        let id = || text(data, "id").ok_or("data.id");
        let user_id = || text(data, "user_id").ok_or("data.user_id");
        Ok(Some(match name {
            "session.revoked" => Self::SessionRevoked { user_id: user_id()?, session_id: id()? },
            "user.deleted" => Self::UserDeleted { user_id: id()? },
            "user.updated" => {
                let own = |name: &str| data.get(name)?.as_str().map(str::to_owned);
                let user = User {
                    id: id()?,
                    email: own("email").ok_or("data.email")?,
                    first_name: known(own("first_name"), NAME_BYTES),
                    last_name: known(own("last_name"), NAME_BYTES),
                    avatar_url: known(own("profile_picture_url"), URL_BYTES),
                };
                Self::UserUpdated { user, at: at.ok_or("created_at")? }
            }
            "organization_membership.updated" | "organization_membership.deleted" => {
                let organization_id = text(data, "organization_id").ok_or("data.organization_id")?;
                // The data of a deleted membership says when it was last updated, not when it was deleted.
                let (user_id, at) = (user_id()?, at.ok_or("created_at")?);
                let has_ended = name.ends_with(".deleted") || data["status"] == "inactive";
                if has_ended {
                    Self::MembershipEnded { user_id, organization_id, at }
                } else {
                    Self::MembershipUpdated { user_id, organization_id, at }
                }
            }
            _ => return Ok(None),
        }))
    }
}

/// A field that is an id or a name.
fn text(object: &Value, name: &str) -> Option<String> {
    let text = object.get(name)?.as_str()?;
    (!text.is_empty() && text.len() <= ID_BYTES).then(|| text.to_owned())
}

/// A field that is a time, in whole seconds since the Unix epoch.
fn time(object: &Value, name: &str) -> Option<u64> {
    let time = OffsetDateTime::parse(object.get(name)?.as_str()?, &Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp()).ok()
}

/// Where a page of events begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Since {
    /// After the event with this id.
    Event(String),
    /// At this time, in seconds since the Unix epoch. WorkOS lists at most 30 days.
    Time(u64),
}

/// A page of events, oldest first.
#[derive(Clone, Debug)]
pub struct EventPage {
    /// The events.
    pub events: Vec<Event>,
    /// Whether there are more.
    pub has_more: bool,
}

impl WorkOs {
    /// A page of [`EVENTS`]; `None` if WorkOS refuses the id that it begins after, which it does after 90 days.
    ///
    /// # Errors
    /// `workos_busy`, `workos_unavailable`.
    pub async fn events(&self, since: &Since) -> Result<Option<EventPage>, ApiError> {
        let names = EVENTS.join(",");
        let start = match since {
            Since::Event(id) => ("after", id.clone()),
            Since::Time(time) => ("range_start", rfc3339(*time)?),
        };
        let query =
            [("events", names.as_str()), ("order", "asc"), ("limit", PAGE), (start.0, start.1.as_str())];
        match lookup::page::<Value>(&self.sdk, "/events", &query).await {
            Ok(page) => {
                let has_more = page.next().is_some();
                Ok(Some(EventPage { events: page.data.iter().map(Event::decode).collect(), has_more }))
            }
            Err(error) if matches!(since, Since::Event(_)) && is_refusal(&error) => Ok(None),
            Err(error) => Err(error.into_outage()),
        }
    }
}

/// Whether WorkOS refuses a parameter.
fn is_refusal(error: &CallError) -> bool {
    let refusals = [StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND, StatusCode::UNPROCESSABLE_ENTITY];
    error.status().is_some_and(|status| refusals.contains(&status))
}

fn rfc3339(seconds: u64) -> Result<String, ApiError> {
    let time =
        i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let text = time.and_then(|time| time.format(&Rfc3339).ok());
    text.ok_or_else(|| ApiError::new(Reason::Internal).because("a time has no RFC 3339 form"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(name: &str, data: Value) -> Event {
        let body = json!({ "object": "event", "id": "event_1", "event": name, "data": data,
            "created_at": "2026-11-25T00:00:00.999Z" });
        Event::from_json(body.to_string().as_bytes()).unwrap()
    }

    fn change(name: &str, data: Value) -> Result<Option<Change>, &'static str> {
        event(name, data).change
    }

    #[test]
    fn known_events_are_changes() {
        let (user_id, organization_id) = ("user_1".to_owned(), "org_1".to_owned());
        let revoked =
            change("session.revoked", json!({ "id": "session_1", "user_id": "user_1", "status": "revoked" }));
        let session_id = "session_1".to_owned();
        assert_eq!(revoked, Ok(Some(Change::SessionRevoked { user_id: user_id.clone(), session_id })));
        let deleted = change("user.deleted", json!({ "id": "user_1", "email": "a@b.cc" }));
        assert_eq!(deleted, Ok(Some(Change::UserDeleted { user_id: user_id.clone() })));
        let at = 1_795_564_800;
        let membership =
            |status: Value| json!({ "user_id": "user_1", "organization_id": "org_1", "status": status });
        let ended = Change::MembershipEnded {
            user_id: user_id.clone(),
            organization_id: organization_id.clone(),
            at,
        };
        let updated = Change::MembershipUpdated { user_id: user_id.clone(), organization_id, at };
        for (name, status, expected) in [
            ("organization_membership.deleted", json!("active"), &ended),
            ("organization_membership.deleted", Value::Null, &ended),
            ("organization_membership.updated", json!("inactive"), &ended),
            ("organization_membership.updated", json!("active"), &updated),
            ("organization_membership.updated", json!("pending"), &updated),
            ("organization_membership.updated", json!("a_new_one"), &updated),
            ("organization_membership.updated", Value::Null, &updated),
        ] {
            assert_eq!(
                change(name, membership(status.clone())).as_ref(),
                Ok(&Some(expected.clone())),
                "{name} {status}"
            );
        }
        let named = json!({ "id": "user_1", "email": "a@b.cc", "first_name": "Ann", "last_name": null, "profile_picture_url": "" });
        let user = User {
            id: user_id,
            email: "a@b.cc".to_owned(),
            first_name: Some("Ann".to_owned()),
            last_name: None,
            avatar_url: None,
        };
        assert_eq!(change("user.updated", named), Ok(Some(Change::UserUpdated { user, at })));
    }

    #[test]
    fn other_events_are_no_change() {
        for name in
            ["session.created", "user.created", "role.updated", "organization_role.deleted", "a_new_one"]
        {
            assert_eq!(change(name, json!({ "id": "1", "user_id": "2" })), Ok(None), "{name}");
        }
    }

    #[test]
    fn a_known_event_without_its_fields_names_the_first_one() {
        for (name, data, field) in [
            ("session.revoked", json!({ "id": "session_1" }), "data.user_id"),
            ("session.revoked", json!({ "user_id": "user_1" }), "data.id"),
            ("session.revoked", json!({ "user_id": "user_1", "id": 7 }), "data.id"),
            ("session.revoked", json!({ "user_id": "", "id": "session_1" }), "data.user_id"),
            ("session.revoked", Value::Null, "data.user_id"),
            ("session.revoked", json!([]), "data.user_id"),
            ("user.deleted", json!({ "id": "x".repeat(129) }), "data.id"),
            ("user.updated", json!({ "id": "user_1" }), "data.email"),
            ("organization_membership.deleted", json!({ "user_id": "user_1" }), "data.organization_id"),
            ("", json!({}), "event"),
        ] {
            assert_eq!(change(name, data), Err(field), "{name}");
        }
        let undated =
            br#"{"event":"organization_membership.deleted","data":{"user_id":"u","organization_id":"o"}}"#;
        assert_eq!(Event::from_json(undated).unwrap().change, Err("created_at"));
    }

    #[test]
    fn a_body_that_is_no_object_is_no_event() {
        for body in ["", "{", "[]", "null", "7", r#""event""#] {
            assert_eq!(Event::from_json(body.as_bytes()), None, "{body}");
        }
        assert_eq!(Event::from_json(b"{}").map(|event| event.change), Some(Err("event")));
    }

    #[test]
    fn times_are_in_whole_seconds() {
        assert_eq!(event("user.created", json!({})).at, Some(1_795_564_800));
        assert_eq!(rfc3339(1_795_564_800).unwrap(), "2026-11-25T00:00:00Z");
    }
}
