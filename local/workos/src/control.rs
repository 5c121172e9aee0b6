//! The handle: starts the server, and changes its state as the dashboard, time or an attacker would.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinHandle;

use local_proxy::FaultProxy;

use super::clock::Timestamp;
use super::events::Event;
use super::keys::{self, SigningKey};
use super::mfa;
use super::model::{Connection, Domain, Grant, Organization};
use super::options::{Mail, Options};
use super::router;
use super::settings::{ConnectionState, DomainState, Environment, MembershipStatus, Policy};
use super::state::{Service, State};
use super::webhooks::{self, Delivery};

/// A running double. Dropping it stops the server and closes every connection.
pub struct WorkOs {
    url: String,
    proxy: FaultProxy,
    service: Service,
    server: JoinHandle<()>,
    sender: JoinHandle<()>,
}

/// Starts the double on `listener`.
pub async fn start(listener: TcpListener, mut options: Options) -> WorkOs {
    let url = listener.local_addr().map_or_else(|_| String::new(), |address| format!("http://{address}"));
    // Generating the process' first key must not block the runtime.
    let _ = tokio::task::spawn_blocking(|| LazyLock::force(&keys::FIRST)).await;
    let seed = std::mem::take(&mut options.seed);
    let mut state = State::new(&url, options, seed.environment.clone());
    state.populate(seed);
    // The seed is what was there before.
    state.events.clear();
    let (queue, events) = unbounded_channel();
    state.outbox.queue = Some(queue);
    let service = Service::new(state);
    let sender = tokio::spawn(webhooks::run(service.clone(), events));
    let proxy = FaultProxy::default();
    let serving =
        local_proxy::serve(listener, router::router(service.clone()), proxy.clone(), router::name_call);
    WorkOs { url, proxy, service, server: tokio::spawn(serving), sender }
}

/// Only the address: the state is full of tokens.
impl fmt::Debug for WorkOs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkOs").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Drop for WorkOs {
    fn drop(&mut self) {
        self.server.abort();
        self.sender.abort();
    }
}

impl WorkOs {
    /// `http://127.0.0.1:<port>`, without a trailing slash.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// URL of the JWKS: `<url>/sso/jwks/<client id>`.
    pub fn jwks_url(&self) -> String {
        format!("{}/sso/jwks/{}", self.url, self.client_id())
    }

    /// Call counts and faults.
    pub fn proxy(&self) -> &FaultProxy {
        &self.proxy
    }

    /// The API key.
    pub fn api_key(&self) -> String {
        self.service.state().options.api_key.clone()
    }

    /// The client id.
    pub fn client_id(&self) -> String {
        self.service.state().options.client_id.clone()
    }

    /// `iss` of the access tokens.
    pub fn issuer(&self) -> String {
        self.service.state().issuer.clone()
    }

    /// Every mail so far, oldest first.
    pub fn mails(&self) -> Vec<Mail> {
        self.service.state().mails.clone()
    }

    /// The code in the last mail to `email`.
    pub fn last_code(&self, email: &str) -> Option<String> {
        let state = self.service.state();
        let to = |mail: &&Mail| mail.to.eq_ignore_ascii_case(email);
        state.mails.iter().rev().find(to).map(|mail| mail.code.clone())
    }

    /// Adds a user with a verified address unless the address is taken; returns the id of its user.
    pub fn add_user(&self, email: &str) -> String {
        let mut state = self.service.state();
        let known = state.user_by_email(email).map(|user| user.id.clone());
        known.unwrap_or_else(|| state.insert_email(email, true).id)
    }

    /// Sets a user's names and picture.
    pub fn set_profile(&self, user_id: &str, first_name: &str, last_name: &str, picture: &str) {
        self.service.state().update_user(user_id, |user| {
            user.first_name = Some(first_name.to_owned());
            user.last_name = Some(last_name.to_owned());
            user.profile_picture_url = Some(picture.to_owned());
        });
    }

    /// The id of the user with this address.
    pub fn user_id(&self, email: &str) -> Option<String> {
        self.service.state().user_by_email(email).map(|user| user.id.clone())
    }

    /// Deletes a user and ends its sessions.
    pub fn delete_user(&self, user_id: &str) {
        self.service.state().remove_user(user_id);
    }

    /// Adds an organization with its domains; returns its id.
    pub fn add_organization(&self, name: &str, domains: &[(&str, DomainState)]) -> String {
        let domain = |(domain, state): &(&str, DomainState)| Domain {
            domain: (*domain).to_owned(),
            state: *state,
            ..Domain::default()
        };
        let domains = domains.iter().map(domain).collect();
        let organization = Organization { name: name.to_owned(), domains, ..Organization::default() };
        self.service.state().insert_organization(organization)
    }

    /// Invites an address, to an organization if one is named; returns the token. The mail has the link.
    pub fn invite(&self, email: &str, organization_id: Option<&str>) -> String {
        let lifetime = Duration::from_secs(7 * 24 * 60 * 60);
        self.service.state().invite(email, organization_id, None, lifetime).token
    }

    /// The page where the dashboard begins to impersonate a user.
    pub fn impersonation_url(&self, email: &str, impersonator: &str, reason: &str) -> String {
        let pairs = [("email", email), ("impersonator", impersonator), ("reason", reason)];
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        format!("{}/impersonate?{query}", self.url)
    }

    /// The tile of the application on the page of an identity provider.
    pub fn identity_provider_url(&self, connection_id: &str, email: &str) -> String {
        let pairs = [("connection_id", connection_id), ("email", email)];
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        format!("{}/idp?{query}", self.url)
    }

    /// The user's browser still knows them, from a sign-in some time `ago`: hosted pages ask for no proof, except at AuthKit
    /// with a shorter `max_age`.
    pub fn remember_sign_in(&self, user_id: &str, ago: Duration) {
        let mut state = self.service.state();
        let at = Timestamp(state.now().0 - i64::try_from(ago.as_millis()).unwrap_or_default());
        state.remembered.insert(user_id.to_owned(), at);
    }

    /// Every refresh token issued, used ones included.
    pub fn refresh_tokens(&self) -> Vec<String> {
        self.service.state().refresh_tokens.keys().cloned().collect()
    }

    /// Every access token issued.
    pub fn access_tokens(&self) -> Vec<String> {
        self.service.state().access_tokens.clone()
    }

    /// Sets an organization's policy.
    pub fn set_policy(&self, organization_id: &str, policy: Policy) {
        if let Some(organization) = self.service.state().organizations.get_mut(organization_id) {
            organization.policy = policy;
        }
    }

    /// Sets the environment's settings.
    pub fn set_environment(&self, environment: Environment) {
        self.service.state().environment = environment;
    }

    /// Makes the user an active member of the organization, with this role and these permissions; returns the id of the
    /// membership.
    pub fn add_membership(
        &self,
        user_id: &str,
        organization_id: &str,
        role: &str,
        permissions: &[&str],
    ) -> String {
        let mut state = self.service.state();
        let permissions = permissions.iter().map(|permission| (*permission).to_owned()).collect();
        let status = MembershipStatus::Active;
        let Some(known) = state.membership(user_id, organization_id).map(|known| known.id.clone()) else {
            return state.insert_membership(user_id, organization_id, role, Some(permissions), status).id;
        };
        state.update_membership(&known, |known| {
            (known.status, known.permissions) = (status, permissions);
            role.clone_into(&mut known.role);
        });
        known
    }

    /// Deactivates a membership and ends the user's sessions in the organization.
    pub fn deactivate_membership(&self, user_id: &str, organization_id: &str) {
        let mut state = self.service.state();
        if let Some(id) = state.membership(user_id, organization_id).map(|found| found.id.clone()) {
            state.update_membership(&id, |membership| membership.status = MembershipStatus::Inactive);
        }
    }

    /// Removes a membership and ends the user's sessions in the organization.
    pub fn remove_membership(&self, user_id: &str, organization_id: &str) {
        let mut state = self.service.state();
        if let Some(id) = state.membership(user_id, organization_id).map(|found| found.id.clone()) {
            state.remove_membership(&id);
        }
    }

    /// Adds an SSO connection for the organization's current domains; returns its id.
    pub fn add_connection(&self, organization_id: &str, state: ConnectionState) -> String {
        let connection = Connection { state, ..Connection::default() };
        self.service.state().insert_connection(organization_id, connection)
    }

    /// Sets the state of a connection.
    pub fn set_connection_state(&self, connection_id: &str, state: ConnectionState) {
        if let Some(connection) = self.service.state().connections.get_mut(connection_id) {
            connection.state = state;
        }
    }

    /// Sets whether a user's address is verified.
    pub fn set_email_verified(&self, user_id: &str, verified: bool) {
        self.service.state().update_user(user_id, |user| user.email_verified = verified);
    }

    /// Enrols an authenticator app whose first code was accepted.
    pub fn enroll_totp(&self, user_id: &str) {
        let mut state = self.service.state();
        if let Some(user) = state.users.get(user_id).cloned() {
            state.enroll(&user, None, None, true);
        }
    }

    /// The current code of the user's newest authenticator app.
    pub fn totp_code(&self, user_id: &str) -> Option<String> {
        let state = self.service.state();
        let factor = state.factors_of(user_id).last()?;
        Some(mfa::totp(&factor.secret, mfa::interval(state.now())))
    }

    /// The current code of an authenticator app with this secret, in Base32.
    pub fn totp_code_of(&self, secret: &str) -> String {
        mfa::totp(secret, mfa::interval(self.service.state().now()))
    }

    /// The ids of the user's authenticator apps, oldest first, and whether a code of each was ever accepted.
    pub fn factors(&self, user_id: &str) -> Vec<(String, bool)> {
        let state = self.service.state();
        state.factors_of(user_id).map(|factor| (factor.id.clone(), factor.verified)).collect()
    }

    /// The last call with this grant.
    pub fn last_grant(&self, name: &str) -> Option<Grant> {
        self.service.state().grants.iter().rev().find(|grant| grant.name == name).cloned()
    }

    /// The ids of the user's live sessions, oldest first.
    pub fn sessions(&self, user_id: &str) -> Vec<String> {
        self.service.state().live_sessions(user_id).map(|session| session.id.clone()).collect()
    }

    /// Ends the user's live sessions; returns their number.
    pub fn revoke_sessions(&self, user_id: &str) -> usize {
        self.service.state().end_sessions(|session| session.sign_in.user_id == user_id)
    }

    /// Ends one session; whether it was live.
    pub fn revoke_session(&self, session_id: &str) -> bool {
        self.service.state().end_sessions(|session| session.id == session_id) > 0
    }

    /// Every event so far, oldest first, sent or not.
    pub fn events(&self) -> Vec<Event> {
        self.service.state().events.clone()
    }

    /// Sets the URL for events from now on. With `None` they are logged, but never sent.
    pub fn set_webhook_url(&self, url: Option<String>) {
        self.service.state().options.webhooks.url = url;
    }

    /// The value of `WorkOS-Signature` for a body sent now.
    pub fn sign_webhook(&self, body: &str) -> String {
        webhooks::sign_webhook(&self.service.state().options.webhooks.secret, Timestamp::now().0, body)
    }

    /// Holds webhooks back from now on.
    pub fn hold_webhooks(&self) {
        self.service.state().outbox.held.get_or_insert_default();
    }

    /// Stops holding webhooks back, and sends those that were: those of the list that `arrange` makes of them. A test can
    /// drop, repeat and reorder them.
    pub fn release_webhooks(&self, arrange: impl FnOnce(Vec<Event>) -> Vec<Event>) {
        let held = self.service.state().take_held();
        arrange(held).into_iter().for_each(|event| self.send_webhook(event));
    }

    /// Loses the next webhooks: their events are logged, but never sent.
    pub fn lose_webhooks(&self, number: usize) {
        self.service.state().outbox.lose = number;
    }

    /// Sends an event, again or for the first time, even if webhooks are held back.
    pub fn send_webhook(&self, event: Event) {
        self.service.state().send_event(event);
    }

    /// The webhooks so far, with the responses to each attempt.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.service.state().outbox.deliveries.clone()
    }

    /// Waits until every webhook that is not held back has been delivered or given up.
    pub async fn webhooks_settled(&self) {
        let mut pending = self.service.state().outbox.pending.subscribe();
        // It cannot fail: the sender lives as long as `self`.
        let _ = pending.wait_for(|pending| *pending == 0).await;
    }

    /// Moves the double's clock forward: everything ages, and new tokens are issued in the future.
    pub fn advance(&self, by: Duration) {
        self.service.state().ahead += by;
    }

    /// Moves the double's clock back: what happens from now on seems to have happened earlier.
    pub fn rewind(&self, by: Duration) {
        self.service.state().behind += by;
    }

    /// Expires every code and pending authentication token.
    pub fn expire_codes(&self) {
        let state = &mut *self.service.state();
        let now = state.now();
        state.mailed_codes.iter_mut().for_each(|code| code.expires_at = now);
        let pending = state.authorization_codes.values_mut().chain(state.pending.values_mut());
        pending.for_each(|pending| pending.expires_at = now);
    }

    /// Ends the replay window of every exchanged refresh token.
    pub fn expire_replays(&self) {
        let mut state = self.service.state();
        let now = state.now();
        let exchanges = state.refresh_tokens.values_mut().filter_map(|token| token.exchange.as_mut());
        exchanges.for_each(|exchange| exchange.replayable_until = now);
    }

    /// Sets the lifetime of new access tokens.
    pub fn set_access_token_lifetime(&self, lifetime: Duration) {
        self.service.state().options.access_token_lifetime = lifetime;
    }

    /// Sets the lifetime of the next access token issued by a refresh, and of that one only.
    pub fn set_next_refreshed_lifetime(&self, lifetime: Duration) {
        self.service.state().next_refreshed_lifetime = Some(lifetime);
    }

    /// Sets `iss` of new access tokens.
    pub fn set_issuer(&self, issuer: &str) {
        issuer.clone_into(&mut self.service.state().issuer);
    }

    /// Starts signing with a new key. The old keys stay in the JWKS only if `keep_old` is set.
    pub fn rotate_keys(&self, keep_old: bool) {
        let key = SigningKey::generate();
        let mut state = self.service.state();
        if !keep_old {
            state.keys.clear();
        }
        state.keys.push(key);
    }

    /// `kid` of the signing key.
    pub fn kid(&self) -> String {
        self.service.state().key().kid().to_owned()
    }

    /// The claims of an access token that the session would get now, as a basis for forgeries.
    pub fn claims(&self, session_id: &str) -> Option<Value> {
        let state = self.service.state();
        let session = state.sessions.get(session_id)?;
        Some(state.claims(session, state.options.access_token_lifetime))
    }

    /// A token with `claims` and the usual header, signed with the current key.
    pub fn sign(&self, claims: &Value) -> String {
        self.service.state().key().access_token(claims)
    }

    /// A token with any header and claims, signed with RS256 and the current key, whatever the header says.
    pub fn sign_with_header(&self, header: &Value, claims: &Value) -> String {
        self.service.state().key().sign(header, claims)
    }

    /// A token with the given `kid`, signed with a key that is not in the JWKS.
    pub fn sign_with_foreign_key(&self, kid: &str, claims: &Value) -> String {
        keys::FOREIGN.sign(&json!({"alg": "RS256", "kid": kid}), claims)
    }

    /// A token signed with HS256, with the public key in PEM as the secret.
    pub fn sign_hs256_with_public_key(&self, claims: &Value) -> String {
        let key = self.service.state().key();
        keys::hs256(&json!({"alg": "HS256", "kid": key.kid()}), claims, key.public_key_pem().as_bytes())
    }

    /// A token with `alg: none` and no signature.
    pub fn unsecured(&self, claims: &Value) -> String {
        keys::unsecured(&json!({"alg": "none", "kid": self.kid()}), claims)
    }
}
