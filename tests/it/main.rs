//! The black-box suite: the functions' binaries on the Lambda Runtime API, behind a local gateway with the template's
//! routes and authorizer, with an embedded DynamoDB and with doubles that enforce what the real services enforce. It is
//! one test binary, since every further one would link everything again.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helper functions as well"
)]
#![expect(unreachable_pub, reason = "`pub` marks what other modules of this binary use")]

mod app;
mod meeting;
mod node;
mod stage;

mod audit;
mod boot;
mod connections;
mod contract;
mod cookies;
mod demo;
mod deploy;
mod emulator;
mod ended;
mod events;
mod faults;
mod generated;
mod impersonation;
mod input;
mod interrupted;
mod invitations;
mod leaving;
mod limits;
mod links;
mod login;
mod main_job;
mod matrix;
mod metrics;
mod oauth;
mod openapi_spec;
mod organizations;
mod person;
mod policies;
mod real_livekit;
mod reasons;
mod recent;
mod recording_faults;
mod recordings;
mod redirects;
mod refresh;
mod rooms;
mod rounds;
mod secrets;
mod security;
mod sessions;
mod sign_out;
mod step_up_flows;
mod step_ups;
mod switching;
mod template;
mod tokens;
mod transport;
mod typescript;
mod verdicts;
mod webhooks;
mod who;
