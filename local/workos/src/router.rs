//! Routes, and the names of their calls.

use axum::Router;
use axum::extract::State;
use axum::middleware::map_response_with_state;
use axum::response::Response;
use axum::routing::{get, post, put};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, StatusCode};

use super::error::ApiError;
use super::request::Fields;
use super::state::Service;
use super::{api, authenticate, authorize, events, hosted, invitations, memberships, mfa, random};

/// Every endpoint of the double.
pub(super) fn router(service: Service) -> Router {
    Router::new()
        .route("/user_management/authenticate", post(authenticate::authenticate))
        .route("/user_management/authorize", get(authorize::user_management))
        .route("/sso/authorize", get(authorize::sso))
        .route("/sso/jwks/{client_id}", get(api::jwks))
        .route("/user_management/magic_auth", post(api::create_magic_auth))
        .route("/user_management/users", get(api::users).post(api::create_user))
        .route("/user_management/users/{id}", get(api::user).put(api::update_user).delete(api::delete_user))
        .route("/user_management/users/{id}/sessions", get(api::sessions))
        .route("/user_management/sessions/revoke", post(api::revoke_session))
        .route("/user_management/sessions/logout", get(api::logout))
        .route("/user_management/organization_memberships", get(memberships::list).post(memberships::create))
        .route(
            "/user_management/organization_memberships/{id}",
            get(memberships::get).put(memberships::update).delete(memberships::delete),
        )
        .route("/user_management/organization_memberships/{id}/deactivate", put(memberships::deactivate))
        .route("/user_management/organization_memberships/{id}/reactivate", put(memberships::reactivate))
        .route("/user_management/invitations", get(invitations::list).post(invitations::create))
        .route("/user_management/invitations/{id}", get(invitations::get))
        .route("/user_management/invitations/{id}/revoke", post(invitations::revoke))
        .route("/invite", get(hosted::invite))
        .route("/impersonate", get(hosted::impersonate))
        .route("/idp", get(hosted::identity_provider))
        .route("/organizations", get(api::organizations))
        .route("/organizations/{id}", get(api::organization))
        .route("/connections", get(api::connections))
        .route("/events", get(events::list))
        .route("/user_management/users/{id}/auth_factors", get(mfa::factors).post(mfa::create_factor))
        .route("/auth/factors/{id}", get(mfa::factor).delete(mfa::delete_factor))
        .route("/auth/factors/{id}/challenge", post(mfa::challenge))
        .route("/user_management/email_verification/{id}", get(api::email_verification))
        .route("/user_management/users/{id}/email_verification/send", post(api::send_email_verification))
        .fallback(async || ApiError::plain(StatusCode::NOT_FOUND, "Not Found"))
        .layer(map_response_with_state(service.clone(), identify))
        .with_state(service)
}

/// Adds a request id, as the real service does.
async fn identify(State(service): State<Service>, mut response: Response) -> Response {
    let id = random::ulid(service.state().now(), 0);
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

/// The name of a call, e.g. `users.list` or, with the grant, `authenticate.refresh_token`. An unknown call is named by
/// its method and path.
pub(super) fn name_call(parts: &Parts, body: &Bytes) -> String {
    let (method, path) = (parts.method.as_str(), parts.uri.path());
    let segments: Vec<&str> =
        path.strip_prefix("/user_management").unwrap_or(path).split('/').skip(1).collect();
    let name = match (method, segments.as_slice()) {
        ("POST", ["authenticate"]) => {
            let grant = Fields::parse(&parts.headers, body)
                .and_then(|fields| authenticate::grant_name(fields.text("grant_type").ok()??));
            return format!("authenticate.{}", grant.unwrap_or("unknown"));
        }
        ("GET", ["authorize"]) => "authorize",
        ("GET", ["sso", "authorize"]) => "sso.authorize",
        ("GET", ["sso", "jwks", _]) => "jwks",
        ("POST", ["magic_auth"]) => "magic_auth.create",
        ("GET", ["users"]) => "users.list",
        ("POST", ["users"]) => "users.create",
        ("GET", ["users", _]) => "users.get",
        ("PUT", ["users", _]) => "users.update",
        ("DELETE", ["users", _]) => "users.delete",
        ("GET", ["users", _, "sessions"]) => "sessions.list",
        ("POST", ["sessions", "revoke"]) => "sessions.revoke",
        ("GET", ["sessions", "logout"]) => "logout",
        ("GET", ["organization_memberships"]) => "organization_memberships.list",
        ("POST", ["organization_memberships"]) => "organization_memberships.create",
        ("GET", ["organization_memberships", _]) => "organization_memberships.get",
        ("PUT", ["organization_memberships", _]) => "organization_memberships.update",
        ("DELETE", ["organization_memberships", _]) => "organization_memberships.delete",
        ("PUT", ["organization_memberships", _, "deactivate"]) => "organization_memberships.deactivate",
        ("PUT", ["organization_memberships", _, "reactivate"]) => "organization_memberships.reactivate",
        ("POST", ["invitations"]) => "invitations.create",
        ("GET", ["invitations"]) => "invitations.list",
        ("GET", ["invitations", _]) => "invitations.get",
        ("POST", ["invitations", _, "revoke"]) => "invitations.revoke",
        ("GET", ["organizations"]) => "organizations.list",
        ("GET", ["organizations", _]) => "organizations.get",
        ("GET", ["connections"]) => "connections.list",
        ("GET", ["events"]) => "events.list",
        ("GET", ["users", _, "auth_factors"]) => "mfa.factors.list",
        ("POST", ["users", _, "auth_factors"]) => "mfa.factors.create",
        ("GET", ["auth", "factors", _]) => "mfa.factors.get",
        ("DELETE", ["auth", "factors", _]) => "mfa.factors.delete",
        ("POST", ["auth", "factors", _, "challenge"]) => "mfa.challenge",
        ("GET", ["email_verification", _]) => "email_verification.get",
        ("POST", ["users", _, "email_verification", "send"]) => "email_verification.send",
        _ => return format!("{method} {path}"),
    };
    name.to_owned()
}
