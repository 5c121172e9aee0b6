//! An egress, reduced to what this crate uses: its claim, its destination and its progress.

use livekit_protocol::egress_info::Request;
use livekit_protocol::encoded_file_output::Output;
use livekit_protocol::{EgressInfo, EgressStatus, S3Upload};
use store::recording::{Progress, RecordingStatus};

use crate::bucket::TOKEN_KEY;

/// LiveKit's error messages can be long; only the beginning is stored.
const MAX_ERROR_CHARS: usize = 500;

const NANOS: i64 = 1_000_000_000;

/// An egress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Egress {
    /// LiveKit's id.
    pub id: String,
    /// LiveKit's name of the room.
    pub room: String,
    /// LiveKit's id of the room.
    pub room_sid: String,
    /// Token of the claim that it was started for.
    pub token: Option<String>,
    /// The bucket that the room composite is written to.
    pub bucket: Option<String>,
    /// Key of the file in the bucket.
    pub object_key: Option<String>,
    /// What LiveKit says about it.
    pub progress: Progress,
}

impl Egress {
    /// Whether it is recording or about to. An egress that is ending only completes its file.
    pub fn is_running(&self) -> bool {
        self.progress.status < RecordingStatus::Ending
    }
}

impl From<EgressInfo> for Egress {
    fn from(info: EgressInfo) -> Self {
        let progress = progress(&info);
        let (s3, path) = destination(&info).unzip();
        Self {
            token: s3.and_then(|s3| s3.metadata.get(TOKEN_KEY)).cloned(),
            bucket: s3.map(|s3| s3.bucket.clone()),
            object_key: path.map(str::to_owned),
            id: info.egress_id,
            room: info.room_name,
            room_sid: info.room_id,
            progress,
        }
    }
}

/// Where the room composite is written. LiveKit returns requests without the bucket's credentials.
fn destination(info: &EgressInfo) -> Option<(&S3Upload, &str)> {
    let Some(Request::RoomComposite(request)) = &info.request else { return None };
    request.file_outputs.iter().find_map(|file| match &file.output {
        Some(Output::S3(s3)) => Some((s3, file.filepath.as_str())),
        _ => None,
    })
}

/// The end of an egress that LiveKit no longer knows.
pub(crate) fn forgotten() -> Progress {
    Progress {
        status: RecordingStatus::Ended,
        ended_at: None,
        location: None,
        error: Some("LiveKit no longer knows how it ended".to_owned()),
    }
}

fn progress(info: &EgressInfo) -> Progress {
    let status = match EgressStatus::try_from(info.status) {
        Ok(EgressStatus::EgressStarting) => RecordingStatus::Starting,
        Ok(EgressStatus::EgressActive) => RecordingStatus::Active,
        Ok(EgressStatus::EgressEnding) => RecordingStatus::Ending,
        Ok(EgressStatus::EgressComplete | EgressStatus::EgressLimitReached) => RecordingStatus::Ended,
        Ok(EgressStatus::EgressFailed | EgressStatus::EgressAborted) => RecordingStatus::Failed,
        // A status that LiveKit added later: the egress is running unless it has an end.
        Err(_) if info.ended_at == 0 => RecordingStatus::Active,
        Err(_) => RecordingStatus::Ended,
    };
    let ended_at = status.is_final().then(|| u64::try_from(info.ended_at / NANOS).ok()).flatten();
    let location = info.file_results.iter().map(|file| file.location.clone());
    let error = (!info.error.is_empty()).then(|| info.error.chars().take(MAX_ERROR_CHARS).collect());
    Progress {
        status,
        ended_at: ended_at.filter(|seconds| *seconds > 0),
        location: location.into_iter().find(|location| !location.is_empty()),
        error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(status: i32) -> EgressInfo {
        EgressInfo { egress_id: "EG_1".into(), room_name: "daily".into(), status, ..EgressInfo::default() }
    }

    #[test]
    fn every_status_is_mapped() {
        let status = |status| progress(&info(status)).status;
        let expected = [
            RecordingStatus::Starting,
            RecordingStatus::Active,
            RecordingStatus::Ending,
            RecordingStatus::Ended,
            RecordingStatus::Failed,
            RecordingStatus::Failed,
            RecordingStatus::Ended,
            RecordingStatus::Active,
        ];
        for (number, expected) in (0..).zip(expected) {
            assert_eq!(status(number), expected, "{number}");
        }
        let unknown = EgressInfo { ended_at: 5 * NANOS, ..info(99) };
        assert_eq!(progress(&unknown).status, RecordingStatus::Ended);
        assert_eq!(progress(&unknown).ended_at, Some(5));
    }

    #[test]
    fn an_egress_of_another_kind_has_no_bucket() {
        let egress = Egress::from(info(1));
        assert!(egress.is_running() && egress.bucket.is_none() && egress.token.is_none());
    }
}
