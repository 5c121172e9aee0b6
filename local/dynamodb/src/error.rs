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
    /// An external endpoint cannot be used.
    #[error("DynamoDB at {url}: {reason}")]
    Endpoint {
        /// The endpoint.
        url: String,
        /// What failed.
        reason: String,
    },
    /// An external endpoint rejected an operation.
    #[error("DynamoDB at {url}: {operation} failed: {kind}")]
    Rejected {
        /// The endpoint.
        url: String,
        /// E.g. `CreateTable`.
        operation: String,
        /// DynamoDB's name of the error, e.g. `AccessDeniedException`.
        kind: String,
    },
    /// An external endpoint on another machine lacks the table.
    #[error(
        "DynamoDB at {url} has no table {table}: deploy template.yaml there, or set SESSION_TABLE to an existing table \
         of that shape; the table is created only at an endpoint on this machine"
    )]
    NoTable {
        /// The endpoint.
        url: String,
        /// The table's name.
        table: String,
    },
    /// A table of an external endpoint did not become `ACTIVE` in time.
    #[error("DynamoDB at {url}: table {table} is not ACTIVE after {timeout:?}")]
    NotActive {
        /// The endpoint.
        url: String,
        /// The table's name.
        table: String,
        /// The timeout.
        timeout: Duration,
    },
}
