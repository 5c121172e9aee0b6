//! Who is in which room: one item per person, one attribute per connection.
//!
//! LiveKit reports joins and leaves repeatedly, in any order, or never. A connection is known by LiveKit's ids of the
//! room and of the participant, which are new for each join, so neither a repeated nor a late report changes another
//! connection. An entry whose leave was never reported, or reported before its join, stays until it is looked at.

use api::{ApiError, Reason};
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};

use crate::attributes::{Item, Reader, number, text};
use crate::session::SessionId;
use crate::table::Table;
use crate::write::{Write, Written};

/// How long an item is kept after the person's last join, in seconds.
const KEPT: u64 = 30 * 24 * 60 * 60;

/// What the name of a connection's attribute begins with.
const PREFIX: &str = "in#";

/// LiveKit's ids of a room and a participant, which identify one join.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(String);

impl ConnectionId {
    /// The join of the participant `participant_sid` to the room `room_sid`.
    pub fn new(room_sid: &str, participant_sid: &str) -> Self {
        Self(format!("{PREFIX}{room_sid}#{participant_sid}"))
    }
}

/// A person's connection to a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Which one.
    pub id: ConnectionId,
    /// LiveKit's name of the room.
    pub room: String,
    /// The participant's identity.
    pub identity: String,
    /// The session that the room token was issued to.
    pub session: SessionId,
    /// The organization that it was issued in.
    pub organization_id: Option<String>,
    /// When the participant joined, by LiveKit's clock.
    pub joined_at: u64,
}

impl Table {
    /// Adds a connection of the person, whether or not it is known already. Returns all of them, in any order.
    ///
    /// # Errors
    /// `store_unavailable`; `internal` if an entry is corrupt.
    pub async fn add_connection(
        &self,
        user_id: &str,
        connection: &Connection,
        now: u64,
    ) -> Result<Vec<Connection>, ApiError> {
        let add = Write::to(pk(user_id))
            .set_named("connection", &connection.id.0, encode(connection))
            .set("expires_at", number(now.saturating_add(KEPT)))
            .returning(ReturnValue::AllNew);
        match self.update(add).await? {
            Written::Done(Some(item)) => decode(&item),
            _ => {
                Err(ApiError::new(Reason::Internal).because("an update without a condition returned no item"))
            }
        }
    }

    /// Forgets connections of the person; it is no error if they are unknown.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn forget_connections(&self, user_id: &str, ids: &[&ConnectionId]) -> Result<(), ApiError> {
        if ids.is_empty() {
            return Ok(());
        }
        // Without the condition, an update would create the item.
        let forget = Write::to(pk(user_id)).only_if("attribute_exists(pk)");
        let forget = ids
            .iter()
            .enumerate()
            .fold(forget, |forget, (index, id)| forget.remove_named(&format!("connection{index}"), &id.0));
        self.update(forget).await.map(drop)
    }

    /// The person's connections, strongly consistent and in any order. Some may have ended.
    ///
    /// # Errors
    /// `store_unavailable`; `internal` if an entry is corrupt.
    pub async fn connections(&self, user_id: &str) -> Result<Vec<Connection>, ApiError> {
        self.get(pk(user_id)).await?.as_ref().map_or_else(|| Ok(Vec::new()), decode)
    }
}

fn pk(user_id: &str) -> String {
    format!("presence#{user_id}")
}

fn encode(connection: &Connection) -> AttributeValue {
    let organization = connection.organization_id.as_ref().map(|id| ("organization_id", text(id)));
    let required = [
        ("room", text(&connection.room)),
        ("identity", text(&connection.identity)),
        ("session_id", text(&connection.session.0)),
        ("joined_at", number(connection.joined_at)),
    ];
    let entry = required.into_iter().chain(organization);
    AttributeValue::M(entry.map(|(name, value)| (name.to_owned(), value)).collect())
}

fn decode(item: &Item) -> Result<Vec<Connection>, ApiError> {
    let entries = item.iter().filter_map(|(name, value)| {
        let entry = value.as_m().ok().filter(|_| name.starts_with(PREFIX))?;
        Some((name, Reader(entry)))
    });
    let connections = entries.map(|(name, entry)| {
        Ok(Connection {
            id: ConnectionId(name.clone()),
            room: entry.text("room")?,
            identity: entry.text("identity")?,
            session: SessionId(entry.text("session_id")?),
            organization_id: entry.optional_text("organization_id"),
            joined_at: entry.number("joined_at")?,
        })
    });
    connections.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_survives_the_round_trip_through_the_table() {
        for organization_id in [None, Some("org_1".to_owned())] {
            let connection = Connection {
                id: ConnectionId::new("RM_1", "PA_1"),
                room: "daily".into(),
                identity: "user_1:phone".into(),
                session: SessionId("session".into()),
                organization_id,
                joined_at: 7,
            };
            let item = Item::from([
                ("pk".to_owned(), text("presence#user_1")),
                ("expires_at".to_owned(), number(8)),
                (connection.id.0.clone(), encode(&connection)),
            ]);
            assert_eq!(decode(&item).unwrap(), [connection]);
        }
    }
}
