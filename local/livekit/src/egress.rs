//! The life of an egress: starting, active, ending, and one of four ends.
//!
//! `egress_started` reports `EGRESS_STARTING`, `egress_updated` `EGRESS_ACTIVE` and `EGRESS_ENDING`, and `egress_ended`
//! `EGRESS_COMPLETE`, `EGRESS_FAILED`, `EGRESS_ABORTED` or `EGRESS_LIMIT_REACHED`.
//!
//! A room can have several egresses: LiveKit does not stop a caller from recording twice. Source:
//! `pkg/service/egress.go`, `pkg/service/ioservice.go` of livekit/livekit and `pkg/handler` of livekit/egress.

use livekit_protocol::egress_info::Request;
use livekit_protocol::{
    EgressInfo, EgressStatus, FileInfo, ListEgressRequest, RoomCompositeEgressRequest, S3Upload, WebhookEvent,
};

use crate::clock::{epoch_nanos, identifier};
use crate::recording;
use crate::state::{State, redacted};
use crate::twirp::{Code, Result};

/// How an egress ends. The strings are errors.
pub(crate) enum End {
    /// The file is in the bucket, unless the upload fails.
    Complete,
    Failed(String),
    /// Before it was active.
    Aborted(String),
    /// At the maximum duration; the file is in the bucket.
    LimitReached,
}

fn has_ended(info: &EgressInfo) -> bool {
    info.ended_at > 0
}

impl State {
    /// Starts recording a room. The response is always `EGRESS_STARTING`; events report the rest.
    pub(crate) fn start_egress(&mut self, request: RoomCompositeEgressRequest) -> Result<EgressInfo> {
        let room = self.room(&request.room_name)?;
        let (file, _) = recording::destination(&request)?;
        let filename = recording::file_name(&request, file, &room.sid);
        let info = EgressInfo {
            egress_id: identifier("EG_"),
            room_id: room.sid,
            room_name: room.name,
            status: EgressStatus::EgressStarting.into(),
            updated_at: epoch_nanos(),
            file_results: vec![FileInfo { filename, ..FileInfo::default() }],
            request: Some(Request::RoomComposite(request)),
            ..EgressInfo::default()
        };
        self.egresses.push(info.clone());
        let info = self.emit_egress("egress_started", &info);
        if self.automatic {
            self.activate(&info.egress_id);
        }
        Ok(info)
    }

    /// Stops an egress. The response is `EGRESS_ENDING`; events report the end.
    pub(crate) fn stop_egress(&mut self, egress_id: &str) -> Result<EgressInfo> {
        let info = self.egress(egress_id)?;
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
            EgressStatus::EgressEnding => Ok(redacted(info)),
            ended => Err(Code::FailedPrecondition
                .error(format!("egress with status {} cannot be stopped", ended.as_str_name()))),
        }
    }

    /// The matching egresses, oldest first. An unknown id is an error, an unknown room is not.
    pub(crate) fn list_egress(&self, request: &ListEgressRequest) -> Result<Vec<EgressInfo>> {
        if !request.egress_id.is_empty() {
            return Ok(vec![redacted(self.egress(&request.egress_id)?)]);
        }
        let matches = |info: &&EgressInfo| {
            (request.room_name.is_empty() || info.room_name == request.room_name)
                && !(request.active && has_ended(info))
        };
        Ok(self.egresses.iter().filter(matches).map(redacted).collect())
    }

    /// Makes a starting egress active; does nothing to any other.
    pub(crate) fn activate(&mut self, egress_id: &str) {
        if self.egress(egress_id).is_ok_and(|info| info.status() == EgressStatus::EgressStarting) {
            // Cannot fail: the state is locked.
            let _ = self.advance(egress_id, EgressStatus::EgressActive);
        }
    }

    /// Ends an egress that has not ended.
    pub(crate) fn end(&mut self, egress_id: &str, end: End) -> Result<EgressInfo> {
        let info = self.egress_mut(egress_id)?;
        if has_ended(info) {
            let status = info.status().as_str_name();
            return Err(
                Code::FailedPrecondition.error(format!("egress with status {status} cannot be ended"))
            );
        }
        let s3 = bucket(info);
        let end = match (end, s3.as_ref().and_then(recording::upload_error)) {
            (End::Complete | End::LimitReached, Some(error)) => End::Failed(error),
            (end, _) => end,
        };
        let uploaded_to = s3.filter(|_| matches!(end, End::Complete | End::LimitReached));
        let (status, error, error_code) = match end {
            End::Complete => (EgressStatus::EgressComplete, String::new(), 0),
            End::LimitReached => (EgressStatus::EgressLimitReached, "Session limit reached".to_owned(), 413),
            End::Failed(error) => (EgressStatus::EgressFailed, error, 500),
            End::Aborted(error) => (EgressStatus::EgressAborted, error, 412),
        };
        info.set_status(status);
        (info.error, info.error_code) = (error, error_code);
        let now = epoch_nanos();
        (info.ended_at, info.updated_at) = (now, now);
        for file in &mut info.file_results {
            file.ended_at = now;
            if file.started_at > 0 {
                file.duration = now - file.started_at;
            }
            if let Some(s3) = &uploaded_to {
                file.location = recording::location(s3, &file.filename);
            }
        }
        let ended = info.clone();
        Ok(self.emit_egress("egress_ended", &ended))
    }

    /// Ends the recordings of a room that closes.
    pub(crate) fn end_egresses_of(&mut self, room: &str) {
        let is_running = |info: &&EgressInfo| info.room_name == room && !has_ended(info);
        let running: Vec<EgressInfo> = self.egresses.iter().filter(is_running).cloned().collect();
        for info in running {
            // None of these calls fails: the state is locked, so each egress is still running.
            if info.status() == EgressStatus::EgressActive {
                let _ = self.advance(&info.egress_id, EgressStatus::EgressEnding);
            }
            let end = match info.status() {
                EgressStatus::EgressStarting => End::Aborted("Start signal not received".to_owned()),
                _ => End::Complete,
            };
            let _ = self.end(&info.egress_id, end);
        }
    }

    fn advance(&mut self, egress_id: &str, status: EgressStatus) -> Result<EgressInfo> {
        let now = epoch_nanos();
        let info = self.egress_mut(egress_id)?;
        info.set_status(status);
        info.updated_at = now;
        if status == EgressStatus::EgressActive {
            info.started_at = now;
            info.file_results.iter_mut().for_each(|file| file.started_at = now);
        }
        let info = info.clone();
        Ok(self.emit_egress("egress_updated", &info))
    }

    /// Emits the event and returns the egress as callers see it.
    fn emit_egress(&mut self, event: &str, info: &EgressInfo) -> EgressInfo {
        let info = redacted(info);
        self.emit(event, WebhookEvent { egress_info: Some(info.clone()), ..WebhookEvent::default() });
        info
    }
}

fn bucket(info: &EgressInfo) -> Option<S3Upload> {
    let Some(Request::RoomComposite(request)) = &info.request else { return None };
    recording::destination(request).ok().map(|(_, s3)| s3.clone())
}
