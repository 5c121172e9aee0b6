//! One flow through the product and the peer: what is compared must do the same work, so the same events get answers of
//! the same status, headers, cookies and body shape.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::Value;

use crate::bed::{Bed, Kind};
use crate::events::{Events, authorizer_event, cookie};
use crate::{Outcome, say};

/// An event that is refused, and by what the answer says why.
const REFUSALS: [(&str, &str, &str); 4] = [
    ("finalize-magic-auth", "/code", "000"),
    ("finalize-magic-auth", "/email", "nobody"),
    ("sign-in", "/email", ""),
    ("room-auth", "/roomId", ""),
];

/// Compares the peer with the product; an error names the first difference.
pub(crate) async fn compare(bed: &Bed) -> Outcome<()> {
    let events = Events::new(bed.cloud())?;
    let functions: Vec<_> = bed
        .subjects()
        .iter()
        .filter(|subject| subject.kind == Kind::Peer)
        .map(|subject| subject.function.clone())
        .collect();
    for function in &functions {
        let (ours, theirs) =
            pair(bed, function, &events.next(function).await?, &events.next(function).await?).await?;
        same(function, &ours, &theirs)?;
        if function == "finalize-magic-auth" {
            // Each one's sessions are good for the other one's authorizer: they keep the same items.
            for answer in [&ours, &theirs] {
                let token = cookie(answer, "__Host-session")?;
                let event = authorizer_event(0, token.trim_start_matches("__Host-session="));
                let (ours, theirs) = pair(bed, "authorizer", &event, &event).await?;
                same("authorizer", &ours, &theirs)?;
                if ours != theirs || ours.get("isAuthorized") != Some(&Value::Bool(true)) {
                    return Err(format!("authorizer: {ours} and {theirs}").into());
                }
            }
        }
    }
    for (function, field, value) in REFUSALS {
        if functions.iter().any(|each| each == function) {
            let event = spoil(&events.next(function).await?, field, value)?;
            let (ours, theirs) = pair(bed, function, &event, &event).await?;
            same(function, &ours, &theirs)?;
            let reason = |answer: &Value| crate::events::body(answer).map(|body| body["reason"].clone());
            if reason(&ours)? != reason(&theirs)? {
                return Err(format!("{function} refuses {field}: {ours} and {theirs}").into());
            }
        }
    }
    for function in ["authorizer"] {
        if functions.iter().any(|each| each == function) {
            let event = authorizer_event(0, &"A".repeat(43));
            let (ours, theirs) = pair(bed, function, &event, &event).await?;
            if ours["isAuthorized"] != false || theirs["isAuthorized"] != false {
                return Err(format!("{function} lets nobody pass: {ours} and {theirs}").into());
            }
        }
    }
    say(&format!("  {} functions, the same answers", functions.len()));
    Ok(())
}

/// The answers of both, each to its own event: a code counts once.
async fn pair(bed: &Bed, function: &str, ours: &Bytes, theirs: &Bytes) -> Outcome<(Value, Value)> {
    let (product, peer) = bed.product(function).zip(bed.peer(function)).ok_or("no such pair")?;
    let ours = bed.runtime(product)?.invoke(&product.name, ours.clone()).await?;
    let theirs = bed.runtime(peer)?.invoke(&peer.name, theirs.clone()).await?;
    Ok((serde_json::from_slice(&ours.payload)?, serde_json::from_slice(&theirs.payload)?))
}

/// The event with another value at a field of its body.
fn spoil(event: &Bytes, field: &str, value: &str) -> Outcome<Bytes> {
    let mut event: Value = serde_json::from_slice(event)?;
    let mut body = crate::events::body(&event)?;
    *body.pointer_mut(field).ok_or("no such field")? = value.into();
    event["body"] = body.to_string().into();
    Ok(Bytes::from(event.to_string()))
}

fn same(function: &str, ours: &Value, theirs: &Value) -> Outcome<()> {
    let (ours_shape, theirs_shape) = (shape_of_answer(ours)?, shape_of_answer(theirs)?);
    if ours_shape == theirs_shape {
        return Ok(());
    }
    let differences: Vec<_> = ours_shape.symmetric_difference(&theirs_shape).collect();
    Err(format!("{function} and its peer differ in {differences:?}: {ours} and {theirs}").into())
}

/// Status, header values, cookies without their values, and the body's fields with their types.
fn shape_of_answer(answer: &Value) -> Outcome<BTreeSet<String>> {
    let mut shape = BTreeSet::new();
    if answer.get("statusCode").is_none() {
        fields("", answer, &mut shape);
        return Ok(shape);
    }
    shape.insert(format!("status {}", answer["statusCode"]));
    let listed = |name: &str| answer.get(name).and_then(Value::as_object).into_iter().flatten();
    for (name, value) in listed("headers").chain(listed("multiValueHeaders")) {
        let value = value.get(0).unwrap_or(value).as_str().unwrap_or_default();
        if name != "retry-after" && name != "set-cookie" {
            shape.insert(format!("{}: {value}", name.to_lowercase()));
        }
    }
    for cookie in answer["cookies"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let (pair, attributes) = cookie.split_once(';').unwrap_or((cookie, ""));
        let name = pair.split('=').next().unwrap_or_default();
        shape.insert(format!("cookie {name}={} characters;{attributes}", pair.len()));
    }
    fields("", &crate::events::body(answer)?, &mut shape);
    Ok(shape)
}

fn fields(path: &str, value: &Value, shape: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                fields(&format!("{path}/{name}"), value, shape);
            }
        }
        Value::Array(values) => {
            for value in values {
                fields(&format!("{path}/*"), value, shape);
            }
        }
        Value::Null => _ = shape.insert(format!("{path}: null")),
        Value::Bool(_) => _ = shape.insert(format!("{path}: boolean")),
        Value::Number(_) => _ = shape.insert(format!("{path}: number")),
        Value::String(_) => _ = shape.insert(format!("{path}: text")),
    }
}
