//! Endpoints for organization memberships.

use axum::Json;
use axum::extract::Path;
use http::StatusCode;
use serde_json::{Value, json};

use super::error::{ApiError, Reply};
use super::request::{Fields, Query};
use super::settings::MembershipStatus;
use super::state::{Authorized, State};

/// `GET /user_management/organization_memberships`: by default the active ones.
pub(super) async fn list(Authorized(service): Authorized, query: Query) -> Reply {
    let (user, organization) = (query.get("user_id"), query.get("organization_id"));
    if user.is_none() && organization.is_none() {
        return Err(ApiError::bad_request(
            "missing_user_id_or_organization_id",
            "Either user_id or organization_id is required.",
        ));
    }
    let mut statuses = query.all("statuses");
    if statuses.iter().any(|status| !["active", "inactive", "pending"].contains(status)) {
        return Err(ApiError::invalid_field("statuses", "invalid"));
    }
    if statuses.is_empty() {
        statuses.push("active");
    }
    let state = service.state();
    let matching = state.memberships.values().filter(|membership| {
        user.is_none_or(|id| membership.user_id == id)
            && organization.is_none_or(|id| membership.organization_id == id)
            && statuses.iter().any(|status| json!(membership.status) == *status)
    });
    query.page(matching.map(|membership| state.membership_json(membership)))
}

/// `POST /user_management/organization_memberships`
pub(super) async fn create(
    Authorized(service): Authorized,
    fields: Fields,
) -> Reply<(StatusCode, Json<Value>)> {
    let (user_id, organization_id) = (fields.required("user_id")?, fields.required("organization_id")?);
    let role = fields.text("role_slug")?.unwrap_or("member");
    let mut state = service.state();
    if !state.users.contains_key(user_id) {
        return Err(ApiError::not_found("User", user_id));
    }
    if !state.organizations.contains_key(organization_id) {
        return Err(ApiError::not_found("Organization", organization_id));
    }
    if !state.roles.contains_key(role) {
        return Err(ApiError::unprocessable("invalid_role", "The role does not exist."));
    }
    if state.membership(user_id, organization_id).is_some() {
        let message = "The user is already a member of the organization.";
        return Err(ApiError::unprocessable("invalid_request_parameters", message));
    }
    let membership = state.insert_membership(user_id, organization_id, role, None, MembershipStatus::Active);
    Ok((StatusCode::CREATED, Json(state.membership_json(&membership))))
}

/// `GET /user_management/organization_memberships/{id}`
pub(super) async fn get(Authorized(service): Authorized, Path(id): Path<String>) -> Reply {
    body(&service.state(), &id)
}

/// `PUT /user_management/organization_memberships/{id}`: changes the role.
pub(super) async fn update(Authorized(service): Authorized, Path(id): Path<String>, fields: Fields) -> Reply {
    let role = fields.required("role_slug")?;
    let mut state = service.state();
    let permissions = state.roles.get(role).cloned();
    let Some(permissions) = permissions else {
        return Err(ApiError::unprocessable("invalid_role", "The role does not exist."));
    };
    state.update_membership(&id, |membership| {
        role.clone_into(&mut membership.role);
        membership.permissions = permissions;
    });
    body(&state, &id)
}

/// `PUT /user_management/organization_memberships/{id}/deactivate`: ends the user's sessions in the organization.
pub(super) async fn deactivate(Authorized(service): Authorized, Path(id): Path<String>) -> Reply {
    let mut state = service.state();
    if is_pending(&state, &id) {
        return Err(ApiError::bad_request(
            "cannot_deactivate_pending_organization_membership",
            "A pending organization membership cannot be deactivated. This membership should be deleted instead.",
        ));
    }
    set_status(&mut state, &id, MembershipStatus::Inactive)
}

/// `PUT /user_management/organization_memberships/{id}/reactivate`
pub(super) async fn reactivate(Authorized(service): Authorized, Path(id): Path<String>) -> Reply {
    let mut state = service.state();
    if is_pending(&state, &id) {
        return Err(ApiError::bad_request(
            "cannot_reactivate_pending_organization_membership",
            "A pending organization membership cannot be reactivated. The user needs to accept the invitation instead.",
        ));
    }
    set_status(&mut state, &id, MembershipStatus::Active)
}

/// `DELETE /user_management/organization_memberships/{id}`: ends the user's sessions in the organization.
pub(super) async fn delete(Authorized(service): Authorized, Path(id): Path<String>) -> Reply<StatusCode> {
    let removed = service.state().remove_membership(&id);
    removed.map(|_| StatusCode::OK).ok_or_else(|| not_found(&id))
}

fn is_pending(state: &State, id: &str) -> bool {
    state.memberships.get(id).is_some_and(|found| found.status == MembershipStatus::Pending)
}

/// Sets the status of a membership unless it has it already, which makes no event.
fn set_status(state: &mut State, id: &str, status: MembershipStatus) -> Reply {
    let current = state.memberships.get(id).ok_or_else(|| not_found(id))?.status;
    if current != status {
        state.update_membership(id, |membership| membership.status = status);
    }
    body(state, id)
}

fn body(state: &State, id: &str) -> Reply {
    let membership = state.memberships.get(id).map(|found| state.membership_json(found));
    membership.map(Json).ok_or_else(|| not_found(id))
}

fn not_found(id: &str) -> ApiError {
    ApiError::not_found("Organization Membership", id)
}
