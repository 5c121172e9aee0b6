//! Lambda authorizers: REQUEST type, payload 2.0, simple responses.
//!
//! A missing identity source is a 401 without a call. `isAuthorized: false` is a 403. Any other outcome (an error, a
//! timeout, another shape) is a 500. Results are never cached.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::event::{self, Call, Matched};
use super::{Api, GatewayError};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Decision {
    is_authorized: bool,
    #[serde(default)]
    context: Value,
}

impl Api {
    /// Runs the authorizer; returns its context if it allows the call.
    pub(super) async fn authorize(
        &self,
        name: &str,
        call: &Call,
        matched: Matched<'_>,
    ) -> Result<Value, GatewayError> {
        let authorizer = self.authorizers.get(name).ok_or(GatewayError::Internal)?;
        let identity: Option<Vec<String>> =
            authorizer.identity_sources.iter().map(|source| identity_value(source, call)).collect();
        let identity = identity.ok_or(GatewayError::Unauthorized)?;
        let event = event::authorizer_event(call, matched, &self.account, &identity);
        let payload = self
            .invoke(&authorizer.function, Bytes::from(event.to_string()), &call.trace_root)
            .await
            .map_err(|_| GatewayError::Internal)?;
        let decision: Decision = serde_json::from_slice(&payload).map_err(|_| GatewayError::Internal)?;
        if decision.is_authorized { Ok(decision.context) } else { Err(GatewayError::Forbidden) }
    }
}

/// The value of an identity source; `None` if the call lacks it or it is empty.
fn identity_value(source: &str, call: &Call) -> Option<String> {
    let value = if let Some(name) = source.strip_prefix("$request.header.") {
        event::text_of(&call.headers, &name.to_lowercase())
    } else if let Some(name) = source.strip_prefix("$request.querystring.") {
        event::query_parameters(&call.query).remove(name)
    } else {
        match source {
            "$context.identity.sourceIp" => Some(call.source.to_string()),
            "$context.httpMethod" => Some(call.method.to_string()),
            "$context.path" => Some(call.path.clone()),
            _ => None,
        }
    };
    value.filter(|value| !value.is_empty())
}
