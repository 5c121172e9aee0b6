//! `authData`: the client's next step.

use schemars::JsonSchema;
use serde::Serialize;

/// Where to send the browser.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthData {
    /// `sso` if the endpoint chose it; missing if there was no choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_method: Option<Sso>,
    /// The URL to send the browser to.
    #[serde(rename = "redirectURL")]
    pub redirect_url: String,
    /// Comes back with the browser. Send it to `finalize-oauth`, so that sign-ins in several tabs work. A sign-out has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// The response of an endpoint that sends the browser somewhere.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthResponse {
    /// The next step.
    pub auth_data: AuthData,
}

impl From<AuthData> for AuthResponse {
    fn from(auth_data: AuthData) -> Self {
        Self { auth_data }
    }
}

/// The organization's identity provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sso {
    /// `sso`.
    Sso,
}

/// How the person signs in.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "authMethod", rename_all = "snake_case")]
pub enum AuthMethod {
    /// At the organization's identity provider.
    #[schemars(title = "SsoSignIn")]
    Sso {
        /// The URL to send the browser to.
        #[serde(rename = "redirectURL")]
        redirect_url: String,
        /// Comes back with the browser. Send it to `finalize-oauth`.
        state: String,
    },
    /// With the code sent by mail. The client is told the same if the address is unknown.
    #[schemars(title = "MailCodeSignIn")]
    MagicAuth {},
}

/// `authData` of an error.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum NextAuthData {
    /// Where to send the browser.
    Redirect(AuthData),
    /// How the person signs in.
    Method(AuthMethod),
}

impl From<AuthData> for NextAuthData {
    fn from(auth_data: AuthData) -> Self {
        Self::Redirect(auth_data)
    }
}

impl From<AuthMethod> for NextAuthData {
    fn from(method: AuthMethod) -> Self {
        Self::Method(method)
    }
}

impl AuthData {
    /// Send the browser to the organization's identity provider.
    pub fn sso(redirect_url: String, state: String) -> Self {
        Self { auth_method: Some(Sso::Sso), redirect_url, state: Some(state) }
    }

    /// Send the browser to `redirect_url`, from an endpoint that has only one method.
    pub fn redirect(redirect_url: String, state: Option<String>) -> Self {
        Self { auth_method: None, redirect_url, state }
    }
}
