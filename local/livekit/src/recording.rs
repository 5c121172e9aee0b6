//! The file of a room recording: which outputs are accepted, where the file goes, and what the object store refuses.
//!
//! Nothing is written. Source: `pkg/config/output_file.go` and `pkg/config/storage.go` of livekit/egress; the limits of
//! object metadata are Amazon S3's.

use livekit_protocol::encoded_file_output::Output;
use livekit_protocol::{EncodedFileOutput, EncodedFileType, RoomCompositeEgressRequest, S3Upload};
use time::OffsetDateTime;
use time::macros::format_description;

use super::twirp::{Code, TwirpError};

/// All keys and values of an object's metadata together, in bytes.
/// Source: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html>
const MAX_METADATA_BYTES: usize = 2048;

fn invalid(field: &str) -> TwirpError {
    TwirpError::new(Code::InvalidArgument, format!("request has missing or invalid field: {field}"))
}

/// The one file that a request asks for, and the bucket that it goes to.
pub(super) fn destination(
    request: &RoomCompositeEgressRequest,
) -> Result<(&EncodedFileOutput, &S3Upload), TwirpError> {
    if request.audio_only && request.video_only {
        return Err(invalid("audio_only and video_only"));
    }
    let file = match request.file_outputs.as_slice() {
        [] => return Err(invalid("output")),
        [file] => file,
        _ => return Err(invalid("multiple file outputs")),
    };
    // Without a bucket, a server keeps the file on its own disk, which hosted LiveKit refuses.
    let Some(Output::S3(s3)) = &file.output else {
        return Err(invalid("output"));
    };
    if s3.bucket.is_empty() {
        return Err(invalid("bucket"));
    }
    if s3.access_key.is_empty() != s3.secret.is_empty() {
        return Err(invalid("secret"));
    }
    if !s3.assume_role_arn.is_empty() && !s3.assume_role_arn.starts_with("arn:") {
        return Err(invalid("assume_role_arn"));
    }
    Ok((file, s3))
}

/// The name of the object: placeholders filled, an extension that fits the content, no way out of the bucket.
pub(super) fn file_name(
    request: &RoomCompositeEgressRequest,
    file: &EncodedFileOutput,
    room_id: &str,
) -> String {
    let now = OffsetDateTime::now_utc();
    let time =
        now.format(format_description!("[year]-[month]-[day]T[hour][minute][second]")).unwrap_or_default();
    let utc = now
        .format(format_description!("[year][month][day][hour][minute][second][subsecond digits:3]"))
        .unwrap_or_default();
    let path = clean(&file.filepath)
        .replace("{room_name}", &request.room_name)
        .replace("{room_id}", room_id)
        .replace("{time}", &time)
        .replace("{utc}", &utc);
    let extension = match EncodedFileType::try_from(file.file_type) {
        Ok(EncodedFileType::Ogg) => ".ogg",
        Ok(EncodedFileType::Mp3) => ".mp3",
        Ok(EncodedFileType::DefaultFiletype) if request.audio_only => ".ogg",
        _ => ".mp4",
    };
    if path.is_empty() || path.ends_with('/') {
        return format!("{path}{}-{time}{extension}", request.room_name);
    }
    if path.ends_with(extension) {
        return path;
    }
    let stem = [".mp4", ".ogg", ".mp3", ".webm", ".ts"].iter().find_map(|other| path.strip_suffix(other));
    format!("{}{extension}", stem.unwrap_or(&path))
}

/// Where the object is found.
pub(super) fn location(s3: &S3Upload, file_name: &str) -> String {
    let endpoint = match s3.endpoint.as_str() {
        "" => "s3.amazonaws.com",
        endpoint => {
            endpoint.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/')
        }
    };
    let bucket = &s3.bucket;
    if s3.force_path_style {
        format!("https://{endpoint}/{bucket}/{file_name}")
    } else {
        format!("https://{bucket}.{endpoint}/{file_name}")
    }
}

/// Why the upload would fail at the end of the recording, if it would: metadata travels in headers, and S3 counts it.
pub(super) fn upload_error(s3: &S3Upload) -> Option<String> {
    if s3.metadata.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > MAX_METADATA_BYTES {
        return Some(
            "S3 upload failed: MetadataTooLarge: Your metadata headers exceed the maximum allowed metadata size"
                .to_owned(),
        );
    }
    let is_name = |key: &String| {
        !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let is_value = |value: &String| value.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    (!s3.metadata.iter().all(|(key, value)| is_name(key) && is_value(value))).then(|| {
        "S3 upload failed: SignatureDoesNotMatch: a metadata header is not printable US-ASCII".to_owned()
    })
}

/// The request as LiveKit gives it back: without the credentials.
pub(super) fn redacted(mut request: RoomCompositeEgressRequest) -> RoomCompositeEgressRequest {
    for file in &mut request.file_outputs {
        if let Some(Output::S3(s3)) = &mut file.output {
            for (secret, placeholder) in [
                (&mut s3.access_key, "{access_key}"),
                (&mut s3.secret, "{secret}"),
                (&mut s3.session_token, "{session_token}"),
            ] {
                if !secret.is_empty() {
                    *secret = placeholder.to_owned();
                }
            }
        }
    }
    request
}

/// Go's `path.Clean`, and no leading `../`.
fn clean(path: &str) -> String {
    let absolute = path.starts_with('/');
    let mut kept: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            part => kept.push(part),
        }
    }
    let mut cleaned = if absolute { "/".to_owned() } else { String::new() };
    cleaned.push_str(&kept.join("/"));
    if path.ends_with('/') && !cleaned.is_empty() && !cleaned.ends_with('/') {
        cleaned.push('/');
    }
    cleaned
}
