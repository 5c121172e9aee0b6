//! The files in git that are generated from the code. `make generate` writes them; a test fails when one of them is stale.

pub mod configuration;
mod errors;
mod golden;
pub mod openapi;
mod readme;
mod rounds;
mod router;
