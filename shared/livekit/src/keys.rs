//! LiveKit's API key and the tokens signed with it. Each token carries only the grants of its purpose.
//!
//! Source: <https://docs.livekit.io/home/get-started/authentication/>.

use std::fmt;
use std::time::Duration;

use api::config::STAGE;
use api::{ApiError, Caller, ConfigError, Env, Reason, Secret, Variable, clock};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use livekit_api::access_token::{Claims, VideoGrants};
use ring::hmac;
use serde::Deserialize;

use crate::{Room, Username};

/// The API key.
pub static LIVEKIT_API_KEY: Variable =
    Variable::required("LIVEKIT_API_KEY", "The LiveKit API key that issues room tokens.");

/// The API secret.
pub static LIVEKIT_API_SECRET: Variable = Variable::required(
    "LIVEKIT_API_SECRET",
    "The secret of `LIVEKIT_API_KEY`. It signs tokens and webhooks.",
);

/// Lifetime of a join token. LiveKit checks it on connect, and renews the tokens of connected participants itself.
pub const JOIN_TTL: Duration = Duration::from_secs(10 * 60);

/// Lifetime of a token for our own calls. A request ends after 8 s; the rest is for a LiveKit whose clock is ahead.
pub const SERVER_TTL: Duration = Duration::from_secs(3 * 60);

/// How far apart our clock and LiveKit's may be. Our tokens are valid from this much earlier, and LiveKit's are accepted
/// from this much earlier until this much later.
pub const LEEWAY: Duration = Duration::from_secs(150);

/// The least length of a secret, in bytes: that of the hash (RFC 7518, section 3.2).
const MIN_SECRET_BYTES: usize = 32;

/// The participant attribute that holds the organization. Participants cannot change it: that needs the grant
/// `canUpdateOwnMetadata`, which LiveKit does not give by default.
pub const ORGANIZATION_ATTRIBUTE: &str = "organizationId";

/// The participant attribute that holds the session's id for clients, see [`Caller::session`]. It is never WorkOS' id, with
/// which anybody could end the session.
pub const SESSION_ATTRIBUTE: &str = "sessionId";

/// The participant attribute that holds `STAGE`. Deployments of several stages can share a LiveKit project, which then
/// sends each of them the events of all.
pub const STAGE_ATTRIBUTE: &str = "stage";

/// The participant attribute that holds the address of who acts as the person, if somebody does.
pub const IMPERSONATOR_ATTRIBUTE: &str = "impersonator";

/// The API key with its secret.
#[derive(Clone)]
pub struct Keys {
    key: String,
    secret: Secret,
    stage: String,
}

impl Keys {
    /// Reads `LIVEKIT_API_KEY`, `LIVEKIT_API_SECRET` and `STAGE`.
    ///
    /// # Errors
    /// If one of them is missing, or the secret is shorter than 32 bytes and `STAGE` is not `dev`.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        let secret = env.secret(&LIVEKIT_API_SECRET)?;
        let stage = env.required(&STAGE)?;
        if secret.expose().len() < MIN_SECRET_BYTES && stage != "dev" {
            return Err(ConfigError::new(&LIVEKIT_API_SECRET, "must be at least 32 bytes outside STAGE=dev"));
        }
        Ok(Self { key: env.required(&LIVEKIT_API_KEY)?, secret, stage })
    }

    /// The deployment's `STAGE`.
    pub fn stage(&self) -> &str {
        &self.stage
    }

    /// A token for `caller` to join `room` as `username`, valid for [`JOIN_TTL`].
    ///
    /// The identity is the user id, so a user is in a room once and cannot impersonate another. In the room, the token
    /// grants LiveKit's defaults: publish, subscribe and send data.
    ///
    /// # Errors
    /// `internal` if the claims cannot be serialized.
    pub fn join_token(&self, caller: &Caller, username: &Username, room: &Room) -> Result<Secret, ApiError> {
        let grants =
            VideoGrants { room_join: true, room: room.as_str().to_owned(), ..VideoGrants::default() };
        let organization = caller.organization_id.iter().map(|id| (ORGANIZATION_ATTRIBUTE, id.as_str()));
        let impersonator =
            caller.impersonator.iter().map(|person| (IMPERSONATOR_ATTRIBUTE, person.email.as_str()));
        let session = caller.session.iter().map(|id| (SESSION_ATTRIBUTE, id.as_str()));
        let stage = [(STAGE_ATTRIBUTE, self.stage.as_str())];
        let attributes = organization.chain(impersonator).chain(session).chain(stage);
        self.sign(Claims {
            sub: caller.user_id.clone(),
            name: username.as_str().to_owned(),
            attributes: attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            ..self.claims(grants, JOIN_TTL)
        })
    }

    /// A token for calls about the participants of `room`, valid for [`SERVER_TTL`].
    ///
    /// # Errors
    /// As [`Keys::join_token`].
    pub fn room_admin_token(&self, room: &Room) -> Result<Secret, ApiError> {
        let grants =
            VideoGrants { room_admin: true, room: room.as_str().to_owned(), ..VideoGrants::default() };
        self.sign(self.claims(grants, SERVER_TTL))
    }

    /// A token for calls about egresses, valid for [`SERVER_TTL`]. LiveKit has no such grant for a single room.
    ///
    /// # Errors
    /// As [`Keys::join_token`].
    pub fn room_record_token(&self) -> Result<Secret, ApiError> {
        self.sign(self.claims(VideoGrants { room_record: true, ..VideoGrants::default() }, SERVER_TTL))
    }

    /// Verifies a token that LiveKit signed with this key, and returns its claims.
    ///
    /// `livekit-api` verifies with a leeway of one minute.
    ///
    /// # Errors
    /// What is wrong with the token.
    pub fn verify(&self, token: &str) -> Result<Claims, &'static str> {
        self.verify_at(token, clock::now())
    }

    fn verify_at(&self, token: &str, now: u64) -> Result<Claims, &'static str> {
        let (signed, signature) = token.rsplit_once('.').ok_or("the token is not a JWT")?;
        let (header, claims) = signed.split_once('.').ok_or("the token is not a JWT")?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| "the token is not base64url");
        // The algorithm is ours, whatever the header says; a header that says otherwise is refused.
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| "the header is invalid")?;
        if header.alg != "HS256" {
            return Err("the algorithm is not HS256");
        }
        hmac::verify(&self.hmac_key(), signed.as_bytes(), &decode(signature)?)
            .map_err(|_| "the signature is invalid")?;
        let claims: Claims =
            serde_json::from_slice(&decode(claims)?).map_err(|_| "the claims are invalid")?;
        let seconds = |time: usize| u64::try_from(time).unwrap_or(u64::MAX);
        if claims.iss != self.key {
            Err("the token was issued for another key")
        } else if seconds(claims.exp).saturating_add(LEEWAY.as_secs()) < now {
            Err("the token has expired")
        } else if seconds(claims.nbf) > now.saturating_add(LEEWAY.as_secs()) {
            Err("the token is not valid yet")
        } else {
            Ok(claims)
        }
    }

    fn hmac_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.secret.expose().as_bytes())
    }

    fn claims(&self, video: VideoGrants, ttl: Duration) -> Claims {
        let seconds = |time: u64| usize::try_from(time).unwrap_or(usize::MAX);
        let now = clock::now();
        Claims {
            iss: self.key.clone(),
            nbf: seconds(now.saturating_sub(LEEWAY.as_secs())),
            exp: seconds(now.saturating_add(ttl.as_secs())),
            video,
            ..Claims::default()
        }
    }

    /// Signs claims as a JWT with HS256 (RFC 7515).
    ///
    /// `livekit-api` signs with `jsonwebtoken`. In a workspace build, that links aws-lc: 0.5 MB of RSA and elliptic
    /// curves in the zip of functions that only need an HMAC.
    fn sign(&self, claims: Claims) -> Result<Secret, ApiError> {
        let claims =
            serde_json::to_vec(&claims).map_err(|error| ApiError::new(Reason::Internal).because(error))?;
        let mut token = URL_SAFE_NO_PAD.encode(br#"{"typ":"JWT","alg":"HS256"}"#);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = hmac::sign(&self.hmac_key(), token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(Secret::new(token))
    }
}

/// The part of a JWT's header that matters.
#[derive(Deserialize)]
struct Header {
    alg: String,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("key", &self.key).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use livekit_api::access_token::TokenVerifier;

    use super::*;
    use crate::fixtures::caller;
    use crate::{RoomName, RoomScope};

    fn keys() -> Keys {
        let key = [("LIVEKIT_API_KEY", "devkey"), ("LIVEKIT_API_SECRET", "the-secret"), ("STAGE", "dev")];
        Keys::load(&Env::fixed(key)).unwrap()
    }

    fn room() -> Room {
        RoomScope::None.room(&caller(None), &RoomName::parse("daily").unwrap()).unwrap()
    }

    fn verified(token: &Secret) -> Claims {
        TokenVerifier::with_api_key("devkey", "the-secret").verify(token.expose()).unwrap()
    }

    #[test]
    fn a_join_token_admits_one_user_to_one_room() {
        let token = keys()
            .join_token(&caller(Some("org_1")), &Username::parse("Jane Doe").unwrap(), &room())
            .unwrap();
        let claims = verified(&token);
        assert_eq!(
            (claims.iss.as_str(), claims.sub.as_str(), claims.name.as_str()),
            ("devkey", "user_1", "Jane Doe")
        );
        let expected = VideoGrants { room_join: true, room: "daily".into(), ..VideoGrants::default() };
        assert_eq!(claims.video, expected);
        assert_eq!(claims.attributes.get(ORGANIZATION_ATTRIBUTE).map(String::as_str), Some("org_1"));
        assert_eq!(claims.exp - claims.nbf, 600 + 150);
        assert!(claims.metadata.is_empty() && claims.room_config.is_none());
    }

    #[test]
    fn a_server_token_carries_one_grant_and_lives_for_minutes() {
        let admin = verified(&keys().room_admin_token(&room()).unwrap());
        let expected = VideoGrants { room_admin: true, room: "daily".into(), ..VideoGrants::default() };
        assert_eq!(admin.video, expected);
        let record = verified(&keys().room_record_token().unwrap());
        assert_eq!(record.video, VideoGrants { room_record: true, ..VideoGrants::default() });
        for claims in [admin, record] {
            assert!(claims.sub.is_empty() && claims.exp - claims.nbf == 180 + 150);
        }
    }

    #[test]
    fn a_token_is_accepted_by_clocks_that_are_two_minutes_off() {
        let token = keys().room_record_token().unwrap();
        let now = clock::now();
        for at in [now - 120, now, now + 180 + 120] {
            assert!(keys().verify_at(token.expose(), at).is_ok(), "{at}");
        }
        assert_eq!(keys().verify_at(token.expose(), now - 310).unwrap_err(), "the token is not valid yet");
        assert_eq!(keys().verify_at(token.expose(), now + 340).unwrap_err(), "the token has expired");
    }

    #[test]
    fn a_token_of_another_key_or_algorithm_is_refused() {
        let token = keys().room_record_token().unwrap();
        let other = Keys { secret: Secret::new("another"), ..keys() };
        assert_eq!(other.verify(token.expose()).unwrap_err(), "the signature is invalid");
        let other = Keys { key: "another".into(), ..keys() };
        assert_eq!(other.verify(token.expose()).unwrap_err(), "the token was issued for another key");
        let (_, rest) = token.expose().split_once('.').unwrap();
        let unsigned = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(br#"{"alg":"none"}"#));
        assert_eq!(keys().verify(&unsigned).unwrap_err(), "the algorithm is not HS256");
        assert!(keys().verify("").is_err() && keys().verify("a.b.c").is_err());
    }

    #[test]
    fn a_short_secret_is_for_development_only() {
        let load = |secret: &'static str, stage| {
            let all = [("LIVEKIT_API_KEY", "key"), ("LIVEKIT_API_SECRET", secret), ("STAGE", stage)];
            Keys::load(&Env::fixed(all)).map(drop).map_err(|error| error.to_string())
        };
        assert!(load("secret", "dev").is_ok());
        assert!(load("a-secret-of-exactly-thirty-2-byte", "prod").is_ok());
        assert_eq!(
            load("secret", "prod").unwrap_err(),
            "environment variable LIVEKIT_API_SECRET must be at least 32 bytes outside STAGE=dev"
        );
    }

    #[test]
    fn debug_prints_no_secret() {
        assert!(!format!("{:?}", keys()).contains("the-secret"));
    }
}
