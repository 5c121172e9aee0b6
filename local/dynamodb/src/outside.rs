//! An external DynamoDB in place of the embedded one, with the tables that the functions need.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use local_template::Table;
use serde_json::{Value, json};
use url::{Host, Url};

use crate::error::Error;

/// For a table to become `ACTIVE`; DynamoDB takes about ten seconds.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Whether a missing table is created at this endpoint: only on this machine. Any other could be an AWS account.
pub fn may_create_tables(url: &str) -> bool {
    match Url::parse(url).ok().as_ref().and_then(Url::host) {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Ensures that the tables exist at `url` and are `ACTIVE`. Creates missing tables if [`may_create_tables`] allows it.
///
/// # Errors
///
/// If a table is missing and may not be created, if it is not `ACTIVE` within a minute, or if the endpoint does not
/// respond as DynamoDB does.
pub async fn ensure_tables(url: &str, region: &str, tables: &[Table]) -> Result<(), Error> {
    let endpoint = Endpoint { client: local_http::client(), url, region };
    for table in tables {
        endpoint.ensure(table, TIMEOUT).await?;
    }
    Ok(())
}

/// The body of the `UpdateTimeToLive` call for a table with TTL.
pub(crate) fn time_to_live(table: &Table) -> Option<Value> {
    let attribute = table.ttl_attribute.as_ref()?;
    let specification = json!({ "AttributeName": attribute, "Enabled": true });
    Some(json!({ "TableName": table.name, "TimeToLiveSpecification": specification }))
}

struct Endpoint<'a> {
    client: reqwest::Client,
    url: &'a str,
    region: &'a str,
}

impl Endpoint<'_> {
    async fn ensure(&self, table: &Table, timeout: Duration) -> Result<(), Error> {
        let active = tokio::time::timeout(timeout, self.create_if_missing(table)).await;
        active.unwrap_or(Err(Error::NotActive(self.url.to_owned(), table.name.clone(), timeout)))
    }

    /// Returns once the table is active.
    async fn create_if_missing(&self, table: &Table) -> Result<(), Error> {
        let mut created = false;
        loop {
            match self.status(table).await?.as_deref() {
                // A table that is `UPDATING` serves all calls.
                Some("ACTIVE" | "UPDATING") => break,
                None if !created && !may_create_tables(self.url) => {
                    return Err(Error::NoTable(self.url.to_owned(), table.name.clone()));
                }
                None if !created => {
                    self.call("CreateTable", &table.definition).await?;
                    created = true;
                }
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        if let Some(time_to_live) = time_to_live(table).filter(|_| created) {
            self.call("UpdateTimeToLive", &time_to_live).await?;
        }
        Ok(())
    }

    /// The table's status; `None` if there is no such table.
    async fn status(&self, table: &Table) -> Result<Option<String>, Error> {
        match self.call("DescribeTable", &json!({ "TableName": table.name })).await {
            Err(Error::Rejected(_, _, kind)) if kind == "ResourceNotFoundException" => Ok(None),
            body => Ok(body?.pointer("/Table/TableStatus").and_then(Value::as_str).map(str::to_owned)),
        }
    }

    async fn call(&self, operation: &str, body: &Value) -> Result<Value, Error> {
        let failed = |reason: String| Error::Endpoint(self.url.to_owned(), reason);
        let request = self.signed(operation, body).map_err(|error| failed(error.to_string()))?;
        let response: reqwest::Result<_> = async {
            let response = self.client.execute(request).await?;
            Ok((response.status().is_success(), response.bytes().await?))
        }
        .await;
        let (succeeded, body) = response.map_err(|error| failed(error.without_url().to_string()))?;
        let body: Value = serde_json::from_slice(&body)
            .map_err(|_| failed("the response is not DynamoDB's JSON".to_owned()))?;
        if succeeded {
            return Ok(body);
        }
        let kind = body.get("__type").and_then(Value::as_str).and_then(|kind| kind.rsplit('#').next());
        let kind = kind.unwrap_or("an error without a type").to_owned();
        Err(Error::Rejected(self.url.to_owned(), operation.to_owned(), kind))
    }

    /// A request signed with the credentials of the local functions.
    fn signed(&self, operation: &str, body: &Value) -> Result<reqwest::Request, Box<dyn std::error::Error>> {
        let target = format!("DynamoDB_20120810.{operation}");
        let headers = [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", &*target)];
        let body = body.to_string();
        let identity = Credentials::new("ASIALOCALLOCALLOCAL0", "local", None, None, "local").into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name("dynamodb")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let signable = SignableBody::Bytes(body.as_bytes());
        let signable = SignableRequest::new("POST", self.url, headers.into_iter(), signable)?;
        let (instructions, _) = sign(signable, &parameters)?.into_parts();
        let headers = headers.into_iter().chain(instructions.headers());
        let request = self.client.post(self.url).body(body.clone());
        Ok(headers.fold(request, |request, (name, value)| request.header(name, value)).build()?)
    }
}

#[cfg(test)]
mod tests {
    use local_proxy::Fault;
    use local_template::{Deployment, Template};
    use tokio::net::TcpListener;

    use super::*;
    use crate::{DynamoDb, Options};

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    const CREATING: &str = r#"{"Table":{"TableStatus":"CREATING"}}"#;

    async fn start(tables: &[Table]) -> Result<DynamoDb, Box<dyn std::error::Error>> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        Ok(DynamoDb::start(listener, tables, Options::default()).await?)
    }

    fn tables() -> Result<Vec<Table>, Box<dyn std::error::Error>> {
        let template = include_str!("../../template/src/fixture.yaml");
        Ok(Template::parse(template, &Deployment::default())?.tables)
    }

    #[tokio::test]
    async fn a_table_that_another_process_is_creating_is_waited_for() -> Outcome {
        let tables = tables()?;
        let db = start(&tables).await?;
        db.proxy().inject(Fault::response("DescribeTable", 200, CREATING).times(2));
        ensure_tables(db.url(), "local", &tables).await?;
        assert_eq!(db.proxy().calls(), ["DescribeTable"; 3]);
        Ok(())
    }

    #[tokio::test]
    async fn a_new_table_gets_its_time_to_live_once_it_is_active() -> Outcome {
        let db = start(&[]).await?;
        let missing = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException"}"#;
        db.proxy().inject(Fault::response("DescribeTable", 400, missing).times(2));
        db.proxy().inject(Fault::response("DescribeTable", 200, CREATING).times(1));
        ensure_tables(db.url(), "local", &tables()?).await?;
        let describe = "DescribeTable";
        let expected = [describe, "CreateTable", describe, describe, describe, "UpdateTimeToLive"];
        assert_eq!(db.proxy().calls(), expected);
        Ok(())
    }

    #[tokio::test]
    async fn a_table_that_never_becomes_active_is_an_error() -> Outcome {
        let tables = tables()?;
        let db = start(&tables).await?;
        db.proxy().inject(Fault::response("DescribeTable", 200, CREATING));
        let endpoint = Endpoint { client: local_http::client(), url: db.url(), region: "local" };
        let error = endpoint.ensure(&tables[0], Duration::from_millis(100)).await.unwrap_err().to_string();
        let expected = "table local-Table is not ACTIVE after 100ms";
        assert_eq!(error, format!("DynamoDB at {}: {expected}", db.url()));
        Ok(())
    }

    #[test]
    fn tables_are_created_on_this_machine_only() {
        for url in
            ["http://localhost:8000", "http://127.0.0.1", "http://[::1]:8000/", "https://dynamodb.localhost"]
        {
            assert!(may_create_tables(url), "{url}");
        }
        for url in [
            "https://dynamodb.eu-central-1.amazonaws.com",
            "http://dynamodb:8000",
            "http://192.168.0.7:8000",
            "http://localhost.example",
            "http://127.0.0.1.example",
            "localhost:8000",
            "",
        ] {
            assert!(!may_create_tables(url), "{url}");
        }
    }
}
