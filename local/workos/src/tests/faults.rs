//! The fault proxy: counted calls, injected faults and their effects.

use std::time::Duration;

use futures_util::future::join_all;
use http::{Method, header};
use serde_json::json;

use super::{TestBed, TestResult};
use local_proxy::{Effect, Fault};

const JANE: &str = "jane.doe@example.com";

#[tokio::test]
async fn repeating_a_refresh_recovers_a_lost_response() -> TestResult {
    let bed = TestBed::new().await?;
    let session = bed.sign_in(JANE).await?;
    let token = session.text("refresh_token");
    let call = "authenticate.refresh_token";
    bed.workos.proxy().inject(Fault::new(call, Effect::LoseResponse).times(1));
    assert!(bed.refresh(token, None).await.is_err());
    // The exchange did happen, so this is a replay.
    let healed = bed.refresh(token, None).await?;
    assert_eq!(healed.status, 200);
    assert_eq!(bed.workos.proxy().count(call), 2);
    bed.workos.expire_replays();
    assert_eq!(bed.refresh(token, None).await?.text("error"), "invalid_grant");
    Ok(())
}

#[tokio::test]
async fn dropped_and_faked_calls_never_reach_the_double() -> TestResult {
    let bed = TestBed::new().await?;
    let session = bed.sign_in(JANE).await?;
    let token = session.text("refresh_token");
    let call = "authenticate.refresh_token";
    let proxy = bed.workos.proxy();
    proxy.inject(Fault::new(call, Effect::Drop).times(1));
    proxy.inject(Fault::new(call, Effect::DropMidBody).times(1));
    proxy.inject(
        Fault::response(call, 429, r#"{"error":"too_many_requests"}"#).header("retry-after", "7").times(1),
    );
    assert!(bed.refresh(token, None).await.is_err());
    assert!(bed.refresh(token, None).await.is_err());
    let limited = bed.refresh(token, None).await?;
    assert_eq!((limited.status.as_u16(), &limited.headers[header::RETRY_AFTER]), (429, &"7".parse()?));
    // If one of them had been served, this would be a replay past its window.
    bed.workos.expire_replays();
    assert_eq!(bed.refresh(token, None).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn drop_mid_body_sends_half_a_body() -> TestResult {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let bed = TestBed::new().await?;
    bed.workos.proxy().inject(Fault::new("*", Effect::DropMidBody));
    let address = bed.workos.url().trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(b"GET /connections HTTP/1.1\r\nhost: workos\r\n\r\n").await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");
    assert!(response.ends_with("{\"half\":"), "{response}");
    Ok(())
}

#[tokio::test]
async fn faults_and_calls_have_an_http_interface() -> TestResult {
    let bed = TestBed::new().await?;
    let faults = json!([{"call": "*", "times": 1, "delayMs": 50, "effect": "response", "status": 503}]);
    let put = bed.request(Method::PUT, "/_local/faults");
    assert_eq!(bed.send(put, faults.to_string()).await?.status, 204);
    let begun = std::time::Instant::now();
    assert_eq!(bed.get("/organizations").await?.status, 503);
    assert!(begun.elapsed() >= Duration::from_millis(50));
    assert_eq!(bed.get("/connections?domain=acme.test").await?.status, 200);
    let calls = bed.get("/_local/calls").await?;
    assert_eq!(calls.body, json!(["organizations.list", "connections.list"]));
    Ok(())
}

#[tokio::test]
async fn a_hundred_concurrent_refreshes_are_one_exchange() -> TestResult {
    let bed = TestBed::new().await?;
    let session = bed.sign_in(JANE).await?;
    let token = session.text("refresh_token");
    let responses = join_all((0..100).map(|_| bed.refresh(token, None))).await;
    let mut pairs = std::collections::BTreeSet::new();
    for response in responses {
        pairs.insert(response?.text);
    }
    assert_eq!(pairs.len(), 1);
    Ok(())
}

#[tokio::test]
async fn dropping_the_handle_frees_the_port() -> TestResult {
    let bed = TestBed::new().await?;
    assert_eq!(bed.get("/organizations").await?.status, 200);
    let TestBed { workos, .. } = bed;
    let address = workos.url().trim_start_matches("http://").to_owned();
    drop(workos);
    let mut listener = tokio::net::TcpListener::bind(&address).await;
    while listener.is_err() {
        tokio::task::yield_now().await;
        listener = tokio::net::TcpListener::bind(&address).await;
    }
    Ok(())
}
