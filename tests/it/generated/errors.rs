//! docs/errors.md, from the one table of reasons.

use std::fmt::Write as _;

use api::Reason;

const INTRODUCTION: &str = r#"# Errors

Every error of the API itself has this body, whose `code` is the HTTP status and whose `message` is that status' fixed text:

```json
{"code":400,"message":"Bad request","reason":"invalid_email","requestId":"8f5a…","field":"email"}
```

Programs go by `reason`, which is stable. `field` names the field that is missing or wrong. `requestId` is what to report.

A retryable error can go away by itself: send the same request again, not before `Retry-After` seconds where the answer has
that header. Everything else needs what the table says.
"#;

const GATEWAY: &str = r#"
## Answers of API Gateway

Some requests never reach a function, and API Gateway answers by itself, with `{"message": …}` and nothing else:

| status | message | when |
|---|---|---|
| 403 | Forbidden | a protected endpoint without a good session: sign in again |
| 404 | Not Found | no such path, or another method than `POST` |
| 413 | Request Entity Too Large | a body over 10 MB |
| 429 | Too Many Requests | more requests than the route takes: wait and try again |
| 431 | Request Header Fields Too Large | headers over 10 KB |
| 500 | Internal Server Error | a function or the authorizer broke: try again, then report the header `apigw-requestid` |
| 503 | Service Unavailable | no function was free: try again |
"#;

#[test]
fn the_document_lists_every_reason() {
    let mut text = INTRODUCTION.to_owned();
    text.push_str("\n| reason | status | what to do | retryable | answered by |\n|---|---|---|---|---|\n");
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
    assert!(!names.is_empty(), "no endpoint answers {}", reason.name());
    names.join(", ")
}
