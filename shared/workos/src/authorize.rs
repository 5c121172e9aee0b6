//! Authorization URLs, where a browser starts a sign-in. They need no call and no API key.

use api::audit::{self, Effect};
use api::auth_data::AuthResponse;
use api::{ApiError, AuthData, ConfigError, Cookies, Env, Next, Reason, Response, Route, SetCookie};
use url::form_urlencoded::Serializer;

use crate::config::{API_URL, CLIENT_ID, OAUTH_REDIRECT_URI, SSO_AUTHORIZE_ENDPOINT};
use crate::{ConnectionId, OAUTH_COOKIE, OAuthFlow, OrganizationId, OtherMethod, SsoRequired};

/// The identity provider that the browser is sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// Google.
    Google,
    /// Microsoft.
    Microsoft,
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
    redirect_uri: String,
    sso_endpoint: SsoEndpoint,
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
        .details("The browser goes to `redirectURL` and comes back with `code` and `state`, for `finalize-oauth`.")
        .cookies(&[OAUTH_COOKIE])
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
            redirect_uri: redirect_uri(env)?,
            sso_endpoint,
        })
    }

    /// Starts a flow with `selector`. `login_hint` is the address that the provider fills in.
    ///
    /// # Errors
    /// `internal` if the system returns no random bytes.
    pub fn start(
        &self,
        selector: Selector,
        cookies: &Cookies,
        login_hint: Option<&str>,
    ) -> Result<Started, ApiError> {
        let (flow, cookie) = OAuthFlow::start(cookies)?;
        audit::note(|notes| {
            notes.method = Some(selector.method().to_owned());
            notes.effect = Some(Effect::Redirect);
        });
        Ok(Started { url: self.url(selector, &flow, login_hint), state: flow.state, cookie })
    }

    /// Starts a flow with a provider and returns the response of [`continue_with`]'s endpoints.
    ///
    /// # Errors
    /// As [`Authorize::start`].
    pub fn continue_with(
        &self,
        provider: Selector,
        cookies: &Cookies,
    ) -> Result<Response<AuthResponse>, ApiError> {
        let (auth_data, cookie) = self.start(provider, cookies, None)?.into_redirect();
        Ok(Response::new(auth_data.into()).cookie(cookie))
    }

    /// The error `sso_required`, with the redirect to the identity provider that the organization requires.
    #[track_caller]
    pub fn sso_required(&self, required: SsoRequired, cookies: &Cookies) -> ApiError {
        let SsoRequired { connection_id, pending_authentication_token, email } = required;
        let pending = pending_authentication_token.map(|token| token.expose().to_owned());
        let error = ApiError::new(Reason::SsoRequired).pending(pending).next(Next::Redirect);
        match self.start(Selector::Connection(connection_id), cookies, email.as_deref()) {
            Ok(started) => {
                let (auth_data, cookie) = started.into_sso();
                error.auth_data(auth_data).cookie(cookie)
            }
            Err(failed) => failed,
        }
    }

    /// The error of a sign-in whose method is not allowed, with the redirect to Google or Microsoft if one of them is.
    pub fn other_method(&self, other: OtherMethod, cookies: &Cookies) -> ApiError {
        let OtherMethod { allowed, email, error } = other;
        let allows = |name: &str| allowed.iter().any(|each| each == name);
        let selector = match (allows("google_oauth"), allows("microsoft_oauth")) {
            (true, _) => Selector::Google,
            (false, true) => Selector::Microsoft,
            (false, false) => return error,
        };
        self.redirect(error, selector, cookies, email.as_deref())
    }

    /// `error` with the redirect to `selector` as the next step.
    pub fn redirect(
        &self,
        error: ApiError,
        selector: Selector,
        cookies: &Cookies,
        login_hint: Option<&str>,
    ) -> ApiError {
        match self.start(selector, cookies, login_hint) {
            Ok(started) => {
                let (auth_data, cookie) = started.into_redirect();
                error.next(Next::Redirect).auth_data(auth_data).cookie(cookie)
            }
            Err(failed) => failed,
        }
    }

    /// The authorization URL of `flow`.
    ///
    /// Both endpoints get the challenge. WorkOS documents it for `/user_management/authorize` only, but its SDKs send it
    /// to `/sso/authorize` as well; without it, a code from another browser's flow could be redeemed in this one.
    pub fn url(&self, selector: Selector, flow: &OAuthFlow, login_hint: Option<&str>) -> String {
        let (path, name, value) = match selector {
            provider @ (Selector::Google | Selector::Microsoft) => {
                ("user_management", "provider", provider.method().to_owned())
            }
            Selector::Organization(id) => ("user_management", "organization_id", id.as_str().to_owned()),
            Selector::Connection(id) => match self.sso_endpoint {
                SsoEndpoint::UserManagement => ("user_management", "connection_id", id.as_str().to_owned()),
                SsoEndpoint::Sso => ("sso", "connection", id.as_str().to_owned()),
            },
        };
        let mut query = Serializer::new(String::new());
        query
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", &self.redirect_uri)
            .append_pair("response_type", "code")
            .append_pair(name, &value)
            .append_pair("state", &flow.state)
            .append_pair("code_challenge", &flow.challenge())
            .append_pair("code_challenge_method", "S256");
        if let Some(address) = login_hint {
            query.append_pair("login_hint", address);
        }
        format!("{}/{path}/authorize?{}", self.api_url, query.finish())
    }
}

/// Any absolute URL: mobile applications use a custom scheme.
fn redirect_uri(env: &Env) -> Result<String, ConfigError> {
    let uri: url::Url = env.parsed(&OAUTH_REDIRECT_URI)?;
    if uri.fragment().is_some() {
        return Err(ConfigError::new(&OAUTH_REDIRECT_URI, "must have no fragment"));
    }
    // Not normalized: WorkOS compares it with the dashboard's, character by character.
    env.required(&OAUTH_REDIRECT_URI)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: [(&str, &str); 2] =
        [("WORKOS_CLIENT_ID", "client_1"), ("OAUTH_REDIRECT_URI", "https://app.example.com/callback?a=b")];

    fn authorize(more: &[(&str, &str)]) -> Authorize {
        Authorize::load(&Env::fixed(GIVEN.iter().chain(more).copied())).unwrap()
    }

    fn started(authorize: &Authorize, selector: Selector, hint: Option<&str>) -> (url::Url, Started) {
        let started = authorize.start(selector, &Cookies::default(), hint).unwrap();
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
        let (flow, _) = OAuthFlow::start(&Cookies::default()).unwrap();
        let url = authorize(&[]).url(Selector::Google, &flow, None);
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
