//! A Lambda function for the tests of the local cloud: answers with its event, or misbehaves as the request asks.
//!
//! As a function, the JSON body says what to do, e.g. `{"do":"sleep","ms":50}`; as an authorizer, the bearer does.

use std::collections::BTreeMap;
use std::time::Duration;

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    if std::env::var_os("BROKEN").is_some() {
        return Err("the configuration is broken".into());
    }
    run(service_fn(handle)).await
}

async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let (event, context) = event.into_parts();
    if event.get("type").and_then(Value::as_str) == Some("REQUEST") {
        return match event.pointer("/headers/authorization").and_then(Value::as_str) {
            Some("Bearer good") => Ok(json!({ "isAuthorized": true, "context": { "userId": "user_1" } })),
            Some("Bearer broken") => Err("the authorizer is broken".into()),
            Some("Bearer nonsense") => Ok(json!("nonsense")),
            _ => Ok(json!({ "isAuthorized": false })),
        };
    }
    let body = event.get("body").and_then(Value::as_str).unwrap_or("{}");
    let wish: Value = serde_json::from_str(body).unwrap_or_default();
    match wish.get("do").and_then(Value::as_str) {
        Some("sleep") => {
            tokio::time::sleep(Duration::from_millis(wish.get("ms").and_then(Value::as_u64).unwrap_or(0)))
                .await;
        }
        Some("exit") => std::process::exit(3),
        Some("fail") => return Err("as you wish".into()),
        Some("malformed") => return Ok(json!({ "statusCode": "?" })),
        _ => {}
    }
    let environment: BTreeMap<_, _> = std::env::vars().collect();
    let answer = json!({
        "event": event,
        "process": std::process::id(),
        "environment": environment,
        "deadline": context.deadline,
        "arn": context.invoked_function_arn,
        "trace": context.xray_trace_id,
    });
    Ok(json!({
        "statusCode": 200,
        "headers": { "content-type": "application/json", "access-control-allow-origin": "*" },
        "cookies": ["a=1; Path=/", "b=2; Path=/"],
        "body": answer.to_string(),
    }))
}
