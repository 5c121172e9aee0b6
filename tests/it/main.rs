//! The black-box suite: the real binaries on the real Runtime API, behind the local gateway, the authorizer and the
//! template's own routes, with a DynamoDB and doubles that enforce what the originals enforce. One test binary: one link.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its own body as in what it calls"
)]
#![expect(
    unreachable_pub,
    reason = "nothing outside this binary reaches its items; `pub` says what other modules use"
)]

mod app;
mod meeting;
mod node;
mod stage;

mod boot;
mod connections;
mod contract;
mod demo;
mod deploy;
mod emulator;
mod events;
mod faults;
mod generated;
mod input;
mod links;
mod main_job;
mod oauth;
mod openapi_spec;
mod organizations;
mod policies;
mod reasons;
mod recording_faults;
mod recordings;
mod refresh;
mod rooms;
mod rounds;
mod secrets;
mod security;
mod sessions;
mod step_ups;
mod template;
mod tokens;
mod webhooks;
