//! Pages where a sign-in begins at WorkOS rather than at the application: an invitation's link, "Impersonate" in the
//! dashboard, and the tile of an identity provider. All of them send the browser to the application's initiate-login URL
//! (the dashboard calls it the sign-in endpoint), where it gets a flow with PKCE.

use axum::extract::State as Shared;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};
use url::Url;

use super::model::{Impersonator, SignIn};
use super::page::{self, found};
use super::random;
use super::request::Query;
use super::settings::Method;
use super::state::{Service, State};

/// AuthKit's cookie in the browser of somebody who impersonates a user.
const COOKIE: &str = "impersonation";

/// `GET /invite`: the link in the mail.
pub(super) async fn invite(Shared(service): Shared<Service>, query: Query) -> Response {
    let state = service.state();
    let token = query.get("invitation_token").unwrap_or_default();
    match state.pending_invitation(token) {
        Ok(_) => initiate(&state, &[("invitation_token", token)]),
        Err(_) => page::problem("The invitation is unknown or no longer valid."),
    }
}

/// `GET /impersonate`: the dashboard's button, as `impersonator` and for `reason`.
pub(super) async fn impersonate(Shared(service): Shared<Service>, query: Query) -> Response {
    let mut state = service.state();
    let email = query.get("email").unwrap_or_default();
    let Some(user_id) = state.user_by_email(email).map(|user| user.id.clone()) else {
        return page::problem("There is no user with this email address.");
    };
    let impersonator = Impersonator {
        email: query.get("impersonator").unwrap_or("support@example.com").to_owned(),
        reason: query.get("reason").map(str::to_owned),
    };
    let token = random::token();
    let sign_in = SignIn {
        user_id,
        method: Method::Impersonation,
        impersonator: Some(impersonator),
        ..SignIn::default()
    };
    state.impersonations.insert(token.clone(), sign_in);
    let mut response = initiate(&state, &[]);
    if let Ok(cookie) = HeaderValue::from_str(&format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Lax")) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// `GET /idp`: the tile on the page of the identity provider behind `connection_id`, for `email`.
pub(super) async fn identity_provider(Shared(service): Shared<Service>, query: Query) -> Response {
    let state = service.state();
    match query.get("connection_id").and_then(|id| state.connections.get(id)) {
        Some(connection) => {
            let hint = query.get("email").map(|email| ("login_hint", email));
            let organization = ("organization_id", connection.organization_id.as_str());
            let pairs: Vec<_> = [organization].into_iter().chain(hint).collect();
            initiate(&state, &pairs)
        }
        None => page::problem("There is no such connection."),
    }
}

/// Sends the browser to the application.
fn initiate(state: &State, pairs: &[(&str, &str)]) -> Response {
    let uri = state.options.initiate_login_uri.as_deref().and_then(|uri| Url::parse(uri).ok());
    let Some(mut uri) = uri else {
        return page::problem("No initiate-login URL is configured.");
    };
    if !pairs.is_empty() {
        uri.query_pairs_mut().extend_pairs(pairs);
    }
    found(uri.into())
}

impl State {
    /// The impersonation that the dashboard has begun in a browser, once.
    pub(super) fn impersonation(&mut self, headers: &HeaderMap) -> Option<SignIn> {
        let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
        let mut pairs = cookies.split("; ").filter_map(|pair| pair.split_once('='));
        let (_, token) = pairs.find(|(name, _)| *name == COOKIE)?;
        self.impersonations.remove(token)
    }
}
