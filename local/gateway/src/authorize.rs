//! Lambda authorizers: REQUEST type, payload 2.0, simple responses.
//!
//! A missing identity source is a 401 without an invocation. `isAuthorized: false` is a 403. Anything else (an error, a
//! timeout, another shape) is a 500. Results are never cached.

use local_template::Authorizer;
use serde::Deserialize;
use serde_json::Value;

use super::error::GatewayError;
use super::event::{Call, query_parameters, text_of};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Decision {
    is_authorized: bool,
    #[serde(default)]
    context: Value,
}

/// The authorizer's context, if its response allows the call.
pub(super) fn context(response: &[u8]) -> Result<Value, GatewayError> {
    let decision: Decision = serde_json::from_slice(response).map_err(|_| GatewayError::Internal)?;
    if decision.is_authorized { Ok(decision.context) } else { Err(GatewayError::Forbidden) }
}

/// The values of the identity sources; an error if the call lacks one or it is empty.
pub(super) fn identity(authorizer: &Authorizer, call: &Call) -> Result<Vec<String>, GatewayError> {
    let values = authorizer.identity_sources.iter().map(|source| {
        let value = if let Some(name) = source.strip_prefix("$request.header.") {
            text_of(&call.headers, &name.to_lowercase())
        } else if let Some(name) = source.strip_prefix("$request.querystring.") {
            query_parameters(&call.query).remove(name)
        } else {
            match source.as_str() {
                "$context.identity.sourceIp" => Some(call.source.to_string()),
                "$context.httpMethod" => Some(call.method.to_string()),
                "$context.path" => Some(call.path.clone()),
                _ => None,
            }
        };
        value.filter(|value| !value.is_empty()).ok_or(GatewayError::Unauthorized)
    });
    values.collect()
}
