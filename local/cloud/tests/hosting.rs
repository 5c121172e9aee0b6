//! Runtime and gateway with a real Lambda binary, `examples/echo.rs`, over HTTP.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use local::{Cloud, CloudOptions};
use local_runtime::{InvokeError, Logs, Runtime};
use serde_json::{Value, json};

type Outcome = Result<(), Box<dyn Error>>;

struct Host(Cloud);

struct Answer {
    status: StatusCode,
    headers: http::HeaderMap,
    body: Value,
}

impl Host {
    async fn start() -> Result<Self, Box<dyn Error>> {
        let program = std::env::current_exe()?;
        let examples = program.ancestors().nth(2).ok_or("no target directory")?.join("examples");
        let mut options = CloudOptions::new(Path::new(env!("CARGO_MANIFEST_DIR")), examples);
        options.template = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/echo.yaml");
        options.seed = None;
        options.environment.insert("ALLOWED_ORIGINS".to_owned(), "https://app.example".to_owned());
        Ok(Self(Cloud::start(options).await?))
    }

    fn runtime(&self) -> &Runtime {
        let Some(runtime) = self.0.runtime() else { unreachable!("the functions are hosted here") };
        runtime
    }

    fn logs(&self) -> &Logs {
        self.0.logs()
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, Box<dyn Error>> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.0.url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let response = client.request(request.body(Full::new(body.into()))?).await?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    async fn post(&self, path: &str, body: Value) -> Result<Answer, Box<dyn Error>> {
        self.send("POST", path, &[("content-type", "application/json")], body.to_string()).await
    }
}

fn text<'a>(headers: &'a http::HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[tokio::test]
async fn a_request_reaches_the_function_and_comes_back() -> Outcome {
    let host = Host::start().await?;
    let answer = host.post("/open?a=1", json!({ "hello": 1 })).await?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1; Path=/", "b=2; Path=/"]);
    let event = answer.body.get("event").ok_or("no event")?;
    assert_eq!(event.pointer("/rawQueryString"), Some(&json!("a=1")));
    assert_eq!(event.pointer("/body"), Some(&json!("{\"hello\":1}")));
    assert_eq!(event.pointer("/requestContext/http/sourceIp"), Some(&json!("127.0.0.1")));
    let request_id = event.pointer("/requestContext/requestId").and_then(Value::as_str);
    assert_eq!(text(&answer.headers, "apigw-requestid"), request_id);
    assert!(event.pointer("/requestContext/authorizer").is_none());
    // The trace that the function is told is the one that the event names.
    let root = event.pointer("/headers/x-amzn-trace-id").and_then(Value::as_str).ok_or("no trace header")?;
    assert!(answer.body.get("trace").and_then(Value::as_str).is_some_and(|trace| trace.starts_with(root)));
    Ok(())
}

#[tokio::test]
async fn any_method_a_path_parameter_and_a_query_reach_the_function() -> Outcome {
    let host = Host::start().await?;
    let answer = host.send("DELETE", "/items/a%20b?from=1&tag=x&tag=y", &[], "").await?;
    let event = answer.body.get("event").ok_or("no event")?;
    assert_eq!(event.pointer("/routeKey"), Some(&json!("DELETE /items/{id}")));
    assert_eq!(event.pointer("/rawPath"), Some(&json!("/items/a b")));
    assert_eq!(event.pointer("/requestContext/http/path"), Some(&json!("/items/a b")));
    assert_eq!(event.pointer("/requestContext/http/method"), Some(&json!("DELETE")));
    assert_eq!(event.pointer("/pathParameters"), Some(&json!({ "id": "a b" })));
    assert_eq!(event.pointer("/rawQueryString"), Some(&json!("from=1&tag=x&tag=y")));
    assert_eq!(event.pointer("/queryStringParameters"), Some(&json!({ "from": "1", "tag": "x,y" })));
    assert_eq!(host.send("GET", "/items/1", &[], "").await?.status, 404);
    Ok(())
}

#[tokio::test]
async fn a_schedule_sends_its_function_the_event_of_eventbridge() -> Outcome {
    let host = Host::start().await?;
    let invocation = host.0.fire_schedule("Tidy").await?;
    let answer: Value = serde_json::from_slice(&invocation.payload)?;
    let answer: Value = serde_json::from_str(answer["body"].as_str().ok_or("no body")?)?;
    let mut event = answer["event"].clone();
    for (varies, length) in [("id", 36), ("time", "2026-01-15T12:00:00Z".len())] {
        assert_eq!(event[varies].take().as_str().map(str::len), Some(length), "{varies}");
    }
    assert_eq!(
        event,
        json!({
            "version": "0",
            "id": null,
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": "123456789012",
            "time": null,
            "region": "us-east-1",
            "resources": ["arn:aws:events:us-east-1:123456789012:rule/local-TidyClock"],
            "detail": {},
        })
    );
    assert!(matches!(host.0.fire_schedule("Open").await, Err(InvokeError::UnknownFunction(_))));
    Ok(())
}

#[tokio::test]
async fn a_process_has_lambdas_environment_and_its_own_and_no_more() -> Outcome {
    let host = Host::start().await?;
    let answer = host.post("/open", json!({})).await?;
    let environment = answer.body.get("environment").and_then(Value::as_object).ok_or("no environment")?;
    let names: Vec<_> = environment.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "AWS_ACCESS_KEY_ID",
            "AWS_DEFAULT_REGION",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
            "AWS_LAMBDA_FUNCTION_NAME",
            "AWS_LAMBDA_FUNCTION_VERSION",
            "AWS_LAMBDA_INITIALIZATION_TYPE",
            "AWS_LAMBDA_LOG_GROUP_NAME",
            "AWS_LAMBDA_LOG_STREAM_NAME",
            "AWS_LAMBDA_RUNTIME_API",
            "AWS_REGION",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "GREETING",
            "LAMBDA_RUNTIME_DIR",
            "LAMBDA_TASK_ROOT",
            "LANG",
            "PATH",
            "TZ",
            "_HANDLER",
            "_X_AMZN_TRACE_ID",
        ]
    );
    assert_eq!(environment.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"), Some(&json!("256")));
    assert_eq!(
        answer.body.get("arn"),
        Some(&json!("arn:aws:lambda:us-east-1:123456789012:function:local-Open"))
    );
    Ok(())
}

#[tokio::test]
async fn one_process_serves_one_request_at_a_time_and_stays_warm() -> Outcome {
    let host = Host::start().await?;
    let first = host.post("/open", json!({})).await?;
    let second = host.post("/open", json!({})).await?;
    assert_eq!(first.body.get("process"), second.body.get("process"));

    let slow = || host.post("/open", json!({ "do": "sleep", "ms": 100 }));
    let (a, b, c) = tokio::join!(slow(), slow(), slow());
    let mut processes: Vec<_> = [a?, b?, c?].iter().map(|answer| answer.body["process"].as_u64()).collect();
    processes.sort_unstable();
    processes.dedup();
    assert_eq!(processes.len(), 3);
    assert_eq!(host.runtime().processes("Open")?, 3);

    let log = host.logs().text();
    assert_eq!(log.matches("Init Duration").count(), 3, "{log}");
    assert_eq!(log.matches("START RequestId").count(), 5, "{log}");
    assert!(log.contains("\tMemory Size: 256 MB\tMax Memory Used: "), "{log}");
    Ok(())
}

#[tokio::test]
async fn the_authorizer_guards_its_route() -> Outcome {
    let host = Host::start().await?;
    for (bearer, status, body) in [
        ("Bearer bad", 403, json!({ "message": "Forbidden" })),
        ("Bearer broken", 500, json!({ "message": "Internal Server Error" })),
        ("Bearer nonsense", 500, json!({ "message": "Internal Server Error" })),
    ] {
        let answer = host.send("POST", "/closed", &[("authorization", bearer)], "").await?;
        assert_eq!((answer.status.as_u16(), answer.body), (status, body), "{bearer}");
    }
    assert_eq!(host.runtime().processes("Closed")?, 0, "a refused request started the function");
    let answer = host.send("POST", "/closed", &[("authorization", "Bearer good")], "").await?;
    let context = answer.body.pointer("/event/requestContext/authorizer");
    assert_eq!(context, Some(&json!({ "lambda": { "userId": "user_1" } })));
    Ok(())
}

#[tokio::test]
async fn the_gateway_refuses_as_aws_does() -> Outcome {
    let host = Host::start().await?;
    let large = vec![b'a'; 10 * 1024 * 1024 + 1];
    let long = "a".repeat(10_300);
    for (method, path, headers, body, status, message) in [
        ("GET", "/open", vec![], vec![], 404, "Not Found"),
        ("POST", "/nowhere", vec![], vec![], 404, "Not Found"),
        ("POST", "/open", vec![], large, 413, "Request Entity Too Large"),
        ("POST", "/open", vec![("x-long", long.as_str())], vec![], 431, "Request Header Fields Too Large"),
    ] {
        let answer = host.send(method, path, &headers, body).await?;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}");
        assert_eq!(answer.body, json!({ "message": message }));
        assert_eq!(text(&answer.headers, "content-type"), Some("application/json"));
        assert!(answer.headers.contains_key("apigw-requestid"));
    }
    Ok(())
}

#[tokio::test]
async fn failures_of_the_function_are_500_and_its_next_request_works() -> Outcome {
    let host = Host::start().await?;
    for wish in ["exit", "fail", "malformed"] {
        let answer = host.post("/open", json!({ "do": wish })).await?;
        assert_eq!(answer.status, 500, "{wish}");
        assert_eq!(answer.body, json!({ "message": "Internal Server Error" }), "{wish}");
        assert_eq!(host.post("/open", json!({})).await?.status, 200, "after {wish}");
    }
    let began = Instant::now();
    assert_eq!(host.post("/open", json!({ "do": "sleep", "ms": 60_000 })).await?.status, 500);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(host.runtime().processes("Open")?, 0, "a process that timed out is killed");
    let log = host.logs().text();
    assert!(log.contains("Task timed out after 1.00 seconds"), "{log}");
    assert!(log.contains("Error Type: Runtime.ExitError"), "{log}");
    Ok(())
}

#[tokio::test]
async fn crashes_throttles_and_broken_starts_look_like_lambdas() -> Outcome {
    let host = Host::start().await?;
    let runtime = host.runtime();
    let event = || Bytes::from_static(b"{}");
    runtime.invoke("Open", event()).await?;
    runtime.kill("Open").await?;
    assert_eq!(runtime.processes("Open")?, 0);
    runtime.invoke("Open", event()).await?;

    runtime.set_max_concurrency("Open", 0)?;
    assert!(matches!(runtime.invoke("Open", event()).await, Err(InvokeError::Throttled)));
    assert_eq!(host.post("/open", json!({})).await?.status, 503);
    runtime.set_max_concurrency("Open", 1)?;

    runtime.set_environment("Open", [("BROKEN", Some("1"))])?;
    let Err(InvokeError::Function { payload, .. }) = runtime.invoke("Open", event()).await else {
        return Err("a broken start answered".into());
    };
    assert_eq!(payload.get("errorType"), Some(&json!("Runtime.ExitError")));
    let log = host.logs().text();
    assert!(log.contains("the configuration is broken"), "{log}");
    assert!(log.contains("INIT_REPORT") && log.contains("Status: error"), "{log}");

    runtime.set_environment("Open", [("BROKEN", None)])?;
    runtime.invoke("Open", event()).await?;
    Ok(())
}

#[tokio::test]
async fn cors_is_the_gateways() -> Outcome {
    let host = Host::start().await?;
    let origin = ("origin", "https://app.example");
    let preflight =
        host.send("OPTIONS", "/open", &[origin, ("access-control-request-method", "POST")], "").await?;
    assert_eq!(preflight.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", "https://app.example"),
        ("access-control-allow-methods", "POST"),
        ("access-control-allow-headers", "content-type,authorization"),
        ("access-control-allow-credentials", "true"),
        ("access-control-max-age", "600"),
    ] {
        assert_eq!(text(&preflight.headers, name), Some(value), "{name}");
    }
    let answer = host.send("POST", "/open", &[origin], "").await?;
    assert_eq!(text(&answer.headers, "access-control-allow-origin"), Some("https://app.example"));
    let refused = host.send("POST", "/closed", &[origin], "").await?;
    assert_eq!(refused.status, 403);
    assert_eq!(text(&refused.headers, "access-control-allow-origin"), Some("https://app.example"));
    let foreign = host.send("POST", "/open", &[("origin", "https://evil.example")], "").await?;
    assert_eq!(text(&foreign.headers, "access-control-allow-origin"), None);
    Ok(())
}

#[tokio::test]
async fn an_invocation_outlives_its_caller_and_no_process_outlives_the_host() -> Outcome {
    let host = Host::start().await?;
    let event = json!({ "body": "{\"do\":\"sleep\",\"ms\":200}" }).to_string();
    let given_up =
        tokio::time::timeout(Duration::from_millis(50), host.runtime().invoke("Open", event.into())).await;
    assert!(given_up.is_err());
    let report = host.logs().wait_for(Duration::from_secs(5), |line| line.text.starts_with("REPORT")).await;
    let process = report.ok_or("the invocation was cut off")?.process;
    let folder = format!("/proc/{process}/exe");
    assert!(std::fs::read_link(&folder).is_ok());
    host.runtime().stop().await;
    let gone = async {
        while std::fs::read_link(&folder).is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone).await?;
    Ok(())
}
