//! The proxy before the double: counted calls, injected faults, and what they leave behind.

use std::time::Duration;

use futures_util::future::join_all;
use http::{Method, header};
use serde_json::json;

use super::{Bed, Outcome};
use local_proxy::{Effect, Fault};

const JANE: &str = "jane.doe@example.com";

#[tokio::test]
async fn a_lost_answer_is_healed_by_the_same_refresh_again() -> Outcome {
    let bed = Bed::new().await?;
    let session = bed.sign_in(JANE).await?;
    let token = session.text("refresh_token");
    let call = "authenticate.refresh_token";
    bed.workos.proxy().inject(Fault::new(call, Effect::LoseResponse).times(1));
    assert!(bed.refresh(token, None).await.is_err());
    // The exchange did happen: this is its replay.
    let healed = bed.refresh(token, None).await?;
    assert_eq!(healed.status, 200);
    assert_eq!(bed.workos.proxy().count(call), 2);
    bed.workos.expire_replays();
    assert_eq!(bed.refresh(token, None).await?.text("error"), "invalid_grant");
    Ok(())
}

#[tokio::test]
async fn a_call_that_is_dropped_or_answered_never_reaches_the_double() -> Outcome {
    let bed = Bed::new().await?;
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
    // Had one of them been served, this would be a replay and no exchange.
    bed.workos.expire_replays();
    assert_eq!(bed.refresh(token, None).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn half_a_body_arrives_before_the_connection_breaks() -> Outcome {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let bed = Bed::new().await?;
    bed.workos.proxy().inject(Fault::new("*", Effect::DropMidBody));
    let address = bed.workos.url().trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(b"GET /connections HTTP/1.1\r\nhost: workos\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.ends_with("{\"half\":"), "{answer}");
    Ok(())
}

#[tokio::test]
async fn faults_and_calls_are_set_and_read_over_http() -> Outcome {
    let bed = Bed::new().await?;
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
async fn a_hundred_refreshes_at_once_are_one_exchange() -> Outcome {
    let bed = Bed::new().await?;
    let session = bed.sign_in(JANE).await?;
    let token = session.text("refresh_token");
    let answers = join_all((0..100).map(|_| bed.refresh(token, None))).await;
    let mut pairs = std::collections::BTreeSet::new();
    for answer in answers {
        pairs.insert(answer?.text);
    }
    assert_eq!(pairs.len(), 1);
    Ok(())
}

#[tokio::test]
async fn dropping_the_handle_frees_the_port() -> Outcome {
    let bed = Bed::new().await?;
    assert_eq!(bed.get("/organizations").await?.status, 200);
    let Bed { workos, .. } = bed;
    let address = workos.url().trim_start_matches("http://").to_owned();
    drop(workos);
    let mut listener = tokio::net::TcpListener::bind(&address).await;
    while listener.is_err() {
        tokio::task::yield_now().await;
        listener = tokio::net::TcpListener::bind(&address).await;
    }
    Ok(())
}
