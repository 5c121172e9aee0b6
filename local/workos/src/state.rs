//! The double's state, shared by its endpoints and by the handle.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{StatusCode, header};

use super::clock::Timestamp;
use super::error::ApiError;
use super::events::Event;
use super::invitations::Invitation;
use super::keys::{self, SigningKey};
use super::model::{
    Challenge, CodeKind, Connection, Factor, Grant, MailedCode, Membership, Organization, PendingSignIn,
    RefreshToken, Session, SignIn, User,
};
use super::options::{Mail, Options};
use super::random;
use super::settings::Environment;
use super::webhooks::Outbox;

/// The shared state.
#[derive(Clone)]
pub(super) struct Service(Arc<Mutex<State>>);

impl Service {
    pub(super) fn new(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    /// Locks the state. Every endpoint does so once, never across an await.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The shared state, for callers with the API key as bearer token.
pub(super) struct Authorized(pub(super) Service);

impl FromRequestParts<Service> for Authorized {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, ApiError> {
        let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let key = header.and_then(|value| value.strip_prefix("Bearer "));
        if key != Some(&service.state().options.api_key) {
            return Err(ApiError::plain(StatusCode::UNAUTHORIZED, "Unauthorized"));
        }
        Ok(Self(service.clone()))
    }
}

#[derive(Default)]
pub(super) struct State {
    pub(super) options: Options,
    /// The double's own address.
    pub(super) url: String,
    pub(super) issuer: String,
    pub(super) environment: Environment,
    /// How far the double's clock is ahead of the machine's.
    pub(super) ahead: Duration,
    /// How far it is behind.
    pub(super) behind: Duration,
    pub(super) roles: BTreeMap<String, Vec<String>>,
    pub(super) users: BTreeMap<String, User>,
    pub(super) organizations: BTreeMap<String, Organization>,
    pub(super) memberships: BTreeMap<String, Membership>,
    pub(super) connections: BTreeMap<String, Connection>,
    pub(super) sessions: BTreeMap<String, Session>,
    pub(super) refresh_tokens: HashMap<String, RefreshToken>,
    /// Every call to exchange a credential.
    pub(super) grants: Vec<Grant>,
    /// Every access token issued.
    pub(super) access_tokens: Vec<String>,
    pub(super) mailed_codes: Vec<MailedCode>,
    /// Consecutive wrong codes, by lowercase address.
    pub(super) wrong_codes: HashMap<(CodeKind, String), u32>,
    pub(super) authorization_codes: HashMap<String, PendingSignIn>,
    /// By pending authentication token.
    pub(super) pending: HashMap<String, PendingSignIn>,
    pub(super) factors: BTreeMap<String, Factor>,
    pub(super) challenges: HashMap<String, Challenge>,
    /// By id.
    pub(super) invitations: BTreeMap<String, Invitation>,
    /// Impersonations that the dashboard has begun, by the browser's cookie.
    pub(super) impersonations: HashMap<String, SignIn>,
    /// When users proved who they are in browsers that still know them.
    pub(super) remembered: HashMap<String, Timestamp>,
    /// The keys of the JWKS; the last one signs.
    pub(super) keys: Vec<Arc<SigningKey>>,
    /// Lifetime of the next access token issued by a refresh, used once.
    pub(super) next_refreshed_lifetime: Option<Duration>,
    pub(super) mails: Vec<Mail>,
    /// Oldest first.
    pub(super) events: Vec<Event>,
    pub(super) outbox: Outbox,
    /// Times of recent calls, by limit and lowercase address.
    recent: HashMap<(&'static str, String), Vec<Timestamp>>,
    sequence: u32,
}

impl State {
    /// A state without data.
    pub(super) fn new(url: &str, options: Options, environment: Environment) -> Self {
        let default = || format!("{url}/user_management/{}", options.client_id);
        Self {
            issuer: options.issuer.clone().unwrap_or_else(default),
            url: url.to_owned(),
            environment,
            keys: vec![keys::FIRST.clone()],
            options,
            ..Self::default()
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::now() + self.ahead - self.behind
    }

    /// When a code issued now expires.
    pub(super) fn code_expiry(&self) -> Timestamp {
        self.now() + self.options.code_lifetime
    }

    /// `prefix_` and a ULID.
    pub(super) fn new_id(&mut self, prefix: &str) -> String {
        self.sequence = self.sequence.wrapping_add(1);
        format!("{prefix}_{}", random::ulid(self.now(), self.sequence))
    }

    pub(super) fn send(&mut self, mail: Mail) {
        if let Some(sender) = &self.options.mail {
            // A closed receiver is fine: the list still has the mail.
            let _ = sender.send(mail.clone());
        }
        self.mails.push(mail);
    }

    /// Applies one of WorkOS' limits per address: `times` calls a minute.
    pub(super) fn limit(&mut self, limit: &'static str, email: &str, times: usize) -> Result<(), ApiError> {
        const MINUTE: Duration = Duration::from_secs(60);
        if !self.options.rate_limits {
            return Ok(());
        }
        let now = self.now();
        let recent = self.recent.entry((limit, email.to_lowercase())).or_default();
        recent.retain(|at| *at + MINUTE > now);
        if let Some(oldest) = recent.first().filter(|_| recent.len() >= times) {
            let wait = (*oldest + MINUTE).0 - now.0;
            return Err(ApiError::too_many_requests(u64::try_from(wait).unwrap_or_default().div_ceil(1000)));
        }
        recent.push(now);
        Ok(())
    }

    /// The signing key.
    pub(super) fn key(&self) -> Arc<SigningKey> {
        self.keys.last().cloned().unwrap_or_else(|| keys::FIRST.clone())
    }
}
