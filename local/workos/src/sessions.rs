//! Sessions and their tokens.

use std::time::Duration;

use serde_json::{Value, json};

use super::model::{Client, RefreshToken, Session, SessionStatus, SignIn};
use super::random;
use super::state::State;

/// How long an impersonation lasts: <https://workos.com/docs/authkit/impersonation>.
const IMPERSONATION: Duration = Duration::from_secs(60 * 60);

impl State {
    /// Starts a session; returns the authenticate response.
    pub(super) fn start_session(&mut self, sign_in: SignIn, client: Client) -> Value {
        let now = self.now();
        if let Some(user) = self.users.get_mut(&sign_in.user_id) {
            user.last_sign_in_at = Some(now);
            user.updated_at = now;
        }
        let lifetime = match sign_in.impersonator {
            Some(_) => self.options.session_lifetime.min(IMPERSONATION),
            None => self.options.session_lifetime,
        };
        let session = Session {
            id: self.new_id("session"),
            sign_in,
            client,
            created_at: now,
            updated_at: now,
            expires_at: now + lifetime,
            status: SessionStatus::Active,
            ended_at: None,
        };
        self.sessions.insert(session.id.clone(), session.clone());
        self.session_event("session.created", &session);
        self.issue(&session, self.options.access_token_lifetime)
    }

    /// The claims of an access token of `session` issued now.
    pub(super) fn claims(&self, session: &Session, lifetime: Duration) -> Value {
        let now = self.now();
        let SignIn { user_id, organization_id, .. } = &session.sign_in;
        let membership = organization_id.as_ref().and_then(|id| self.membership(user_id, id));
        without_nulls(json!({
            "iss": self.issuer,
            "sub": user_id,
            "sid": session.id,
            "jti": random::ulid(now, 0),
            "iat": now.seconds(),
            "exp": (now + lifetime).seconds(),
            "client_id": self.options.client_id,
            "auth_time": session.sign_in.authenticated_at.unwrap_or(session.created_at).seconds(),
            "org_id": organization_id,
            "act": session.sign_in.impersonator.as_ref().map(|person| json!({"sub": person.email})),
            "role": membership.map(|found| &found.role),
            "roles": membership.map(|found| [&found.role]),
            "permissions": membership.map(|found| &found.permissions),
        }))
    }

    /// Issues a pair of tokens; returns the authenticate response.
    pub(super) fn issue(&mut self, session: &Session, lifetime: Duration) -> Value {
        let access_token = self.key().access_token(&self.claims(session, lifetime));
        self.access_tokens.push(access_token.clone());
        let refresh_token = random::token();
        let unused = RefreshToken { session_id: session.id.clone(), exchange: None };
        self.refresh_tokens.insert(refresh_token.clone(), unused);
        without_nulls(json!({
            "user": self.users.get(&session.sign_in.user_id),
            "organization_id": session.sign_in.organization_id,
            "access_token": access_token,
            "refresh_token": refresh_token,
            "authentication_method": session.sign_in.method.name(),
            "impersonator": session.sign_in.impersonator,
        }))
    }

    /// The user's live sessions, oldest first.
    pub(super) fn live_sessions(&self, user_id: &str) -> impl Iterator<Item = &Session> {
        let now = self.now();
        self.sessions
            .values()
            .filter(move |session| session.sign_in.user_id == user_id && session.is_live(now))
    }

    /// Ends the matching live sessions; returns their number.
    pub(super) fn end_sessions(&mut self, matches: impl Fn(&Session) -> bool) -> usize {
        let now = self.now();
        let live = self.sessions.values_mut().filter(|session| session.is_live(now) && matches(session));
        let end = |session: &mut Session| {
            session.status = SessionStatus::Revoked;
            session.updated_at = now;
            session.ended_at = Some(now);
            session.clone()
        };
        let ended: Vec<Session> = live.map(end).collect();
        for session in &ended {
            self.session_event("session.revoked", session);
        }
        ended.len()
    }
}

/// Removes the null fields of an object.
fn without_nulls(mut object: Value) -> Value {
    if let Value::Object(fields) = &mut object {
        fields.retain(|_, value| !value.is_null());
    }
    object
}
