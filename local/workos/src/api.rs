//! Endpoints for users, organizations, connections and sessions.

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::error::{ApiError, Reply};
use super::model::{CodeKind, Connection, MailedCode, Organization, User};
use super::page;
use super::request::{Fields, Query};
use super::settings::Method;
use super::state::{Authorized, Service};

type Created<T = Value> = Reply<(StatusCode, Json<T>)>;

/// `POST /user_management/magic_auth`: creates the user if necessary, and mails and returns a code.
pub(super) async fn create_magic_auth(Authorized(service): Authorized, fields: Fields) -> Created {
    let email = fields.email()?;
    let invitation = fields.text("invitation_token")?;
    let mut state = service.state();
    if !state.environment.authentication_methods.contains(&Method::MagicAuth) {
        return Err(ApiError::oauth("authentication_method_not_allowed", "Magic Auth is not allowed."));
    }
    state.limit("magic_auth", email, 3)?;
    let user = state.sign_up_invited(email, false, invitation)?;
    let code = state.mail_code(CodeKind::MagicAuth, &user);
    Ok((StatusCode::CREATED, Json(code_body("magic_auth", &code))))
}

/// A mailed code, as an `object` of this kind.
fn code_body(object: &str, code: &MailedCode) -> Value {
    json!({
        "object": object,
        "id": code.id,
        "user_id": code.user_id,
        "email": code.email,
        "code": code.code,
        "expires_at": code.expires_at,
        "created_at": code.created_at,
        "updated_at": code.created_at,
    })
}

/// `GET /user_management/email_verification/{id}`
pub(super) async fn email_verification(Authorized(service): Authorized, Path(id): Path<String>) -> Reply {
    let state = service.state();
    let mut codes = state.mailed_codes.iter();
    let code = codes.find(|code| code.kind == CodeKind::EmailVerification && code.id == id);
    let body = code.map(|code| Json(code_body("email_verification", code)));
    body.ok_or_else(|| ApiError::not_found("Email Verification", &id))
}

/// `POST /user_management/users/{id}/email_verification/send`: mails another code.
pub(super) async fn send_email_verification(
    Authorized(service): Authorized,
    Path(id): Path<String>,
) -> Reply {
    let mut state = service.state();
    let user = state.users.get(&id).cloned().ok_or_else(|| ApiError::not_found("User", &id))?;
    if user.email_verified {
        let message = "The user's email address is already verified.";
        return Err(ApiError::bad_request("email_already_verified", message));
    }
    state.limit("email_verification", &user.email, 3)?;
    state.mail_code(CodeKind::EmailVerification, &user);
    Ok(Json(json!({"user": user})))
}

/// `GET /user_management/users`
pub(super) async fn users(Authorized(service): Authorized, query: Query) -> Reply {
    let state = service.state();
    let email = query.get("email");
    let organization = query.get("organization_id").or(query.get("organization"));
    let matching = state.users.values().filter(|user| {
        email.is_none_or(|email| user.email.eq_ignore_ascii_case(email))
            && organization.is_none_or(|id| state.membership(&user.id, id).is_some())
    });
    query.page(matching.map(|user| json!(user)))
}

/// `POST /user_management/users`
pub(super) async fn create_user(Authorized(service): Authorized, fields: Fields) -> Created<User> {
    let email = fields.email()?;
    let metadata = fields.metadata()?;
    let email_verified = fields.flag("email_verified")?;
    let (first_name, last_name) = (fields.owned("first_name")?, fields.owned("last_name")?);
    let external_id = fields.owned("external_id")?;
    let mut state = service.state();
    if state.user_by_email(email).is_some() {
        // The inner code was observed on the live service: https://github.com/workos/emulate/pull/108.
        let taken = json!([{"code": "email_not_available", "message": "This email is not available."}]);
        let error = ApiError::bad_request("user_creation_error", "Could not create user.");
        return Err(error.with("errors", taken));
    }
    let email = email.to_owned();
    let user =
        User { email, email_verified, first_name, last_name, external_id, metadata, ..User::default() };
    Ok((StatusCode::CREATED, Json(state.insert_user(user))))
}

/// `GET /user_management/users/{id}`
pub(super) async fn user(Authorized(service): Authorized, Path(id): Path<String>) -> Reply<Json<User>> {
    let user = service.state().users.get(&id).cloned();
    user.map(Json).ok_or_else(|| ApiError::not_found("User", &id))
}

/// `PUT /user_management/users/{id}`: changes the fields that it names.
pub(super) async fn update_user(
    Authorized(service): Authorized,
    Path(id): Path<String>,
    fields: Fields,
) -> Reply<Json<User>> {
    let (email, locale) = (fields.has("email").then(|| fields.email()).transpose()?, fields.owned("locale")?);
    let (first_name, last_name) = (fields.owned("first_name")?, fields.owned("last_name")?);
    let external_id = fields.owned("external_id")?;
    let metadata = fields.has("metadata").then(|| fields.metadata()).transpose()?;
    let email_verified = fields.has("email_verified").then(|| fields.flag("email_verified")).transpose()?;
    let set = |field: &mut Option<String>, value: Option<String>| {
        if value.is_some() {
            *field = value;
        }
    };
    let updated = service.state().update_user(&id, |user| {
        set(&mut user.first_name, first_name);
        set(&mut user.last_name, last_name);
        set(&mut user.external_id, external_id);
        set(&mut user.locale, locale);
        if let Some(email) = email {
            email.clone_into(&mut user.email);
        }
        user.metadata.extend(metadata.unwrap_or_default());
        user.email_verified = email_verified.unwrap_or(user.email_verified);
    });
    updated.map(Json).ok_or_else(|| ApiError::not_found("User", &id))
}

/// `DELETE /user_management/users/{id}`: with its sessions and memberships.
pub(super) async fn delete_user(
    Authorized(service): Authorized,
    Path(id): Path<String>,
) -> Reply<StatusCode> {
    let removed = service.state().remove_user(&id);
    removed.map(|_| StatusCode::OK).ok_or_else(|| ApiError::not_found("User", &id))
}

/// `GET /organizations`
pub(super) async fn organizations(Authorized(service): Authorized, query: Query) -> Reply {
    let state = service.state();
    let domains = query.all("domains");
    let search = query.get("search").map(str::to_lowercase);
    let matching = state.organizations.values().filter(|organization| {
        (domains.is_empty() || domains.iter().any(|domain| organization.has_domain(domain)))
            && search.as_ref().is_none_or(|part| organization.name.to_lowercase().contains(part))
    });
    query.page(matching.map(|organization| json!(organization)))
}

/// `GET /organizations/{id}`
pub(super) async fn organization(
    Authorized(service): Authorized,
    Path(id): Path<String>,
) -> Reply<Json<Organization>> {
    let organization = service.state().organizations.get(&id).cloned();
    organization.map(Json).ok_or_else(|| ApiError::not_found("Organization", &id))
}

/// `GET /connections`
pub(super) async fn connections(Authorized(service): Authorized, query: Query) -> Reply {
    let state = service.state();
    let matching = state.connections.values().filter(|connection| {
        let covers =
            |domain: &str| connection.domains.iter().any(|(_, own)| own.eq_ignore_ascii_case(domain));
        query.get("domain").is_none_or(covers)
            && query.get("organization_id").is_none_or(|id| connection.organization_id == id)
            && query.get("connection_type").is_none_or(|kind| connection.connection_type == kind)
    });
    query.page(matching.map(Connection::json))
}

/// `GET /user_management/users/{id}/sessions`: the live ones.
pub(super) async fn sessions(
    Authorized(service): Authorized,
    Path(user_id): Path<String>,
    query: Query,
) -> Reply {
    let state = service.state();
    if !state.users.contains_key(&user_id) {
        return Err(ApiError::not_found("User", &user_id));
    }
    query.page(state.live_sessions(&user_id).map(|session| json!(session)))
}

/// `POST /user_management/sessions/revoke`
pub(super) async fn revoke_session(Authorized(service): Authorized, fields: Fields) -> Reply<StatusCode> {
    let id = fields.required("session_id")?;
    if service.state().end_sessions(|session| session.id == id) == 0 {
        return Err(ApiError::plain(StatusCode::BAD_REQUEST, format!("Session not found: '{id}'.")));
    }
    Ok(StatusCode::OK)
}

/// `GET /user_management/sessions/logout`: ends the session, if it is live, and redirects the browser to `return_to`,
/// which must be one of the sign-out redirects.
pub(super) async fn logout(Shared(service): Shared<Service>, query: Query) -> Reply<Response> {
    let id = query.get("session_id").ok_or_else(|| ApiError::invalid_field("session_id", "required"))?;
    let mut state = service.state();
    let redirects = &state.options.sign_out_redirects;
    let target = match query.get("return_to") {
        Some(uri) if !redirects.iter().any(|allowed| allowed == uri) => {
            return Ok(page::problem("The return_to URL is not one of the sign-out redirects."));
        }
        Some(uri) => Some(uri.to_owned()),
        None => redirects.first().cloned(),
    };
    state.end_sessions(|session| session.id == id);
    Ok(target.map_or_else(|| page::problem("No sign-out redirect is configured."), page::found))
}

/// `GET /sso/jwks/{client_id}`
pub(super) async fn jwks(Shared(service): Shared<Service>, Path(client_id): Path<String>) -> Reply {
    let state = service.state();
    if client_id != state.options.client_id {
        return Err(ApiError::not_found("Client", &client_id));
    }
    Ok(Json(json!({"keys": state.keys.iter().map(|key| key.jwk()).collect::<Vec<_>>()})))
}
