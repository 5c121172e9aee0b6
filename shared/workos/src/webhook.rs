//! The signature of WorkOS' webhooks.
//!
//! `WorkOS-Signature` is `t=<milliseconds>, v1=<hex>`: the HMAC-SHA256 of `<t>.<body>` under the secret of the endpoint.
//! Source: <https://workos.com/docs/events/data-syncing/webhooks>.

use std::fmt;

use api::{ConfigError, Env};
use ring::hmac;

use crate::config::WEBHOOK_SECRET;

/// How far the time of a signature may be from now, in milliseconds. It is as long as WorkOS recommends, and covers
/// clocks that are 150 s apart ([`api::clock::LEEWAY`]) with 30 s for the delivery. A replay within this time is
/// harmless: events can be applied any number of times.
const TOLERANCE: u64 = 180_000;

/// A time below this, in 1973 as milliseconds, is in seconds: WorkOS' own emulator (npm `workos`) signs with those.
const LEAST_MILLISECONDS: u64 = 100_000_000_000;

/// The most secrets: the old one and the new one, while it is rotated.
const MAX_SECRETS: usize = 2;

/// The most signatures of a webhook that are tried.
const MAX_SIGNATURES: usize = 4;

/// The secrets that sign WorkOS' webhooks. Without one, every webhook is refused.
pub struct WebhookSecrets(Vec<hmac::Key>);

impl fmt::Debug for WebhookSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookSecrets([redacted]; {})", self.0.len())
    }
}

impl WebhookSecrets {
    /// Reads the configuration.
    ///
    /// # Errors
    /// If there are more than two secrets.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        let listed = env.optional(&WEBHOOK_SECRET).unwrap_or_default();
        let secrets = listed.split(',').map(str::trim).filter(|secret| !secret.is_empty());
        let keys: Vec<_> =
            secrets.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())).collect();
        if keys.len() > MAX_SECRETS {
            return Err(ConfigError::new(&WEBHOOK_SECRET, "must list at most two secrets"));
        }
        Ok(Self(keys))
    }

    /// Verifies the signature of a webhook at the time `now`, in milliseconds since the Unix epoch. Signatures are compared
    /// in constant time.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn verify(&self, header: &str, body: &[u8], now: u64) -> Result<(), &'static str> {
        if self.0.is_empty() {
            return Err("WORKOS_WEBHOOK_SECRET is not set");
        }
        let header = Header::parse(header).ok_or("the signature is malformed")?;
        let time: u64 = header.time.parse().map_err(|_| "the time of the signature is malformed")?;
        let time = if time < LEAST_MILLISECONDS { time * 1000 } else { time };
        if now.abs_diff(time) > TOLERANCE {
            return Err("the signature is too old, or of the future");
        }
        let signed = [header.time.as_bytes(), b".", body].concat();
        let is_valid = |key: &hmac::Key| {
            header.signatures.iter().any(|signature| hmac::verify(key, &signed, signature).is_ok())
        };
        if self.0.iter().any(is_valid) { Ok(()) } else { Err("no secret has made the signature") }
    }
}

/// The parts of the header. Those with unknown names are ignored.
struct Header<'a> {
    /// As it was signed.
    time: &'a str,
    signatures: Vec<Vec<u8>>,
}

impl<'a> Header<'a> {
    fn parse(header: &'a str) -> Option<Self> {
        let (mut time, mut signatures) = (None, Vec::new());
        for part in header.split(',') {
            match part.trim().split_once('=')? {
                ("t", _) if time.is_some() => return None,
                ("t", value) => time = Some(value),
                ("v1", value) => signatures.push(hex(value)?),
                _ => {}
            }
        }
        signatures.truncate(MAX_SIGNATURES);
        Some(Self { time: time.filter(|time| time.bytes().all(|byte| byte.is_ascii_digit()))?, signatures })
    }
}

/// The bytes of a hexadecimal text.
fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
    let digits: Vec<u8> = digits.collect::<Option<_>>()?;
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    Some(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_564_800_000;

    fn secrets(listed: &str) -> WebhookSecrets {
        WebhookSecrets::load(&Env::fixed([("WORKOS_WEBHOOK_SECRET", listed)])).unwrap()
    }

    fn signature(secret: &str, time: u64, body: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag = hmac::sign(&key, format!("{time}.{body}").as_bytes());
        tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn header(secret: &str, time: u64, body: &str) -> String {
        format!("t={time}, v1={}", signature(secret, time, body))
    }

    #[test]
    fn a_signature_of_either_secret_is_accepted() {
        for (listed, secret) in [("new", "new"), ("new,old", "new"), ("new, old ", "old")] {
            assert_eq!(secrets(listed).verify(&header(secret, NOW, "{}"), b"{}", NOW), Ok(()), "{listed}");
        }
        for (listed, secret) in [("new", "old"), ("new,old", "new,old"), ("", ""), (" , ", "")] {
            assert!(secrets(listed).verify(&header(secret, NOW, "{}"), b"{}", NOW).is_err(), "{listed}");
        }
        assert!(WebhookSecrets::load(&Env::fixed([("WORKOS_WEBHOOK_SECRET", "a,b,c")])).is_err());
    }

    #[test]
    fn a_signature_is_valid_for_180_seconds_in_both_directions() {
        let verify = |time| secrets("secret").verify(&header("secret", time, "{}"), b"{}", NOW).is_ok();
        assert!(verify(NOW - 180_000) && verify(NOW + 180_000));
        assert!(!verify(NOW - 180_001) && !verify(NOW + 180_001));
    }

    #[test]
    fn the_emulators_times_are_in_seconds() {
        let verify = |time| secrets("secret").verify(&header("secret", time, "{}"), b"{}", NOW).is_ok();
        assert!(verify(NOW / 1000 - 180) && verify(NOW / 1000 + 180));
        assert!(!verify(NOW / 1000 - 181) && !verify(NOW / 1000 + 181) && !verify(0));
    }

    #[test]
    fn one_of_several_signatures_is_enough_and_unknown_parts_are_ignored() {
        let verify = |header: &str| secrets("secret").verify(header, b"{}", NOW);
        let (right, wrong) = (signature("secret", NOW, "{}"), signature("other", NOW, "{}"));
        for accepted in [
            format!("t={NOW},v1={right}"),
            format!("v1={right}, t={NOW}"),
            format!("t={NOW}, v1={wrong}, v1={right}"),
            format!("t={NOW}, v0=abc, v2=def, v1={right}"),
            format!("t={NOW}, v1={}", right.to_uppercase()),
        ] {
            assert_eq!(verify(&accepted), Ok(()), "{accepted}");
        }
        for refused in [
            String::new(),
            right.clone(),
            format!("v1={right}"),
            format!("t={NOW}"),
            format!("t={NOW}, v1="),
            format!("t={NOW}, v1={}", &right[..62]),
            format!("t={NOW}, v1={}", &right[..63]),
            format!("t={NOW}, v1={right}00"),
            format!("t={NOW}, v1={wrong}"),
            format!("t={NOW}, v2={right}"),
            format!("t={NOW}, V1={right}"),
            format!("t={NOW}, t={NOW}, v1={right}"),
            format!("t=+{NOW}, v1={right}"),
            format!("t={}, v1={right}", NOW / 1000),
            format!("t={NOW}{NOW}, v1={right}"),
            format!("t=, v1={right}"),
            format!("t={NOW}, v1={right}, rubbish"),
            format!("t={NOW}, v1={right}é"),
            format!("t={NOW}, v1={wrong}, v1={wrong}, v1={wrong}, v1={wrong}, v1={right}"),
        ] {
            assert!(verify(&refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn the_signature_covers_time_and_body() {
        let header = header("secret", NOW, "{}");
        let later = header.replace(&NOW.to_string(), &(NOW + 1).to_string());
        assert!(secrets("secret").verify(&later, b"{}", NOW).is_err());
        assert!(secrets("secret").verify(&header, b"{} ", NOW).is_err());
        assert!(secrets("secret").verify(&header, b"", NOW).is_err());
    }

    #[test]
    fn debug_prints_no_secret() {
        let printed = format!("{:?}", secrets("whsec_1"));
        assert!(!printed.contains("whsec_1"), "{printed}");
    }
}
