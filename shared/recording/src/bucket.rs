//! The bucket for recordings: configuration, object keys and object metadata.

use std::collections::HashMap;
use std::fmt;

use api::{ConfigError, Env, Secret, Variable};
use livekit_protocol::encoded_file_output::Output;
use livekit_protocol::{EncodedFileOutput, EncodedFileType, S3Upload};
use store::recording::Claim;
use time::OffsetDateTime;
use time::macros::format_description;

/// The bucket's name.
pub static RECORDING_BUCKET: Variable =
    Variable::required("RECORDING_BUCKET", "The S3 bucket that LiveKit writes recordings to.");
/// The bucket's region.
pub static RECORDING_REGION: Variable =
    Variable::required("RECORDING_REGION", "The region of `RECORDING_BUCKET`.");
/// The access key id for LiveKit.
pub static RECORDING_ACCESS_KEY: Variable = Variable::optional(
    "RECORDING_ACCESS_KEY",
    "The AWS access key id that LiveKit uses to write to the bucket or to assume `RECORDING_ROLE_ARN`. \
     Unset: the credentials of LiveKit's egress service.",
);
/// The secret access key for LiveKit.
pub static RECORDING_SECRET_KEY: Variable =
    Variable::optional("RECORDING_SECRET_KEY", "The secret access key of `RECORDING_ACCESS_KEY`.");
/// The role that LiveKit assumes.
pub static RECORDING_ROLE_ARN: Variable = Variable::optional(
    "RECORDING_ROLE_ARN",
    "The role that LiveKit assumes to write to the bucket, so that no key of the bucket leaves the account.",
);
/// Another S3 endpoint.
pub static RECORDING_ENDPOINT: Variable = Variable::optional(
    "RECORDING_ENDPOINT",
    "The URL of an S3-compatible store instead of Amazon S3. It is addressed by path.",
);

/// The metadata key that holds [`Claim::token`].
pub(crate) const TOKEN_KEY: &str = "start";

/// S3's limit for the metadata of an object, keys and values, in bytes.
/// Source: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html>.
const MAX_METADATA_BYTES: usize = 2048;

/// The bucket for recordings.
#[derive(Clone)]
pub struct Bucket {
    name: String,
    region: String,
    keys: Option<(String, Secret)>,
    role: Option<String>,
    endpoint: Option<String>,
}

impl Bucket {
    /// Reads the configuration.
    ///
    /// # Errors
    /// If a variable is missing or invalid, or only one of the two keys is set.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        let keys = match (env.optional(&RECORDING_ACCESS_KEY), env.optional(&RECORDING_SECRET_KEY)) {
            (Some(key), Some(secret)) => Some((key, Secret::new(secret))),
            (None, None) => None,
            (Some(_), None) => {
                return Err(ConfigError::new(&RECORDING_SECRET_KEY, "must be set with RECORDING_ACCESS_KEY"));
            }
            (None, Some(_)) => {
                return Err(ConfigError::new(&RECORDING_ACCESS_KEY, "must be set with RECORDING_SECRET_KEY"));
            }
        };
        let role = env.optional(&RECORDING_ROLE_ARN);
        if role.as_ref().is_some_and(|role| !role.starts_with("arn:")) {
            return Err(ConfigError::new(&RECORDING_ROLE_ARN, "must be the ARN of a role"));
        }
        let endpoint = match env.optional(&RECORDING_ENDPOINT) {
            Some(_) => Some(env.url(&RECORDING_ENDPOINT)?),
            None => None,
        };
        Ok(Self {
            name: env.required(&RECORDING_BUCKET)?,
            region: env.required(&RECORDING_REGION)?,
            keys,
            role,
            endpoint,
        })
    }

    /// The bucket's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The file output of the egress for a claim.
    pub(crate) fn file(&self, claim: &Claim) -> EncodedFileOutput {
        let (access_key, secret) = match &self.keys {
            Some((key, secret)) => (key.clone(), secret.expose().to_owned()),
            None => Default::default(),
        };
        let s3 = S3Upload {
            access_key,
            secret,
            assume_role_arn: self.role.clone().unwrap_or_default(),
            region: self.region.clone(),
            endpoint: self.endpoint.clone().unwrap_or_default(),
            bucket: self.name.clone(),
            force_path_style: self.endpoint.is_some(),
            metadata: metadata(claim),
            ..S3Upload::default()
        };
        EncodedFileOutput {
            file_type: EncodedFileType::Mp4.into(),
            filepath: claim.object_key.clone(),
            // The record in the table holds the same information.
            disable_manifest: true,
            output: Some(Output::S3(s3)),
        }
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket")
            .field("name", &self.name)
            .field("region", &self.region)
            .field("role", &self.role)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// `recordings/<organization>/<zone>/<room>/<time>.mp4`, with `no-organization` (which is not a WorkOS id) for users
/// without one. At most 1,024 bytes, S3's limit.
pub(crate) fn object_key(organization: Option<&str>, zone: &str, room: &str, millis: u64) -> String {
    let organization = segment(organization.unwrap_or("no-organization"));
    format!("recordings/{organization}/{}/{}/{}.mp4", segment(zone), segment(room), timestamp(millis))
}

/// UTC with milliseconds, such as `2025-07-14T09-54-56-123Z`: sortable, and no character needs escaping.
fn timestamp(millis: u64) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]-[minute]-[second]-[subsecond digits:3]Z");
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
        .ok()
        .and_then(|time| time.format(format).ok())
        .unwrap_or_else(|| millis.to_string())
}

/// One segment of a key. Bytes other than ASCII letters, digits, `_`, `-` and an inner `.` become `!` (which is safe in
/// S3) and two hex digits. The encoding is injective, and the result cannot contain `/`, be `..`, or contain a
/// placeholder such as LiveKit's `{time}`.
fn segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => segment.push(char::from(byte)),
            b'.' if at > 0 => segment.push('.'),
            _ => segment.push_str(&format!("!{byte:02X}")),
        }
    }
    segment
}

/// The metadata of the object. It travels in headers, so it is ASCII and limited. Participants that do not fit are left
/// out; `participant-count` and the record in the table are complete.
fn metadata(claim: &Claim) -> HashMap<String, String> {
    let mut metadata = HashMap::from([
        (TOKEN_KEY.to_owned(), claim.token.clone()),
        ("topic".to_owned(), header_text(&claim.topic)),
        ("started-by".to_owned(), header_text(&claim.started_by)),
        ("participant-count".to_owned(), claim.participants.len().to_string()),
    ]);
    let used: usize = metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    let mut room = MAX_METADATA_BYTES.saturating_sub(used + "participants".len());
    let mut names = Vec::new();
    for name in &claim.participants {
        let name = header_text(name);
        match room.checked_sub(name.len() + 1) {
            Some(left) => room = left,
            None => break,
        }
        names.push(name);
    }
    metadata.insert("participants".to_owned(), names.join(","));
    metadata
}

/// Percent-encodes `%` and everything but printable ASCII (RFC 3986, section 2.1).
fn header_text(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' => encoded.push_str("%25"),
            b' '..=b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn env(more: &[(&str, &str)]) -> Env {
        let required = [("RECORDING_BUCKET", "recordings"), ("RECORDING_REGION", "eu-central-1")];
        Env::fixed(required.into_iter().chain(more.iter().copied()))
    }

    fn claim(topic: &str, participants: Vec<String>) -> Claim {
        Claim { topic: topic.into(), participants, ..fixtures::claim() }
    }

    fn upload(bucket: &Bucket, claim: &Claim) -> S3Upload {
        match bucket.file(claim).output {
            Some(Output::S3(s3)) => s3,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_key_contains_organization_zone_room_and_time() {
        assert_eq!(
            object_key(Some("org_1"), "1", "test-room", 1_752_486_896_123),
            "recordings/org_1/1/test-room/2025-07-14T09-54-56-123Z.mp4"
        );
        assert_eq!(
            object_key(None, "会", "v1.2", 0),
            "recordings/no-organization/!E4!BC!9A/v1.2/1970-01-01T00-00-00-000Z.mp4"
        );
    }

    #[test]
    fn no_text_escapes_its_segment() {
        for (text, expected) in [
            ("..", "!2E."),
            ("../org_2", "!2E.!2Forg_2"),
            ("a/b", "a!2Fb"),
            ("{room_id}", "!7Broom_id!7D"),
            ("a!2Fb", "a!212Fb"),
            ("%2e%2e", "!252e!252e"),
            ("a b\\c", "a!20b!5Cc"),
        ] {
            assert_eq!(segment(text), expected);
        }
        assert!(object_key(Some(&"o".repeat(64)), &"会".repeat(21), &"会".repeat(42), 0).len() <= 1024);
    }

    #[test]
    fn metadata_is_ascii_and_fits() {
        let names: Vec<_> = (0..500).map(|n| format!("参加者 {n}")).collect();
        let metadata = metadata(&claim(&"題".repeat(66), names));
        assert!(
            metadata.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() <= MAX_METADATA_BYTES
        );
        assert!(metadata.values().all(|value| value.bytes().all(|byte| (b' '..=b'~').contains(&byte))));
        assert_eq!(metadata["participant-count"], "500");
        assert!(metadata["participants"].starts_with("%E5%8F%82%E5%8A%A0%E8%80%85 0,"));
    }

    #[test]
    fn ascii_metadata_stays_readable() {
        let metadata = metadata(&claim("Weekly Sync: 100%", vec!["alice".into(), "bob".into()]));
        assert_eq!(metadata["topic"], "Weekly Sync: 100%25");
        assert_eq!(metadata["participants"], "alice,bob");
        assert_eq!(metadata["started-by"], "user_1");
    }

    #[test]
    fn access_is_by_role_by_keys_or_by_neither() {
        let claim = fixtures::claim();
        let role = "arn:aws:iam::123456789012:role/egress";
        let s3 = upload(&Bucket::load(&env(&[("RECORDING_ROLE_ARN", role)])).unwrap(), &claim);
        assert_eq!((s3.assume_role_arn.as_str(), s3.access_key.as_str()), (role, ""));
        assert_eq!((s3.region.as_str(), s3.force_path_style), ("eu-central-1", false));
        let keys = [("RECORDING_ACCESS_KEY", "AKIA"), ("RECORDING_SECRET_KEY", "s3-secret")];
        let bucket = Bucket::load(&env(&keys)).unwrap();
        assert_eq!(upload(&bucket, &claim).secret, "s3-secret");
        assert!(!format!("{bucket:?}").contains("s3-secret"));
        for half in &keys {
            assert!(Bucket::load(&env(&[*half])).is_err());
        }
        assert!(Bucket::load(&env(&[("RECORDING_ROLE_ARN", "egress")])).is_err());
    }

    #[test]
    fn another_endpoint_is_addressed_by_path() {
        let bucket = Bucket::load(&env(&[("RECORDING_ENDPOINT", "https://minio.example.com/")])).unwrap();
        let s3 = upload(&bucket, &fixtures::claim());
        assert_eq!((s3.endpoint.as_str(), s3.force_path_style), ("https://minio.example.com", true));
    }
}
