//! The cloud as a whole, without the functions: the project's own template and seed, doubles and database.

use std::error::Error;
use std::path::Path;

use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use local::{Cloud, CloudError, CloudOptions};
use local_dynamodb::DynamoDb;

type Outcome = Result<(), Box<dyn Error>>;

fn options() -> CloudOptions {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    CloudOptions::new(&root, root.join("nothing-is-built-here"))
}

async fn get(url: &str) -> Result<(u16, String), Box<dyn Error>> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<bytes::Bytes>>();
    let response = client.request(Request::get(url).body(Full::default())?).await?;
    let status = response.status().as_u16();
    Ok((status, String::from_utf8_lossy(&response.into_body().collect().await?.to_bytes()).into_owned()))
}

#[tokio::test]
async fn every_part_answers_and_clouds_do_not_meet() -> Outcome {
    let (one, two) = (Cloud::start(options()).await?, Cloud::start(options()).await?);
    for cloud in [&one, &two] {
        assert_eq!(get(&format!("{}/nowhere", cloud.url())).await?.0, 404);
        assert_eq!(get(&format!("{}/sso/jwks/client_local", cloud.workos_url())).await?.0, 200);
        assert_eq!(get(cloud.livekit_url()).await?, (200, "OK".to_owned()));
        assert!(get(cloud.dynamodb_url()).await?.1.starts_with("healthy"));
    }
    let table = one.table().ok_or("no table")?;
    let item = serde_json::json!({ "pk": { "S": "a" } });
    one.dynamodb().ok_or("replaced")?.put(table, &item)?;
    assert_eq!(two.dynamodb().ok_or("replaced")?.scan(table)?.len(), 0);
    one.stop().await;
    assert_eq!(get(&format!("{}/nowhere", two.url())).await?.0, 404);
    Ok(())
}

#[tokio::test]
async fn every_function_has_a_value_for_every_variable_it_names() -> Outcome {
    let cloud = Cloud::start(options()).await?;
    for function in cloud.template().functions.values() {
        let environment = cloud.environment_of(&function.binary).ok_or("no environment")?;
        let mut expected: Vec<_> = function.variables().collect();
        if expected.contains(&"SESSION_TABLE") {
            expected.push("AWS_ENDPOINT_URL_DYNAMODB");
        }
        expected.sort_unstable();
        assert_eq!(
            environment.keys().map(String::as_str).collect::<Vec<_>>(),
            expected,
            "{}",
            function.binary
        );
    }
    Ok(())
}

#[tokio::test]
async fn something_real_takes_the_place_of_a_double() -> Outcome {
    let real = "https://livekit.example";
    let cloud = Cloud::start(CloudOptions { livekit_url: Some(real.to_owned()), ..options() }).await?;
    assert!(cloud.livekit().is_none());
    let room_auth = cloud.environment().get("LIVEKIT_URL").cloned();
    assert_eq!(room_auth.as_deref(), Some(real));
    Ok(())
}

async fn own_dynamodb() -> Result<DynamoDb, Box<dyn Error>> {
    let listener = tokio::net::TcpListener::bind(("0.0.0.0", 0)).await?;
    Ok(DynamoDb::start(listener, &[], local_dynamodb::Options::default()).await?)
}

#[tokio::test]
async fn an_own_dynamodb_on_this_machine_gets_the_table_once() -> Outcome {
    let own = own_dynamodb().await?;
    let start = |table: Option<&str>| {
        let mut options =
            CloudOptions { dynamodb_url: Some(own.url().replace("0.0.0.0", "localhost")), ..options() };
        options.environment.extend(table.map(|table| ("SESSION_TABLE".to_owned(), table.to_owned())));
        Cloud::start(options)
    };
    let cloud = start(None).await?;
    assert!(cloud.dynamodb().is_none());
    assert!(own.scan(cloud.table().ok_or("no table")?)?.is_empty());
    assert_eq!(own.proxy().calls(), ["DescribeTable", "CreateTable", "DescribeTable", "UpdateTimeToLive"]);

    own.proxy().reset_calls();
    start(None).await?;
    assert_eq!(own.proxy().calls(), ["DescribeTable"]);

    let cloud = start(Some("mine")).await?;
    assert_eq!(cloud.table(), Some("mine"));
    let environment = cloud.environment_of("authorizer").ok_or("no authorizer")?;
    assert_eq!(environment.get("SESSION_TABLE").map(String::as_str), Some("mine"));
    assert!(own.scan("mine")?.is_empty());
    Ok(())
}

#[tokio::test]
async fn an_own_dynamodb_elsewhere_without_the_table_stops_the_start() -> Outcome {
    let own = own_dynamodb().await?;
    // Not a loopback address, but one of this machine: a test calls nobody else.
    let options = CloudOptions { dynamodb_url: Some(own.url().to_owned()), ..options() };
    let error = Cloud::start(options).await.err().ok_or("it started")?.to_string();
    assert!(error.contains(&format!("DynamoDB at {} has no table ", own.url())), "{error}");
    assert!(error.contains("deploy template.yaml") && !error.contains('\n'), "{error}");
    assert_eq!(own.proxy().calls(), ["DescribeTable"]);
    Ok(())
}

#[tokio::test]
async fn an_own_dynamodb_that_does_not_respond_stops_the_start() -> Outcome {
    let unused = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?.local_addr()?;
    let options = CloudOptions { dynamodb_url: Some(format!("http://{unused}")), ..options() };
    let error = Cloud::start(options).await.err().ok_or("it started")?.to_string();
    assert!(error.starts_with(&format!("DynamoDB at http://{unused}: ")), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_taken_port_names_the_variable_that_changes_it() -> Outcome {
    let taken = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = taken.local_addr()?.port();
    let mut options = options();
    options.ports.dynamodb = port;
    let error = Cloud::start(options).await.err().ok_or("it started")?;
    assert!(matches!(error, CloudError::PortTaken { variable: "DYNAMODB_PORT", .. }), "{error}");
    assert!(error.to_string().contains("set DYNAMODB_PORT to another one"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_function_that_is_not_built_is_a_500_with_a_reason_in_the_log() -> Outcome {
    let cloud = Cloud::start(options()).await?;
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<bytes::Bytes>>();
    let request = Request::post(format!("{}/auth/sign-in", cloud.url())).body(Full::default())?;
    assert_eq!(client.request(request).await?.status(), 500);
    let log = cloud.logs().text();
    assert!(log.contains("fork/exec") && log.contains("nothing-is-built-here/sign-in"), "{log}");
    Ok(())
}
