//! The calls to LiveKit: who is in a room, and the egresses.
//!
//! Each call carries a token with the one grant it needs, valid for seconds. Responses are checked for the room,
//! participant or egress that was asked about.

use std::time::Duration;

use api::{ApiError, ConfigError, Env, Reason, Secret};
use livekit::Room;
use livekit_protocol::room_composite_egress_request::Options;
use livekit_protocol::{
    EncodedFileOutput, EncodingOptionsPreset, ListEgressRequest, RoomCompositeEgressRequest,
    StopEgressRequest,
};
use room_service::{Client, Failure, expect_subject};
use store::recording::{Progress, RecordingStatus};

use crate::deadline::Deadline;
use crate::egress::{Egress, forgotten};

/// A LiveKit server, or LiveKit Cloud.
#[derive(Clone, Debug)]
pub(crate) struct Server(pub(crate) room_service::Server);

impl Server {
    pub(crate) fn load(env: &Env) -> Result<Self, ConfigError> {
        room_service::Server::load(env).map(Self)
    }

    /// Checks that a participant is in a room.
    ///
    /// # Errors
    /// `room_not_found`, `not_in_room`, `livekit_busy`, `livekit_unavailable`.
    pub(crate) async fn expect_participant(
        &self,
        room: &Room,
        identity: &str,
        deadline: Deadline,
    ) -> Result<(), ApiError> {
        if self.0.participant(room, identity, deadline.timeout(Duration::ZERO)).await?.is_some() {
            return Ok(());
        }
        // LiveKit's response to a missing room is the same. A room exists while somebody is in it.
        let participants = self.0.participants(room, deadline.timeout(Duration::ZERO)).await?;
        Err(if participants.is_empty() { Reason::RoomNotFound } else { Reason::NotInRoom }.into())
    }

    /// Access to the egresses until `deadline`.
    ///
    /// # Errors
    /// `internal` if the token cannot be signed.
    pub(crate) fn egresses(&self, deadline: Deadline) -> Result<Egresses<'_>, ApiError> {
        Ok(Egresses { client: self.0.client(), token: self.0.keys().room_record_token()?, deadline })
    }
}

/// LiveKit's egresses, within one request. `reserve` is the time that must be left after a call.
#[derive(Debug)]
pub(crate) struct Egresses<'a> {
    client: &'a Client,
    token: Secret,
    deadline: Deadline,
}

impl Egresses<'_> {
    /// Returns the egresses of a room that have not ended.
    ///
    /// # Errors
    /// `livekit_busy`, `livekit_unavailable`.
    pub(crate) async fn in_room(&self, room: &str, reserve: Duration) -> Result<Vec<Egress>, ApiError> {
        let request =
            ListEgressRequest { room_name: room.to_owned(), active: true, ..ListEgressRequest::default() };
        let response = self.client.call(request, &self.token, self.deadline.timeout(reserve)).await;
        let response = response.map_err(|failure| failure.into_error(Reason::RoomNotFound))?;
        // LiveKit has returned other rooms' egresses when it ignored the filter.
        Ok(response.items.into_iter().map(Egress::from).filter(|egress| egress.room == room).collect())
    }

    /// Returns all egresses: those that run, and those that have ended within a day.
    ///
    /// # Errors
    /// `livekit_busy`, `livekit_unavailable`.
    pub(crate) async fn all(&self) -> Result<Vec<Egress>, ApiError> {
        let timeout = self.deadline.timeout(Duration::ZERO);
        let response = self.client.call(ListEgressRequest::default(), &self.token, timeout).await;
        let response = response.map_err(|failure| failure.into_error(Reason::RoomNotFound))?;
        Ok(response.items.into_iter().map(Egress::from).collect())
    }

    /// Returns an egress; `None` if LiveKit does not know it. LiveKit forgets egresses after a day.
    ///
    /// # Errors
    /// `livekit_busy`, `livekit_unavailable`.
    pub(crate) async fn get(&self, id: &str, reserve: Duration) -> Result<Option<Egress>, ApiError> {
        let request = ListEgressRequest { egress_id: id.to_owned(), ..ListEgressRequest::default() };
        match self.client.call(request, &self.token, self.deadline.timeout(reserve)).await {
            Ok(response) => Ok(response.items.into_iter().map(Egress::from).find(|egress| egress.id == id)),
            Err(failure) if failure.is("not_found") => Ok(None),
            Err(failure) => Err(failure.into_error(Reason::RecordingNotFound)),
        }
    }

    /// Starts recording a room into `file`, at 1080p and 30 frames per second.
    pub(crate) async fn start(
        &self,
        room: &str,
        file: EncodedFileOutput,
        reserve: Duration,
    ) -> Result<Egress, Failure> {
        let request = RoomCompositeEgressRequest {
            room_name: room.to_owned(),
            file_outputs: vec![file],
            options: Some(Options::Preset(EncodingOptionsPreset::H2641080p30.into())),
            ..RoomCompositeEgressRequest::default()
        };
        let started = self.client.call(request, &self.token, self.deadline.timeout(reserve)).await?;
        expect_subject(started, |info| !info.egress_id.is_empty() && info.room_name == room).map(Egress::from)
    }

    /// Stops an egress; `None` if there is nothing left to stop.
    ///
    /// # Errors
    /// `livekit_busy`, `livekit_unavailable`.
    pub(crate) async fn stop(&self, id: &str, reserve: Duration) -> Result<Option<Egress>, ApiError> {
        let request = StopEgressRequest { egress_id: id.to_owned() };
        let stopped = self.client.call(request, &self.token, self.deadline.timeout(reserve)).await;
        match stopped.and_then(|info| expect_subject(info, |info| info.egress_id == id)) {
            Ok(info) => Ok(Some(info.into())),
            Err(failure) if failure.is("failed_precondition") || failure.is("not_found") => Ok(None),
            Err(failure) => Err(failure.into_error(Reason::RecordingNotFound)),
        }
    }

    /// Ends an egress and returns its progress.
    ///
    /// # Errors
    /// `livekit_busy`, `livekit_unavailable`.
    pub(crate) async fn end(&self, id: &str, reserve: Duration) -> Result<Progress, ApiError> {
        let egress = match self.stop(id, reserve).await? {
            Some(egress) => Some(egress),
            // It has ended without a webhook reaching us.
            None => self.get(id, reserve).await?,
        };
        Ok(match egress {
            // LiveKit has accepted the stop, even if the status does not show it yet.
            Some(egress) if egress.is_running() => {
                Progress { status: RecordingStatus::Ending, ..egress.progress }
            }
            Some(egress) => egress.progress,
            None => forgotten(),
        })
    }
}
