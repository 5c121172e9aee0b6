//! What a test does behind the double's back: the dashboard, the passing of time, and forged tokens.

use std::time::Duration;

use serde_json::{Value, json};

use super::clock::millis;
use super::keys::{self, SigningKey};
use super::mfa;
use super::seed::{ConnectionState, DomainState, Environment, MembershipStatus, Policy};
use super::{Mail, WorkOs};
use local_proxy::FaultProxy;

impl WorkOs {
    /// `http://127.0.0.1:<port>`, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where the keys are: `<url>/sso/jwks/<client id>`.
    pub fn jwks_url(&self) -> String {
        format!("{}/sso/jwks/{}", self.url, self.client_id())
    }

    /// Call counts and faults.
    pub fn proxy(&self) -> &FaultProxy {
        &self.proxy
    }

    /// The API key that is demanded.
    pub fn api_key(&self) -> String {
        self.service.state().settings.api_key.clone()
    }

    /// The client id that is demanded.
    pub fn client_id(&self) -> String {
        self.service.state().settings.client_id.clone()
    }

    /// `iss` of the access tokens.
    pub fn issuer(&self) -> String {
        self.service.state().settings.issuer.clone()
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

    /// A user with a verified address; gives the id, of the present one where the address is taken.
    pub fn add_user(&self, email: &str) -> String {
        let mut state = self.service.state();
        if let Some(user) = state.user_by_email(email) {
            return user.id.clone();
        }
        let id = state.new_id("user");
        state.insert_user(id, email, true).id
    }

    /// Sets the names and the picture that the answers show.
    pub fn set_profile(&self, user_id: &str, first_name: &str, last_name: &str, picture: &str) {
        if let Some(user) = self.service.state().users.get_mut(user_id) {
            user.first_name = Some(first_name.to_owned());
            user.last_name = Some(last_name.to_owned());
            user.profile_picture_url = Some(picture.to_owned());
        }
    }

    /// The id of the user with this address.
    pub fn user_id(&self, email: &str) -> Option<String> {
        self.service.state().user_by_email(email).map(|user| user.id.clone())
    }

    /// Removes a user, ends the sessions.
    pub fn delete_user(&self, user_id: &str) {
        self.service.state().remove_user(user_id);
    }

    /// An organization with its domains; gives the id.
    pub fn add_organization(&self, name: &str, domains: &[(&str, DomainState)]) -> String {
        let mut state = self.service.state();
        let id = state.new_id("org");
        let domains = domains.iter().map(|(domain, state)| ((*domain).to_owned(), *state)).collect();
        state.insert_organization(id, name, domains).id
    }

    /// Every refresh token that was handed out, spent ones included.
    pub fn refresh_tokens(&self) -> Vec<String> {
        self.service.state().refresh_tokens.keys().cloned().collect()
    }

    /// Every access token that was handed out.
    pub fn access_tokens(&self) -> Vec<String> {
        self.service.state().access_tokens.clone()
    }

    /// Sets what an organization demands.
    pub fn set_policy(&self, organization_id: &str, policy: Policy) {
        self.service.state().set_policy(organization_id, policy);
    }

    /// Sets the environment's settings.
    pub fn set_environment(&self, environment: Environment) {
        self.service.state().settings.environment = environment;
    }

    /// An active membership; replaces an earlier one of the same user in the same organization. Gives its id.
    pub fn add_membership(
        &self,
        user_id: &str,
        organization_id: &str,
        role: &str,
        permissions: &[&str],
    ) -> String {
        let mut state = self.service.state();
        state.memberships.retain(|_, old| old.user_id != user_id || old.organization_id != organization_id);
        let permissions = permissions.iter().map(|permission| (*permission).to_owned()).collect();
        let status = MembershipStatus::Active;
        state.insert_membership(user_id, organization_id, role.to_owned(), Some(permissions), status).id
    }

    /// Switches a membership off, which ends the user's sessions in that organization.
    pub fn deactivate_membership(&self, user_id: &str, organization_id: &str) {
        self.service.state().deactivate_membership(user_id, organization_id);
    }

    /// An SSO connection over the organization's domains as they are now; gives its id.
    pub fn add_connection(&self, organization_id: &str, state: ConnectionState) -> String {
        let mut all = self.service.state();
        let name = all.organizations.get(organization_id).map(|found| found.name.clone()).unwrap_or_default();
        let id = all.new_id("conn");
        all.insert_connection(id, organization_id, name, "GenericSAML".to_owned(), state).id
    }

    /// Switches a connection on or off.
    pub fn set_connection_state(&self, connection_id: &str, state: ConnectionState) {
        if let Some(connection) = self.service.state().connections.get_mut(connection_id) {
            connection.state = state;
        }
    }

    /// Enrols an authenticator app.
    pub fn enroll_totp(&self, user_id: &str) {
        let mut state = self.service.state();
        let factor = state.new_factor();
        if let Some(user) = state.users.get_mut(user_id) {
            user.totp = Some(factor);
        }
    }

    /// The code that the user's authenticator app shows now.
    pub fn totp_code(&self, user_id: &str) -> Option<String> {
        let state = self.service.state();
        let factor = state.users.get(user_id)?.totp.as_ref()?;
        Some(mfa::totp(&factor.secret, state.now()))
    }

    /// The ids of the user's live sessions, oldest first.
    pub fn sessions(&self, user_id: &str) -> Vec<String> {
        let state = self.service.state();
        let now = state.now();
        let live =
            state.sessions.values().filter(|session| session.user_id == user_id && session.is_live(now));
        live.map(|session| session.id.clone()).collect()
    }

    /// Ends every live session of a user; gives how many there were.
    pub fn revoke_sessions(&self, user_id: &str) -> usize {
        self.service.state().end_sessions(|session| session.user_id == user_id)
    }

    /// Moves the double's clock ahead of the machine's: codes, sessions and the replay window grow older, and
    /// tokens are issued in that future.
    pub fn advance(&self, by: Duration) {
        self.service.state().clock.advance(by);
    }

    /// Expires every code and every pending authentication token that is out.
    pub fn expire_codes(&self) {
        let mut state = self.service.state();
        let now = state.now();
        state.magic_codes.iter_mut().for_each(|code| code.expires_at = now);
        state.authorization_codes.values_mut().for_each(|code| code.expires_at = now);
        state.pending.values_mut().for_each(|pending| pending.expires_at = now);
        state.email_verifications.iter_mut().for_each(|code| code.expires_at = now);
    }

    /// Ends the replay window of every refresh token that was exchanged.
    pub fn expire_replays(&self) {
        let mut state = self.service.state();
        let past = state.now().saturating_sub(millis(state.settings.replay_window)).saturating_sub(1);
        for spent in state.refresh_tokens.values_mut().filter_map(|token| token.spent.as_mut()) {
            spent.at = spent.at.min(past);
        }
    }

    /// Lifetime of the access tokens from now on.
    pub fn set_access_token_lifetime(&self, lifetime: Duration) {
        self.service.state().settings.access_token_lifetime = lifetime;
    }

    /// Lifetime of the access token that the next refresh gives; later ones are as usual.
    pub fn set_next_refreshed_lifetime(&self, lifetime: Duration) {
        self.service.state().next_refreshed_lifetime = Some(lifetime);
    }

    /// `iss` of the access tokens from now on.
    pub fn set_issuer(&self, issuer: &str) {
        issuer.clone_into(&mut self.service.state().settings.issuer);
    }

    /// Signs with a new key from now on. The old ones stay in the JWKS only where `keep_old` is set.
    pub fn rotate_keys(&self, keep_old: bool) {
        let key = SigningKey::generate();
        let mut state = self.service.state();
        if !keep_old {
            state.keys.clear();
        }
        state.keys.push(key);
    }

    /// `kid` of the key that signs.
    pub fn kid(&self) -> String {
        self.service.state().key().kid().to_owned()
    }

    /// The claims that an access token of a session would carry now: where a forgery begins.
    pub fn claims(&self, session_id: &str) -> Option<Value> {
        let mut state = self.service.state();
        let session = state.sessions.get(session_id).cloned()?;
        let lifetime = state.settings.access_token_lifetime;
        Some(state.claims(&session, lifetime))
    }

    /// A token with `claims`, signed with the current key under its usual header.
    pub fn sign(&self, claims: &Value) -> String {
        self.service.state().key().access_token(claims)
    }

    /// A token with any header and claims; the signature is RS256 with the current key whatever the header says.
    pub fn sign_with_header(&self, header: &Value, claims: &Value) -> String {
        self.service.state().key().sign(header, claims)
    }

    /// A token that is signed by a key of somebody else, under the given `kid`.
    pub fn sign_with_foreign_key(&self, kid: &str, claims: &Value) -> String {
        SigningKey::foreign().sign(&json!({"alg": "RS256", "kid": kid}), claims)
    }

    /// A token that is signed with HS256 and the public key in PEM as its secret.
    pub fn sign_hs256_with_public_key(&self, claims: &Value) -> String {
        let key = self.service.state().key();
        keys::hs256(&json!({"alg": "HS256", "kid": key.kid()}), claims, key.public_key_pem().as_bytes())
    }

    /// A token with `alg: none` and no signature.
    pub fn unsecured(&self, claims: &Value) -> String {
        keys::unsecured(&json!({"alg": "none", "kid": self.kid()}), claims)
    }
}
