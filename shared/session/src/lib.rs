//! Sessions: begun by a sign-in, checked on every protected request, refreshed, switched to another organization, ended.
//!
//! - [`SignIns`] turns a completed sign-in into a session. [`Sessions`] begins and ends sessions.
//! - [`StepUps`] prepares the steps that WorkOS asks for on the way: a verified address, a second factor.
//! - [`CodeMail`] sends codes by mail, [`CodeTries`] limits how often one is tried.
//! - [`Authenticator`] checks and refreshes the session of a protected request.
//! - [`UserSessions`] finds and ends the sessions of a person, and [`Endings`] ends them at WorkOS as well.
//! - [`Recent`] demands a recent sign-in.
//! - [`Switcher`] moves a session to another organization.
//!
//! A session token is 32 random bytes, which the browser holds in a cookie. The table stores its SHA-256 as the key, and
//! the WorkOS refresh token sealed under a key derived from the token. So a copy of the table contains no usable
//! credential, and there is no server key to keep or rotate.

mod authenticate;
mod browsers;
mod chain;
mod code_mail;
mod code_tries;
mod endings;
pub mod examples;
mod floor;
pub mod lease;
mod lifetimes;
mod recent;
mod sessions;
mod sign_ins;
mod signed_in;
mod step_ups;
mod switch;
mod token;
mod trail;
mod user_sessions;

pub use api::{DEVICE_COOKIE, PENDING_COOKIE, SESSION_COOKIE};
pub use authenticate::{Authenticator, REFRESH_GRACE_SECONDS};
pub use chain::Chain;
pub use code_mail::{Asked, CodeMail, NextStep, Recipients, Sent};
pub use code_tries::{CodeTries, Try};
pub use endings::{Endings, SignedOut};
pub use floor::MAIL_FLOOR_MS;
pub use lifetimes::{Lifetimes, SESSION_ABSOLUTE_SECONDS, SESSION_IDLE_SECONDS, Standing, ended_with};
pub use recent::{REAUTHENTICATION_SECONDS, Recent};
pub use sessions::Sessions;
pub use sign_ins::SignIns;
pub use signed_in::SignedIn;
pub use step_ups::{Challenged, ChallengedFactor, Enrolled, STEP, StepUps};
pub use switch::Switcher;
pub use token::SessionToken;
pub use user_sessions::UserSessions;
