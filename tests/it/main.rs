//! The black-box suite: the real binaries on the real Runtime API, behind the local gateway, the authorizer and the
//! template's own routes, with a DynamoDB and doubles that enforce what the originals enforce. One test binary: one link.

#![expect(
    unreachable_pub,
    reason = "nothing outside this binary reaches its items; `pub` says what other modules use"
)]

mod app;

mod boot;
mod events;
mod input;
mod links;
mod main_job;
mod meeting;
mod recording_faults;
mod recordings;
mod rooms;
mod secrets;
mod sessions;
mod webhooks;
