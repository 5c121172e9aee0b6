//! `authData`: the client's next step.

use schemars::JsonSchema;
use serde::Serialize;

/// The client's next step: ask for the code sent by mail, or send the browser to `redirectURL`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthData {
    /// `sso` or `magic_auth`, if the endpoint chooses between them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_method: Option<AuthMethod>,
    /// The URL to send the browser to.
    #[serde(rename = "redirectURL", skip_serializing_if = "Option::is_none")]
    pub redirect_url: Option<String>,
    /// Comes back with the browser. Send it to `finalize-oauth`, so that sign-ins in several tabs work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// The response of an endpoint that needs a next step from the client.
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

/// How the person signs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// The organization's identity provider.
    Sso,
    /// A code sent by mail.
    MagicAuth,
}

impl AuthData {
    /// Ask for the code sent by mail. The client is told the same if the address is unknown.
    pub const fn magic_auth() -> Self {
        Self { auth_method: Some(AuthMethod::MagicAuth), redirect_url: None, state: None }
    }

    /// Send the browser to the organization's identity provider.
    pub fn sso(redirect_url: String, state: String) -> Self {
        Self { auth_method: Some(AuthMethod::Sso), redirect_url: Some(redirect_url), state: Some(state) }
    }

    /// Send the browser to `redirect_url`, from an endpoint that has only one method.
    pub fn redirect(redirect_url: String, state: Option<String>) -> Self {
        Self { auth_method: None, redirect_url: Some(redirect_url), state }
    }
}
