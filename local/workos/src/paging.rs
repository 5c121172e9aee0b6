//! WorkOS' list envelope and cursor paging (`limit`, `before`, `after`, `order`).

use axum::Json;
use serde_json::{Value, json};

use super::error::{ApiError, Reply};
use super::request::Query;

/// One page of `items`, oldest first on input. The page is newest first unless the query says `order=asc`.
pub(super) fn page(items: impl Iterator<Item = Value>, query: &Query) -> Reply {
    let limit = match query.get("limit").map(str::parse::<usize>) {
        None => 10,
        Some(Ok(limit @ 1..=100)) => limit,
        Some(_) => return Err(ApiError::invalid_field("limit", "out_of_range")),
    };
    let mut items: Vec<Value> = items.collect();
    match query.get("order") {
        None | Some("desc") => items.reverse(),
        Some("asc" | "normal") => {}
        Some(_) => return Err(ApiError::invalid_field("order", "invalid")),
    }
    let position = |cursor: &str| items.iter().position(|item| item["id"] == cursor);
    let (start, end) = match (query.get("after").map(position), query.get("before").map(position)) {
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
