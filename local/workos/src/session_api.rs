//! The endpoints about sessions: list, revoke, log out, and the keys that verify their tokens.

use axum::Json;
use axum::extract::Path;
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderName, StatusCode, header};
use serde_json::{Value, json};

use super::page;
use super::paging;
use super::refusal::Refusal;
use super::request::{ApiKey, Fields, Query};
use super::service::Service;

/// `GET /user_management/users/{id}/sessions`: the live ones.
pub(super) async fn list(
    _: ApiKey,
    service: Service,
    Path(user_id): Path<String>,
    query: Query,
) -> Result<Response, Refusal> {
    let state = service.state();
    if !state.users.contains_key(&user_id) {
        return Err(Refusal::not_found("User", &user_id));
    }
    let now = state.now();
    let live = state.sessions.values().filter(|session| session.user_id == user_id && session.is_live(now));
    paging::page(live.map(|session| session.json(now)).collect(), &query)
}

/// `POST /user_management/sessions/revoke`
pub(super) async fn revoke(_: ApiKey, service: Service, fields: Fields) -> Result<StatusCode, Refusal> {
    let id = fields.required("session_id")?;
    let ended = service.state().end_sessions(|session| session.id == id);
    if ended == 0 {
        return Err(Refusal::plain(StatusCode::BAD_REQUEST, format!("Session not found: '{id}'.")));
    }
    Ok(StatusCode::OK)
}

/// `GET /user_management/sessions/logout`: a browser comes here. Ends the session, however it is, and goes on to
/// `return_to`, which must be one of the sign-out redirects.
pub(super) async fn logout(service: Service, query: Query) -> Result<Response, Refusal> {
    let id = query.get("session_id").ok_or_else(|| Refusal::invalid_field("session_id", "required"))?;
    let mut state = service.state();
    let allowed = |uri: &str| state.settings.sign_out_redirects.iter().any(|allowed| allowed == uri);
    let target = match query.get("return_to") {
        Some(uri) if !allowed(uri) => {
            let message = "The return_to URL is not one of the sign-out redirects.";
            return Ok((StatusCode::BAD_REQUEST, Html(page::problem(message))).into_response());
        }
        Some(uri) => Some(uri.to_owned()),
        None => state.settings.sign_out_redirects.first().cloned(),
    };
    state.end_sessions(|session| session.id == id);
    Ok(match target {
        Some(uri) => found(uri),
        None => (StatusCode::BAD_REQUEST, Html(page::problem("No sign-out redirect is configured.")))
            .into_response(),
    })
}

/// 302 to `uri`.
pub(super) fn found(uri: String) -> Response {
    let location: [(HeaderName, String); 1] = [(header::LOCATION, uri)];
    (StatusCode::FOUND, location).into_response()
}

/// `GET /sso/jwks/{client_id}`
pub(super) async fn jwks(service: Service, Path(client_id): Path<String>) -> Result<Json<Value>, Refusal> {
    let state = service.state();
    if client_id != state.settings.client_id {
        return Err(Refusal::not_found("Client", &client_id));
    }
    Ok(Json(json!({"keys": state.keys.iter().map(|key| key.jwk()).collect::<Vec<_>>()})))
}
