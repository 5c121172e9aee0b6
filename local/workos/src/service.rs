//! The double's state, shared by its endpoints and by the handle.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::FromRequestParts;
use http::request::Parts;
use tokio::sync::mpsc::UnboundedSender;

use super::clock::{Clock, Millis, millis};
use super::codes::{AuthorizationCode, EmailVerification, MagicCode, Pending};
use super::directory::{Connection, Membership, Organization, User};
use super::keys::SigningKey;
use super::mfa::Challenge;
use super::random;
use super::refusal::Refusal;
use super::seed::Environment;
use super::sessions::{RefreshToken, Session};
use super::{Mail, Options};

/// The shared state, an extractor of every endpoint.
#[derive(Clone)]
pub(super) struct Service(Arc<Mutex<State>>);

impl FromRequestParts<Self> for Service {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, service: &Self) -> Result<Self, Infallible> {
        Ok(service.clone())
    }
}

impl Service {
    pub(super) fn new(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    /// The whole state; every endpoint takes it once and never across an await.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What does not come from requests.
pub(super) struct Settings {
    pub(super) api_key: String,
    pub(super) client_id: String,
    pub(super) redirect_uris: Vec<String>,
    pub(super) sign_out_redirects: Vec<String>,
    pub(super) environment: Environment,
    pub(super) issuer: String,
    pub(super) access_token_lifetime: Duration,
    pub(super) session_lifetime: Duration,
    pub(super) code_lifetime: Duration,
    pub(super) replay_window: Duration,
    pub(super) rate_limits: bool,
}

/// Everything.
pub(super) struct State {
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) roles: BTreeMap<String, Vec<String>>,
    pub(super) users: BTreeMap<String, User>,
    pub(super) organizations: BTreeMap<String, Organization>,
    pub(super) memberships: BTreeMap<String, Membership>,
    pub(super) connections: BTreeMap<String, Connection>,
    pub(super) sessions: BTreeMap<String, Session>,
    pub(super) refresh_tokens: HashMap<String, RefreshToken>,
    /// Every access token that was handed out.
    pub(super) access_tokens: Vec<String>,
    pub(super) magic_codes: Vec<MagicCode>,
    /// Wrong codes since the last right one, by lowercase address.
    pub(super) wrong_codes: HashMap<String, u32>,
    pub(super) authorization_codes: HashMap<String, AuthorizationCode>,
    pub(super) pending: HashMap<String, Pending>,
    pub(super) email_verifications: Vec<EmailVerification>,
    pub(super) challenges: HashMap<String, Challenge>,
    /// The keys of the JWKS; the last one signs.
    pub(super) keys: Vec<Arc<SigningKey>>,
    /// The lifetime of the access token that the next refresh gives, once.
    pub(super) next_refreshed_lifetime: Option<Duration>,
    pub(super) mails: Vec<Mail>,
    mail_sink: Option<UnboundedSender<Mail>>,
    /// When each limited thing happened, by limit and subject.
    recent: HashMap<(&'static str, String), Vec<Millis>>,
    sequence: u32,
}

impl State {
    pub(super) fn new(url: &str, options: Options) -> Self {
        let issuer = options.issuer.unwrap_or_else(|| format!("{url}/user_management/{}", options.client_id));
        let mut state = Self {
            settings: Settings {
                api_key: options.api_key,
                client_id: options.client_id,
                redirect_uris: options.redirect_uris,
                sign_out_redirects: options.sign_out_redirects,
                environment: options.seed.environment.clone(),
                issuer,
                access_token_lifetime: options.access_token_lifetime,
                session_lifetime: options.session_lifetime,
                code_lifetime: options.code_lifetime,
                replay_window: options.replay_window,
                rate_limits: options.rate_limits,
            },
            clock: Clock::default(),
            roles: BTreeMap::new(),
            users: BTreeMap::new(),
            organizations: BTreeMap::new(),
            memberships: BTreeMap::new(),
            connections: BTreeMap::new(),
            sessions: BTreeMap::new(),
            refresh_tokens: HashMap::new(),
            access_tokens: Vec::new(),
            magic_codes: Vec::new(),
            wrong_codes: HashMap::new(),
            authorization_codes: HashMap::new(),
            pending: HashMap::new(),
            email_verifications: Vec::new(),
            challenges: HashMap::new(),
            keys: vec![SigningKey::of_this_process()],
            next_refreshed_lifetime: None,
            mails: Vec::new(),
            mail_sink: options.mail,
            recent: HashMap::new(),
            sequence: 0,
        };
        state.plant(options.seed);
        state
    }

    pub(super) fn now(&self) -> Millis {
        self.clock.now()
    }

    /// `prefix_` and a ULID.
    pub(super) fn new_id(&mut self, prefix: &str) -> String {
        self.sequence = self.sequence.wrapping_add(1);
        format!("{prefix}_{}", random::ulid(self.now(), self.sequence))
    }

    pub(super) fn send(&mut self, mail: Mail) {
        if let Some(sink) = &self.mail_sink {
            // Nobody listens any more: the mail is still in the list.
            let _ = sink.send(mail.clone());
        }
        self.mails.push(mail);
    }

    /// WorkOS' documented limits per address: `limit` names one, `times` of it pass in a minute.
    pub(super) fn limit(&mut self, limit: &'static str, subject: &str, times: usize) -> Result<(), Refusal> {
        if !self.settings.rate_limits {
            return Ok(());
        }
        let now = self.now();
        let window = millis(Duration::from_secs(60));
        let recent = self.recent.entry((limit, subject.to_lowercase())).or_default();
        recent.retain(|at| now - at < window);
        if let Some(oldest) = recent.first()
            && recent.len() >= times
        {
            let wait = u64::try_from(window - (now - oldest)).unwrap_or_default();
            return Err(Refusal::too_many_requests(wait.div_ceil(1000)));
        }
        recent.push(now);
        Ok(())
    }

    /// The key that signs.
    pub(super) fn key(&self) -> Arc<SigningKey> {
        self.keys.last().cloned().unwrap_or_else(SigningKey::of_this_process)
    }
}
