//! Authorization URLs, where a browser starts a sign-in. They need no call and no API key.

use api::audit::{self, Effect};
use api::auth_data::{AuthMethod, AuthResponse};
use api::{
    ApiConfig, ApiError, AuthData, Caller, ConfigError, Cookies, Env, Next, Reason, Request, Response, Route,
    SetCookie,
};
use url::form_urlencoded::Serializer;

use crate::config::{API_URL, CLIENT_ID, SSO_AUTHORIZE_ENDPOINT};
use crate::sign_in::method;
use crate::{
    ConnectionId, Destination, FlowState, InvitationToken, OAUTH_COOKIE, OAuthFlow, OrganizationId,
    OtherMethod, RedirectUris, SsoRequired,
};

/// The identity provider that the browser is sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// Google.
    Google,
    /// Microsoft.
    Microsoft,
    /// AuthKit, WorkOS' own sign-in page. It also finishes what began at WorkOS: an invitation, an impersonation, and a
    /// sign-in from the page of an identity provider.
    AuthKit,
    /// An organization's identity provider. Selected by connection, because an organization's id is ambiguous if it has
    /// two active connections.
    Connection(ConnectionId),
    /// WorkOS' hosted page, which takes every step that the organization requires.
    Organization(OrganizationId),
}

impl Selector {
    /// WorkOS' name of the authentication method.
    const fn method(&self) -> &'static str {
        match self {
            Self::Google => "GoogleOAuth",
            Self::Microsoft => "MicrosoftOAuth",
            Self::AuthKit => "AuthKit",
            Self::Connection(_) => "SSO",
            Self::Organization(_) => "AuthKit",
        }
    }
}

/// The endpoint that starts SSO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SsoEndpoint {
    UserManagement,
    Sso,
}

/// Builds authorization URLs.
#[derive(Clone, Debug)]
pub struct Authorize {
    api_url: String,
    client_id: String,
    redirect_uris: RedirectUris,
    /// The origins of the front ends.
    origins: Vec<String>,
    sso_endpoint: SsoEndpoint,
}

/// What WorkOS is told about the person.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hints<'a> {
    /// The name or address that the provider fills in.
    pub login: Option<&'a str>,
    /// The organization to sign in to. Only with [`Selector::AuthKit`]: a connection has one already.
    pub organization: Option<&'a OrganizationId>,
    /// The invitation that the sign-in accepts.
    pub invitation: Option<&'a InvitationToken>,
    /// The person must have proved who they are within this many seconds, or proves it again; with 0 in any case. Only
    /// with [`Selector::AuthKit`]: WorkOS ignores it elsewhere (<https://workos.com/docs/authkit/reauthentication>).
    pub max_age: Option<u64>,
}

/// A flow that has been started.
#[derive(Debug)]
pub struct Started {
    /// The authorization URL.
    pub url: String,
    /// The `state` that the browser brings back.
    pub state: String,
    /// The cookie with the flow, to be set with the response.
    pub cookie: SetCookie,
}

impl Started {
    /// `authData` of an endpoint that chooses between SSO and Magic Auth, and the cookie.
    pub fn into_sso(self) -> (AuthData, SetCookie) {
        (AuthData::sso(self.url, self.state), self.cookie)
    }

    /// `authData` of an endpoint without such a choice, and the cookie.
    pub fn into_redirect(self) -> (AuthData, SetCookie) {
        (AuthData::redirect(self.url, Some(self.state)), self.cookie)
    }
}

/// The route of an endpoint that starts a sign-in with one provider.
pub const fn continue_with(path: &'static str) -> Route {
    Route::post(path)
        .details(
            "The browser goes to `redirectURL` and comes back with `code` and `state`, or with `error`, for \
             `finalize-oauth`.",
        )
        .reasons(&[api::INPUT])
        .cookies(&[OAUTH_COOKIE])
        .example(r#"{ "returnTo": "/rooms" }"#)
        .success(&[(
            "redirect",
            r#"{ "authData": { "redirectURL": "https://yourapp.com/redirecturl", "state": "xyz123stateToken" } }"#,
        )])
}

impl Authorize {
    /// Reads the configuration.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        let sso_endpoint = match env.required(&SSO_AUTHORIZE_ENDPOINT)?.as_str() {
            "user_management" => SsoEndpoint::UserManagement,
            "sso" => SsoEndpoint::Sso,
            _ => return Err(ConfigError::new(&SSO_AUTHORIZE_ENDPOINT, "must be `user_management` or `sso`")),
        };
        Ok(Self {
            api_url: env.url(&API_URL)?,
            client_id: env.required(&CLIENT_ID)?,
            redirect_uris: RedirectUris::after_sign_in(env)?,
            origins: ApiConfig::load(env)?.allowed_origins,
            sso_endpoint,
        })
    }

    /// Checks where the browser is to go, and returns the address for WorkOS' redirect.
    ///
    /// # Errors
    /// `invalid_field`: `redirectUri` is not listed, or `returnTo` is on another origin.
    pub fn check<'a>(&'a self, destination: &'a Destination) -> Result<&'a str, ApiError> {
        if destination.return_to.as_ref().is_some_and(|page| !page.is_allowed(&self.origins)) {
            return Err(ApiError::new(Reason::InvalidField).field("returnTo").because("a foreign origin"));
        }
        self.redirect_uris.choose(destination.redirect_uri.as_ref(), "redirectUri")
    }

    /// Starts a flow with `selector`.
    ///
    /// # Errors
    /// Those of [`Authorize::check`]; `internal` if the system returns no random bytes.
    pub fn start(
        &self,
        selector: Selector,
        hints: Hints<'_>,
        destination: &Destination,
        cookies: &Cookies,
    ) -> Result<Started, ApiError> {
        let redirect_uri = self.check(destination)?;
        let mut kept = destination.clone();
        // The default may be longer than what fits into the cookie.
        kept.redirect_uri = kept.redirect_uri.filter(|uri| !self.redirect_uris.is_default(uri));
        let (flow, cookie) = OAuthFlow::start(cookies, kept)?;
        audit::note(|notes| {
            notes.method = Some(method(selector.method()));
            notes.effect = Some(Effect::Redirect);
        });
        Ok(Started { url: self.url(selector, hints, redirect_uri, &flow), state: flow.state, cookie })
    }

    /// Finishes a browser's flow, see [`OAuthFlow::finish`].
    ///
    /// # Errors
    /// `flow_expired` if the browser has no such flow, or its destination is no longer allowed.
    pub fn finish(
        &self,
        cookies: &Cookies,
        state: Option<&FlowState>,
    ) -> Result<(OAuthFlow, SetCookie), ApiError> {
        let (flow, used_up) = OAuthFlow::finish(cookies, state)?;
        match self.check(&flow.destination) {
            Ok(_) => Ok((flow, used_up)),
            Err(error) => Err(ApiError::new(Reason::FlowExpired).because(error.cause()).cookie(used_up)),
        }
    }

    /// Starts a flow with a provider and returns the response of [`continue_with`]'s endpoints.
    ///
    /// # Errors
    /// As [`Authorize::start`].
    pub fn continue_with(
        &self,
        provider: Selector,
        request: &Request<Destination>,
    ) -> Result<Response<AuthResponse>, ApiError> {
        let started = self.start(provider, Hints::default(), &request.input, &request.cookies)?;
        let (auth_data, cookie) = started.into_redirect();
        Ok(Response::new(auth_data.into()).cookie(cookie))
    }

    /// The error `sso_required`, with the redirect to the identity provider that the organization requires. The browser
    /// then goes where the first flow would have led.
    #[track_caller]
    pub fn sso_required(
        &self,
        required: SsoRequired,
        destination: &Destination,
        cookies: &Cookies,
    ) -> ApiError {
        let SsoRequired { connection_id, pending_authentication_token, email } = required;
        let pending = pending_authentication_token.map(|token| token.expose().to_owned());
        let error = ApiError::new(Reason::SsoRequired).pending(pending).next(Next::Redirect);
        let hints = Hints { login: email.as_deref(), ..Hints::default() };
        match self.start(Selector::Connection(connection_id), hints, destination, cookies) {
            Ok(started) => {
                let (auth_data, cookie) = started.into_sso();
                error.auth_data(auth_data).cookie(cookie)
            }
            Err(failed) => failed,
        }
    }

    /// The error of a sign-in whose method is not allowed, with the redirect to Google or Microsoft if one of them is.
    pub fn other_method(&self, other: OtherMethod, destination: &Destination, cookies: &Cookies) -> ApiError {
        let OtherMethod { allowed, email, error } = other;
        let allows = |name: &str| allowed.iter().any(|each| each == name);
        let selector = match (allows("google_oauth"), allows("microsoft_oauth")) {
            (true, _) => Selector::Google,
            (false, true) => Selector::Microsoft,
            (false, false) => return error,
        };
        self.redirect(error, selector, email.as_deref(), destination, cookies)
    }

    /// `error` with the redirect to `selector` as the next step.
    pub fn redirect(
        &self,
        error: ApiError,
        selector: Selector,
        login_hint: Option<&str>,
        destination: &Destination,
        cookies: &Cookies,
    ) -> ApiError {
        let hints = Hints { login: login_hint, ..Hints::default() };
        match self.start(selector, hints, destination, cookies) {
            Ok(started) => {
                let (auth_data, cookie) = started.into_redirect();
                error.next(Next::Redirect).auth_data(auth_data).cookie(cookie)
            }
            Err(failed) => failed,
        }
    }

    /// `error` with the way to sign in again: a code by mail, if the session began with one, or else `AuthKit`. It asks for
    /// proof even if it still knows the person, and chooses what the person has: an SSO session leads back through the
    /// organization's identity provider.
    pub fn sign_in_again(
        &self,
        error: ApiError,
        caller: &Caller,
        destination: &Destination,
        cookies: &Cookies,
    ) -> ApiError {
        let by_sso = match caller.method.as_deref() {
            // `sign-in` knows what to do for an address whose method is unknown.
            None | Some("magic_auth") => return error.next(Next::SignIn).auth_data(AuthMethod::MagicAuth {}),
            Some(method) => method == "sso",
        };
        let organization = caller.organization_id.as_deref().and_then(|id| OrganizationId::parse(id).ok());
        let hints = Hints {
            login: Some(&caller.email),
            organization: organization.as_ref(),
            max_age: Some(0),
            ..Hints::default()
        };
        match self.start(Selector::AuthKit, hints, destination, cookies) {
            Ok(started) => {
                let (auth_data, cookie) = if by_sso { started.into_sso() } else { started.into_redirect() };
                error.next(Next::Redirect).auth_data(auth_data).cookie(cookie)
            }
            Err(failed) => failed,
        }
    }

    /// The authorization URL of `flow`.
    ///
    /// Both endpoints get the challenge. WorkOS documents it for `/user_management/authorize` only, but its SDKs send it
    /// to `/sso/authorize` as well; without it, a code from another browser's flow could be redeemed in this one.
    fn url(&self, selector: Selector, hints: Hints<'_>, redirect_uri: &str, flow: &OAuthFlow) -> String {
        let (path, name, value) = match &selector {
            provider @ (Selector::Google | Selector::Microsoft) => {
                ("user_management", "provider", provider.method())
            }
            Selector::AuthKit => ("user_management", "provider", "authkit"),
            Selector::Organization(id) => ("user_management", "organization_id", id.as_str()),
            Selector::Connection(id) => match self.sso_endpoint {
                SsoEndpoint::UserManagement => ("user_management", "connection_id", id.as_str()),
                SsoEndpoint::Sso => ("sso", "connection", id.as_str()),
            },
        };
        let mut query = Serializer::new(String::new());
        query
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("response_type", "code")
            .append_pair(name, value)
            .append_pair("state", &flow.state)
            .append_pair("code_challenge", &flow.challenge())
            .append_pair("code_challenge_method", "S256");
        let max_age = hints.max_age.map(|seconds| seconds.to_string());
        let optional = [
            ("login_hint", hints.login),
            ("organization_id", hints.organization.map(OrganizationId::as_str)),
            // Only this endpoint takes one.
            ("invitation_token", hints.invitation.filter(|_| path != "sso").map(InvitationToken::as_str)),
            ("max_age", max_age.as_deref()),
        ];
        query.extend_pairs(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
        format!("{}/{path}/authorize?{}", self.api_url, query.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RedirectUri, ReturnTo};

    const GIVEN: [(&str, &str); 2] =
        [("WORKOS_CLIENT_ID", "client_1"), ("OAUTH_REDIRECT_URI", "https://app.example.com/callback?a=b")];

    fn authorize(more: &[(&str, &str)]) -> Authorize {
        Authorize::load(&Env::fixed(GIVEN.iter().chain(more).copied())).unwrap()
    }

    fn started(authorize: &Authorize, selector: Selector, login: Option<&str>) -> (url::Url, Started) {
        let hints = Hints { login, ..Hints::default() };
        let started = authorize.start(selector, hints, &Destination::default(), &Cookies::default()).unwrap();
        (started.url.parse().unwrap(), started)
    }

    fn value(url: &url::Url, name: &str) -> Option<String> {
        url.query_pairs().find(|(each, _)| each == name).map(|(_, value)| value.into_owned())
    }

    #[test]
    fn a_provider_is_selected_by_name_and_the_flow_has_pkce_and_state() {
        let (url, started) = started(&authorize(&[]), Selector::Google, None);
        assert!(
            started.url.starts_with("https://api.workos.com/user_management/authorize?client_id=client_1&")
        );
        let names: Vec<_> = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
        let expected = [
            "client_id",
            "redirect_uri",
            "response_type",
            "provider",
            "state",
            "code_challenge",
            "code_challenge_method",
        ];
        assert_eq!(names, expected);
        assert_eq!(value(&url, "redirect_uri").as_deref(), Some("https://app.example.com/callback?a=b"));
        assert_eq!(value(&url, "provider").as_deref(), Some("GoogleOAuth"));
        assert_eq!(value(&url, "state"), Some(started.state.clone()));
        assert_eq!(value(&url, "code_challenge_method").as_deref(), Some("S256"));
        let (url, _) = self::started(&authorize(&[]), Selector::Microsoft, None);
        assert_eq!(value(&url, "provider").as_deref(), Some("MicrosoftOAuth"));
    }

    #[test]
    fn the_url_holds_the_challenge_and_not_the_verifier() {
        let (flow, _) = OAuthFlow::start(&Cookies::default(), Destination::default()).unwrap();
        let url = authorize(&[]).url(Selector::Google, Hints::default(), "app:/callback", &flow);
        assert!(!url.contains(flow.verifier.expose()) && url.contains(&flow.challenge()));
    }

    #[test]
    fn sso_selects_the_connection_at_either_endpoint() {
        let connection = || Selector::Connection(ConnectionId::new("conn_1"));
        let (url, _) = started(&authorize(&[]), connection(), Some("jane+1@example.com"));
        assert_eq!(url.path(), "/user_management/authorize");
        assert_eq!(value(&url, "connection_id").as_deref(), Some("conn_1"));
        assert_eq!(value(&url, "login_hint").as_deref(), Some("jane+1@example.com"));

        let sso =
            authorize(&[("SSO_AUTHORIZE_ENDPOINT", "sso"), ("WORKOS_API_URL", "https://auth.example.com/")]);
        let (url, started) = started(&sso, connection(), None);
        assert!(started.url.starts_with("https://auth.example.com/sso/authorize?client_id=client_1&"));
        assert_eq!(value(&url, "connection").as_deref(), Some("conn_1"));
        assert!(value(&url, "connection_id").is_none() && value(&url, "code_challenge").is_some());
        let (url, _) = self::started(&sso, Selector::Google, None);
        assert_eq!(url.path(), "/user_management/authorize");
    }

    #[test]
    fn authkit_is_told_what_is_known_about_the_person() {
        let organization = OrganizationId::parse("org_1").unwrap();
        let invitation = InvitationToken::parse("invited&state=x").unwrap();
        let hints = Hints {
            login: Some("jane@example.com"),
            organization: Some(&organization),
            invitation: Some(&invitation),
            max_age: Some(0),
        };
        let destination = Destination::default();
        let started =
            authorize(&[]).start(Selector::AuthKit, hints, &destination, &Cookies::default()).unwrap();
        let url: url::Url = started.url.parse().unwrap();
        assert_eq!(url.path(), "/user_management/authorize");
        for (name, expected) in [
            ("provider", "authkit"),
            ("login_hint", "jane@example.com"),
            ("organization_id", "org_1"),
            ("invitation_token", "invited&state=x"),
            ("max_age", "0"),
            ("state", &started.state),
        ] {
            assert_eq!(value(&url, name).as_deref(), Some(expected), "{name}");
        }
    }

    #[test]
    fn a_flow_ends_where_it_was_to_and_only_while_that_is_allowed() {
        let listed = ("OAUTH_REDIRECT_URIS", "com.example.app:/callback");
        let destination = |uri: &str| Destination {
            redirect_uri: Some(RedirectUri::parse(uri).unwrap()),
            return_to: Some(ReturnTo::parse("/rooms").unwrap()),
        };
        let authorize_with = authorize(&[listed]);
        let start = |destination: &Destination| {
            authorize_with.start(Selector::Google, Hints::default(), destination, &Cookies::default())
        };
        let started = start(&destination("com.example.app:/callback")).unwrap();
        let url: url::Url = started.url.parse().unwrap();
        assert_eq!(value(&url, "redirect_uri").as_deref(), Some("com.example.app:/callback"));
        let mut cookies = Cookies::default();
        cookies.apply(&started.cookie);
        let (flow, _) = authorize_with.finish(&cookies, None).unwrap();
        assert_eq!(flow.destination, destination("com.example.app:/callback"));
        assert_eq!(authorize(&[]).finish(&cookies, None).unwrap_err().reason(), Reason::FlowExpired);

        let error = start(&destination("com.example.app:/other")).unwrap_err();
        assert_eq!(error.details().field.as_deref(), Some("redirectUri"));
        let foreign = Destination {
            return_to: Some(ReturnTo::parse("https://evil.example/").unwrap()),
            ..Destination::default()
        };
        assert_eq!(start(&foreign).unwrap_err().details().field.as_deref(), Some("returnTo"));
    }

    #[test]
    fn a_configuration_error_names_the_variable() {
        let problem = |name: &'static str, value: &'static str| {
            let env = Env::fixed(GIVEN.into_iter().filter(|(each, _)| *each != name).chain([(name, value)]));
            Authorize::load(&env).unwrap_err().to_string()
        };
        for (name, value) in [
            ("OAUTH_REDIRECT_URI", "/callback"),
            ("OAUTH_REDIRECT_URI", "https://app.example.com/#top"),
            ("SSO_AUTHORIZE_ENDPOINT", "authkit"),
            ("WORKOS_CLIENT_ID", ""),
        ] {
            assert!(problem(name, value).contains(name), "{name}={value}");
        }
    }

    #[test]
    fn the_api_key_is_not_read() {
        let env = Env::fixed(GIVEN);
        Authorize::load(&env).unwrap();
        assert!(env.asked().iter().all(|variable| variable.name != "WORKOS_API_KEY"));
    }
}
