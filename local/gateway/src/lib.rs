//! API Gateway on one machine: an HTTP API with Lambda integrations, payload format 2.0.
//!
//! Routes, authorizers and CORS come from the template. The gateway's own responses are those of AWS:
//!
//! | status | body | when |
//! |---|---|---|
//! | 204 | | preflight, if CORS is configured |
//! | 401 | `{"message":"Unauthorized"}` | an identity source of the authorizer is missing |
//! | 403 | `{"message":"Forbidden"}` | the authorizer refuses |
//! | 404 | `{"message":"Not Found"}` | no route for method and path |
//! | 413 | `{"message":"Request Entity Too Large"}` | body over 10 MB, or event over Lambda's 6 MB |
//! | 431 | `{"message":"Request Header Fields Too Large"}` | request line and headers over 10,240 bytes |
//! | 500 | `{"message":"Internal Server Error"}` | function or authorizer failed, timed out or returned an invalid response |
//! | 503 | `{"message":"Service Unavailable"}` | throttled, unreachable, or no response within 30 s |
//!
//! The throttling limits in the template's route settings are not emulated.
//!
//! Modules, lowest first: `routes`, `cors`, `reply`, `error`, `event`; `authorize`; `api`.

mod api;
mod authorize;
mod cors;
mod error;
pub mod event;
mod reply;
mod routes;

pub use api::{Api, serve};
