//! `GET /user_management/authorize` and `GET /sso/authorize`.
//!
//! The real identity provider asks for a password. The double shows a page with its users, which `login_hint` skips.
//! Errors go to the redirect URI, unless that URI is not allowed.
//! Error codes: <https://workos.com/docs/reference/authkit/authentication/get-authorization-url/error-codes>.

use axum::extract::State as Shared;
use axum::response::Response;
use http::HeaderMap;
use url::Url;

use super::clock::Timestamp;
use super::email::{self, is_email};
use super::invitations::Invitation;
use super::model::{Connection, Organization, SignIn, User};
use super::page::{self, found};
use super::request::Query;
use super::settings::{MembershipStatus, Method};
use super::state::{Service, State};

/// `error` and `error_description` for the redirect URI.
type Denied = (&'static str, &'static str);

/// The parameters that select a connection and an organization; the two endpoints name them differently.
type Selectors = [&'static str; 2];

enum Provider {
    /// AuthKit's own page, in an organization if one is named.
    AuthKit(Option<String>),
    Connection(Connection),
    Method(Method),
    /// AuthKit's hosted page for the members of an organization. It takes every step that the organization requires.
    Organization(Organization),
}

pub(super) async fn user_management(
    Shared(service): Shared<Service>,
    headers: HeaderMap,
    query: Query,
) -> Response {
    let selectors = ["connection_id", "organization_id"];
    authorize(&mut service.state(), "/user_management/authorize", selectors, &headers, &query)
}

pub(super) async fn sso(Shared(service): Shared<Service>, headers: HeaderMap, query: Query) -> Response {
    authorize(&mut service.state(), "/sso/authorize", ["connection", "organization"], &headers, &query)
}

fn authorize(
    state: &mut State,
    path: &str,
    selectors: Selectors,
    headers: &HeaderMap,
    query: &Query,
) -> Response {
    if query.get("client_id") != Some(&state.options.client_id) {
        return page::problem("The client_id is missing or unknown.");
    }
    let allowed = |uri: &&str| state.options.redirect_uris.iter().any(|allowed| is_allowed(allowed, uri));
    let redirect_uri = query.get("redirect_uri").filter(allowed).and_then(|uri| Url::parse(uri).ok());
    let Some(redirect_uri) = redirect_uri else {
        return page::problem("The redirect_uri is missing or not one of the allowed redirect URIs.");
    };
    let redirect = |pairs: &[(&str, &str)]| {
        let mut uri = redirect_uri.clone();
        let state = query.get("state").map(|state| ("state", state));
        uri.query_pairs_mut().extend_pairs(pairs).extend_pairs(state);
        uri.to_string()
    };
    let deny =
        |(error, description): Denied| redirect(&[("error", error), ("error_description", description)]);
    let provider = match select(state, selectors, query) {
        Ok(provider) => provider,
        Err(denied) => return found(deny(denied)),
    };
    let challenge = query.get("code_challenge").map(str::to_owned);
    if matches!(provider, Provider::AuthKit(_))
        && let Some(sign_in) = state.impersonation(headers)
    {
        return found(redirect(&[("code", &state.new_authorization_code(sign_in, challenge))]));
    }
    let invitation = match query.get("invitation_token").map(|token| state.pending_invitation(token)) {
        None => None,
        Some(Ok(invitation)) => Some(invitation.clone()),
        Some(Err(_)) => return page::problem("The invitation is unknown or no longer valid."),
    };
    let hint = query.get("login_hint").or(invitation.as_ref().map(|invitation| invitation.email.as_str()));
    let Some(email) = hint.filter(|hint| is_email(hint)) else {
        let users: Vec<_> = users(state, &provider).map(|user| (user, state.codes_of(user))).collect();
        let name = match &provider {
            Provider::Connection(connection) => &connection.name,
            Provider::Organization(organization) => &organization.name,
            Provider::Method(method) => method.name().trim_end_matches("OAuth"),
            Provider::AuthKit(_) => "AuthKit",
        };
        let cancel = deny(("access_denied", "The user cancelled the sign-in."));
        return page::choose(path, name, query, &users, &cancel);
    };
    if let Some(invitation) = &invitation
        && !invitation.email.eq_ignore_ascii_case(email)
    {
        return page::problem("The invitation was sent to another email address.");
    }
    match sign_in(state, &provider, email, invitation.as_ref()) {
        Ok(sign_in) => {
            let authenticated_at = authenticated_at(state, &sign_in.user_id, query);
            let sign_in = SignIn { authenticated_at, ..sign_in };
            found(redirect(&[("code", &state.new_authorization_code(sign_in, challenge))]))
        }
        Err(denied) => found(deny(denied)),
    }
}

/// When the user proved who they are, if the browser still knows them and `max_age` asks for no later proof. WorkOS'
/// OpenAPI document: "Only supported when the provider is `authkit`".
fn authenticated_at(state: &State, user_id: &str, query: &Query) -> Option<Timestamp> {
    let at = *state.remembered.get(user_id)?;
    let max_age = query.get("max_age").filter(|_| query.get("provider") == Some("authkit"));
    let is_too_old = |seconds: i64| state.now().seconds() - at.seconds() >= seconds;
    let needs_proof = max_age.and_then(|text| text.parse().ok()).is_some_and(is_too_old);
    (!needs_proof).then_some(at)
}

/// Whether a redirect URI is an allowed one, or matches its wildcard port.
fn is_allowed(allowed: &str, uri: &str) -> bool {
    let Some((host, path)) = allowed.split_once(":*") else { return allowed == uri };
    let is_local = ["http://localhost", "http://127.0.0.1", "http://[::1]"].contains(&host);
    let rest = uri.strip_prefix(host).and_then(|rest| rest.strip_suffix(path));
    let is_port = |port: &str| port.strip_prefix(':').is_some_and(|digits| digits.parse::<u16>().is_ok());
    is_local && rest.is_some_and(|port| port.is_empty() || is_port(port))
}

/// Validates the request: a code, PKCE with S256 if any, and exactly one selector.
fn select(state: &State, selectors: Selectors, query: &Query) -> Result<Provider, Denied> {
    if query.get("response_type") != Some("code") {
        return Err(("unsupported_response_type", "The response_type must be code."));
    }
    match (query.get("code_challenge"), query.get("code_challenge_method")) {
        (None, None) | (Some(_), Some("S256")) => {}
        _ => return Err(("invalid_request", "PKCE takes a code_challenge with code_challenge_method S256.")),
    }
    if query.get("max_age").is_some_and(|text| text.parse::<u32>().is_err()) {
        return Err(("invalid_request", "The max_age must be a number of seconds."));
    }
    let [connection, organization] = selectors.map(|name| query.get(name));
    match (connection, organization, query.get("provider")) {
        (Some(id), None, None) => match state.connections.get(id) {
            None => Err(("connection_invalid", "There is no connection for the provided ID.")),
            Some(found) if found.is_active() => Ok(Provider::Connection(found.clone())),
            Some(_) => Err(("connection_unlinked", "The connection is not active.")),
        },
        (None, Some(id), None) => by_organization(state, id),
        (None, organization, Some("authkit")) => authkit(state, organization),
        (None, None, Some(name)) => by_name(state, name),
        _ => Err((
            "invalid_connection_selector",
            "Exactly one of a connection, an organization or a provider must be selected.",
        )),
    }
}

fn by_organization(state: &State, id: &str) -> Result<Provider, Denied> {
    let Some(organization) = state.organizations.get(id) else {
        return Err(("organization_invalid", "There is no organization matching the provided ID."));
    };
    let mut connections = state.active_connections(id);
    match (connections.next(), connections.next()) {
        (None, _) => Ok(Provider::Organization(organization.clone())),
        (Some(only), None) => Ok(Provider::Connection(only.clone())),
        _ => Err(("ambiguous_connection_selector", "The organization has several active connections.")),
    }
}

/// AuthKit's hosted page. The organization that it is opened for decides where it leads: to its identity provider, or to a
/// code by mail.
fn authkit(state: &State, organization: Option<&str>) -> Result<Provider, Denied> {
    match organization {
        Some(id) if state.active_connections(id).count() == 1 => by_organization(state, id),
        Some(id) if !state.organizations.contains_key(id) => {
            Err(("organization_invalid", "There is no organization matching the provided ID."))
        }
        organization => Ok(Provider::AuthKit(organization.map(str::to_owned))),
    }
}

fn by_name(state: &State, name: &str) -> Result<Provider, Denied> {
    let method = match name {
        "GoogleOAuth" => Method::GoogleOauth,
        "MicrosoftOAuth" => Method::MicrosoftOauth,
        _ => return Err(("invalid_connection_selector", "The provider is not one of this environment's.")),
    };
    if state.environment.authentication_methods.contains(&method) {
        Ok(Provider::Method(method))
    } else {
        Err(("connection_invalid", "The provider is not switched on."))
    }
}

/// The users who may sign in with `provider`.
fn users<'a>(state: &'a State, provider: &'a Provider) -> impl Iterator<Item = &'a User> {
    state.users.values().filter(move |user| match provider {
        Provider::AuthKit(_) | Provider::Method(_) => true,
        Provider::Connection(connection) => may_use(state, connection, &user.email),
        Provider::Organization(organization) => state.membership(&user.id, &organization.id).is_some(),
    })
}

/// Whether the address belongs to a member, or to a verified domain, of the connection's organization.
fn may_use(state: &State, connection: &Connection, email: &str) -> bool {
    let id = &connection.organization_id;
    state.user_by_email(email).is_some_and(|user| state.membership(&user.id, id).is_some())
        || owns(state, id, email)
}

fn owns(state: &State, organization_id: &str, email: &str) -> bool {
    state.organizations.get(organization_id).is_some_and(|found| found.owns(email::domain(email)))
}

/// Signs in the user that the identity provider has authenticated as `email`.
fn sign_in(
    state: &mut State,
    provider: &Provider,
    email: &str,
    invitation: Option<&Invitation>,
) -> Result<SignIn, Denied> {
    let (token, invitation) =
        (invitation.map(|each| each.token.as_str()), invitation.map(|each| each.id.clone()));
    let (method, organization_id) = match provider {
        Provider::Connection(connection) => return sign_in_by_sso(state, connection, email, invitation),
        Provider::Organization(organization) => return hosted(state, organization, email),
        Provider::Method(method) => (*method, None),
        Provider::AuthKit(organization) => (Method::MagicAuth, organization.clone()),
    };
    let user = state
        .sign_up_invited(email, true, token)
        .map_err(|_| ("access_denied", "Sign up is not allowed."))?;
    let email_verified = method == Method::MagicAuth;
    let user_id = user.id;
    Ok(SignIn { user_id, method, email_verified, organization_id, invitation, ..SignIn::default() })
}

fn sign_in_by_sso(
    state: &mut State,
    connection: &Connection,
    email: &str,
    invitation: Option<String>,
) -> Result<SignIn, Denied> {
    if !may_use(state, connection, email) {
        return Err((
            "profile_not_allowed_outside_organization",
            "The profile's domain is not one of the organization's.",
        ));
    }
    // The first SSO sign-in creates the user and the membership, whatever the settings for sign-up.
    let known = state.user_by_email(email).cloned();
    let user = known.unwrap_or_else(|| state.insert_email(email, true));
    let id = &connection.organization_id;
    if state.membership(&user.id, id).is_none() {
        state.insert_membership(&user.id, id, "member", None, MembershipStatus::Active);
    }
    Ok(SignIn {
        organization_id: Some(id.clone()),
        sso_organization: Some(id.clone()),
        email_verified: owns(state, id, email),
        user_id: user.id,
        method: Method::Sso,
        invitation,
        ..SignIn::default()
    })
}

/// Signs in a member of `organization` on AuthKit's hosted page.
fn hosted(state: &State, organization: &Organization, email: &str) -> Result<SignIn, Denied> {
    let member =
        state.user_by_email(email).filter(|user| state.membership(&user.id, &organization.id).is_some());
    let user = member.ok_or(("access_denied", "The user is not a member of the organization."))?;
    let allowed = organization.policy.authentication_methods.iter().flatten();
    Ok(SignIn {
        user_id: user.id.clone(),
        method: allowed.copied().next().unwrap_or_default(),
        organization_id: Some(organization.id.clone()),
        email_verified: true,
        second_factor: true,
        ..SignIn::default()
    })
}
