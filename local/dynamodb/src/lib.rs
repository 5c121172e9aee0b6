//! DynamoDB on one machine: `dynoxide` in memory, with the tables of the template.
//!
//! Calls pass the fault proxy of the doubles under their operation's name (`GetItem`, `TransactWriteItems`), so they are
//! counted and can be made to fail. DynamoDB deletes expired items late, within days; so does this one, never by
//! default and on each sweep where [`Options::sweep_every`] asks for sweeps.

mod access;
mod outside;

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse as _;
use bytes::Bytes;
use dynoxide::actions::create_table::CreateTableRequest;
use dynoxide::actions::put_item::PutItemRequest;
use dynoxide::actions::scan::ScanRequest;
use dynoxide::{Database, DynoxideError};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use access::Accesses;
use local_proxy::FaultProxy;
use local_template::Table;

pub use access::Access;
pub use outside::{ensure_tables, may_create_tables};

/// How the database behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// How often expired items are deleted; never without it.
    pub sweep_every: Option<Duration>,
}

/// A running database. Dropping it ends it.
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
    /// When a table's definition is refused, with DynamoDB's message, or the listener has no address.
    pub async fn start(listener: TcpListener, tables: &[Table], options: Options) -> Result<Self, Error> {
        let database = Database::memory()?;
        for table in tables {
            create(&database, table)?;
        }
        let url = format!("http://{}", listener.local_addr()?);
        // Its router is not public and its server cannot be faulted: it serves behind a fault proxy of our own.
        let inner = TcpListener::bind(("127.0.0.1", 0)).await?;
        let upstream = inner.local_addr()?.to_string();
        let (proxy, accesses) = (FaultProxy::default(), Accesses::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(dynoxide::server::serve_on(inner, database.clone()));
        tasks.spawn(local_proxy::serve(
            listener,
            relay(upstream, accesses.clone()),
            proxy.clone(),
            operation,
        ));
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

    /// Which function did what to which kind of items so far; calls that a fault answered are not among them.
    pub fn accesses(&self) -> BTreeSet<Access> {
        self.accesses.all()
    }

    /// All items of a table in DynamoDB's JSON, read past the fault proxy: neither counted nor faulted.
    ///
    /// # Errors
    ///
    /// When there is no such table.
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

    /// Writes an item in DynamoDB's JSON, past the fault proxy.
    ///
    /// # Errors
    ///
    /// When DynamoDB would refuse it.
    pub fn put(&self, table: &str, item: &Value) -> Result<(), Error> {
        let request: PutItemRequest = serde_json::from_value(json!({ "TableName": table, "Item": item }))?;
        self.database.put_item(request)?;
        Ok(())
    }

    /// Deletes the items that have expired, as DynamoDB does sooner or later; how many.
    ///
    /// # Errors
    ///
    /// When the database is broken.
    pub fn sweep(&self) -> Result<usize, Error> {
        Ok(self.database.sweep_ttl()?)
    }
}

/// What went wrong with a database itself.
#[derive(Debug)]
pub enum Error {
    /// The embedded database refused an operation.
    Database(DynoxideError),
    /// A table or an item is not in DynamoDB's JSON.
    Json(serde_json::Error),
    /// No listener.
    Io(std::io::Error),
    /// The endpoint of the developer's own cannot be used.
    Outside(String, String),
    /// The endpoint of the developer's own refused an operation.
    Refused {
        /// E.g. `CreateTable`.
        operation: String,
        /// The endpoint.
        url: String,
        /// DynamoDB's name of the error, e.g. `AccessDeniedException`.
        kind: String,
    },
    /// The endpoint of the developer's own is on another machine and lacks the table.
    NoTable {
        /// The table's name.
        table: String,
        /// The endpoint.
        url: String,
    },
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Database(error) => write!(f, "DynamoDB: {error}"),
            Self::Json(error) => write!(f, "DynamoDB: {error}"),
            Self::Io(error) => write!(f, "DynamoDB: {error}"),
            Self::Outside(url, reason) => write!(f, "DynamoDB at {url}: {reason}"),
            Self::Refused { operation, url, kind } => {
                write!(f, "DynamoDB at {url}: {operation} failed: {kind}")
            }
            Self::NoTable { table, url } => write!(
                f,
                "DynamoDB at {url} has no table {table}: deploy template.yaml there, or set SESSION_TABLE to an existing \
                 table of that shape; only an endpoint on this machine gets the table by itself"
            ),
        }
    }
}

impl std::error::Error for Error {}

impl From<DynoxideError> for Error {
    fn from(error: DynoxideError) -> Self {
        Self::Database(error)
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

fn create(database: &Database, table: &Table) -> Result<(), Error> {
    let request: CreateTableRequest = serde_json::from_value(table.definition.clone())?;
    database.create_table(request)?;
    if let Some(time_to_live) = time_to_live(table) {
        database.update_time_to_live(serde_json::from_value(time_to_live)?)?;
    }
    Ok(())
}

/// The body of the `UpdateTimeToLive` call for a table with TTL.
fn time_to_live(table: &Table) -> Option<Value> {
    let attribute = table.ttl_attribute.as_ref()?;
    let specification = json!({ "AttributeName": attribute, "Enabled": true });
    Some(json!({ "TableName": table.name, "TimeToLiveSpecification": specification }))
}

async fn sweep(database: Database, pause: Duration) {
    loop {
        tokio::time::sleep(pause).await;
        let database = database.clone();
        // SQLite blocks; a failed sweep only deletes later, which TTL may always do.
        let _ = tokio::task::spawn_blocking(move || database.sweep_ttl()).await;
    }
}

/// The operation of a call: what follows the dot in `X-Amz-Target: DynamoDB_20120810.GetItem`.
fn operation(parts: &Parts, _body: &Bytes) -> String {
    target(&parts.headers).to_owned()
}

fn target(headers: &HeaderMap) -> &str {
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok());
    target.and_then(|target| target.rsplit('.').next()).unwrap_or("unknown")
}

fn relay(upstream: String, accesses: Accesses) -> Router {
    let client = local_http::client();
    Router::new().fallback(async move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
        accesses.record(&headers, target(&headers), &body);
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
    async fn the_templates_table_answers_and_its_calls_are_counted_and_faulted()
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
