//! The life of an egress: starting, active, ending, and one of four ends.
//!
//! | event | when |
//! |---|---|
//! | `egress_started` | it is accepted, `EGRESS_STARTING` |
//! | `egress_updated` | it becomes `EGRESS_ACTIVE` or `EGRESS_ENDING` |
//! | `egress_ended` | `EGRESS_COMPLETE`, `EGRESS_FAILED`, `EGRESS_ABORTED`, `EGRESS_LIMIT_REACHED` |
//!
//! Several egresses of one room run side by side: LiveKit does not stop a caller from recording twice.
//! Source: `pkg/service/egress.go`, `pkg/service/ioservice.go` of livekit/livekit and `pkg/handler` of livekit/egress.

use livekit_protocol::egress_info::Request;
use livekit_protocol::{
    EgressInfo, EgressStatus, FileInfo, ListEgressRequest, RoomCompositeEgressRequest, WebhookEvent,
};

use super::clock::{epoch_nanos, identifier};
use super::recording;
use super::rooms::room_not_found;
use super::state::State;
use super::twirp::{Code, TwirpError};

/// How an egress ends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// The file is in the bucket, unless the bucket refuses it.
    Complete,
    /// Something broke.
    Failed(String),
    /// It never ran.
    Aborted(String),
    /// It ran as long as it may, and its file is in the bucket.
    LimitReached,
}

fn egress_not_found() -> TwirpError {
    TwirpError::new(Code::NotFound, "egress does not exist")
}

fn has_ended(info: &EgressInfo) -> bool {
    !matches!(
        info.status(),
        EgressStatus::EgressStarting | EgressStatus::EgressActive | EgressStatus::EgressEnding
    )
}

impl State {
    /// Accepts a recording of a room. The answer is always `EGRESS_STARTING`; what follows is told by events.
    pub(super) fn start_room_composite(
        &mut self,
        request: RoomCompositeEgressRequest,
    ) -> Result<EgressInfo, TwirpError> {
        let room = self.room(&request.room_name).ok_or_else(room_not_found)?;
        let (file, _) = recording::destination(&request)?;
        let file =
            FileInfo { filename: recording::file_name(&request, file, &room.sid), ..FileInfo::default() };
        let info = EgressInfo {
            egress_id: identifier("EG_"),
            room_id: room.sid,
            room_name: room.name,
            status: EgressStatus::EgressStarting.into(),
            updated_at: epoch_nanos(),
            file_results: vec![file],
            request: Some(Request::RoomComposite(request)),
            ..EgressInfo::default()
        };
        self.egresses.push(info.clone());
        self.tell_of_egress("egress_started", &info);
        if self.automatic {
            self.activate(&info.egress_id);
        }
        Ok(shown(&info))
    }

    /// Stops an egress: the answer is `EGRESS_ENDING`, and the end is told by events.
    pub(super) fn stop_egress(&mut self, egress_id: &str) -> Result<EgressInfo, TwirpError> {
        let info = self.find(egress_id)?.clone();
        match info.status() {
            EgressStatus::EgressStarting => {
                self.end(egress_id, End::Aborted("Stop called before pipeline could start".to_owned()))
            }
            EgressStatus::EgressActive => {
                let ending = self.advance(egress_id, EgressStatus::EgressEnding)?;
                if self.automatic {
                    self.end(egress_id, End::Complete)?;
                }
                Ok(ending)
            }
            EgressStatus::EgressEnding => Ok(shown(&info)),
            ended => Err(TwirpError::new(
                Code::FailedPrecondition,
                format!("egress with status {} cannot be stopped", ended.as_str_name()),
            )),
        }
    }

    /// The egresses that match, oldest first. An unknown id is an error and an unknown room is not.
    pub(super) fn list_egress(&self, request: &ListEgressRequest) -> Result<Vec<EgressInfo>, TwirpError> {
        if !request.egress_id.is_empty() {
            return Ok(vec![shown(self.find(&request.egress_id)?)]);
        }
        let wanted = |info: &&EgressInfo| {
            (request.room_name.is_empty() || info.room_name == request.room_name)
                && !(request.active && has_ended(info))
        };
        Ok(self.egresses.iter().filter(wanted).map(shown).collect())
    }

    /// Turns a starting egress into an active one; any other is left as it is.
    pub(super) fn activate(&mut self, egress_id: &str) {
        if self.find(egress_id).is_ok_and(|info| info.status() == EgressStatus::EgressStarting) {
            // It was found under this lock.
            let _ = self.advance(egress_id, EgressStatus::EgressActive);
        }
    }

    /// Ends an egress; one that has ended is refused.
    pub(super) fn end(&mut self, egress_id: &str, end: End) -> Result<EgressInfo, TwirpError> {
        let info = self.find_mut(egress_id)?;
        if has_ended(info) {
            return Err(TwirpError::new(
                Code::FailedPrecondition,
                format!("egress with status {} cannot be ended", info.status().as_str_name()),
            ));
        }
        let end = match (end, upload_error(info)) {
            (End::Complete | End::LimitReached, Some(error)) => End::Failed(error),
            (end, _) => end,
        };
        let now = epoch_nanos();
        info.ended_at = now;
        info.updated_at = now;
        match end {
            End::Complete => info.set_status(EgressStatus::EgressComplete),
            End::LimitReached => {
                info.set_status(EgressStatus::EgressLimitReached);
                "Session limit reached".clone_into(&mut info.error);
                info.error_code = 413;
            }
            End::Failed(error) => {
                info.set_status(EgressStatus::EgressFailed);
                info.error = error;
                info.error_code = 500;
            }
            End::Aborted(error) => {
                info.set_status(EgressStatus::EgressAborted);
                info.error = error;
                info.error_code = 412;
            }
        }
        finish_file(info);
        let ended = info.clone();
        self.tell_of_egress("egress_ended", &ended);
        Ok(shown(&ended))
    }

    /// What happens to the recordings of a room that closes: they end by themselves.
    pub(super) fn end_recordings_of(&mut self, room: &str) {
        let running: Vec<(String, EgressStatus)> = self
            .egresses
            .iter()
            .filter(|info| info.room_name == room && !has_ended(info))
            .map(|info| (info.egress_id.clone(), info.status()))
            .collect();
        for (egress_id, status) in running {
            let end = match status {
                EgressStatus::EgressStarting => End::Aborted("Start signal not received".to_owned()),
                _ => End::Complete,
            };
            // Each was found running under this lock.
            if status == EgressStatus::EgressActive {
                let _ = self.advance(&egress_id, EgressStatus::EgressEnding);
            }
            let _ = self.end(&egress_id, end);
        }
    }

    pub(super) fn is_recorded(&self, room: &str) -> bool {
        self.egresses.iter().any(|info| info.room_name == room && info.status() == EgressStatus::EgressActive)
    }

    fn advance(&mut self, egress_id: &str, status: EgressStatus) -> Result<EgressInfo, TwirpError> {
        let now = epoch_nanos();
        let info = self.find_mut(egress_id)?;
        info.set_status(status);
        info.updated_at = now;
        if status == EgressStatus::EgressActive {
            info.started_at = now;
            for file in &mut info.file_results {
                file.started_at = now;
            }
        }
        let info = info.clone();
        self.tell_of_egress("egress_updated", &info);
        Ok(shown(&info))
    }

    fn find(&self, egress_id: &str) -> Result<&EgressInfo, TwirpError> {
        self.egresses.iter().find(|info| info.egress_id == egress_id).ok_or_else(egress_not_found)
    }

    fn find_mut(&mut self, egress_id: &str) -> Result<&mut EgressInfo, TwirpError> {
        self.egresses.iter_mut().find(|info| info.egress_id == egress_id).ok_or_else(egress_not_found)
    }

    fn tell_of_egress(&mut self, event: &str, info: &EgressInfo) {
        let event_info = Some(shown(info));
        self.tell(event, WebhookEvent { egress_info: event_info, ..WebhookEvent::default() });
    }
}

/// The egress as callers and webhooks see it: without the credentials of its bucket.
pub(super) fn shown(info: &EgressInfo) -> EgressInfo {
    let mut info = info.clone();
    if let Some(Request::RoomComposite(request)) = info.request.take() {
        info.request = Some(Request::RoomComposite(recording::redacted(request)));
    }
    info
}

fn composite(info: &EgressInfo) -> Option<&RoomCompositeEgressRequest> {
    match &info.request {
        Some(Request::RoomComposite(request)) => Some(request),
        _ => None,
    }
}

fn upload_error(info: &EgressInfo) -> Option<String> {
    let (_, s3) = recording::destination(composite(info)?).ok()?;
    recording::upload_error(s3)
}

/// Fills in what is known of the file at the end; only an uploaded one has a place.
fn finish_file(info: &mut EgressInfo) {
    let uploaded = matches!(info.status(), EgressStatus::EgressComplete | EgressStatus::EgressLimitReached);
    let s3 = composite(info)
        .and_then(|request| recording::destination(request).ok())
        .filter(|_| uploaded)
        .map(|(_, s3)| s3.clone());
    let ended_at = info.ended_at;
    for file in &mut info.file_results {
        file.ended_at = ended_at;
        if file.started_at > 0 {
            file.duration = ended_at - file.started_at;
        }
        if let Some(s3) = &s3 {
            file.location = recording::location(s3, &file.filename);
        }
    }
}
