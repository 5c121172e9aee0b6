//! Errors of the databases.

use std::time::Duration;

use dynoxide::DynoxideError;

/// An error of the embedded database, or of an external endpoint.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The embedded database rejected an operation.
    #[error("DynamoDB: {0}")]
    Database(#[from] DynoxideError),
    /// A table or an item is not in DynamoDB's JSON.
    #[error("DynamoDB: {0}")]
    Json(#[from] serde_json::Error),
    /// The listener failed.
    #[error("DynamoDB: {0}")]
    Io(#[from] std::io::Error),
    /// An external endpoint cannot be used: its URL and the reason.
    #[error("DynamoDB at {0}: {1}")]
    Endpoint(String, String),
    /// An external endpoint rejected an operation: its URL, the operation and DynamoDB's name of the error.
    #[error("DynamoDB at {0}: {1} failed: {2}")]
    Rejected(String, String, String),
    /// An external endpoint on another machine lacks a table: its URL and the table's name.
    #[error(
        "DynamoDB at {0} has no table {1}: deploy template.yaml there, or set SESSION_TABLE to an existing table \
         of that shape; the table is created only at an endpoint on this machine"
    )]
    NoTable(String, String),
    /// A table did not become `ACTIVE` in time: the URL of its endpoint, its name and the timeout.
    #[error("DynamoDB at {0}: table {1} is not ACTIVE after {2:?}")]
    NotActive(String, String, Duration),
}
