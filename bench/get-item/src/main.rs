//! The bare read: one `GetItem` through the product's own store client, and nothing else. The authorizer's budget is a
//! multiple of it.

use std::time::Instant;

use api::Env;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde::{Deserialize, Serialize};
use store::{SessionKey, Table};

/// The event.
#[derive(Deserialize)]
struct Input {
    /// The hash of a session token.
    key: String,
}

/// The response.
#[derive(Serialize)]
struct Output {
    /// Whether the session exists.
    found: bool,
    /// Duration of the read, in nanoseconds.
    nanoseconds: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let table = &Table::load(&Env::process()).map_err(|error| error.to_string())?;
    run(service_fn(move |event: LambdaEvent<Input>| async move {
        let key = SessionKey(event.payload.key);
        let started = Instant::now();
        let session = table.session(&key).await.map_err(|error| error.cause())?;
        let nanoseconds = u64::try_from(started.elapsed().as_nanos())?;
        Ok::<_, Error>(Output { found: session.is_some(), nanoseconds })
    }))
    .await
}
