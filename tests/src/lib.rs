//! The black-box suite: see `it/main.rs`.
