//! Lambda authorizers: REQUEST type, payload 2.0, simple responses.
//!
//! A missing identity source is a 401 without a call. `isAuthorized: false` is a 403. Anything else that is no valid
//! answer (an error, a timeout, another shape) is a 500. An answer is cached only where the template asks for it and
//! the authorizer has identity sources to tell callers apart.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use serde_json::Value;

use super::event::{self, Call, Matched};
use super::{Api, GatewayError};
use crate::template::Authorizer;

/// Authorizer and identity.
type Key = (String, Vec<String>);

/// Cached answers, each with the moment until which it holds.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<BTreeMap<Key, (Instant, Decision)>>);

#[derive(Clone, Debug)]
struct Decision {
    authorized: bool,
    context: Value,
}

impl Api {
    /// Asks the authorizer; its context when it lets the call pass.
    pub(super) async fn authorize(
        &self,
        name: &str,
        call: &Call,
        matched: Matched<'_>,
    ) -> Result<Value, GatewayError> {
        let Some(authorizer) = self.authorizers.get(name) else { return Err(GatewayError::Internal) };
        let identity: Option<Vec<String>> =
            authorizer.identity_sources.iter().map(|source| identity_value(source, call)).collect();
        let identity = identity.ok_or(GatewayError::Unauthorized)?;
        let cacheable = !authorizer.cache.is_zero() && !identity.is_empty();
        let key = (name.to_owned(), identity);
        let cached = if cacheable { self.cache.get(&key) } else { None };
        let decision = match cached {
            Some(decision) => decision,
            None => {
                let decision = self.ask(authorizer, call, matched, &key.1).await?;
                if cacheable {
                    self.cache.put(key, Instant::now() + authorizer.cache, decision.clone());
                }
                decision
            }
        };
        if decision.authorized { Ok(decision.context) } else { Err(GatewayError::Forbidden) }
    }

    async fn ask(
        &self,
        authorizer: &Authorizer,
        call: &Call,
        matched: Matched<'_>,
        identity: &[String],
    ) -> Result<Decision, GatewayError> {
        let event = event::authorizer_event(call, matched, &self.account, identity);
        let answer = self
            .invoke(&authorizer.function, Bytes::from(event.to_string()), &call.trace_root)
            .await
            .map_err(|_| GatewayError::Internal)?;
        let answer: Value = serde_json::from_slice(&answer).map_err(|_| GatewayError::Internal)?;
        let authorized = answer.get("isAuthorized").and_then(Value::as_bool).ok_or(GatewayError::Internal)?;
        Ok(Decision { authorized, context: answer.get("context").cloned().unwrap_or(Value::Null) })
    }
}

impl Cache {
    fn get(&self, key: &Key) -> Option<Decision> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        entries.retain(|_, (until, _)| *until > now);
        entries.get(key).map(|(_, decision)| decision.clone())
    }

    fn put(&self, key: Key, until: Instant, decision: Decision) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, (until, decision));
    }
}

/// The value of an identity source; `None` when the call lacks it or it is empty.
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
