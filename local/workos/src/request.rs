//! What a request carries: API key, body fields, query.

use axum::extract::{FromRequest, FromRequestParts};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, StatusCode, header};
use serde_json::{Map, Value};

use super::refusal::Refusal;
use super::service::Service;

/// Proof that the caller sent the API key as bearer.
pub(super) struct ApiKey;

impl FromRequestParts<Service> for ApiKey {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Refusal> {
        let expected = service.state().settings.api_key.clone();
        let sent = parts
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        match sent {
            Some(key) if key == expected => Ok(Self),
            _ => Err(Refusal::plain(StatusCode::UNAUTHORIZED, "Unauthorized")),
        }
    }
}

/// The body's fields, from JSON or from a form. A null field counts as absent.
#[derive(Debug)]
pub(super) struct Fields(Map<String, Value>);

impl FromRequest<Service> for Fields {
    type Rejection = Refusal;

    async fn from_request(
        request: Request<axum::body::Body>,
        service: &Service,
    ) -> Result<Self, Self::Rejection> {
        let headers = request.headers().clone();
        let body = Bytes::from_request(request, service)
            .await
            .map_err(|_| Refusal::plain(StatusCode::BAD_REQUEST, "Bad Request"))?;
        Self::parse(&headers, &body).ok_or_else(|| Refusal::plain(StatusCode::BAD_REQUEST, "Bad Request"))
    }
}

impl Fields {
    /// `None` where the body is neither a JSON object nor a form.
    pub(super) fn parse(headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if content_type.is_some_and(|value| value.starts_with("application/x-www-form-urlencoded")) {
            let pairs = url::form_urlencoded::parse(body);
            return Some(Self(pairs.map(|(name, value)| (name.into_owned(), Value::from(value))).collect()));
        }
        serde_json::from_slice(body).ok().map(Self)
    }

    /// A string; `None` where it is absent or null, 422 where it is something else.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Refusal::invalid_field(name, "must_be_a_string")),
        }
    }

    /// A string that must be there and hold something.
    pub(super) fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.text(name)?
            .filter(|text| !text.is_empty())
            .ok_or_else(|| Refusal::invalid_field(name, "required"))
    }

    /// The address in `email`.
    pub(super) fn email(&self) -> Result<&str, Refusal> {
        let email = self.required("email")?;
        if is_email(email) { Ok(email) } else { Err(Refusal::invalid_field("email", "invalid")) }
    }

    /// A boolean; forms write it as a word.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(Refusal::invalid_field(name, "must_be_a_boolean")),
        }
    }

    /// A map of strings; absent means empty.
    pub(super) fn metadata(&self) -> Result<Map<String, Value>, Refusal> {
        match self.0.get("metadata") {
            None | Some(Value::Null) => Ok(Map::new()),
            Some(Value::Object(map)) if map.values().all(Value::is_string) => Ok(map.clone()),
            Some(_) => Err(Refusal::coded(
                StatusCode::BAD_REQUEST,
                "invalid_metadata",
                "Metadata values are strings.",
            )),
        }
    }
}

/// The query's pairs in their order.
#[derive(Clone, Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl FromRequestParts<Service> for Query {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Service) -> Result<Self, Self::Rejection> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

impl Query {
    pub(super) fn parse(query: &str) -> Self {
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// The first value that is not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// All values of a list parameter: `a=1,2`, `a=1&a=2` and `a[]=1&a[]=2` are the same.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        self.0
            .iter()
            .filter(|(key, _)| key.strip_suffix("[]").unwrap_or(key) == name)
            .flat_map(|(_, value)| value.split(','))
            .filter(|value| !value.is_empty())
            .collect()
    }

    /// Every pair.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Enough of an address to send mail to: one `@`, something before it, a dotted domain after it, at most 254 bytes.
pub(super) fn is_email(text: &str) -> bool {
    text.len() <= 254
        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
        && text.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty()
                && !domain.contains('@')
                && domain.contains('.')
                && domain.split('.').all(|label| !label.is_empty())
        })
}
