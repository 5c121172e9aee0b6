//! docs/errors.md, from the table of reasons.

use std::fmt::Write as _;

use api::Reason;

const INTRODUCTION: &str = r#"# Errors

The errors of the API, for authors of clients. Every error has this body; `code` is the HTTP status, and `message` is
the fixed text of that status:

```json
{"code":400,"message":"Bad request","reason":"invalid_email","retryable":false,"requestId":"8f5a…","field":"email"}
```

Programs should use `reason`, which is stable, and `retryable`. `field` names the field that is missing or invalid. Quote `requestId`
when you report a problem; it is also the header `X-Request-Id` of every response of a function.

A retryable error may be temporary: send the same request again, after `Retry-After` seconds if the response has that
header. For any other error, do what the table says.
"#;

const GATEWAY: &str = r#"
## Errors of API Gateway

API Gateway rejects some requests before they reach a function. The body is only `{"message": …}`:

| status | message | when |
|---|---|---|
| 404 | Not Found | unknown path, or wrong method for the path |
| 413 | Request Entity Too Large | body over 10 MB |
| 429 | Too Many Requests | rate limit of the route exceeded: wait and try again |
| 431 | Request Header Fields Too Large | headers over 10 KB |
| 500 | Internal Server Error | the function or the authorizer failed: try again, then report the header `apigw-requestid` |
| 503 | Service Unavailable | no capacity for the function: try again |
"#;

#[test]
fn the_document_lists_every_reason() {
    let mut text = INTRODUCTION.to_owned();
    text.push_str("\n| reason | status | what to do | retryable | returned by |\n|---|---|---|---|---|\n");
    for reason in Reason::ALL {
        let retryable = if reason.retryable() { "yes" } else { "no" };
        writeln!(
            text,
            "| `{}` | {} | {} | {retryable} | {} |",
            reason.name(),
            reason.status(),
            reason.action(),
            endpoints_with(*reason)
        )
        .unwrap();
    }
    text.push_str(GATEWAY);
    text.push_str("\nGenerated from the code by `make generate`.\n");
    super::golden::check("docs/errors.md", &text);
}

fn endpoints_with(reason: Reason) -> String {
    if Reason::COMMON.contains(&reason) {
        return "all".to_owned();
    }
    let names: Vec<_> = catalog::functions()
        .iter()
        .filter(|function| function.route.is_http() && function.route.all_reasons().contains(&reason))
        .map(|function| function.name)
        .collect();
    assert!(!names.is_empty(), "no endpoint declares {}", reason.name());
    names.join(", ")
}
