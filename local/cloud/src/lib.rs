//! The local cloud: everything that the functions use in AWS, WorkOS and LiveKit, on one machine.
//!
//! | crate | stands in for | uses |
//! |---|---|---|
//! | `local` | all of it, wired; the `dev` and `demo` commands | all of the below |
//! | `local-gateway` | API Gateway: an HTTP API with payload 2.0, authorizer and CORS | runtime, template, http |
//! | `local-runtime` | Lambda: the Runtime API, processes, START and REPORT lines | http |
//! | `local-template` | what CloudFormation reads: functions, routes, authorizer, table | |
//! | `local-dynamodb` | DynamoDB, embedded | proxy, template |
//! | `local-workos` | WorkOS | proxy |
//! | `local-livekit` | LiveKit | proxy |
//! | `local-proxy` | nothing: it counts the calls of the three doubles and injects faults | http |
//! | `local-http` | nothing: the HTTP/1.1 server loop and client of all of them | |
//!
//! [`Cloud::start`] reads the template, starts the doubles, and hosts the functions between them. Everything listens on
//! loopback. Port 0 is a free port, so any number of clouds can run in one process: that is the test bed. Dropping a
//! cloud ends it, the functions' processes included; [`Cloud::stop`] also waits until they are gone.
//!
//! A function's environment is what the template names for it. The local cloud supplies the endpoints, keys and
//! addresses ([`CloudOptions::environment`] overrides them), the template the rest. One variable is added that the
//! template does not name, because in AWS the SDK knows the endpoint: a function with `SESSION_TABLE` also gets
//! `AWS_ENDPOINT_URL_DYNAMODB`.
//!
//! Modules, lowest first: `options`, `part`, `redirects`, `schedules`; `supplied`; `cloud`.
//!
//! None of this is ever linked into a function.

mod cloud;
mod options;
mod part;
mod redirects;
mod schedules;
mod supplied;

pub use cloud::Cloud;
pub use options::{
    CloudError, CloudOptions, FRONT_ENDS, Hosting, Ports, REDIRECT_URI, REDIRECT_URIS, SIGN_OUT_RETURN_TO,
    SIGN_OUT_RETURN_TOS, WORKOS_EVENTS,
};
