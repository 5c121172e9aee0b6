//! Users and Magic Auth codes.

use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

use super::clock::iso;
use super::directory::User;
use super::paging::page;
use super::refusal::Refusal;
use super::request::{ApiKey, Fields, Query};
use super::seed::Method;
use super::service::{Service, State};

/// `POST /user_management/magic_auth`: makes the user where there is none, mails a code, and shows it in the answer.
pub(super) async fn create_magic_auth(
    _: ApiKey,
    service: Service,
    fields: Fields,
) -> Result<Response, Refusal> {
    let email = fields.email()?;
    if fields.text("invitation_token")?.is_some() {
        return Err(Refusal::oauth("invitation_invalid", "The invitation is unknown or no longer valid."));
    }
    let mut state = service.state();
    if !state.settings.environment.authentication_methods.contains(&Method::MagicAuth) {
        return Err(Refusal::oauth("authentication_method_not_allowed", "Magic Auth is not allowed."));
    }
    state.limit("magic_auth", email, 3)?;
    let user = state.sign_up(email, false)?;
    let code = state.new_magic_code(&user.id, &user.email);
    let body = json!({
        "object": "magic_auth",
        "id": code.id,
        "user_id": code.user_id,
        "email": code.email,
        "code": code.code,
        "expires_at": iso(code.expires_at),
        "created_at": iso(code.created_at),
        "updated_at": iso(code.created_at),
    });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// `GET /user_management/users`
pub(super) async fn list(_: ApiKey, service: Service, query: Query) -> Result<Response, Refusal> {
    let state = service.state();
    let email = query.get("email");
    let organization = query.get("organization_id").or(query.get("organization"));
    let wanted = |user: &&User| {
        email.is_none_or(|email| user.email.eq_ignore_ascii_case(email))
            && organization.is_none_or(|id| state.membership(&user.id, id).is_some())
    };
    page(state.users.values().filter(wanted).map(User::json).collect(), &query)
}

/// `POST /user_management/users`
pub(super) async fn create(_: ApiKey, service: Service, fields: Fields) -> Result<Response, Refusal> {
    let email = fields.email()?;
    let metadata = fields.metadata()?;
    let email_verified = fields.flag("email_verified")?.unwrap_or_default();
    let owned = |name| fields.text(name).map(|text| text.map(str::to_owned));
    let (first_name, last_name, external_id) =
        (owned("first_name")?, owned("last_name")?, owned("external_id")?);
    let mut state = service.state();
    if state.user_by_email(email).is_some() {
        // The inner code was observed on the live service: https://github.com/workos/emulate/pull/108.
        let taken = json!([{"code": "email_not_available", "message": "This email is not available."}]);
        let refusal =
            Refusal::coded(StatusCode::BAD_REQUEST, "user_creation_error", "Could not create user.");
        return Err(refusal.with("errors", taken));
    }
    let id = state.new_id("user");
    let user = state.insert_user(id, email, email_verified);
    let user = User { first_name, last_name, external_id, metadata, ..user };
    state.users.insert(user.id.clone(), user.clone());
    Ok((StatusCode::CREATED, Json(user.json())).into_response())
}

/// `GET /user_management/users/{id}`
pub(super) async fn get(_: ApiKey, service: Service, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let state = service.state();
    state.users.get(&id).map(|user| Json(user.json())).ok_or_else(|| Refusal::not_found("User", &id))
}

impl State {
    /// The user of an address, made where sign-up is allowed.
    pub(super) fn sign_up(&mut self, email: &str, email_verified: bool) -> Result<User, Refusal> {
        if let Some(user) = self.user_by_email(email) {
            return Ok(user.clone());
        }
        if !self.settings.environment.sign_up_allowed {
            return Err(Refusal::oauth("sign_up_not_allowed", "Sign up is not allowed."));
        }
        let id = self.new_id("user");
        Ok(self.insert_user(id, email, email_verified))
    }
}
