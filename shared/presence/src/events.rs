//! LiveKit's events about participants.
//!
//! Source: <https://docs.livekit.io/home/server/webhooks/>. A participant's attributes are those of its room token:
//! participants cannot change them (that needs the grant `canUpdateOwnMetadata`), so they are trusted.

use api::ApiError;
use livekit::keys::{ORGANIZATION_ATTRIBUTE, SESSION_ATTRIBUTE, STAGE_ATTRIBUTE};
use livekit_protocol::{ParticipantInfo, WebhookEvent};
use store::SessionId;
use store::presence::{Connection, ConnectionId};

use crate::Presence;

impl Presence {
    /// Applies an event; those about anything else are ignored, and so are participants without a room token of this
    /// deployment, such as egress recorders.
    ///
    /// # Errors
    /// `livekit_busy`, `livekit_unavailable`, `store_unavailable`.
    pub async fn receive(&self, event: &WebhookEvent) -> Result<(), ApiError> {
        let Some((user_id, connection)) = connection(event, self.server.keys().stage()) else {
            return Ok(());
        };
        match event.event.as_str() {
            "participant_joined" => self.joined(user_id, &connection).await,
            "participant_left" => self.table().forget_connections(user_id, &[&connection.id]).await,
            _ => Ok(()),
        }
    }
}

/// The person and the connection that an event is about; `None` if it is about anything else.
fn connection<'a>(event: &'a WebhookEvent, stage: &str) -> Option<(&'a str, Connection)> {
    let (room, participant) = (event.room.as_ref()?, event.participant.as_ref()?);
    if attribute(participant, STAGE_ATTRIBUTE) != Some(stage) {
        return None;
    }
    let connection = Connection {
        id: ConnectionId::new(&room.sid, &participant.sid),
        room: room.name.clone(),
        identity: participant.identity.clone(),
        session: SessionId(attribute(participant, SESSION_ATTRIBUTE)?.to_owned()),
        organization_id: attribute(participant, ORGANIZATION_ATTRIBUTE).map(str::to_owned),
        joined_at: participant.joined_at.try_into().unwrap_or_default(),
    };
    // The identity is the user's id, or `<user id>:<device>`. WorkOS' ids contain no colon.
    let (user_id, _) = participant.identity.split_once(':').unwrap_or((&participant.identity, ""));
    Some((user_id, connection))
}

/// Whether a participant has joined with a token like that of the connection: of the same session, in the same
/// organization.
pub(crate) fn is_of(participant: &ParticipantInfo, connection: &Connection) -> bool {
    attribute(participant, SESSION_ATTRIBUTE) == Some(&connection.session.0)
        && attribute(participant, ORGANIZATION_ATTRIBUTE) == connection.organization_id.as_deref()
}

fn attribute<'a>(participant: &'a ParticipantInfo, name: &str) -> Option<&'a str> {
    participant.attributes.get(name).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use livekit_protocol::Room;

    use super::*;

    fn event(identity: &str, attributes: &[(&str, &str)]) -> WebhookEvent {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        WebhookEvent {
            room: Some(Room { sid: "RM_1".into(), name: "daily".into(), ..Room::default() }),
            participant: Some(ParticipantInfo {
                sid: "PA_1".into(),
                identity: identity.into(),
                attributes: attributes.collect(),
                joined_at: 7,
                ..ParticipantInfo::default()
            }),
            ..WebhookEvent::default()
        }
    }

    #[test]
    fn an_identity_names_the_person_and_possibly_the_device() {
        for identity in ["user_1", "user_1:phone", "user_1:a:b"] {
            let event = event(identity, &[("stage", "dev"), ("sessionId", "session")]);
            let (user_id, connection) = connection(&event, "dev").unwrap();
            assert_eq!((user_id, connection.identity.as_str()), ("user_1", identity));
            assert_eq!((connection.joined_at, connection.organization_id), (7, None));
        }
    }

    #[test]
    fn participants_without_a_token_of_this_deployment_are_nobody() {
        for attributes in [
            &[][..],
            &[("stage", "dev")],
            &[("sessionId", "session")],
            &[("sessionId", "session"), ("stage", "prod")],
        ] {
            assert!(connection(&event("user_1", attributes), "dev").is_none(), "{attributes:?}");
        }
    }
}
