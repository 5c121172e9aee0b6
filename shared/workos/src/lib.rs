//! WorkOS, the identity provider: an adapter over the official `workos` crate.
//!
//! - [`WorkOs`] looks up users, memberships and SSO connections, sends codes by mail, and enrolls and challenges
//!   authenticator apps. It needs the API key.
//! - [`Grants`] exchanges credentials for tokens and verifies them ([`verifier`]). It needs the key set as well.
//! - [`Event`] is what WorkOS reports of a change: in a webhook, which [`WebhookSecrets`] verifies, or in its list of events.
//! - [`Authorize`] starts a sign-in through the browser, [`OAuthFlow`] finishes it, and [`LogOut`] ends WorkOS' session
//!   in the browser. They make no calls and need no key, so a function that uses only them links no HTTP client.
//!
//! Each outcome is a type of [`sign_in`] or an [`api::ApiError`]. The private module `error` alone decides what WorkOS'
//! errors mean.
//!
//! Requests and models are the SDK's. The HTTP client, timeouts and error decoding are ours: the SDK would retry past
//! our deadline, and its errors print tokens.

pub mod authorize;
mod cache;
mod client;
mod codes;
pub mod config;
mod error;
pub mod events;
pub mod fields;
pub mod flow;
mod grants;
mod jwks;
pub mod log_out;
mod lookup;
mod memberships;
pub mod outcome;
pub mod reasons;
pub mod redirects;
pub mod sign_in;
mod step_ups;
mod transport;
pub mod verifier;
pub mod webhook;

pub use api::OAUTH_COOKIE;
pub use authorize::{Authorize, Hints, Selector, Started, continue_with};
pub use client::WorkOs;
pub use error::ErrorKind;
pub use events::{Change, Event, EventPage, Since};
pub use fields::{
    AuthCode, ChallengeId, ConnectionId, FlowState, InvitationToken, LoginHint, MagicCode, OrganizationId,
    PendingToken, ProviderError, RedirectUri, ReturnTo,
};
pub use flow::{Destination, OAuthFlow};
pub use grants::Grants;
pub use log_out::LogOut;
pub use memberships::Membership;
pub use reasons::{CODE, FAILURES, GRANT, INVITATION, PENDING, STEP_UP};
pub use redirects::RedirectUris;
pub use sign_in::{
    Authentication, Claims, GrantError, Organization, OtherMethod, RefreshError, Refreshed, Selection,
    SignIn, SsoRequired, StepUp,
};
pub use step_ups::{Enrollment, Factor};
pub use webhook::WebhookSecrets;
