//! A function's answer as an HTTP response. Source: "Lambda function response for format 2.0", API Gateway developer
//! guide.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::Value;

/// Makes the response; `None` when the answer is malformed, which API Gateway answers with a 500.
pub(super) fn from_payload(payload: &[u8]) -> Option<Response<Full<Bytes>>> {
    let payload: Value = serde_json::from_slice(payload).ok()?;
    match payload.get("statusCode") {
        Some(status) => formatted(status, &payload),
        None => inferred(&payload),
    }
}

/// Without `statusCode` the answer itself is the body of a 200.
fn inferred(payload: &Value) -> Option<Response<Full<Bytes>>> {
    let body = match payload {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Response::builder().header(header::CONTENT_TYPE, "application/json").body(Full::from(body)).ok()
}

fn formatted(status: &Value, payload: &Value) -> Option<Response<Full<Bytes>>> {
    let status = match status {
        Value::String(text) => text.parse().ok()?,
        other => other.as_u64()?,
    };
    let status = StatusCode::from_u16(u16::try_from(status).ok()?).ok()?;
    let text = match payload.get("body") {
        None | Some(Value::Null) => "",
        Some(body) => body.as_str()?,
    };
    let body = match payload.get("isBase64Encoded") {
        Some(Value::Bool(true)) => Bytes::from(BASE64_STANDARD.decode(text).ok()?),
        None | Some(Value::Null | Value::Bool(false)) => Bytes::copy_from_slice(text.as_bytes()),
        Some(_) => return None,
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Some(Value::Object(returned)) = payload.get("headers") {
        for (name, value) in returned {
            let name = HeaderName::try_from(name.as_str()).ok()?;
            // The gateway counts the body itself and owns its connection to the client.
            if matches!(name.as_str(), "content-length" | "connection" | "transfer-encoding" | "keep-alive") {
                continue;
            }
            let value = match value {
                Value::String(text) => text.clone(),
                Value::Number(_) | Value::Bool(_) => value.to_string(),
                _ => return None,
            };
            headers.append(name, HeaderValue::try_from(value).ok()?);
        }
    }
    if let Some(Value::Array(cookies)) = payload.get("cookies") {
        for cookie in cookies {
            headers.append(header::SET_COOKIE, HeaderValue::try_from(cookie.as_str()?).ok()?);
        }
    }
    if !headers.contains_key(header::CONTENT_TYPE) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain;charset=UTF-8"));
    }
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use serde_json::json;

    async fn body(response: Response<Full<Bytes>>) -> Bytes {
        response.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default()
    }

    #[tokio::test]
    async fn cookies_become_set_cookie_headers() -> Result<(), Box<dyn std::error::Error>> {
        let payload = json!({
            "statusCode": 201,
            "headers": { "Content-Type": "application/json", "x-number": 7 },
            "cookies": ["a=1", "b=2"],
            "body": "{}",
        });
        let response = from_payload(payload.to_string().as_bytes()).ok_or("malformed")?;
        assert_eq!(response.status(), 201);
        let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["a=1", "b=2"]);
        assert_eq!(response.headers().get("x-number").ok_or("no header")?, "7");
        assert_eq!(body(response).await, "{}");
        Ok(())
    }

    #[tokio::test]
    async fn an_answer_without_status_is_the_body() -> Result<(), Box<dyn std::error::Error>> {
        for (payload, expected) in
            [(json!("Hello from Lambda!"), "Hello from Lambda!"), (json!({ "a": 1 }), "{\"a\":1}")]
        {
            let response = from_payload(payload.to_string().as_bytes()).ok_or("malformed")?;
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers().get("content-type").ok_or("no header")?, "application/json");
            assert_eq!(body(response).await, expected);
        }
        Ok(())
    }

    #[tokio::test]
    async fn base64_bodies_are_decoded() -> Result<(), Box<dyn std::error::Error>> {
        let payload = json!({ "statusCode": 200, "body": "aGk=", "isBase64Encoded": true });
        let response = from_payload(payload.to_string().as_bytes()).ok_or("malformed")?;
        assert_eq!(body(response).await, "hi");
        Ok(())
    }

    #[test]
    fn malformed_answers_are_refused() {
        for payload in [
            json!({ "statusCode": "twelve" }),
            json!({ "statusCode": 200, "body": { "not": "text" } }),
            json!({ "statusCode": 99_999 }),
            json!({ "statusCode": 200, "headers": { "bad name": "x" } }),
        ] {
            assert!(from_payload(payload.to_string().as_bytes()).is_none(), "{payload}");
        }
        assert!(from_payload(b"no json").is_none());
    }
}
