//! Responses, and assertions about them.

#![expect(clippy::panic, reason = "assertions")]
#![expect(clippy::indexing_slicing, reason = "only JSON values are indexed; a missing field reads as null")]

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// A response of the gateway.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The `Set-Cookie` headers.
    pub cookies: Vec<String>,
    /// The body; a string if it is not JSON.
    pub body: Value,
}

impl Answer {
    /// Reads a response.
    ///
    /// # Errors
    /// If the connection closes before the end of the body.
    pub async fn read(response: reqwest::Response) -> reqwest::Result<Self> {
        let (status, headers) = (response.status(), response.headers().clone());
        let cookies = headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok());
        let cookies = cookies.map(str::to_owned).collect();
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Self { status, headers, cookies, body })
    }

    /// Asserts the status.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self
    }

    /// Asserts that it has our error body, with this status and reason.
    #[track_caller]
    pub fn refused(self, status: u16, reason: &str) -> Self {
        let response = self.is(status);
        assert_eq!(response.body["reason"], reason, "{}", response.body);
        assert_eq!(response.body["code"], status);
        assert!(response.body["message"].is_string());
        assert!(response.body["requestId"].as_str().is_some_and(|id| !id.is_empty()));
        response
    }

    /// Asserts that the error names `field`.
    #[track_caller]
    pub fn names(self, field: &str) -> Self {
        assert_eq!(self.body["field"], field, "{}", self.body);
        self
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The string at a JSON pointer in the body.
    #[track_caller]
    pub fn text(&self, pointer: &str) -> String {
        let value = self.body.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_else(|| panic!("no string at {pointer} in {}", self.body)).to_owned()
    }
}
