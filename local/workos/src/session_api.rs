//! Endpoints for sessions: list, revoke, log out, and the JWKS.

use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::json;

use super::error::{ApiError, Reply};
use super::model::Session;
use super::page;
use super::paging;
use super::request::{Fields, Query};
use super::state::{Authorized, Service};

/// `GET /user_management/users/{id}/sessions`: the live ones.
pub(super) async fn list(
    Authorized(service): Authorized,
    Path(user_id): Path<String>,
    query: Query,
) -> Reply {
    let state = service.state();
    if !state.users.contains_key(&user_id) {
        return Err(ApiError::not_found("User", &user_id));
    }
    paging::page(state.live_sessions(&user_id).map(Session::json), &query)
}

/// `POST /user_management/sessions/revoke`
pub(super) async fn revoke(Authorized(service): Authorized, fields: Fields) -> Reply<StatusCode> {
    let id = fields.required("session_id")?;
    if service.state().end_sessions(|session| session.id == id) == 0 {
        return Err(ApiError::plain(StatusCode::BAD_REQUEST, format!("Session not found: '{id}'.")));
    }
    Ok(StatusCode::OK)
}

/// `GET /user_management/sessions/logout`: ends the session, if it is live, and redirects the browser to `return_to`,
/// which must be one of the sign-out redirects.
pub(super) async fn logout(service: Service, query: Query) -> Reply<Response> {
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
    Ok(target.map_or_else(|| page::problem("No sign-out redirect is configured."), found))
}

/// 302 to `uri`.
pub(super) fn found(uri: String) -> Response {
    (StatusCode::FOUND, [(header::LOCATION, uri)]).into_response()
}

/// `GET /sso/jwks/{client_id}`
pub(super) async fn jwks(service: Service, Path(client_id): Path<String>) -> Reply {
    let state = service.state();
    if client_id != state.options.client_id {
        return Err(ApiError::not_found("Client", &client_id));
    }
    Ok(Json(json!({"keys": state.keys.iter().map(|key| key.jwk()).collect::<Vec<_>>()})))
}
