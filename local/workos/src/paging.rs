//! WorkOS' list envelope and cursor paging (`limit`, `before`, `after`, `order`).

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::refusal::Refusal;
use super::request::Query;

/// One page of `items`, each with its `id`, which arrive oldest first and leave newest first unless `order=asc`.
pub(super) fn page(items: Vec<Value>, query: &Query) -> Result<Response, Refusal> {
    let limit = match query.get("limit").map(str::parse::<usize>) {
        None => 10,
        Some(Ok(limit @ 1..=100)) => limit,
        Some(_) => return Err(Refusal::invalid_field("limit", "out_of_range")),
    };
    let mut items = items;
    match query.get("order") {
        None | Some("desc") => items.reverse(),
        Some("asc" | "normal") => {}
        Some(_) => return Err(Refusal::invalid_field("order", "invalid")),
    }
    let position = |cursor: &str| items.iter().position(|item| id(item) == Some(cursor));
    let (start, end) = match (query.get("after").map(position), query.get("before").map(position)) {
        (Some(None), _) | (_, Some(None)) => return Err(Refusal::invalid_field("cursor", "invalid")),
        (Some(Some(after)), _) => (after + 1, (after + 1 + limit).min(items.len())),
        (None, Some(Some(before))) => (before.saturating_sub(limit), before),
        (None, None) => (0, limit.min(items.len())),
    };
    let data = items.get(start..end).unwrap_or_default();
    let before = if start > 0 { data.first().and_then(id) } else { None };
    let after = if end < items.len() { data.last().and_then(id) } else { None };
    let body = json!({"object": "list", "data": data, "list_metadata": {"before": before, "after": after}});
    Ok(Json(body).into_response())
}

fn id(item: &Value) -> Option<&str> {
    item.get("id").and_then(Value::as_str)
}
