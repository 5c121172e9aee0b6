//! Rooms and their participants.
//!
//! A room opens when it is created or first joined. It closes when it is deleted, or when it has been empty for its
//! timeout: 300 s if nobody has joined yet, 20 s after the last participant left. An identity is in a room once: a
//! second join removes the first. A removed participant gets back in with the same token, except at LiveKit Cloud, which
//! revokes tokens. Source: `pkg/service/roommanager.go` and `roomservice.go` of livekit/livekit.

use std::time::Duration;

use livekit_api::access_token::Claims;
use livekit_protocol::participant_info::{Kind, State as ParticipantState};
use livekit_protocol::{
    CreateRoomRequest, DisconnectReason, ParticipantInfo, ParticipantPermission, Room, RoomEndReason,
    RoomParticipantIdentity, WebhookEvent,
};

use crate::clock::{epoch_millis, epoch_seconds, identifier};
use crate::state::{OpenRoom, State, Task, room_not_found};
use crate::twirp::{Code, Result, TwirpError};

const EMPTY_TIMEOUT_SECONDS: u32 = 300;
const DEPARTURE_TIMEOUT_SECONDS: u32 = 20;
/// Source: `revoke_token_ts` in livekit_room.proto.
const REVOCATION_LEEWAY_SECONDS: i64 = 60;
const MAX_ROOM_NAME_LENGTH: usize = 256;

fn participant_not_found() -> TwirpError {
    Code::NotFound.error("participant does not exist")
}

impl State {
    /// The open rooms of these names, or all of them if there are no names.
    pub(crate) fn list_rooms(&self, names: &[String]) -> Vec<Room> {
        let matches = |name: &&String| names.is_empty() || names.contains(name);
        self.rooms.keys().filter(matches).filter_map(|name| self.room(name).ok()).collect()
    }

    /// Creates a room, or returns the open one of that name.
    pub(crate) fn create_room(&mut self, request: CreateRoomRequest) -> Result<Room> {
        let name = request.name.clone();
        if name.is_empty() {
            return Err(Code::InvalidArgument.error("no room name"));
        }
        if name.chars().count() > MAX_ROOM_NAME_LENGTH {
            let msg = format!("room name length exceeds limits: max length {MAX_ROOM_NAME_LENGTH}");
            return Err(Code::InvalidArgument.error(msg));
        }
        if !self.rooms.contains_key(&name) {
            self.open_room(request);
            self.close_later(&name);
        }
        self.room(&name)
    }

    pub(crate) fn delete_room(&mut self, name: &str) -> Result<()> {
        self.close_room(name, DisconnectReason::RoomDeleted, RoomEndReason::RoomEndApiDelete)
    }

    /// Closes a room that has been empty since its timer was set.
    pub(crate) fn close_if_empty(&mut self, sid: &str, changes: u64) {
        let is_unchanged = |open: &&OpenRoom| open.room.sid == sid && open.changes == changes;
        let open = self.rooms.values().find(is_unchanged).filter(|open| open.participants.is_empty());
        if let Some(name) = open.map(|open| open.room.name.clone()) {
            // Cannot fail: the state is locked.
            let _ = self.close_room(&name, DisconnectReason::RoomClosed, RoomEndReason::RoomEndIdleTimeout);
        }
    }

    /// The participants of a room. If it is not open, livekit-server returns an empty list and LiveKit Cloud
    /// `not_found` (example: <https://github.com/mayurrawte/teamsly/pull/157>).
    pub(crate) fn list_participants(&self, room: &str) -> Result<Vec<ParticipantInfo>> {
        match self.rooms.get(room) {
            Some(open) => Ok(open.participants.clone()),
            None if self.cloud => Err(room_not_found()),
            None => Ok(Vec::new()),
        }
    }

    pub(crate) fn participant(&self, room: &str, identity: &str) -> Result<ParticipantInfo> {
        let participants = self.rooms.get(room).map(|open| open.participants.as_slice()).unwrap_or_default();
        let participant = participants.iter().find(|participant| participant.identity == identity);
        participant.cloned().ok_or_else(participant_not_found)
    }

    /// Joins the room of a verified join token: opens it if necessary and removes an earlier join of the identity.
    pub(crate) fn join(&mut self, claims: &Claims) -> Result<ParticipantInfo> {
        let grants = &claims.video;
        if !grants.room_join {
            return Err(Code::Unauthenticated.error("permissions denied"));
        }
        if grants.room.is_empty() {
            return Err(Code::InvalidArgument.error("no room name"));
        }
        if claims.sub.is_empty() {
            return Err(Code::InvalidArgument.error("identity cannot be empty"));
        }
        let revoked = self.revoked.get(&(grants.room.clone(), claims.sub.clone()));
        if self.cloud && revoked.is_some_and(|from| i64::try_from(claims.nbf).is_ok_and(|nbf| nbf < *from)) {
            return Err(Code::Unauthenticated.error("token revoked"));
        }
        if !self.rooms.contains_key(&grants.room) {
            self.open_room(CreateRoomRequest { name: grants.room.clone(), ..CreateRoomRequest::default() });
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
            return Err(Code::ResourceExhausted.error("room is full"));
        }
        open.participants.push(participant.clone());
        open.changes += 1;
        self.emit_participant("participant_joined", &grants.room, participant.clone());
        Ok(participant)
    }

    /// Removes a participant; the room closes if it stays empty.
    pub(crate) fn leave(&mut self, room: &str, identity: &str, reason: DisconnectReason) -> Result<()> {
        self.remove(room, identity, reason).ok_or_else(participant_not_found)?;
        if self.rooms.get(room).is_some_and(|open| open.participants.is_empty()) {
            self.close_later(room);
        }
        Ok(())
    }

    /// Removes a participant at the request of the application.
    pub(crate) fn remove_participant(&mut self, request: &RoomParticipantIdentity) -> Result<()> {
        self.leave(&request.room, &request.identity, DisconnectReason::ParticipantRemoved)?;
        let from = match request.revoke_token_ts {
            0 => epoch_seconds() + REVOCATION_LEEWAY_SECONDS,
            from => from,
        };
        self.revoked.insert((request.room.clone(), request.identity.clone()), from);
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
        let room = self.room(&request.name).ok();
        self.emit("room_started", WebhookEvent { room, ..WebhookEvent::default() });
    }

    fn close_room(&mut self, name: &str, reason: DisconnectReason, end: RoomEndReason) -> Result<()> {
        let open = self.rooms.get(name).ok_or_else(room_not_found)?;
        for participant in open.participants.clone() {
            self.remove(name, &participant.identity, reason);
        }
        self.end_egresses_of(name);
        let room = Some(self.room(name)?);
        self.rooms.remove(name);
        let event = WebhookEvent { room, room_end_reason: end.into(), ..WebhookEvent::default() };
        self.emit("room_finished", event);
        Ok(())
    }

    fn remove(&mut self, room: &str, identity: &str, reason: DisconnectReason) -> Option<()> {
        let open = self.rooms.get_mut(room)?;
        let index = open.participants.iter().position(|participant| participant.identity == identity)?;
        let mut participant = open.participants.remove(index);
        open.changes += 1;
        participant.set_state(ParticipantState::Disconnected);
        participant.set_disconnect_reason(reason);
        self.emit_participant("participant_left", room, participant);
        Some(())
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

    fn emit_participant(&mut self, event: &str, room: &str, participant: ParticipantInfo) {
        let room = self.room(room).ok();
        self.emit(event, WebhookEvent { room, participant: Some(participant), ..WebhookEvent::default() });
    }
}
