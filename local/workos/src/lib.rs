//! WorkOS on the own machine: an HTTP server that enforces what the real service enforces, so that a call that succeeds
//! proves something.
//!
//! Users, organizations, memberships, connections, Magic Auth, every grant of authenticate, rotating refresh tokens
//! with a replay window, organization policies, hosted authorize pages, sessions, logout and the JWKS. The shapes
//! are those of WorkOS' OpenAPI document (npm `@workos/openapi-spec`), and its three error shapes with the extra
//! fields of the reference (<https://workos.com/docs/reference/authkit/authentication-errors>). State lives in
//! memory.
//!
//! [`start`] serves it; the [`WorkOs`] handle changes its state as the dashboard would, and as time would.

mod authenticate;
mod authorize;
mod certificate;
mod clock;
mod codes;
mod control;
mod directory;
mod keys;
mod mfa;
mod organizations;
mod page;
mod paging;
mod policy;
mod random;
mod refusal;
mod request;
mod router;
mod seed;
mod service;
mod session_api;
mod sessions;
#[cfg(test)]
mod tests;
mod users;

use std::fmt;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use local_proxy::FaultProxy;
use service::{Service, State};

pub use seed::{
    ConnectionState, DomainState, Environment, MembershipStatus, Method, Policy, Seed, SeedConnection,
    SeedDomain, SeedError, SeedMembership, SeedOrganization, SeedUser,
};

/// How the double is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The API key: bearer of every call, `client_secret` of authenticate.
    pub api_key: String,
    /// The client id.
    pub client_id: String,
    /// Where authorize may send a browser, compared exactly.
    pub redirect_uris: Vec<String>,
    /// Where logout may send a browser, compared exactly; the first is the default.
    pub sign_out_redirects: Vec<String>,
    /// What is there at start.
    pub seed: Seed,
    /// `iss` of the access tokens; `<url>/user_management/<client id>` where it is left out.
    pub issuer: Option<String>,
    /// Lifetime of an access token.
    pub access_token_lifetime: Duration,
    /// Absolute lifetime of a session.
    pub session_lifetime: Duration,
    /// Lifetime of every code and pending authentication token.
    pub code_lifetime: Duration,
    /// How long the last refresh token may be exchanged again for the same pair.
    pub replay_window: Duration,
    /// Whether WorkOS' limits per address hold: 3 Magic Auth codes and 10 tries to redeem one in 60 seconds.
    pub rate_limits: bool,
    /// Gets every mail as it is sent; they are kept in [`WorkOs::mails`] as well.
    pub mail: Option<UnboundedSender<Mail>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            api_key: "sk_test_default".to_owned(),
            client_id: "client_local".to_owned(),
            redirect_uris: vec!["http://localhost:3000/callback".to_owned()],
            sign_out_redirects: vec!["http://localhost:3000".to_owned()],
            seed: Seed::default(),
            issuer: None,
            access_token_lifetime: Duration::from_secs(300),
            session_lifetime: Duration::from_secs(30 * 24 * 60 * 60),
            code_lifetime: Duration::from_secs(600),
            replay_window: Duration::from_secs(30),
            rate_limits: false,
            mail: None,
        }
    }
}

/// A mail that a person would receive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mail {
    /// The address.
    pub to: String,
    /// What it is about.
    pub subject: String,
    /// The code in it.
    pub code: String,
}

impl fmt::Display for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mail to {}: {}: {}", self.to, self.subject, self.code)
    }
}

/// A running double. Dropping it stops the server and closes every connection.
pub struct WorkOs {
    url: String,
    proxy: FaultProxy,
    service: Service,
    server: JoinHandle<()>,
}

/// Serves the double on `listener`.
pub async fn start(listener: TcpListener, options: Options) -> WorkOs {
    let url = listener.local_addr().map_or_else(|_| String::new(), |address| format!("http://{address}"));
    // The first double of a process makes the process' key, which must not hold up the runtime.
    let _ = tokio::task::spawn_blocking(keys::SigningKey::of_this_process).await;
    let service = Service::new(State::new(&url, options));
    let proxy = FaultProxy::default();
    let serving =
        local_proxy::serve(listener, router::router(service.clone()), proxy.clone(), router::name_call);
    WorkOs { url, proxy, service, server: tokio::spawn(serving) }
}

/// Only the address: the state is full of tokens.
impl fmt::Debug for WorkOs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkOs").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Drop for WorkOs {
    fn drop(&mut self) {
        self.server.abort();
    }
}
