//! Sessions, access tokens and rotating refresh tokens.

use std::time::Duration;

use serde_json::{Value, json};

use super::clock::{Millis, iso, millis};
use super::codes::Arrival;
use super::directory::User;
use super::random;
use super::refusal::Refusal;
use super::seed::Method;
use super::service::State;

/// A session; several can live side by side.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) user_id: String,
    pub(super) method: Method,
    pub(super) organization_id: Option<String>,
    pub(super) sso_organization: Option<String>,
    pub(super) second_factor: bool,
    pub(super) client: Client,
    pub(super) created_at: Millis,
    pub(super) updated_at: Millis,
    pub(super) expires_at: Millis,
    pub(super) ended_at: Option<Millis>,
}

/// Where the person sits, as the caller passed it on.
#[derive(Clone, Debug, Default)]
pub(super) struct Client {
    pub(super) ip_address: Option<String>,
    pub(super) user_agent: Option<String>,
}

/// A refresh token.
#[derive(Clone, Debug)]
pub(super) struct RefreshToken {
    pub(super) session_id: String,
    /// What it was exchanged for, once it was.
    pub(super) spent: Option<Spent>,
}

/// A refresh token's one exchange.
#[derive(Clone, Debug)]
pub(super) struct Spent {
    pub(super) at: Millis,
    /// The organization that the exchange asked for.
    pub(super) asked: Option<String>,
    pub(super) answer: Value,
}

impl Session {
    pub(super) fn is_live(&self, now: Millis) -> bool {
        self.ended_at.is_none() && self.expires_at > now
    }

    pub(super) fn json(&self, now: Millis) -> Value {
        let status = match self.ended_at {
            Some(_) => "revoked",
            None if self.expires_at <= now => "expired",
            None => "active",
        };
        let mut json = json!({
            "object": "session",
            "id": self.id,
            "user_id": self.user_id,
            "auth_method": self.method.session_name(),
            "status": status,
            "ip_address": self.client.ip_address,
            "user_agent": self.client.user_agent,
            "expires_at": iso(self.expires_at),
            "ended_at": self.ended_at.map(iso),
            "created_at": iso(self.created_at),
            "updated_at": iso(self.updated_at),
        });
        if let (Some(id), Value::Object(fields)) = (&self.organization_id, &mut json) {
            fields.insert("organization_id".to_owned(), id.as_str().into());
        }
        json
    }
}

impl State {
    /// Begins a session for an arrival that no policy holds up; gives the authenticate answer.
    pub(super) fn begin_session(&mut self, user: &User, arrival: &Arrival, client: Client) -> Value {
        let now = self.now();
        let session = Session {
            id: self.new_id("session"),
            user_id: user.id.clone(),
            method: arrival.method,
            organization_id: arrival.organization.clone(),
            sso_organization: arrival.sso_organization.clone(),
            second_factor: arrival.second_factor,
            client,
            created_at: now,
            updated_at: now,
            expires_at: now.saturating_add(millis(self.settings.session_lifetime)),
            ended_at: None,
        };
        if let Some(user) = self.users.get_mut(&user.id) {
            user.last_sign_in_at = Some(now);
            user.updated_at = now;
        }
        let lifetime = self.settings.access_token_lifetime;
        self.sessions.insert(session.id.clone(), session.clone());
        self.issue(&session, lifetime)
    }

    /// The claims of an access token of `session` that is issued now.
    pub(super) fn claims(&mut self, session: &Session, lifetime: Duration) -> Value {
        let now = self.now();
        let issued = now.div_euclid(1000);
        let lifetime = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        let mut claims = json!({
            "iss": self.settings.issuer,
            "sub": session.user_id,
            "sid": session.id,
            "jti": random::ulid(now, 0),
            "iat": issued,
            "exp": issued.saturating_add(lifetime),
            "client_id": self.settings.client_id,
            "auth_time": session.created_at.div_euclid(1000),
        });
        if let (Some(organization), Value::Object(fields)) = (&session.organization_id, &mut claims) {
            fields.insert("org_id".to_owned(), organization.as_str().into());
            if let Some(membership) = self.membership(&session.user_id, organization) {
                fields.insert("role".to_owned(), membership.role.as_str().into());
                fields.insert("roles".to_owned(), json!([membership.role]));
                fields.insert("permissions".to_owned(), json!(membership.permissions));
            }
        }
        claims
    }

    /// A new pair of tokens; gives the authenticate answer.
    fn issue(&mut self, session: &Session, lifetime: Duration) -> Value {
        let claims = self.claims(session, lifetime);
        let access_token = self.key().access_token(&claims);
        self.access_tokens.push(access_token.clone());
        let refresh_token = random::token();
        let unspent = RefreshToken { session_id: session.id.clone(), spent: None };
        self.refresh_tokens.insert(refresh_token.clone(), unspent);
        let mut answer = json!({
            "user": self.users.get(&session.user_id).map(User::json),
            "access_token": access_token,
            "refresh_token": refresh_token,
            "authentication_method": session.method.name(),
        });
        if let (Some(organization), Value::Object(fields)) = (&session.organization_id, &mut answer) {
            fields.insert("organization_id".to_owned(), organization.as_str().into());
        }
        answer
    }

    /// Exchanges a refresh token. The same exchange again, within the replay window, gives the same pair; a refusal
    /// by a policy spends nothing.
    pub(super) fn refresh(&mut self, token: &str, asked: Option<&str>) -> Result<Value, Refusal> {
        let now = self.now();
        let Some(found) = self.refresh_tokens.get(token).cloned() else {
            return Err(Refusal::invalid_grant("Invalid refresh token."));
        };
        let session = self.sessions.get(&found.session_id).filter(|session| session.is_live(now)).cloned();
        let Some(mut session) = session else {
            return Err(Refusal::invalid_grant("Session has already ended."));
        };
        if let Some(spent) = found.spent {
            let replay = now - spent.at <= millis(self.settings.replay_window);
            return if replay && spent.asked.as_deref() == asked {
                Ok(spent.answer)
            } else {
                Err(Refusal::invalid_grant("Refresh token already exchanged."))
            };
        }
        if let Some(organization) = asked {
            self.require_membership(&session.user_id, organization)?;
            session.organization_id = Some(organization.to_owned());
        }
        self.check_refresh_policy(&session)?;

        session.updated_at = now;
        self.sessions.insert(session.id.clone(), session.clone());
        let lifetime = self.next_refreshed_lifetime.take().unwrap_or(self.settings.access_token_lifetime);
        let answer = self.issue(&session, lifetime);
        if let Some(token) = self.refresh_tokens.get_mut(token) {
            token.spent = Some(Spent { at: now, asked: asked.map(str::to_owned), answer: answer.clone() });
        }
        Ok(answer)
    }

    /// Ends the live sessions that `which` picks; gives how many there were.
    pub(super) fn end_sessions(&mut self, which: impl Fn(&Session) -> bool) -> usize {
        let now = self.now();
        let live = self.sessions.values_mut().filter(|session| session.is_live(now) && which(session));
        live.map(|session| session.ended_at = Some(now)).count()
    }
}
