//! Organizations, memberships and connections.

use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::Value;

use super::directory::{Connection, Organization};
use super::paging::page;
use super::refusal::Refusal;
use super::request::{ApiKey, Fields, Query};
use super::seed::MembershipStatus;
use super::service::Service;

/// `GET /organizations`
pub(super) async fn list(_: ApiKey, service: Service, query: Query) -> Result<Response, Refusal> {
    let state = service.state();
    let domains = query.all("domains");
    let search = query.get("search").map(str::to_lowercase);
    let wanted = |organization: &&Organization| {
        (domains.is_empty() || domains.iter().any(|domain| organization.has_domain(domain)))
            && search.as_ref().is_none_or(|part| organization.name.to_lowercase().contains(part))
    };
    page(state.organizations.values().filter(wanted).map(Organization::json).collect(), &query)
}

/// `GET /organizations/{id}`
pub(super) async fn get(_: ApiKey, service: Service, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let state = service.state();
    let found = state.organizations.get(&id).map(|organization| Json(organization.json()));
    found.ok_or_else(|| Refusal::not_found("Organization", &id))
}

/// `GET /user_management/organization_memberships`: the active ones, unless `statuses` says otherwise.
pub(super) async fn list_memberships(_: ApiKey, service: Service, query: Query) -> Result<Response, Refusal> {
    let (user, organization) = (query.get("user_id"), query.get("organization_id"));
    if user.is_none() && organization.is_none() {
        return Err(Refusal::coded(
            StatusCode::BAD_REQUEST,
            "missing_user_id_or_organization_id",
            "Either user_id or organization_id is required.",
        ));
    }
    let mut statuses = query.all("statuses");
    if statuses.iter().any(|status| !["active", "inactive", "pending"].contains(status)) {
        return Err(Refusal::invalid_field("statuses", "invalid"));
    }
    if statuses.is_empty() {
        statuses.push("active");
    }
    let state = service.state();
    let wanted = state.memberships.values().filter(|membership| {
        user.is_none_or(|id| membership.user_id == id)
            && organization.is_none_or(|id| membership.organization_id == id)
            && statuses.contains(&membership.status.name())
    });
    page(wanted.map(|membership| state.membership_json(membership)).collect(), &query)
}

/// `POST /user_management/organization_memberships`
pub(super) async fn create_membership(
    _: ApiKey,
    service: Service,
    fields: Fields,
) -> Result<Response, Refusal> {
    let (user_id, organization_id) = (fields.required("user_id")?, fields.required("organization_id")?);
    let role = fields.text("role_slug")?.unwrap_or("member");
    let mut state = service.state();
    if !state.users.contains_key(user_id) {
        return Err(Refusal::not_found("User", user_id));
    }
    if !state.organizations.contains_key(organization_id) {
        return Err(Refusal::not_found("Organization", organization_id));
    }
    if !state.roles.contains_key(role) {
        return Err(Refusal::coded(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_role",
            "The role does not exist.",
        ));
    }
    if state.membership(user_id, organization_id).is_some() {
        return Err(Refusal::coded(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_request_parameters",
            "The user is a member of the organization already.",
        ));
    }
    let made =
        state.insert_membership(user_id, organization_id, role.to_owned(), None, MembershipStatus::Active);
    Ok((StatusCode::CREATED, Json(state.membership_json(&made))).into_response())
}

/// `PUT /user_management/organization_memberships/{id}/deactivate`: ends the sessions that are in the organization.
pub(super) async fn deactivate_membership(
    _: ApiKey,
    service: Service,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let mut state = service.state();
    let not_found = || Refusal::not_found("Organization Membership", &id);
    let found = state.memberships.get(&id).cloned().ok_or_else(not_found)?;
    state.deactivate_membership(&found.user_id, &found.organization_id);
    state.memberships.get(&id).map(|membership| Json(state.membership_json(membership))).ok_or_else(not_found)
}

/// `GET /connections`
pub(super) async fn list_connections(_: ApiKey, service: Service, query: Query) -> Result<Response, Refusal> {
    let state = service.state();
    let wanted = state.connections.values().filter(|connection| {
        let domain =
            |wanted: &str| connection.domains.iter().any(|(_, own)| own.eq_ignore_ascii_case(wanted));
        query.get("domain").is_none_or(domain)
            && query.get("organization_id").is_none_or(|id| connection.organization_id == id)
            && query.get("connection_type").is_none_or(|kind| connection.connection_type == kind)
    });
    page(wanted.map(Connection::json).collect(), &query)
}
