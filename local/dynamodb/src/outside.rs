//! A DynamoDB of the developer's own in place of the embedded one: the functions need its table.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::Request;
use local_template::Table;
use serde_json::{Value, json};
use url::{Host, Url};

use crate::Error;

/// Whether a missing table is created at this endpoint: on this machine only. Elsewhere it could be anybody's account.
pub fn may_create_tables(url: &str) -> bool {
    match Url::parse(url).ok().as_ref().and_then(Url::host) {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Makes sure that the tables exist at `url` and are `ACTIVE`; creates what is missing if [`may_create_tables`].
///
/// # Errors
///
/// If a table is missing elsewhere, or the endpoint does not respond as DynamoDB does.
pub async fn ensure_tables(url: &str, region: &str, tables: &[Table]) -> Result<(), Error> {
    let endpoint = Endpoint { client: local_http::client(), url, region };
    for table in tables {
        if endpoint.status(table).await?.is_some() {
            continue;
        }
        if !may_create_tables(url) {
            return Err(Error::NoTable { table: table.name.clone(), url: url.to_owned() });
        }
        endpoint.call("CreateTable", &table.definition).await?;
        while endpoint.status(table).await?.as_deref() != Some("ACTIVE") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if let Some(time_to_live) = crate::time_to_live(table) {
            endpoint.call("UpdateTimeToLive", &time_to_live).await?;
        }
    }
    Ok(())
}

struct Endpoint<'a> {
    client: reqwest::Client,
    url: &'a str,
    region: &'a str,
}

impl Endpoint<'_> {
    /// The table's status; `None` if there is no such table.
    async fn status(&self, table: &Table) -> Result<Option<String>, Error> {
        let described = match self.call("DescribeTable", &json!({ "TableName": table.name })).await {
            Err(Error::Refused { kind, .. }) if kind == "ResourceNotFoundException" => return Ok(None),
            described => described?,
        };
        Ok(described.pointer("/Table/TableStatus").and_then(Value::as_str).map(str::to_owned))
    }

    async fn call(&self, operation: &str, body: &Value) -> Result<Value, Error> {
        let outside = |error: &dyn std::fmt::Display| Error::Outside(self.url.to_owned(), error.to_string());
        let request = self.signed(operation, body).map_err(|error| outside(&error))?;
        let response = self.client.execute(request).await.map_err(|error| outside(&error.without_url()))?;
        let succeeded = response.status().is_success();
        let text = response.text().await.map_err(|error| outside(&error.without_url()))?;
        let body: Value =
            serde_json::from_str(&text).map_err(|_| outside(&"it does not speak DynamoDB's JSON"))?;
        if succeeded {
            return Ok(body);
        }
        let kind = body.get("__type").and_then(Value::as_str).and_then(|kind| kind.rsplit('#').next());
        let kind = kind.unwrap_or("an error without a type").to_owned();
        Err(Error::Refused { operation: operation.to_owned(), url: self.url.to_owned(), kind })
    }

    /// Signed with the credentials that the functions have.
    fn signed(&self, operation: &str, body: &Value) -> Result<reqwest::Request, Box<dyn std::error::Error>> {
        let mut request = Request::post(self.url)
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
            .body(Bytes::from(body.to_string()))?;
        let identity = Credentials::new("ASIALOCALLOCALLOCAL0", "local", None, None, "local").into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name("dynamodb")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let headers =
            request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let signable = SignableRequest::new("POST", self.url, headers, SignableBody::Bytes(request.body()))?;
        let (instructions, _) = sign(signable, &parameters)?.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        Ok(request.try_into()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
