//! The conditions for a session: a verified address, a chosen organization, and that organization's policy.

use http::StatusCode;
use serde_json::{Value, json};

use super::error::ApiError;
use super::model::{Client, CodeKind, Exchange, SignIn, User};
use super::settings::{MembershipStatus, Method};
use super::state::State;

impl State {
    /// Starts a session, or returns an error that names the missing step.
    pub(super) fn admit(&mut self, mut sign_in: SignIn, client: Client) -> Result<Value, ApiError> {
        let Some(user) = self.users.get(&sign_in.user_id).cloned() else {
            return Err(ApiError::invalid_grant("The user no longer exists."));
        };
        // The dashboard's users need no method and no factor of the person's.
        let is_impersonated = sign_in.impersonator.is_some();
        if !is_impersonated && !self.environment.authentication_methods.contains(&sign_in.method) {
            let message = "The authentication method is not allowed.";
            return Err(ApiError::forbidden("authentication_method_not_allowed", message));
        }
        let verified = (sign_in.email_verified && !user.email_verified)
            .then(|| self.update_user(&user.id, |user| user.email_verified = true))
            .flatten();
        let user = verified.unwrap_or(user);
        if !user.email_verified && !is_impersonated && self.environment.email_verification_required {
            let message = "Email ownership must be verified before authentication.";
            return Err(ApiError::forbidden("email_verification_required", message)
                .with("email_verification_id", self.mail_code(CodeKind::EmailVerification, &user).id)
                .with("pending_authentication_token", self.new_pending(sign_in))
                .with("email", user.email));
        }
        if let Some(id) = sign_in.invitation.take() {
            let organization = self.accept(&id, &user)?;
            sign_in.organization_id = sign_in.organization_id.or(organization);
        }
        let by_sso = sign_in.sso_organization.is_some();
        if self.environment.mfa_required && !sign_in.second_factor && !by_sso {
            return Err(self.second_factor_required(&user, &sign_in, true));
        }
        match &sign_in.organization_id {
            Some(organization) => self.require_membership(&user.id, organization)?,
            None => sign_in.organization_id = self.choose_organization(&user, &sign_in)?,
        }
        self.check_policy(&user, &sign_in, true)?;
        Ok(self.start_session(sign_in, client))
    }

    /// The organization of the user's only active membership. With several, the user must choose.
    fn choose_organization(&mut self, user: &User, sign_in: &SignIn) -> Result<Option<String>, ApiError> {
        let memberships = self.memberships.values();
        let active = memberships.filter(|m| m.user_id == user.id && m.status == MembershipStatus::Active);
        let ids: Vec<String> = active.map(|membership| membership.organization_id.clone()).collect();
        if ids.len() < 2 {
            return Ok(ids.into_iter().next());
        }
        let organizations = ids.iter().filter_map(|id| self.organizations.get(id));
        let choices: Vec<Value> =
            organizations.map(|found| json!({"id": found.id, "name": found.name})).collect();
        let message = "The user must choose an organization to finish their authentication.";
        Err(ApiError::forbidden("organization_selection_required", message)
            .with("pending_authentication_token", self.new_pending(sign_in.clone()))
            .with("user", json!(user))
            .with("organizations", choices))
    }

    /// 404 for an unknown organization, 400 `organization_membership_not_found` without an active membership.
    fn require_membership(&self, user_id: &str, organization_id: &str) -> Result<(), ApiError> {
        if !self.organizations.contains_key(organization_id) {
            return Err(ApiError::not_found("Organization", organization_id));
        }
        match self.membership(user_id, organization_id) {
            Some(membership) if membership.status == MembershipStatus::Active => Ok(()),
            _ => {
                let message = "The user is not an active member of the organization.";
                Err(ApiError::oauth("organization_membership_not_found", message))
            }
        }
    }

    /// Checks the policy of the sign-in's organization. Unless it is `resumable`, a missing second factor fails it.
    fn check_policy(&mut self, user: &User, sign_in: &SignIn, resumable: bool) -> Result<(), ApiError> {
        let Some(organization) = sign_in.organization_id.as_ref().and_then(|id| self.organizations.get(id))
        else {
            return Ok(());
        };
        if sign_in.impersonator.is_some() || sign_in.sso_organization.as_ref() == Some(&organization.id) {
            return Ok(());
        }
        let policy = &organization.policy;
        let connections: Vec<_> =
            self.active_connections(&organization.id).map(|connection| connection.id.clone()).collect();
        if policy.sso_required {
            if connections.is_empty() {
                let message = "Must use SSO for selected organization";
                return Err(ApiError::plain(StatusCode::BAD_REQUEST, message));
            }
            let message = "User must authenticate using one of the matching connections.";
            let error = ApiError::oauth("sso_required", message);
            return Err(error.with("email", user.email.as_str()).with("connection_ids", connections));
        }
        if let Some(methods) = &policy.authentication_methods
            && !methods.contains(&sign_in.method)
        {
            let error = ApiError::oauth(
                "organization_authentication_methods_required",
                "User must authenticate using one of the methods allowed by the organization.",
            );
            let auth_methods = json!({
                "apple_oauth": false,
                "github_oauth": false,
                "google_oauth": methods.contains(&Method::GoogleOauth),
                "magic_auth": methods.contains(&Method::MagicAuth),
                "microsoft_oauth": methods.contains(&Method::MicrosoftOauth),
                "password": false,
            });
            return Err(error
                .with("email", user.email.as_str())
                .with("sso_connection_ids", connections)
                .with("auth_methods", auth_methods));
        }
        if policy.mfa_required && !sign_in.second_factor {
            return Err(self.second_factor_required(user, sign_in, resumable));
        }
        Ok(())
    }

    fn second_factor_required(&mut self, user: &User, sign_in: &SignIn, resumable: bool) -> ApiError {
        let enrollment = ("mfa_enrollment", "The user must enroll in MFA to finish authenticating.");
        if !resumable {
            return ApiError::oauth(enrollment.0, enrollment.1);
        }
        let enrolled = self.factors_of(&user.id).filter(|factor| factor.verified);
        let factors: Vec<_> = enrolled.map(|factor| json!({"id": factor.id, "type": "totp"})).collect();
        let error = if factors.is_empty() {
            ApiError::forbidden(enrollment.0, enrollment.1)
        } else {
            let message = "The user must complete an MFA challenge to finish authenticating.";
            ApiError::forbidden("mfa_challenge", message).with("authentication_factors", factors)
        };
        error
            .with("pending_authentication_token", self.new_pending(sign_in.clone()))
            .with("user", json!(user))
    }

    /// Exchanges a refresh token. Repeating the exchange within the replay window returns the same pair; a policy
    /// error leaves the token unused.
    pub(super) fn refresh(&mut self, token: &str, organization_id: Option<&str>) -> Result<Value, ApiError> {
        let now = self.now();
        let Some(found) = self.refresh_tokens.get(token).cloned() else {
            return Err(ApiError::invalid_grant("Invalid refresh token."));
        };
        let session = self.sessions.get(&found.session_id).filter(|session| session.is_live(now));
        let Some(mut session) = session.cloned() else {
            return Err(ApiError::invalid_grant("Session has already ended."));
        };
        if let Some(exchange) = found.exchange {
            let replay =
                now < exchange.replayable_until && exchange.organization_id.as_deref() == organization_id;
            return if replay {
                Ok(exchange.response)
            } else {
                Err(ApiError::invalid_grant("Refresh token already exchanged."))
            };
        }
        if let Some(id) = organization_id {
            self.require_membership(&session.sign_in.user_id, id)?;
            session.sign_in.organization_id = Some(id.to_owned());
        }
        if let Some(user) = self.users.get(&session.sign_in.user_id).cloned() {
            self.check_policy(&user, &session.sign_in, false)?;
        }
        session.updated_at = now;
        self.sessions.insert(session.id.clone(), session.clone());
        let lifetime = self.next_refreshed_lifetime.take().unwrap_or(self.options.access_token_lifetime);
        let response = self.issue(&session, lifetime);
        let exchange = Exchange {
            organization_id: organization_id.map(str::to_owned),
            response: response.clone(),
            replayable_until: now + self.options.replay_window,
        };
        if let Some(token) = self.refresh_tokens.get_mut(token) {
            token.exchange = Some(exchange);
        }
        Ok(response)
    }
}
