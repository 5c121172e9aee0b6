//! Users and Magic Auth codes.

use axum::Json;
use axum::extract::Path;
use http::StatusCode;
use serde_json::{Value, json};

use super::error::{ApiError, Reply};
use super::model::{CodeKind, User};
use super::paging::page;
use super::request::{Fields, Query};
use super::settings::Method;
use super::state::Authorized;

/// `POST /user_management/magic_auth`: creates the user if necessary, and mails and returns a code.
pub(super) async fn create_magic_auth(
    Authorized(service): Authorized,
    fields: Fields,
) -> Reply<(StatusCode, Json<Value>)> {
    let email = fields.email()?;
    if fields.text("invitation_token")?.is_some() {
        return Err(ApiError::invalid_invitation());
    }
    let mut state = service.state();
    if !state.environment.authentication_methods.contains(&Method::MagicAuth) {
        return Err(ApiError::oauth("authentication_method_not_allowed", "Magic Auth is not allowed."));
    }
    state.limit("magic_auth", email, 3)?;
    let user = state.sign_up(email, false)?;
    let code = state.mail_code(CodeKind::MagicAuth, &user);
    let body = json!({
        "object": "magic_auth",
        "id": code.id,
        "user_id": code.user_id,
        "email": code.email,
        "code": code.code,
        "expires_at": code.expires_at,
        "created_at": code.created_at,
        "updated_at": code.created_at,
    });
    Ok((StatusCode::CREATED, Json(body)))
}

/// `GET /user_management/users`
pub(super) async fn list(Authorized(service): Authorized, query: Query) -> Reply {
    let state = service.state();
    let email = query.get("email");
    let organization = query.get("organization_id").or(query.get("organization"));
    let matching = state.users.values().filter(|user| {
        email.is_none_or(|email| user.email.eq_ignore_ascii_case(email))
            && organization.is_none_or(|id| state.membership(&user.id, id).is_some())
    });
    page(matching.map(|user| json!(user)), &query)
}

/// `POST /user_management/users`
pub(super) async fn create(
    Authorized(service): Authorized,
    fields: Fields,
) -> Reply<(StatusCode, Json<User>)> {
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
pub(super) async fn get(Authorized(service): Authorized, Path(id): Path<String>) -> Reply<Json<User>> {
    let user = service.state().users.get(&id).cloned();
    user.map(Json).ok_or_else(|| ApiError::not_found("User", &id))
}
