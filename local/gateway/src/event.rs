//! The events that functions and authorizers receive, payload format 2.0.
//!
//! Sources: "Create AWS Lambda proxy integrations for HTTP APIs" and "Control access to HTTP APIs with AWS Lambda
//! authorizers", API Gateway developer guide.

use std::collections::BTreeMap;
use std::net::IpAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Version, header};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::macros::format_description;

use local_runtime::Account;
use local_template::API_ID;

/// A request as the gateway received it.
#[derive(Clone, Debug)]
pub struct Call {
    /// HTTP method.
    pub method: Method,
    /// Path, percent-decoded: HTTP APIs route and pass on the decoded path.
    pub path: String,
    /// Query as sent, without the question mark; may be empty.
    pub query: String,
    /// Protocol version.
    pub version: Version,
    /// Headers as sent.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// The socket's peer.
    pub source: IpAddr,
    /// When it arrived.
    pub received: OffsetDateTime,
    /// API Gateway's request id.
    pub request_id: String,
    /// Root of its X-Ray trace.
    pub trace_root: String,
}

/// The route that a call took.
#[derive(Clone, Copy, Debug)]
pub struct Matched<'a> {
    /// E.g. `POST /auth/sign-in`.
    pub route_key: &'a str,
    /// Values of the path's variables.
    pub path_parameters: &'a BTreeMap<String, String>,
}

/// The event of an authorizer; `identity` holds the values of its identity sources, if it has any.
pub fn authorizer_event(call: &Call, matched: Matched<'_>, account: &Account, identity: &[String]) -> Value {
    let mut event = common(call, matched, account);
    let Account { region, id } = account;
    let arn = format!("arn:aws:execute-api:{region}:{id}:{API_ID}/$default/{}{}", call.method, call.path);
    event.insert("type".to_owned(), json!("REQUEST"));
    event.insert("routeArn".to_owned(), json!(arn));
    event.insert("identitySource".to_owned(), json!((!identity.is_empty()).then_some(identity)));
    Value::Object(event)
}

/// The event of a function; `authorizer` is the context that its authorizer returned, if it has one.
pub fn function_event(
    call: &Call,
    matched: Matched<'_>,
    account: &Account,
    authorizer: Option<&Value>,
) -> Value {
    let mut event = common(call, matched, account);
    if let (Some(authorizer), Some(Value::Object(context))) = (authorizer, event.get_mut("requestContext")) {
        // An empty context arrives as null.
        let fields = authorizer.as_object().filter(|fields| !fields.is_empty());
        context.insert("authorizer".to_owned(), json!({ "lambda": fields }));
    }
    let text = std::str::from_utf8(&call.body).ok().filter(|text| text.is_empty() || is_text(&call.headers));
    if !call.body.is_empty() {
        let body = text.map_or_else(|| BASE64_STANDARD.encode(&call.body), str::to_owned);
        event.insert("body".to_owned(), json!(body));
    }
    event.insert("isBase64Encoded".to_owned(), json!(text.is_none()));
    Value::Object(event)
}

fn common(call: &Call, matched: Matched<'_>, account: &Account) -> Map<String, Value> {
    let time = format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");
    let (cookies, query, path) =
        (cookies(&call.headers), query_parameters(&call.query), matched.path_parameters);
    let event = json!({
        "version": "2.0",
        "routeKey": matched.route_key,
        "rawPath": call.path,
        "rawQueryString": call.query,
        "cookies": (!cookies.is_empty()).then_some(cookies),
        "headers": headers(call),
        "queryStringParameters": (!query.is_empty()).then_some(query),
        "pathParameters": (!path.is_empty()).then_some(path),
        "requestContext": {
            "accountId": account.id,
            "apiId": API_ID,
            "domainName": format!("{API_ID}.execute-api.{}.amazonaws.com", account.region),
            "domainPrefix": API_ID,
            "http": {
                "method": call.method.as_str(),
                "path": call.path,
                "protocol": format!("{:?}", call.version),
                "sourceIp": call.source,
                "userAgent": text_of(&call.headers, header::USER_AGENT.as_str()).unwrap_or_default(),
            },
            "requestId": call.request_id,
            "routeKey": matched.route_key,
            "stage": "$default",
            "time": call.received.format(time).unwrap_or_default(),
            "timeEpoch": i64::try_from(call.received.unix_timestamp_nanos() / 1_000_000).unwrap_or_default(),
        },
    });
    let fields = event.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    fields.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Headers in lower case, repeated ones joined by commas, without cookies (which have a field of their own) and
/// connection headers (which end at the gateway), and with what the gateway adds.
fn headers(call: &Call) -> BTreeMap<String, String> {
    const NOT_FORWARDED: [&str; 7] =
        ["cookie", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];
    let names = call.headers.keys().map(|name| name.as_str()).filter(|name| !NOT_FORWARDED.contains(name));
    let mut headers: BTreeMap<_, _> =
        names.map(|name| (name.to_owned(), text_of(&call.headers, name).unwrap_or_default())).collect();
    headers.insert("content-length".to_owned(), call.body.len().to_string());
    headers.insert("x-amzn-trace-id".to_owned(), format!("Root={}", call.trace_root));
    let forwarded = match headers.get("x-forwarded-for") {
        Some(sent) => format!("{sent}, {}", call.source),
        None => call.source.to_string(),
    };
    headers.insert("x-forwarded-for".to_owned(), forwarded);
    headers.insert("x-forwarded-port".to_owned(), "443".to_owned());
    headers.insert("x-forwarded-proto".to_owned(), "https".to_owned());
    headers
}

/// All values of a header, joined by commas.
pub(super) fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    let values: Vec<_> =
        headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    (!values.is_empty()).then(|| values.join(","))
}

/// The cookies of all headers. Only the spaces after a semicolon are removed.
fn cookies(headers: &HeaderMap) -> Vec<String> {
    let headers =
        headers.get_all(header::COOKIE).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let joined = headers.collect::<Vec<_>>().join(";");
    let pairs = joined.split(';').map(|pair| pair.trim_start_matches(' '));
    pairs.filter(|pair| !pair.is_empty()).map(str::to_owned).collect()
}

/// Decoded parameters, repeated ones joined by commas.
pub(super) fn query_parameters(query: &str) -> BTreeMap<String, String> {
    let mut parameters: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        parameters.entry(name.into_owned()).or_default().push(value);
    }
    parameters.into_iter().map(|(name, values)| (name, values.join(","))).collect()
}

/// Whether a body of this content type is passed on as text. Everything else, forms included, is passed on as base64.
/// Source: "Handling binary data using Amazon API Gateway HTTP APIs", AWS Compute Blog.
fn is_text(headers: &HeaderMap) -> bool {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return false;
    }
    let content_type = text_of(headers, header::CONTENT_TYPE.as_str()).unwrap_or_default().to_lowercase();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.starts_with("text/")
        || matches!(media_type, "application/json" | "application/javascript" | "application/xml")
        || (media_type.starts_with("application/")
            && (media_type.ends_with("+json") || media_type.ends_with("+xml")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Call {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-type", "application/json"),
            ("header2", "value1"),
            ("header2", "value2"),
            ("cookie", "cookie1=a; cookie2=b"),
            ("cookie", "cookie3=c"),
            ("user-agent", "agent"),
            ("x-forwarded-for", "203.0.113.9"),
            ("connection", "keep-alive"),
        ] {
            headers.append(name, http::HeaderValue::from_static(value));
        }
        Call {
            method: Method::POST,
            path: "/my/path".to_owned(),
            query: "parameter1=value1&parameter1=value2&parameter2=a%20value".to_owned(),
            version: Version::HTTP_11,
            headers,
            body: Bytes::from_static(b"{\"a\":1}"),
            source: IpAddr::from([192, 0, 2, 1]),
            received: OffsetDateTime::UNIX_EPOCH + time::Duration::milliseconds(1_583_348_638_390),
            request_id: "id".to_owned(),
            trace_root: "1-5e6722a7-cc56xmpl46db7ae02d4da47e".to_owned(),
        }
    }

    fn account() -> Account {
        Account { region: "us-east-1".to_owned(), id: "123456789012".to_owned() }
    }

    /// The documented example of payload format 2.0, with the values of [`call`].
    #[test]
    fn a_function_event_has_the_documented_shape() {
        let path_parameters = BTreeMap::from([("parameter1".to_owned(), "value1".to_owned())]);
        let matched = Matched { route_key: "POST /my/path", path_parameters: &path_parameters };
        let event = function_event(&call(), matched, &account(), Some(&json!({ "key": "value" })));
        let domain = format!("{API_ID}.execute-api.us-east-1.amazonaws.com");
        assert_eq!(
            event,
            json!({
                "version": "2.0",
                "routeKey": "POST /my/path",
                "rawPath": "/my/path",
                "rawQueryString": "parameter1=value1&parameter1=value2&parameter2=a%20value",
                "cookies": ["cookie1=a", "cookie2=b", "cookie3=c"],
                "headers": {
                    "content-length": "7",
                    "content-type": "application/json",
                    "header2": "value1,value2",
                    "user-agent": "agent",
                    "x-amzn-trace-id": "Root=1-5e6722a7-cc56xmpl46db7ae02d4da47e",
                    "x-forwarded-for": "203.0.113.9, 192.0.2.1",
                    "x-forwarded-port": "443",
                    "x-forwarded-proto": "https"
                },
                "queryStringParameters": { "parameter1": "value1,value2", "parameter2": "a value" },
                "pathParameters": { "parameter1": "value1" },
                "requestContext": {
                    "accountId": "123456789012",
                    "apiId": API_ID,
                    "authorizer": { "lambda": { "key": "value" } },
                    "domainName": domain,
                    "domainPrefix": API_ID,
                    "http": {
                        "method": "POST",
                        "path": "/my/path",
                        "protocol": "HTTP/1.1",
                        "sourceIp": "192.0.2.1",
                        "userAgent": "agent"
                    },
                    "requestId": "id",
                    "routeKey": "POST /my/path",
                    "stage": "$default",
                    "time": "04/Mar/2020:19:03:58 +0000",
                    "timeEpoch": 1_583_348_638_390_i64
                },
                "body": "{\"a\":1}",
                "isBase64Encoded": false
            })
        );
    }

    #[test]
    fn an_authorizer_event_names_the_route_and_carries_no_body() {
        let path_parameters = BTreeMap::new();
        let matched = Matched { route_key: "POST /my/path", path_parameters: &path_parameters };
        let event = authorizer_event(&call(), matched, &account(), &[]);
        assert_eq!(event.get("type"), Some(&json!("REQUEST")));
        assert_eq!(event.get("identitySource"), Some(&Value::Null));
        let arn = format!("arn:aws:execute-api:us-east-1:123456789012:{API_ID}/$default/POST/my/path");
        assert_eq!(event.get("routeArn"), Some(&json!(arn)));
        assert!(event.get("body").is_none() && event.get("isBase64Encoded").is_none());
    }

    #[test]
    fn bodies_that_are_not_text_are_base64() {
        for (content_type, body, encoded) in [
            ("application/json; charset=utf-8", &b"{}"[..], false),
            ("text/plain", b"hi", false),
            ("application/problem+json", b"{}", false),
            ("application/x-www-form-urlencoded", b"a=b", true),
            ("image/png", b"\x89PNG", true),
            ("application/json", b"\xff\xfe", true),
        ] {
            let mut call = call();
            call.headers.insert("content-type", http::HeaderValue::from_static(content_type));
            call.body = Bytes::copy_from_slice(body);
            let path_parameters = BTreeMap::new();
            let matched = Matched { route_key: "$default", path_parameters: &path_parameters };
            let event = function_event(&call, matched, &account(), None);
            assert_eq!(event.get("isBase64Encoded"), Some(&json!(encoded)), "{content_type}");
        }
    }
}
