//! The file of a room recording: accepted outputs, its name and location, and the object store's limits.
//!
//! Nothing is written. Source: `pkg/config/output_file.go` and `pkg/config/storage.go` of livekit/egress.

use livekit_protocol::encoded_file_output::Output;
use livekit_protocol::{EncodedFileOutput, EncodedFileType, RoomCompositeEgressRequest as Request, S3Upload};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::twirp::{Code, Result};

/// All keys and values together: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html>
const MAX_METADATA_BYTES: usize = 2048;

/// The one file that a request asks for, and its bucket.
pub(crate) fn destination(request: &Request) -> Result<(&EncodedFileOutput, &S3Upload)> {
    let invalid = |field: &str| {
        Err(Code::InvalidArgument.error(format!("request has missing or invalid field: {field}")))
    };
    if request.audio_only && request.video_only {
        return invalid("audio_only and video_only");
    }
    let file = match request.file_outputs.as_slice() {
        [] => return invalid("output"),
        [file] => file,
        _ => return invalid("multiple file outputs"),
    };
    match &file.output {
        Some(Output::S3(s3)) if s3.bucket.is_empty() => invalid("bucket"),
        Some(Output::S3(s3)) if s3.access_key.is_empty() != s3.secret.is_empty() => invalid("secret"),
        Some(Output::S3(s3)) if !s3.assume_role_arn.is_empty() && !s3.assume_role_arn.starts_with("arn:") => {
            invalid("assume_role_arn")
        }
        Some(Output::S3(s3)) => Ok((file, s3)),
        // Without a bucket, a server writes to its own disk, which LiveKit Cloud rejects.
        _ => invalid("output"),
    }
}

/// The name of the object: placeholders replaced, an extension that fits the content, no path out of the bucket.
pub(crate) fn file_name(request: &Request, file: &EncodedFileOutput, room_id: &str) -> String {
    let now = OffsetDateTime::now_utc();
    let format = |format: &[_]| now.format(format).unwrap_or_default();
    let time = format(format_description!("[year]-[month]-[day]T[hour][minute][second]"));
    let utc = format_description!("[year][month][day][hour][minute][second][subsecond digits:3]");
    let path = clean(&file.filepath)
        .replace("{room_name}", &request.room_name)
        .replace("{room_id}", room_id)
        .replace("{time}", &time)
        .replace("{utc}", &format(utc));
    let extension = match file.file_type() {
        EncodedFileType::Ogg => ".ogg",
        EncodedFileType::Mp3 => ".mp3",
        EncodedFileType::DefaultFiletype if request.audio_only => ".ogg",
        _ => ".mp4",
    };
    if path.is_empty() || path.ends_with('/') {
        return format!("{path}{}-{time}{extension}", request.room_name);
    }
    let stem = [".mp4", ".ogg", ".mp3", ".webm", ".ts"].iter().find_map(|known| path.strip_suffix(known));
    format!("{}{extension}", stem.unwrap_or(&path))
}

/// The URL of the object.
pub(crate) fn location(s3: &S3Upload, file_name: &str) -> String {
    let host = s3.endpoint.split_once("://").map_or(s3.endpoint.as_str(), |(_, host)| host);
    let host = if host.is_empty() { "s3.amazonaws.com" } else { host.trim_end_matches('/') };
    let bucket = &s3.bucket;
    if s3.force_path_style {
        format!("https://{host}/{bucket}/{file_name}")
    } else {
        format!("https://{bucket}.{host}/{file_name}")
    }
}

/// The error of the upload at the end of the recording, if it would fail: S3 limits metadata, which travels in headers.
pub(crate) fn upload_error(s3: &S3Upload) -> Option<String> {
    let size: usize = s3.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    let is_header = |(key, value): (&String, &String)| {
        !key.is_empty()
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            && value.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
    };
    let error = if size > MAX_METADATA_BYTES {
        "MetadataTooLarge: Your metadata headers exceed the maximum allowed metadata size"
    } else if s3.metadata.iter().all(is_header) {
        return None;
    } else {
        "SignatureDoesNotMatch: a metadata header is not printable US-ASCII"
    };
    Some(format!("S3 upload failed: {error}"))
}

/// Replaces the bucket credentials by placeholders, as LiveKit does.
pub(crate) fn redact(request: &mut Request) {
    for file in &mut request.file_outputs {
        if let Some(Output::S3(s3)) = &mut file.output {
            for (secret, placeholder) in [
                (&mut s3.access_key, "{access_key}"),
                (&mut s3.secret, "{secret}"),
                (&mut s3.session_token, "{session_token}"),
            ] {
                if !secret.is_empty() {
                    placeholder.clone_into(secret);
                }
            }
        }
    }
}

/// Go's `path.Clean` without leading `../`, except that a trailing slash is kept.
fn clean(path: &str) -> String {
    let mut kept = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(kept.pop()),
            part => kept.push(part),
        }
    }
    let slash = |present| if present { "/" } else { "" };
    let trailing = path.ends_with('/') && !kept.is_empty();
    format!("{}{}{}", slash(path.starts_with('/')), kept.join("/"), slash(trailing))
}
