//! The local cloud: everything that the functions meet in AWS, WorkOS and LiveKit, on one machine.
//!
//! | module | stands in for |
//! |---|---|
//! | [`cloud`] | all of it, wired and started |
//! | [`template`] | what CloudFormation reads: functions, routes, authorizer, table |
//! | [`runtime`] | Lambda: the Runtime API, processes, START and REPORT lines |
//! | [`gateway`] | API Gateway: an HTTP API with payload 2.0, authorizer and CORS |
//! | [`dynamodb`] | DynamoDB, embedded |
//! | [`workos`] | WorkOS |
//! | [`livekit`] | LiveKit |
//! | [`front`] | the front of the three doubles: call counts and faults |
//!
//! It is a library for the tests, where everything is on a free port, and a binary for the developer. It is never
//! linked into a function.

pub mod cloud;
mod connections;
pub mod dynamodb;
pub mod front;
pub mod gateway;
mod ids;
pub mod livekit;
pub mod runtime;
pub mod template;
pub mod workos;
