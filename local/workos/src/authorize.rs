//! `GET /user_management/authorize` and `GET /sso/authorize`: where a browser chooses who it is.
//!
//! In the real service an identity provider asks for a password here. The double shows a page with the people it knows;
//! `login_hint` skips the page. Errors arrive at the redirect URI, unless that URI itself is not allowed.
//! Error codes: <https://workos.com/docs/reference/authkit/authentication/get-authorization-url/error-codes>.

use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use url::Url;

use super::codes::Arrival;
use super::directory::{Connection, User};
use super::page;
use super::request::{Query, is_email};
use super::seed::{MembershipStatus, Method};
use super::service::{Service, State};
use super::session_api::found;

/// An error for the redirect URI: code and description.
type Denied = (&'static str, &'static str);

/// The two endpoints differ in the names of their selectors.
struct Names {
    connection: &'static str,
    organization: &'static str,
}

/// What the caller selected.
enum Provider {
    Connection(Connection),
    Method(Method),
}

pub(super) async fn user_management(service: Service, query: Query) -> Response {
    let names = Names { connection: "connection_id", organization: "organization_id" };
    authorize(&mut service.state(), "/user_management/authorize", &names, &query)
}

pub(super) async fn sso(service: Service, query: Query) -> Response {
    let names = Names { connection: "connection", organization: "organization" };
    authorize(&mut service.state(), "/sso/authorize", &names, &query)
}

fn authorize(state: &mut State, path: &str, names: &Names, query: &Query) -> Response {
    if query.get("client_id") != Some(state.settings.client_id.as_str()) {
        return problem("The client_id is missing or unknown.");
    }
    let target = query
        .get("redirect_uri")
        .filter(|uri| state.settings.redirect_uris.iter().any(|allowed| allowed == uri))
        .and_then(|uri| Url::parse(uri).ok());
    let Some(target) = target else {
        return problem("The redirect_uri is missing or not one of the allowed redirect URIs.");
    };
    let back = |pairs: &[(&str, &str)]| {
        let mut target = target.clone();
        target.query_pairs_mut().extend_pairs(pairs);
        if let Some(state) = query.get("state") {
            target.query_pairs_mut().append_pair("state", state);
        }
        target.to_string()
    };
    let deny = |(error, description): Denied| back(&[("error", error), ("error_description", description)]);
    let provider = match select(state, names, query) {
        Ok(provider) => provider,
        Err(denied) => return found(deny(denied)),
    };
    match query.get("login_hint").filter(|hint| is_email(hint)) {
        Some(email) => match arrive(state, &provider, email) {
            Ok(arrival) => {
                let challenge = query.get("code_challenge").map(str::to_owned);
                found(back(&[("code", &state.new_authorization_code(arrival, challenge))]))
            }
            Err(denied) => found(deny(denied)),
        },
        None => {
            let people: Vec<&User> = people(state, &provider);
            let title = match &provider {
                Provider::Connection(connection) => connection.name.clone(),
                Provider::Method(method) => method.name().trim_end_matches("OAuth").to_owned(),
            };
            let cancel = deny(("access_denied", "The user cancelled the sign-in."));
            Html(page::choose(path, &title, query, &people, &cancel)).into_response()
        }
    }
}

/// Checks what the caller asks for: a code, PKCE with S256 if at all, and exactly one selector.
fn select(state: &State, names: &Names, query: &Query) -> Result<Provider, Denied> {
    if query.get("response_type") != Some("code") {
        return Err(("unsupported_response_type", "The response_type must be code."));
    }
    match (query.get("code_challenge"), query.get("code_challenge_method")) {
        (None, None) | (Some(_), Some("S256")) => {}
        _ => return Err(("invalid_request", "PKCE takes a code_challenge with code_challenge_method S256.")),
    }
    match (query.get(names.connection), query.get(names.organization), query.get("provider")) {
        (Some(id), None, None) => match state.connections.get(id) {
            None => Err(("connection_invalid", "There is no connection for the provided ID.")),
            Some(connection) if !connection.is_active() => {
                Err(("connection_unlinked", "The connection is not active."))
            }
            Some(connection) => Ok(Provider::Connection(connection.clone())),
        },
        (None, Some(id), None) => by_organization(state, id),
        (None, None, Some(name)) => by_name(state, name),
        _ => Err((
            "invalid_connection_selector",
            "Exactly one of a connection, an organization or a provider must be selected.",
        )),
    }
}

fn by_organization(state: &State, id: &str) -> Result<Provider, Denied> {
    if !state.organizations.contains_key(id) {
        return Err(("organization_invalid", "There is no organization matching the provided ID."));
    }
    match state.active_connections(id).as_slice() {
        [] => Err(("connection_invalid", "The organization has no active connection.")),
        [only] => state
            .connections
            .get(only)
            .cloned()
            .map(Provider::Connection)
            .ok_or(("server_error", "The connection disappeared.")),
        _ => Err(("ambiguous_connection_selector", "The organization has several active connections.")),
    }
}

fn by_name(state: &State, name: &str) -> Result<Provider, Denied> {
    let method = match name {
        "GoogleOAuth" => Method::GoogleOauth,
        "MicrosoftOAuth" => Method::MicrosoftOauth,
        // The hosted page of AuthKit, which sends codes by mail.
        "authkit" => Method::MagicAuth,
        _ => return Err(("invalid_connection_selector", "The provider is not one of this environment's.")),
    };
    if state.settings.environment.authentication_methods.contains(&method) {
        Ok(Provider::Method(method))
    } else {
        Err(("connection_invalid", "The provider is not switched on."))
    }
}

/// The people who can plausibly come through `provider`.
fn people<'a>(state: &'a State, provider: &Provider) -> Vec<&'a User> {
    let plausible = |user: &&User| match provider {
        Provider::Method(_) => true,
        Provider::Connection(connection) => may_use(state, connection, &user.email),
    };
    state.users.values().filter(plausible).collect()
}

/// Whether a profile with this address belongs to the connection's organization.
fn may_use(state: &State, connection: &Connection, email: &str) -> bool {
    let organization = state.organizations.get(&connection.organization_id);
    let domain = email.rsplit_once('@').map_or("", |(_, domain)| domain);
    let member = state
        .user_by_email(email)
        .is_some_and(|user| state.membership(&user.id, &connection.organization_id).is_some());
    member || organization.is_some_and(|organization| organization.owns(domain))
}

/// The identity provider has said that this is `email`.
fn arrive(state: &mut State, provider: &Provider, email: &str) -> Result<Arrival, Denied> {
    match provider {
        Provider::Method(method) => {
            let user =
                state.sign_up(email, true).map_err(|_| ("access_denied", "Sign up is not allowed."))?;
            let email_proven = *method == Method::MagicAuth;
            Ok(Arrival { email_proven, ..Arrival::new(&user.id, *method) })
        }
        Provider::Connection(connection) => {
            if !may_use(state, connection, email) {
                return Err((
                    "profile_not_allowed_outside_organization",
                    "The profile's domain is not one of the organization's.",
                ));
            }
            let organization = connection.organization_id.clone();
            let user = match state.user_by_email(email) {
                Some(user) => user.clone(),
                // The first SSO sign-in makes the user, whatever the settings say about sign-up.
                None => {
                    let id = state.new_id("user");
                    state.insert_user(id, email, true)
                }
            };
            if state.membership(&user.id, &organization).is_none() {
                let role = "member".to_owned();
                state.insert_membership(&user.id, &organization, role, None, MembershipStatus::Active);
            }
            let domain = email.rsplit_once('@').map_or("", |(_, domain)| domain);
            let email_proven = state.organizations.get(&organization).is_some_and(|found| found.owns(domain));
            Ok(Arrival {
                organization: Some(organization.clone()),
                sso_organization: Some(organization),
                email_proven,
                ..Arrival::new(&user.id, Method::Sso)
            })
        }
    }
}

fn problem(message: &str) -> Response {
    (StatusCode::BAD_REQUEST, Html(page::problem(message))).into_response()
}
