//! Organizations, memberships and connections.

use axum::Json;
use axum::extract::Path;
use http::StatusCode;
use serde_json::{Value, json};

use super::error::{ApiError, Reply};
use super::model::{Connection, Organization};
use super::paging::page;
use super::request::{Fields, Query};
use super::settings::MembershipStatus;
use super::state::Authorized;

/// `GET /organizations`
pub(super) async fn list(Authorized(service): Authorized, query: Query) -> Reply {
    let state = service.state();
    let domains = query.all("domains");
    let search = query.get("search").map(str::to_lowercase);
    let matching = state.organizations.values().filter(|organization| {
        (domains.is_empty() || domains.iter().any(|domain| organization.has_domain(domain)))
            && search.as_ref().is_none_or(|part| organization.name.to_lowercase().contains(part))
    });
    page(matching.map(Organization::json), &query)
}

/// `GET /organizations/{id}`
pub(super) async fn get(Authorized(service): Authorized, Path(id): Path<String>) -> Reply {
    let organization = service.state().organizations.get(&id).map(Organization::json);
    organization.map(Json).ok_or_else(|| ApiError::not_found("Organization", &id))
}

/// `GET /user_management/organization_memberships`: by default the active ones.
pub(super) async fn list_memberships(Authorized(service): Authorized, query: Query) -> Reply {
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
    page(matching.map(|membership| state.membership_json(membership)), &query)
}

/// `POST /user_management/organization_memberships`
pub(super) async fn create_membership(
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

/// `PUT /user_management/organization_memberships/{id}/deactivate`: ends the user's sessions in the organization.
pub(super) async fn deactivate_membership(Authorized(service): Authorized, Path(id): Path<String>) -> Reply {
    let mut state = service.state();
    if let Some(found) = state.memberships.get(&id).cloned() {
        state.deactivate_membership(&found.user_id, &found.organization_id);
    }
    let membership = state.memberships.get(&id).map(|membership| state.membership_json(membership));
    membership.map(Json).ok_or_else(|| ApiError::not_found("Organization Membership", &id))
}

/// `GET /connections`
pub(super) async fn list_connections(Authorized(service): Authorized, query: Query) -> Reply {
    let state = service.state();
    let matching = state.connections.values().filter(|connection| {
        let covers =
            |domain: &str| connection.domains.iter().any(|(_, own)| own.eq_ignore_ascii_case(domain));
        query.get("domain").is_none_or(covers)
            && query.get("organization_id").is_none_or(|id| connection.organization_id == id)
            && query.get("connection_type").is_none_or(|kind| connection.connection_type == kind)
    });
    page(matching.map(Connection::json), &query)
}
