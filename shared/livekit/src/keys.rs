//! LiveKit's API key and the tokens signed with it. Each token carries only the grants of its purpose.
//!
//! Source: <https://docs.livekit.io/home/get-started/authentication/>.

use std::fmt;
use std::time::Duration;

use api::{ApiError, Caller, ConfigError, Env, Reason, Secret, Variable, clock};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use livekit_api::access_token::{Claims, TokenVerifier, VideoGrants};
use ring::hmac;

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

/// Lifetime of a token for our own calls: slightly longer than a request, which ends after 8 s. LiveKit allows a minute
/// of clock skew on top.
pub const SERVER_TTL: Duration = Duration::from_secs(10);

/// The participant attribute that holds the organization. Participants cannot change it: that needs the grant
/// `canUpdateOwnMetadata`, which LiveKit does not give by default.
pub const ORGANIZATION_ATTRIBUTE: &str = "organizationId";

/// The API key with its secret.
#[derive(Clone)]
pub struct Keys {
    key: String,
    secret: Secret,
}

impl Keys {
    /// Reads `LIVEKIT_API_KEY` and `LIVEKIT_API_SECRET`.
    ///
    /// # Errors
    /// If one of them is missing.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { key: env.required(&LIVEKIT_API_KEY)?, secret: env.secret(&LIVEKIT_API_SECRET)? })
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
        self.sign(Claims {
            sub: caller.user_id.clone(),
            name: username.as_str().to_owned(),
            attributes: organization.map(|(name, id)| (name.to_owned(), id.to_owned())).collect(),
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

    /// Verifies tokens that LiveKit signed with this key.
    pub fn verifier(&self) -> TokenVerifier {
        TokenVerifier::with_api_key(&self.key, self.secret.expose())
    }

    fn claims(&self, video: VideoGrants, ttl: Duration) -> Claims {
        let seconds = |time: u64| usize::try_from(time).unwrap_or(usize::MAX);
        let now = clock::now();
        Claims {
            iss: self.key.clone(),
            nbf: seconds(now),
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
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.expose().as_bytes());
        let signature = hmac::sign(&key, token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(Secret::new(token))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("key", &self.key).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::caller;
    use crate::{RoomName, RoomScope};

    fn keys() -> Keys {
        Keys::load(&Env::fixed([("LIVEKIT_API_KEY", "devkey"), ("LIVEKIT_API_SECRET", "the-secret")]))
            .unwrap()
    }

    fn room() -> Room {
        RoomScope::None.room(&caller(None), &RoomName::parse("daily").unwrap()).unwrap()
    }

    fn verified(token: &Secret) -> Claims {
        keys().verifier().verify(token.expose()).unwrap()
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
        assert_eq!(claims.exp - claims.nbf, 600);
        assert!(claims.metadata.is_empty() && claims.room_config.is_none());
    }

    #[test]
    fn a_server_token_carries_one_grant_and_lives_for_seconds() {
        let admin = verified(&keys().room_admin_token(&room()).unwrap());
        let expected = VideoGrants { room_admin: true, room: "daily".into(), ..VideoGrants::default() };
        assert_eq!(admin.video, expected);
        let record = verified(&keys().room_record_token().unwrap());
        assert_eq!(record.video, VideoGrants { room_record: true, ..VideoGrants::default() });
        for claims in [admin, record] {
            assert!(claims.sub.is_empty() && claims.exp - claims.nbf <= 11);
        }
    }

    #[test]
    fn debug_prints_no_secret() {
        assert!(!format!("{:?}", keys()).contains("the-secret"));
    }
}
