//! Invitations: a token, bound to an address, that lets its holder in once and into an organization.

use std::time::Duration;

use axum::Json;
use axum::extract::Path;
use http::StatusCode;
use serde_json::{Value, json};

use super::clock::Timestamp;
use super::error::{ApiError, Reply};
use super::model::User;
use super::options::Mail;
use super::random;
use super::request::{Fields, Query};
use super::settings::MembershipStatus;
use super::state::{Authorized, State};

/// The lifetime of an invitation, unless its call names another one.
const DAYS: u64 = 7;

#[derive(Clone, Debug)]
pub(super) struct Invitation {
    pub(super) id: String,
    pub(super) token: String,
    pub(super) email: String,
    organization_id: Option<String>,
    role: Option<String>,
    created_at: Timestamp,
    expires_at: Timestamp,
    accepted: Option<(Timestamp, String)>,
    revoked_at: Option<Timestamp>,
}

impl Invitation {
    fn state(&self, now: Timestamp) -> &'static str {
        match (&self.accepted, &self.revoked_at) {
            (Some(_), _) => "accepted",
            (_, Some(_)) => "revoked",
            _ if self.expires_at <= now => "expired",
            _ => "pending",
        }
    }
}

impl State {
    /// Invites an address and mails the link.
    pub(super) fn invite(
        &mut self,
        email: &str,
        organization_id: Option<&str>,
        role: Option<&str>,
        lifetime: Duration,
    ) -> Invitation {
        let now = self.now();
        let invitation = Invitation {
            id: self.new_id("invitation"),
            token: random::token(),
            email: email.to_owned(),
            organization_id: organization_id.map(str::to_owned),
            // Without an organization there is nothing to have a role in.
            role: organization_id.map(|_| role.unwrap_or("member").to_owned()),
            created_at: now,
            expires_at: now + lifetime,
            accepted: None,
            revoked_at: None,
        };
        let link = self.invitation_url(&invitation);
        self.send(Mail { to: email.to_owned(), subject: "You are invited", code: link });
        self.invitations.insert(invitation.id.clone(), invitation.clone());
        invitation
    }

    fn invitation_url(&self, invitation: &Invitation) -> String {
        format!("{}/invite?invitation_token={}", self.url, invitation.token)
    }

    /// The pending invitation with this token.
    pub(super) fn pending_invitation(&self, token: &str) -> Result<&Invitation, ApiError> {
        let now = self.now();
        let mut invitations = self.invitations.values();
        let found = invitations.find(|each| each.token == token && each.state(now) == "pending");
        found.ok_or_else(ApiError::invalid_invitation)
    }

    /// The id of the pending invitation with this token, which was sent to `email`.
    pub(super) fn invitation_for(&self, token: &str, email: &str) -> Result<String, ApiError> {
        let invitation = self.pending_invitation(token)?;
        if invitation.email.eq_ignore_ascii_case(email) {
            return Ok(invitation.id.clone());
        }
        let message = "The invitation was sent to another email address.";
        Err(ApiError::oauth("invitation_cannot_be_used_for_email", message))
    }

    /// Accepts an invitation as `user`, who becomes a member. Returns the organization.
    pub(super) fn accept(&mut self, id: &str, user: &User) -> Result<Option<String>, ApiError> {
        let token = self.invitations.get(id).map(|found| found.token.clone()).unwrap_or_default();
        self.invitation_for(&token, &user.email)?;
        let now = self.now();
        let Some(invitation) = self.invitations.get_mut(id) else { return Ok(None) };
        invitation.accepted = Some((now, user.id.clone()));
        let Invitation { organization_id, role, .. } = invitation.clone();
        if let Some(id) = &organization_id
            && self.membership(&user.id, id).is_none()
        {
            self.insert_membership(
                &user.id,
                id,
                role.as_deref().unwrap_or("member"),
                None,
                MembershipStatus::Active,
            );
        }
        Ok(organization_id)
    }

    fn invitation_json(&self, invitation: &Invitation) -> Value {
        let accepted = invitation.accepted.as_ref();
        json!({
            "object": "invitation",
            "id": invitation.id,
            "email": invitation.email,
            "state": invitation.state(self.now()),
            "accepted_at": accepted.map(|(at, _)| at),
            "accepted_user_id": accepted.map(|(_, user)| user),
            "revoked_at": invitation.revoked_at,
            "expires_at": invitation.expires_at,
            "organization_id": invitation.organization_id,
            "inviter_user_id": null,
            "role_slug": invitation.role,
            "token": invitation.token,
            "accept_invitation_url": self.invitation_url(invitation),
            "created_at": invitation.created_at,
            "updated_at": invitation.created_at,
        })
    }
}

/// `POST /user_management/invitations`
pub(super) async fn create(
    Authorized(service): Authorized,
    fields: Fields,
) -> Reply<(StatusCode, Json<Value>)> {
    let email = fields.email()?;
    let (organization, role) = (fields.text("organization_id")?, fields.text("role_slug")?);
    let mut state = service.state();
    if let Some(id) = organization.filter(|id| !state.organizations.contains_key(*id)) {
        return Err(ApiError::not_found("Organization", id));
    }
    let invitation = state.invite(email, organization, role, Duration::from_secs(DAYS * 24 * 60 * 60));
    Ok((StatusCode::CREATED, Json(state.invitation_json(&invitation))))
}

/// `GET /user_management/invitations`
pub(super) async fn list(Authorized(service): Authorized, query: Query) -> Reply {
    let state = service.state();
    let (email, organization) = (query.get("email"), query.get("organization_id"));
    let matching = state.invitations.values().filter(|each| {
        email.is_none_or(|email| each.email.eq_ignore_ascii_case(email))
            && organization.is_none_or(|id| each.organization_id.as_deref() == Some(id))
    });
    query.page(matching.map(|each| state.invitation_json(each)))
}

/// `GET /user_management/invitations/{id}`
pub(super) async fn get(Authorized(service): Authorized, Path(id): Path<String>) -> Reply {
    let state = service.state();
    let found = state.invitations.get(&id).ok_or_else(|| ApiError::not_found("Invitation", &id))?;
    Ok(Json(state.invitation_json(found)))
}

/// `POST /user_management/invitations/{id}/revoke`
pub(super) async fn revoke(Authorized(service): Authorized, Path(id): Path<String>) -> Reply {
    let mut state = service.state();
    let now = state.now();
    let pending = state.invitations.get_mut(&id).filter(|each| each.state(now) == "pending");
    let not_pending = || ApiError::bad_request("invite_not_pending", "Invite is not pending.");
    let found = pending.ok_or_else(not_pending)?;
    found.revoked_at = Some(now);
    let revoked = found.clone();
    Ok(Json(state.invitation_json(&revoked)))
}
