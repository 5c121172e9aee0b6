//! A function's result as an HTTP response. Source: "Lambda function response for format 2.0", API Gateway developer
//! guide.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reply {
    status_code: Value,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
    headers: Option<BTreeMap<String, Value>>,
    cookies: Option<Vec<String>>,
}

/// Makes the response; `None` if the result is malformed, for which API Gateway responds with a 500. A result without
/// `statusCode` is itself the body of a 200.
pub(super) fn from_payload(payload: &[u8]) -> Option<Response<Full<Bytes>>> {
    let payload: Value = serde_json::from_slice(payload).ok()?;
    if payload.get("statusCode").is_some() {
        return formatted(serde_json::from_value(payload).ok()?);
    }
    Response::builder().header(header::CONTENT_TYPE, "application/json").body(Full::from(text(&payload))).ok()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn formatted(reply: Reply) -> Option<Response<Full<Bytes>>> {
    let body = reply.body.unwrap_or_default();
    let body = match reply.is_base64_encoded {
        Some(true) => BASE64_STANDARD.decode(body).ok()?,
        _ => body.into_bytes(),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = StatusCode::from_bytes(text(&reply.status_code).as_bytes()).ok()?;
    let headers = response.headers_mut();
    for (name, value) in reply.headers.into_iter().flatten() {
        let name = HeaderName::try_from(name).ok()?;
        // The gateway sets the length itself and owns its connection to the client.
        if matches!(name.as_str(), "content-length" | "connection" | "transfer-encoding" | "keep-alive") {
            continue;
        }
        if value.is_array() || value.is_object() || value.is_null() {
            return None;
        }
        headers.append(name, HeaderValue::try_from(text(&value)).ok()?);
    }
    for cookie in reply.cookies.into_iter().flatten() {
        headers.append(header::SET_COOKIE, HeaderValue::try_from(cookie).ok()?);
    }
    headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("text/plain;charset=UTF-8"));
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
    async fn a_result_without_status_is_the_body() -> Result<(), Box<dyn std::error::Error>> {
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
    fn malformed_results_are_refused() {
        for payload in [
            json!({ "statusCode": "twelve" }),
            json!({ "statusCode": 200, "body": { "not": "text" } }),
            json!({ "statusCode": 99_999 }),
            json!({ "statusCode": 200, "headers": { "bad name": "x" } }),
        ] {
            assert!(from_payload(payload.to_string().as_bytes()).is_none(), "{payload}");
        }
        assert!(from_payload(b"not json").is_none());
    }
}
