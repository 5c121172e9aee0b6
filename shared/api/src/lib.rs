//! What every endpoint stands on: configuration, the table of error reasons, typed requests and responses, logs, and
//! [`run`], which turns a handler into a Lambda function.
//!
//! An endpoint is a [`Route`], a type that its JSON body is read into, a context with the clients that it uses, and
//! one async function from these to a [`Response`] or an [`ApiError`]. Everything that all endpoints share happens in
//! [`run`]: the check of `Origin`, body limits, content type, the caller's identity, the deadline, security headers,
//! the error body and the log line.

pub mod auth_data;
pub mod body;
pub mod boot;
pub mod caller;
pub mod clock;
pub mod config;
pub mod cookie;
pub mod email;
pub mod error;
pub mod logs;
pub mod metrics;
pub mod random;
pub mod request;
pub mod response;
pub mod route;
pub mod secret;
pub mod text;

pub use auth_data::AuthData;
pub use body::{Nothing, RawBody};
pub use boot::{run, run_authorizer};
pub use caller::Caller;
pub use config::{ApiConfig, ConfigError, Env, Variable};
pub use cookie::{Cookies, SameSite, SetCookie};
pub use email::EmailAddress;
pub use error::{ApiError, Reason};
pub use request::{Client, Request};
pub use response::Response;
pub use route::{Access, Route};
pub use secret::Secret;

/// Re-exported for [`text!`].
#[doc(hidden)]
pub use {schemars, serde};
