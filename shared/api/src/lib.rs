//! The base of every endpoint: configuration, error reasons, typed requests and responses, logs, and [`main!`], which
//! turns an [`Endpoint`] into a Lambda function.
//!
//! Everything that endpoints share happens here: the `Origin` check, cookies or the headers in their place, body limits,
//! content type, the caller's identity, the deadline, security headers, error bodies and log lines.

pub mod audit;
pub mod auth_data;
mod authorizer;
mod boot;
pub mod caller;
pub mod clock;
pub mod config;
pub mod cookie;
pub mod deadline;
pub mod email;
pub mod endpoint;
pub mod error;
pub mod handler;
pub mod input;
mod invoke;
pub mod logs;
pub mod metrics;
pub mod random;
pub mod request;
pub mod response;
pub mod secret;
pub mod text;
pub mod transport;

pub use auth_data::AuthData;
pub use authorizer::Credentials;
pub use boot::run;
pub use caller::{Caller, Verdict};
pub use config::{ApiConfig, ConfigError, Env, Variable};
pub use cookie::{Cookies, DEVICE_COOKIE, OAUTH_COOKIE, PENDING_COOKIE, SESSION_COOKIE, SameSite, SetCookie};
pub use email::EmailAddress;
pub use endpoint::{Access, Endpoint, Route, Step, Tag};
pub use error::{ApiError, INPUT, Next, Reason};
pub use handler::{Handler, Schedule};
pub use input::{Nothing, RawBody};
pub use request::{Client, Request};
pub use response::{Done, Response};
pub use secret::Secret;

/// Re-exported for [`text!`].
#[doc(hidden)]
pub use {schemars, serde};
