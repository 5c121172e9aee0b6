//! A local WorkOS: an HTTP server that enforces what the real service enforces.
//!
//! Users, organizations, memberships, connections, invitations, Magic Auth, address verification, authenticator apps, every
//! grant of authenticate, rotating refresh tokens with a replay window, organization policies, hosted authorize pages,
//! impersonation, sessions, logout, the JWKS, events and webhooks. Responses follow
//! WorkOS' OpenAPI document (npm `@workos/openapi-spec`); errors have the extra fields of the reference
//! (<https://workos.com/docs/reference/authkit/authentication-errors>). State is in memory.
//!
//! [`start`] serves it; the [`WorkOs`] handle changes its state as the dashboard, or the passing of time, would.

mod api;
mod authenticate;
mod authorize;
mod clock;
mod codes;
mod control;
mod directory;
mod email;
mod error;
mod events;
mod hosted;
mod invitations;
mod keys;
mod memberships;
mod mfa;
mod model;
mod options;
mod page;
mod policy;
mod random;
mod request;
mod router;
mod seed;
mod sessions;
mod settings;
mod state;
#[cfg(test)]
mod tests;
mod webhooks;

pub use control::{WorkOs, start};
pub use events::Event;
pub use model::Grant;
pub use options::{Mail, Options};
pub use seed::Seed;
pub use settings::{ConnectionState, DomainState, Environment, Method, Policy};
pub use webhooks::{Delivery, Webhooks, sign_webhook};
