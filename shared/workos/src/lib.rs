//! WorkOS, the identity provider: the adapter over the official `workos` crate.
//!
//! - [`WorkOs`] makes the calls: users, Magic Auth codes, SSO connections, the grants that sign somebody in, refresh
//!   and switch. Every answer is either one of the types of [`sign_in`] or an [`api::ApiError`] with its reason: what
//!   WorkOS' errors mean is decided here (`refusal`) and nowhere else.
//! - [`verifier`] checks access tokens; nothing in a token is believed before.
//! - [`authorize`] and [`flow`] begin and finish a sign-in that goes through the browser, [`log_out`] ends WorkOS'
//!   session there. They call nobody and hold no key, so a function that uses only them links no HTTP client.
//!
//! Requests, models and the transport trait are the crate's; the HTTP client, timeouts and error reading are ours,
//! because it would retry beyond our deadline and its errors print tokens.

pub mod authorize;
mod client;
mod codes;
pub mod config;
pub mod fields;
pub mod flow;
mod jwks;
pub mod log_out;
mod lookup;
pub mod reasons;
mod refusal;
pub mod sign_in;
mod transport;
pub mod verifier;

pub use authorize::{Authorize, Selector, Started, continue_with};
pub use client::WorkOs;
pub use fields::{AuthCode, ConnectionId, FlowState, MagicCode, OrganizationId, PendingToken};
pub use flow::{COOKIE as OAUTH_COOKIE, OAuthFlow};
pub use reasons::{CODE, FAILURES, GRANT};
pub use log_out::{LogOut, logout_url};
pub use sign_in::{
    Authentication, Claims, MagicAuthError, Organization, RefreshError, Refreshed, Selection, SignIn,
    SsoRequired, User,
};
