//! One read of one item through the product's own store client, and nothing else: what a bare `GetItem` costs inside a
//! function. The authorizer's budget is stated in it.

use std::time::Instant;

use api::Env;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde::{Deserialize, Serialize};
use store::{SessionKey, Table};

/// Which item.
#[derive(Deserialize)]
struct Input {
    /// The hash in the item's key.
    key: String,
}

/// What it cost.
#[derive(Serialize)]
struct Output {
    /// Whether there is such an item.
    found: bool,
    /// Time of the read in nanoseconds.
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
