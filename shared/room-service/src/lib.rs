//! Calls to LiveKit's server API, and its webhooks.
//!
//! Apart from `shared/livekit`, whose tokens need neither network nor TLS.

pub mod server;
pub mod twirp;
mod webhook;

pub use server::{LIVEKIT_URL, Server, expect_subject};
pub use twirp::{Client, Failure, Leftover};
