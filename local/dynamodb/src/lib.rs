//! An embedded DynamoDB: `dynoxide` in memory, with the tables of the template.
//!
//! Calls go through the fault proxy under their operation's name (`GetItem`, `TransactWriteItems`). DynamoDB deletes
//! expired items late, within days; this one deletes them only on a sweep.

mod access;
mod error;
mod outside;

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse as _;
use bytes::Bytes;
use dynoxide::Database;
use dynoxide::actions::scan::ScanRequest;
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::access::Accesses;
use crate::outside::time_to_live;
use local_proxy::FaultProxy;
use local_template::Table;

pub use crate::access::Access;
pub use crate::error::Error;
pub use crate::outside::{ensure_tables, may_create_tables};

/// The configuration of a database.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The interval of sweeps, which delete expired items; `None` for no sweeps.
    pub sweep_every: Option<Duration>,
}

/// A running database. Dropping it stops it.
pub struct DynamoDb {
    url: String,
    proxy: FaultProxy,
    database: Database,
    accesses: Accesses,
    _tasks: JoinSet<()>,
}

impl std::fmt::Debug for DynamoDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DynamoDb").field("url", &self.url).finish_non_exhaustive()
    }
}

impl DynamoDb {
    /// Creates the tables and serves the DynamoDB API on `listener`.
    ///
    /// # Errors
    ///
    /// If a table's definition is rejected, with DynamoDB's message, or if the listener has no address.
    pub async fn start(listener: TcpListener, tables: &[Table], options: Options) -> Result<Self, Error> {
        let database = Database::memory()?;
        for table in tables {
            database.create_table(serde_json::from_value(table.definition.clone())?)?;
            if let Some(time_to_live) = time_to_live(table) {
                database.update_time_to_live(serde_json::from_value(time_to_live)?)?;
            }
        }
        let url = format!("http://{}", listener.local_addr()?);
        // dynoxide exposes no router, so it serves on a port of its own, behind the fault proxy.
        let inner = TcpListener::bind(("127.0.0.1", 0)).await?;
        let upstream = inner.local_addr()?.to_string();
        let (proxy, accesses) = (FaultProxy::default(), Accesses::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(dynoxide::server::serve_on(inner, database.clone()));
        let relay = relay(upstream, accesses.clone());
        tasks.spawn(local_proxy::serve(listener, relay, proxy.clone(), |parts, _| {
            operation(&parts.headers).to_owned()
        }));
        if let Some(pause) = options.sweep_every {
            tasks.spawn(sweep(database.clone(), pause));
        }
        Ok(Self { url, proxy, database, accesses, _tasks: tasks })
    }

    /// The endpoint, e.g. `http://127.0.0.1:8000`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Call counts and faults, by operation.
    pub fn proxy(&self) -> &FaultProxy {
        &self.proxy
    }

    /// Which function did what to which kind of items so far, without the calls that a fault kept from the database.
    pub fn accesses(&self) -> BTreeSet<Access> {
        self.accesses.all()
    }

    /// All items of a table in DynamoDB's JSON. Bypasses the fault proxy.
    ///
    /// # Errors
    ///
    /// If there is no such table.
    pub fn scan(&self, table: &str) -> Result<Vec<Value>, Error> {
        let mut items = Vec::new();
        let mut start = None;
        loop {
            let page = self.database.scan(ScanRequest {
                table_name: table.to_owned(),
                exclusive_start_key: start,
                ..ScanRequest::default()
            })?;
            for item in page.items.unwrap_or_default() {
                items.push(serde_json::to_value(item)?);
            }
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok(items);
            }
        }
    }

    /// Writes an item in DynamoDB's JSON. Bypasses the fault proxy.
    ///
    /// # Errors
    ///
    /// If DynamoDB would reject it.
    pub fn put(&self, table: &str, item: &Value) -> Result<(), Error> {
        self.database.put_item(serde_json::from_value(json!({ "TableName": table, "Item": item }))?)?;
        Ok(())
    }

    /// Deletes the expired items and returns their number.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn sweep(&self) -> Result<usize, Error> {
        Ok(self.database.sweep_ttl()?)
    }
}

async fn sweep(database: Database, pause: Duration) {
    loop {
        tokio::time::sleep(pause).await;
        let database = database.clone();
        // SQLite blocks. After a failed sweep, the next one deletes the items.
        let _ = tokio::task::spawn_blocking(move || database.sweep_ttl()).await;
    }
}

/// The operation of a call, e.g. `GetItem` for `X-Amz-Target: DynamoDB_20120810.GetItem`.
fn operation(headers: &HeaderMap) -> &str {
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok());
    target.and_then(|target| target.rsplit('.').next()).unwrap_or("unknown")
}

fn relay(upstream: String, accesses: Accesses) -> Router {
    let client = local_http::client();
    Router::new().fallback(async move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
        accesses.record(&headers, operation(&headers), &body);
        let request = client.request(method, format!("http://{upstream}{uri}")).headers(headers).body(body);
        match request.send().await {
            Ok(response) => http::Response::<reqwest::Body>::from(response).map(Body::new),
            Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use local_template::{Deployment, Template};

    async fn start() -> Result<DynamoDb, Box<dyn std::error::Error>> {
        let template =
            Template::parse(include_str!("../../template/src/fixture.yaml"), &Deployment::default())?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        Ok(DynamoDb::start(listener, &template.tables, Options::default()).await?)
    }

    async fn call(
        db: &DynamoDb,
        operation: &str,
        body: Value,
    ) -> Result<(u16, Value), Box<dyn std::error::Error>> {
        let authorization = "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/dynamodb/aws4_request, \
                             SignedHeaders=host;x-amz-date, Signature=b";
        let request = local_http::client()
            .post(db.url())
            .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-date", "20260101T000000Z")
            .header("authorization", authorization)
            .body(body.to_string());
        let response = request.send().await?;
        let status = response.status().as_u16();
        Ok((status, serde_json::from_slice(&response.bytes().await?)?))
    }

    #[tokio::test]
    async fn calls_reach_the_templates_table_and_are_counted_and_faulted()
    -> Result<(), Box<dyn std::error::Error>> {
        let db = start().await?;
        let item = json!({ "pk": { "S": "a" }, "expires_at": { "N": "1" }, "user_id": { "S": "u" } });
        let (status, body) =
            call(&db, "PutItem", json!({ "TableName": "local-Table", "Item": item })).await?;
        assert_eq!((status, body), (200, json!({})));
        let get = json!({ "TableName": "local-Table", "Key": { "pk": { "S": "a" } } });
        assert_eq!(call(&db, "GetItem", get.clone()).await?, (200, json!({ "Item": item })));

        db.proxy().inject(local_proxy::Fault::response("GetItem", 500, "{}").times(1));
        assert_eq!(call(&db, "GetItem", get.clone()).await?, (500, json!({})));
        assert_eq!(db.proxy().count("GetItem"), 2);

        assert_eq!(db.scan("local-Table")?, [item]);
        assert_eq!(db.sweep()?, 1);
        assert!(db.scan("local-Table")?.is_empty());
        Ok(())
    }
}
