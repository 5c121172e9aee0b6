//! CORS of an HTTP API: the gateway responds to preflights, and replaces the function's CORS headers with the configured
//! ones. Source: "Configure CORS for HTTP APIs", API Gateway developer guide.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use local_template::Cors;

/// Replaces the response's CORS headers with those that the API is configured to send to `origin`.
pub(super) fn decorate(cors: &Cors, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
    let names: Vec<_> = headers.keys().cloned().collect();
    for name in names.iter().filter(|name| name.as_str().starts_with("access-control-")) {
        headers.remove(name);
    }
    let Some(allowed) = allowed_origin(cors, origin) else { return };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    if cors.allow_credentials {
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    insert_list(headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, &cors.expose_headers);
}

/// Adds the headers of a preflight's response; none for an origin that is not allowed.
pub(super) fn preflight(cors: &Cors, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
    if allowed_origin(cors, origin).is_none() {
        return;
    }
    insert_list(headers, header::ACCESS_CONTROL_ALLOW_METHODS, &cors.allow_methods);
    insert_list(headers, header::ACCESS_CONTROL_ALLOW_HEADERS, &cors.allow_headers);
    if let Some(seconds) = cors.max_age {
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(seconds));
    }
}

fn allowed_origin(cors: &Cors, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
    let origin = origin?;
    let text = origin.to_str().ok()?;
    let allowed = cors.allow_origins.iter().find(|allowed| match allowed.as_str() {
        "*" => true,
        "https://*" => text.starts_with("https://"),
        "http://*" => text.starts_with("http://"),
        exact => exact == text,
    })?;
    if allowed == "*" { Some(HeaderValue::from_static("*")) } else { Some(origin.clone()) }
}

fn insert_list(headers: &mut HeaderMap, name: HeaderName, values: &[String]) {
    if let Ok(value) = HeaderValue::from_str(&values.join(","))
        && !values.is_empty()
    {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors() -> Cors {
        Cors {
            allow_origins: vec!["https://app.example".to_owned()],
            allow_methods: vec!["POST".to_owned()],
            allow_headers: vec!["content-type".to_owned(), "authorization".to_owned()],
            expose_headers: vec!["retry-after".to_owned()],
            allow_credentials: true,
            max_age: Some(600),
        }
    }

    #[test]
    fn headers_of_the_function_give_way_to_the_configured_ones() {
        let mut headers = HeaderMap::new();
        headers.insert("access-control-allow-origin", HeaderValue::from_static("*"));
        decorate(&cors(), Some(&HeaderValue::from_static("https://app.example")), &mut headers);
        let texts: Vec<_> =
            headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
        assert_eq!(texts.len(), 3);
        assert!(texts.contains(&("access-control-allow-origin", "https://app.example")), "{texts:?}");
        assert!(texts.contains(&("access-control-allow-credentials", "true")), "{texts:?}");
        assert!(texts.contains(&("access-control-expose-headers", "retry-after")), "{texts:?}");
    }

    #[test]
    fn a_foreign_origin_gets_nothing() {
        for origin in
            ["https://evil.example", "https://app.example.evil.example", "http://app.example", "null"]
        {
            let (mut answer, mut preflighted) = (HeaderMap::new(), HeaderMap::new());
            answer.insert("access-control-allow-origin", HeaderValue::from_static("*"));
            decorate(&cors(), Some(&HeaderValue::from_static(origin)), &mut answer);
            preflight(&cors(), Some(&HeaderValue::from_static(origin)), &mut preflighted);
            assert!(answer.is_empty() && preflighted.is_empty(), "{origin}");
        }
    }
}
