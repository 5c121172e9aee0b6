//! Verification of WorkOS' access tokens (RFC 7519): RS256, a key of WorkOS' key set, a known issuer, and times.
//!
//! `aud` is not checked: WorkOS sets none unless a JWT template does. Issuers are compared exactly with a list, because
//! WorkOS has had several: `https://api.workos.com`, with a slash in its documentation, with
//! `/user_management/<client id>` in environments since 2025, and custom domains.

use std::fmt;

use api::clock::{self, LEEWAY};
use api::{ConfigError, Env, Secret};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde::Deserialize;
use upstream::Http;

use crate::Claims;
use crate::config::{API_URL, CLIENT_ID, ISSUERS, JWKS_URL};
use crate::jwks::{KeySet, NoKey};

/// Verifies access tokens.
pub struct Verifier {
    issuers: Vec<String>,
    keys: KeySet,
    validation: Validation,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("issuers", &self.issuers).finish_non_exhaustive()
    }
}

/// Why a token is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The key set could not be fetched: the token is unverified.
    NoKeys,
    /// The key set has no such key.
    UnknownKey,
    /// Not a JWT, not RS256, a bad signature, or a missing claim.
    Invalid,
    /// The issuer is not in the list.
    Issuer,
    /// The token has expired.
    Expired,
    /// The token is not valid yet.
    Early,
    /// The subject is not the user of the grant.
    Subject,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoKeys => "the access token could not be verified: no key set",
            Self::UnknownKey => "the access token is signed by an unknown key",
            Self::Invalid => "the access token is not valid",
            Self::Issuer => "the access token's issuer is not in WORKOS_ISSUERS",
            Self::Expired => "the access token has expired",
            Self::Early => "the access token is not valid yet",
            Self::Subject => "the access token is not the user's",
        })
    }
}

impl std::error::Error for Rejection {}

/// The claims as encoded.
#[derive(Deserialize)]
struct WireClaims {
    iss: String,
    sub: String,
    sid: String,
    exp: f64,
    nbf: Option<f64>,
    iat: Option<f64>,
    auth_time: Option<f64>,
    org_id: Option<String>,
    role: Option<String>,
    permissions: Option<Vec<String>>,
    act: Option<Actor>,
}

#[derive(Deserialize)]
struct Actor {
    sub: String,
}

impl Verifier {
    /// Reads the configuration. The keys are fetched later, through `http`.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub fn load(env: &Env, http: Http) -> Result<Self, ConfigError> {
        let api_url = env.url(&API_URL)?;
        let client_id = env.required(&CLIENT_ID)?;
        let issuers = match env.optional(&ISSUERS) {
            Some(list) => {
                let issuers = list.split(',').map(str::trim).filter(|issuer| !issuer.is_empty());
                issuers.map(str::to_owned).collect()
            }
            None => default_issuers(&api_url, &client_id),
        };
        let jwks_url = match env.optional(&JWKS_URL) {
            Some(_) => env.url(&JWKS_URL)?,
            None => format!("{api_url}/sso/jwks/{client_id}"),
        };
        Ok(Self::new(issuers, KeySet::new(http, jwks_url)))
    }

    fn new(issuers: Vec<String>, keys: KeySet) -> Self {
        let mut validation = Validation::new(Algorithm::RS256);
        // `check` compares the claims: `jsonwebtoken` does not check `iat`.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        Self { issuers, keys, validation }
    }

    /// Fetches the keys unless they are fresh. Runs alongside a grant.
    pub async fn warm(&self) {
        self.keys.warm().await;
    }

    /// Verifies `token`.
    ///
    /// # Errors
    /// Why it is rejected.
    pub async fn verify(&self, token: &Secret) -> Result<Claims, Rejection> {
        let header = decode_header(token.expose()).map_err(|_| Rejection::Invalid)?;
        // Rejected before the key lookup, so that such tokens never cost a call.
        if header.alg != Algorithm::RS256 {
            return Err(Rejection::Invalid);
        }
        let kid = header.kid.ok_or(Rejection::Invalid)?;
        let key = self.keys.key(&kid).await.map_err(|problem| match problem {
            NoKey::Unavailable => Rejection::NoKeys,
            NoKey::Unknown => Rejection::UnknownKey,
        })?;
        let claims = decode::<WireClaims>(token.expose(), &key, &self.validation)
            .map_err(|_| Rejection::Invalid)?
            .claims;
        self.check(claims, clock::now())
    }

    fn check(&self, claims: WireClaims, now: u64) -> Result<Claims, Rejection> {
        if !self.issuers.contains(&claims.iss) {
            return Err(Rejection::Issuer);
        }
        let expires_at = seconds(claims.exp);
        if expires_at.saturating_add(LEEWAY) <= now {
            return Err(Rejection::Expired);
        }
        let begins = [claims.nbf, claims.iat].into_iter().flatten().map(seconds);
        if begins.max().is_some_and(|at| at > now.saturating_add(LEEWAY)) {
            return Err(Rejection::Early);
        }
        if claims.sub.is_empty() || claims.sid.is_empty() {
            return Err(Rejection::Invalid);
        }
        Ok(Claims {
            user_id: claims.sub,
            session_id: claims.sid,
            organization_id: claims.org_id.filter(|text| !text.is_empty()),
            role: claims.role.filter(|text| !text.is_empty()),
            permissions: claims.permissions.unwrap_or_default(),
            impersonator: claims.act.map(|actor| actor.sub),
            issued_at: claims.iat.map(seconds).unwrap_or_default(),
            authenticated_at: claims.auth_time.map(seconds),
            expires_at,
        })
    }
}

/// The session that an access token claims to be of, for ending that session and nothing else: nobody vouches for the
/// claim but the connection to WorkOS that the token came through.
pub(crate) fn session_of_unverified(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Session {
        sid: String,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&claims).ok().map(|Session { sid }| sid)
}

fn default_issuers(api_url: &str, client_id: &str) -> Vec<String> {
    let mut bases = vec!["https://api.workos.com"];
    if api_url != "https://api.workos.com" {
        bases.push(api_url);
    }
    bases
        .into_iter()
        .flat_map(|base| [base.to_owned(), format!("{base}/"), format!("{base}/user_management/{client_id}")])
        .collect()
}

/// A NumericDate, which may have a fraction (RFC 7519 section 2), in whole seconds. `as` saturates, and turns NaN
/// into 0.
fn seconds(date: f64) -> u64 {
    date as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn check(change: impl FnOnce(&mut WireClaims)) -> Result<Claims, Rejection> {
        let env = Env::fixed([("WORKOS_CLIENT_ID", "client_1")]);
        let http = Http::new("WorkOS", upstream::Roots::Public).unwrap();
        let mut claims = WireClaims {
            iss: "https://api.workos.com".into(),
            sub: "user_1".into(),
            sid: "session_1".into(),
            exp: NOW as f64 + 300.0,
            nbf: None,
            iat: Some(NOW as f64),
            auth_time: None,
            org_id: None,
            role: None,
            permissions: None,
            act: None,
        };
        change(&mut claims);
        Verifier::load(&env, http).unwrap().check(claims, NOW)
    }

    #[test]
    fn the_documented_issuers_are_accepted_and_compared_exactly() {
        for issuer in [
            "https://api.workos.com",
            "https://api.workos.com/",
            "https://api.workos.com/user_management/client_1",
        ] {
            assert!(check(|claims| claims.iss = issuer.into()).is_ok(), "{issuer}");
        }
        for issuer in [
            "",
            "https://evil.example",
            "https://api.workos.com/user_management/client_2",
            "https://api.workos.com.evil.example",
            "HTTPS://API.WORKOS.COM",
        ] {
            assert_eq!(check(|claims| claims.iss = issuer.into()), Err(Rejection::Issuer), "{issuer}");
        }
    }

    #[test]
    fn clocks_may_be_150_seconds_apart() {
        let at = |seconds: i64| NOW as f64 + seconds as f64;
        assert_eq!(check(|claims| claims.exp = at(-150)), Err(Rejection::Expired));
        assert!(check(|claims| claims.exp = at(-149)).is_ok());
        assert!(check(|claims| claims.iat = Some(at(150))).is_ok());
        assert_eq!(check(|claims| claims.iat = Some(at(151))), Err(Rejection::Early));
        assert!(check(|claims| claims.nbf = Some(at(150))).is_ok());
        assert_eq!(check(|claims| claims.nbf = Some(at(151))), Err(Rejection::Early));
        for past in [f64::NAN, -1.0, f64::NEG_INFINITY] {
            assert_eq!(check(|claims| claims.exp = past), Err(Rejection::Expired));
        }
        assert_eq!(check(|claims| claims.iat = Some(f64::INFINITY)), Err(Rejection::Early));
    }

    #[test]
    fn user_and_session_are_required_and_other_claims_are_optional() {
        assert_eq!(check(|claims| claims.sub.clear()), Err(Rejection::Invalid));
        assert_eq!(check(|claims| claims.sid.clear()), Err(Rejection::Invalid));
        let claims = check(|claims| claims.org_id = Some(String::new())).unwrap();
        assert_eq!((claims.organization_id, claims.role, claims.permissions), (None, None, vec![]));
    }

    #[test]
    fn issuers_follow_the_api_url_or_the_variable() {
        assert_eq!(
            default_issuers("http://127.0.0.1:4010", "c"),
            [
                "https://api.workos.com",
                "https://api.workos.com/",
                "https://api.workos.com/user_management/c",
                "http://127.0.0.1:4010",
                "http://127.0.0.1:4010/",
                "http://127.0.0.1:4010/user_management/c",
            ]
        );
        let env = Env::fixed([
            ("WORKOS_CLIENT_ID", "c"),
            ("WORKOS_ISSUERS", "https://a.example, ,https://b.example,"),
        ]);
        let http = Http::new("WorkOS", upstream::Roots::Public).unwrap();
        assert_eq!(Verifier::load(&env, http).unwrap().issuers, ["https://a.example", "https://b.example"]);
    }
}
