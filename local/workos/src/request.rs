//! Body fields and query parameters of a request.

use std::collections::BTreeMap;
use std::convert::Infallible;

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, StatusCode, header};
use serde::Deserialize as _;
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::email::is_email;
use super::error::{ApiError, Reply};

/// The fields of a JSON or form body. A null field counts as absent.
#[derive(Debug)]
pub(super) struct Fields(Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = ApiError;

    async fn from_request(request: Request<Body>, state: &S) -> Result<Self, ApiError> {
        let headers = request.headers().clone();
        let body = Bytes::from_request(request, state).await.ok();
        body.and_then(|body| Self::parse(&headers, &body))
            .ok_or_else(|| ApiError::plain(StatusCode::BAD_REQUEST, "Bad Request"))
    }
}

impl Fields {
    /// `None` if the body is neither a JSON object nor a form.
    pub(super) fn parse(headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if content_type.is_some_and(|value| value.starts_with("application/x-www-form-urlencoded")) {
            let pairs = form_urlencoded::parse(body);
            return Some(Self(pairs.map(|(name, value)| (name.into_owned(), Value::from(value))).collect()));
        }
        serde_json::from_slice(body).ok().map(Self)
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// Whether the field is present.
    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// A string, if present; 422 if it is of another type.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, ApiError> {
        let invalid = || ApiError::invalid_field(name, "must_be_a_string");
        self.get(name).map(|value| value.as_str().ok_or_else(invalid)).transpose()
    }

    /// As [`Self::text`], owned.
    pub(super) fn owned(&self, name: &str) -> Result<Option<String>, ApiError> {
        Ok(self.text(name)?.map(str::to_owned))
    }

    /// A required string that is not empty.
    pub(super) fn required(&self, name: &str) -> Result<&str, ApiError> {
        let text = self.text(name)?.filter(|text| !text.is_empty());
        text.ok_or_else(|| ApiError::invalid_field(name, "required"))
    }

    /// The address in `email`.
    pub(super) fn email(&self) -> Result<&str, ApiError> {
        let email = self.required("email")?;
        if is_email(email) { Ok(email) } else { Err(ApiError::invalid_field("email", "invalid")) }
    }

    /// A boolean; absent means false.
    pub(super) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        let flag = self.get(name).map_or(Some(false), Value::as_bool);
        flag.ok_or_else(|| ApiError::invalid_field(name, "must_be_a_boolean"))
    }

    /// The strings in `metadata`; absent means none.
    pub(super) fn metadata(&self) -> Result<BTreeMap<String, String>, ApiError> {
        let metadata = self.get("metadata").map(BTreeMap::deserialize).transpose();
        let invalid = |_| ApiError::bad_request("invalid_metadata", "Metadata values are strings.");
        Ok(metadata.map_err(invalid)?.unwrap_or_default())
    }
}

/// The query parameters in their order.
#[derive(Clone, Debug)]
pub(super) struct Query(pub(super) Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect()))
    }
}

impl Query {
    /// The first value that is not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// All values of a list parameter, written as `a=1,2`, `a=1&a=2` or `a[]=1&a[]=2`.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        self.0
            .iter()
            .filter(|(key, _)| key.strip_suffix("[]").unwrap_or(key) == name)
            .flat_map(|(_, value)| value.split(','))
            .filter(|value| !value.is_empty())
            .collect()
    }

    /// `limit`, from 1 to 100; 10 by default.
    pub(super) fn limit(&self) -> Result<usize, ApiError> {
        match self.get("limit").map(str::parse::<usize>) {
            None => Ok(10),
            Some(Ok(limit @ 1..=100)) => Ok(limit),
            Some(_) => Err(ApiError::invalid_field("limit", "out_of_range")),
        }
    }

    /// One page of a list with cursors (`limit`, `before`, `after`, `order`). `items` are oldest first; the page is newest
    /// first unless the query says `order=asc`.
    pub(super) fn page(&self, items: impl Iterator<Item = Value>) -> Reply {
        let limit = self.limit()?;
        let mut items: Vec<Value> = items.collect();
        match self.get("order") {
            None | Some("desc") => items.reverse(),
            Some("asc" | "normal") => {}
            Some(_) => return Err(ApiError::invalid_field("order", "invalid")),
        }
        let position = |cursor: &str| items.iter().position(|item| item["id"] == cursor);
        let (start, end) = match (self.get("after").map(position), self.get("before").map(position)) {
            (Some(None), _) | (_, Some(None)) => return Err(ApiError::invalid_field("cursor", "invalid")),
            (Some(Some(after)), _) => (after + 1, (after + 1 + limit).min(items.len())),
            (None, Some(Some(before))) => (before.saturating_sub(limit), before),
            (None, None) => (0, limit.min(items.len())),
        };
        let data = items.get(start..end).unwrap_or_default();
        let before = data.first().filter(|_| start > 0).map(|item| &item["id"]);
        let after = data.last().filter(|_| end < items.len()).map(|item| &item["id"]);
        Ok(Json(json!({"object": "list", "data": data, "list_metadata": {"before": before, "after": after}})))
    }
}
