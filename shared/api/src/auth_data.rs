//! `authData`: how a client goes on with a sign-in.

use schemars::JsonSchema;
use serde::Serialize;

/// How a client goes on: by a code that comes by mail, or at `redirectURL`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthData {
    /// `sso` or `magic_auth`, where the endpoint chooses between them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_method: Option<AuthMethod>,
    /// Where the browser goes next.
    #[serde(rename = "redirectURL", skip_serializing_if = "Option::is_none")]
    pub redirect_url: Option<String>,
    /// Comes back with the browser; handed to `finalize-oauth` it picks the flow, so that several tabs work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// The response of an endpoint that starts or ends something in the browser.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthResponse {
    /// How the client goes on.
    pub auth_data: AuthData,
}

impl From<AuthData> for AuthResponse {
    fn from(auth_data: AuthData) -> Self {
        Self { auth_data }
    }
}

/// The way a person proves who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// The organization's identity provider.
    Sso,
    /// A code sent by mail.
    MagicAuth,
}

impl AuthData {
    /// A code was sent by mail, or would have been if the address were known.
    pub const fn magic_auth() -> Self {
        Self { auth_method: Some(AuthMethod::MagicAuth), redirect_url: None, state: None }
    }

    /// Go to the organization's identity provider.
    pub fn sso(redirect_url: String, state: String) -> Self {
        Self { auth_method: Some(AuthMethod::Sso), redirect_url: Some(redirect_url), state: Some(state) }
    }

    /// Go to `redirect_url`; the endpoint leaves no choice of method.
    pub fn redirect(redirect_url: String, state: Option<String>) -> Self {
        Self { auth_method: None, redirect_url: Some(redirect_url), state }
    }
}
