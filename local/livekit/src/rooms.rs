//! Rooms and the people in them.
//!
//! A room begins when somebody joins or when it is created, and it ends when it is deleted, or when it has been empty
//! for its timeout: 300 s for a room that nobody entered, 20 s after the last one left. An identity is in a room once:
//! a second join puts the first out. Source: `pkg/service/roommanager.go` and `roomservice.go` of livekit/livekit.

use std::time::Duration;

use livekit_api::access_token::Claims;
use livekit_protocol::participant_info::{Kind, State as ParticipantState};
use livekit_protocol::{
    CreateRoomRequest, DisconnectReason, ParticipantInfo, ParticipantPermission, Room, RoomEndReason,
    WebhookEvent,
};

use super::clock::{epoch_millis, identifier};
use super::state::{State, Task};
use super::twirp::{Code, TwirpError};

const EMPTY_TIMEOUT_SECONDS: u32 = 300;
const DEPARTURE_TIMEOUT_SECONDS: u32 = 20;
const MAX_ROOM_NAME_LENGTH: usize = 256;

/// A room with its participants, in the order in which they came.
#[derive(Debug)]
pub(super) struct OpenRoom {
    room: Room,
    participants: Vec<ParticipantInfo>,
    /// Grows with every coming and going, so that a timer knows whether the room has been empty since it was set.
    changes: u64,
}

impl OpenRoom {
    /// The room as LiveKit tells it, but for `active_recording`, which the egresses know.
    pub(super) fn info(&self) -> Room {
        Room {
            num_participants: u32::try_from(self.participants.len()).unwrap_or(u32::MAX),
            ..self.room.clone()
        }
    }

    fn participant(&self, identity: &str) -> Option<&ParticipantInfo> {
        self.participants.iter().find(|participant| participant.identity == identity)
    }
}

pub(super) fn room_not_found() -> TwirpError {
    TwirpError::new(Code::NotFound, "requested room does not exist")
}

fn participant_not_found() -> TwirpError {
    TwirpError::new(Code::NotFound, "participant does not exist")
}

impl State {
    pub(super) fn room(&self, name: &str) -> Option<Room> {
        let open = self.rooms.get(name)?;
        Some(Room { active_recording: self.is_recorded(name), ..open.info() })
    }

    /// The rooms of these names, or all of them; names that are not open are left out.
    pub(super) fn list_rooms(&self, names: &[String]) -> Vec<Room> {
        self.rooms
            .keys()
            .filter(|name| names.is_empty() || names.contains(name))
            .filter_map(|name| self.room(name))
            .collect()
    }

    /// Creates a room, or answers the open one of that name.
    pub(super) fn create_room(&mut self, request: CreateRoomRequest) -> Result<Room, TwirpError> {
        if request.name.is_empty() {
            return Err(TwirpError::new(Code::InvalidArgument, "no room name"));
        }
        if request.name.chars().count() > MAX_ROOM_NAME_LENGTH {
            return Err(TwirpError::new(
                Code::InvalidArgument,
                format!("room name length exceeds limits: max length {MAX_ROOM_NAME_LENGTH}"),
            ));
        }
        let name = request.name.clone();
        if !self.rooms.contains_key(&name) {
            self.open_room(request);
            self.close_later(&name);
        }
        self.room(&name).ok_or_else(room_not_found)
    }

    /// Ends a room as `DeleteRoom` does.
    pub(super) fn delete_room(&mut self, name: &str) -> Result<(), TwirpError> {
        self.close_room(name, DisconnectReason::RoomDeleted, RoomEndReason::RoomEndApiDelete)
            .then_some(())
            .ok_or_else(room_not_found)
    }

    /// Ends a room that has been empty since its timer was set.
    pub(super) fn close_if_empty(&mut self, sid: &str, changes: u64) {
        let name = self
            .rooms
            .values()
            .find(|open| open.room.sid == sid && open.changes == changes && open.participants.is_empty())
            .map(|open| open.room.name.clone());
        if let Some(name) = name {
            self.close_room(&name, DisconnectReason::RoomClosed, RoomEndReason::RoomEndIdleTimeout);
        }
    }

    /// Who is in a room, for a caller: livekit-server reads a hash that is not there as an empty one, and LiveKit Cloud
    /// answers `not_found` (<https://github.com/mayurrawte/teamsly/pull/157> shows that answer).
    pub(super) fn list_participants(&self, room: &str) -> Result<Vec<ParticipantInfo>, TwirpError> {
        if self.cloud && !self.rooms.contains_key(room) {
            return Err(room_not_found());
        }
        Ok(self.participants(room))
    }

    /// Who is in a room; nobody, when it is not open.
    pub(super) fn participants(&self, room: &str) -> Vec<ParticipantInfo> {
        self.rooms.get(room).map(|open| open.participants.clone()).unwrap_or_default()
    }

    pub(super) fn participant(&self, room: &str, identity: &str) -> Result<ParticipantInfo, TwirpError> {
        self.rooms
            .get(room)
            .and_then(|open| open.participant(identity))
            .cloned()
            .ok_or_else(participant_not_found)
    }

    /// Lets the bearer of a join token in: opens the room if need be and puts an earlier self out.
    pub(super) fn join(&mut self, claims: &Claims) -> Result<ParticipantInfo, TwirpError> {
        let grants = &claims.video;
        if !grants.room_join {
            return Err(TwirpError::new(Code::Unauthenticated, "permissions denied"));
        }
        if grants.room.is_empty() {
            return Err(TwirpError::new(Code::InvalidArgument, "no room name"));
        }
        if claims.sub.is_empty() {
            return Err(TwirpError::new(Code::InvalidArgument, "identity cannot be empty"));
        }
        let request = CreateRoomRequest { name: grants.room.clone(), ..CreateRoomRequest::default() };
        if !self.rooms.contains_key(&grants.room) {
            self.open_room(request);
        }
        self.remove(&grants.room, &claims.sub, DisconnectReason::DuplicateIdentity);

        let now = epoch_millis();
        let participant = ParticipantInfo {
            sid: identifier("PA_"),
            identity: claims.sub.clone(),
            name: claims.name.clone(),
            state: ParticipantState::Active.into(),
            metadata: claims.metadata.clone(),
            attributes: claims.attributes.clone(),
            joined_at: now / 1000,
            joined_at_ms: now,
            kind: Kind::Standard.into(),
            permission: Some(ParticipantPermission {
                can_subscribe: grants.can_subscribe(),
                can_publish: grants.can_publish(),
                can_publish_data: grants.can_publish_data(),
                can_update_metadata: grants.can_update_own_metadata(),
                hidden: grants.hidden,
                ..ParticipantPermission::default()
            }),
            ..ParticipantInfo::default()
        };
        let open = self.rooms.get_mut(&grants.room).ok_or_else(room_not_found)?;
        let limit = open.room.max_participants;
        if limit > 0 && u32::try_from(open.participants.len()).is_ok_and(|present| present >= limit) {
            return Err(TwirpError::new(Code::ResourceExhausted, "room is full"));
        }
        open.participants.push(participant.clone());
        open.changes += 1;
        self.tell_of_participant("participant_joined", &grants.room, &participant);
        Ok(participant)
    }

    /// Lets somebody leave, or puts them out; the room closes when it stays empty.
    pub(super) fn leave(
        &mut self,
        room: &str,
        identity: &str,
        reason: DisconnectReason,
    ) -> Result<(), TwirpError> {
        self.remove(room, identity, reason).ok_or_else(participant_not_found)?;
        if self.rooms.get(room).is_some_and(|open| open.participants.is_empty()) {
            self.close_later(room);
        }
        Ok(())
    }

    fn open_room(&mut self, request: CreateRoomRequest) {
        let or_default = |seconds: u32, default: u32| if seconds == 0 { default } else { seconds };
        let now = epoch_millis();
        let room = Room {
            sid: identifier("RM_"),
            empty_timeout: or_default(request.empty_timeout, EMPTY_TIMEOUT_SECONDS),
            departure_timeout: or_default(request.departure_timeout, DEPARTURE_TIMEOUT_SECONDS),
            max_participants: request.max_participants,
            metadata: request.metadata,
            creation_time: now / 1000,
            creation_time_ms: now,
            name: request.name.clone(),
            ..Room::default()
        };
        self.rooms.insert(request.name.clone(), OpenRoom { room, participants: Vec::new(), changes: 0 });
        let room = self.room(&request.name);
        self.tell("room_started", WebhookEvent { room, ..WebhookEvent::default() });
    }

    fn close_room(&mut self, name: &str, reason: DisconnectReason, end: RoomEndReason) -> bool {
        let identities: Vec<String> =
            self.participants(name).into_iter().map(|participant| participant.identity).collect();
        for identity in identities {
            self.remove(name, &identity, reason);
        }
        self.end_recordings_of(name);
        let room = self.room(name);
        if self.rooms.remove(name).is_none() {
            return false;
        }
        self.tell(
            "room_finished",
            WebhookEvent { room, room_end_reason: end.into(), ..WebhookEvent::default() },
        );
        true
    }

    fn remove(&mut self, room: &str, identity: &str, reason: DisconnectReason) -> Option<ParticipantInfo> {
        let open = self.rooms.get_mut(room)?;
        let index = open.participants.iter().position(|participant| participant.identity == identity)?;
        let mut participant = open.participants.remove(index);
        open.changes += 1;
        participant.state = ParticipantState::Disconnected.into();
        participant.disconnect_reason = reason.into();
        self.tell_of_participant("participant_left", room, &participant);
        Some(participant)
    }

    fn close_later(&self, name: &str) {
        let Some(open) = self.rooms.get(name) else { return };
        let seconds = if open.changes == 0 { open.room.empty_timeout } else { open.room.departure_timeout };
        self.schedule(Task::CloseIfEmpty {
            sid: open.room.sid.clone(),
            changes: open.changes,
            after: Duration::from_secs(seconds.into()),
        });
    }

    fn tell_of_participant(&mut self, event: &str, room: &str, participant: &ParticipantInfo) {
        let room = self.room(room);
        self.tell(
            event,
            WebhookEvent { room, participant: Some(participant.clone()), ..WebhookEvent::default() },
        );
    }
}
