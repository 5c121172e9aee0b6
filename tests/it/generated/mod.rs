//! The files in git that are generated from the code. `make generate` writes them, and a test fails if one is out of
//! date.

pub mod configuration;
mod errors;
mod golden;
pub mod openapi;
mod readme;
mod rounds;
mod router;
