//! Options of the double, and the mail it sends.

use std::fmt;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::seed::Seed;
use super::webhooks::Webhooks;

/// Options of the double.
#[derive(Clone, Debug)]
pub struct Options {
    /// The API key: the bearer token of every call, `client_secret` of authenticate.
    pub api_key: String,
    /// The client id.
    pub client_id: String,
    /// Allowed redirect URIs of authorize, compared exactly; `*` as the port of `localhost` or of a loopback address stands
    /// for any port (<https://workos.com/docs/sso/redirect-uris>).
    pub redirect_uris: Vec<String>,
    /// Allowed redirect URIs of logout, compared exactly; the first is the default.
    pub sign_out_redirects: Vec<String>,
    /// Where sign-ins begin that begin at WorkOS.
    pub initiate_login_uri: Option<String>,
    /// Initial data.
    pub seed: Seed,
    /// `iss` of the access tokens, by default `<url>/user_management/<client id>`.
    pub issuer: Option<String>,
    /// Lifetime of an access token.
    pub access_token_lifetime: Duration,
    /// Absolute lifetime of a session.
    pub session_lifetime: Duration,
    /// Lifetime of codes, challenges and pending authentication tokens.
    pub code_lifetime: Duration,
    /// How long exchanging a used refresh token again returns the same pair.
    pub replay_window: Duration,
    /// Whether to apply WorkOS' limits per address: 3 Magic Auth codes and 10 attempts to redeem one in 60 seconds.
    pub rate_limits: bool,
    /// Webhooks; off without a URL.
    pub webhooks: Webhooks,
    /// Receives every mail. [`WorkOs::mails`](crate::WorkOs::mails) keeps them as well.
    pub mail: Option<UnboundedSender<Mail>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            api_key: "sk_test_default".to_owned(),
            client_id: "client_local".to_owned(),
            redirect_uris: vec!["http://localhost:3000/callback".to_owned()],
            sign_out_redirects: vec!["http://localhost:3000".to_owned()],
            initiate_login_uri: None,
            seed: Seed::default(),
            issuer: None,
            access_token_lifetime: Duration::from_secs(300),
            session_lifetime: Duration::from_secs(30 * 24 * 60 * 60),
            code_lifetime: Duration::from_secs(600),
            replay_window: Duration::from_secs(30),
            rate_limits: false,
            webhooks: Webhooks::default(),
            mail: None,
        }
    }
}

/// A mail with a code or a link.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mail {
    /// The address.
    pub to: String,
    /// The subject.
    pub subject: &'static str,
    /// The code in it, or the link of an invitation.
    pub code: String,
}

impl fmt::Display for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mail to {}: {}: {}", self.to, self.subject, self.code)
    }
}
