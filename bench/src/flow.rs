//! Compares the peer with the product before anything is measured. They must do the same work: the same events get
//! responses with the same status, headers, cookies and body fields.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::Value;
use session::SESSION_COOKIE;

use crate::bed::{AUTHORIZER, Bed, Kind};
use crate::events::{Events, body, with_field, with_session};
use crate::{Outcome, say};

/// Changes to an event that make a function refuse it: function, field of the body, value.
const REFUSALS: [(&str, &str, &str); 4] = [
    ("finalize-magic-auth", "/code", "000"),
    ("finalize-magic-auth", "/email", "nobody"),
    ("sign-in", "/email", ""),
    ("room-auth", "/roomId", ""),
];

/// Compares all functions that have a peer; an error describes the first difference.
pub(crate) async fn compare(bed: &Bed) -> Outcome<()> {
    let events = Events::new(bed.cloud());
    let peers = bed.subjects().iter().filter(|subject| subject.kind == Kind::Peer);
    let functions: Vec<_> = peers.map(|subject| subject.function).collect();
    for function in &functions {
        let name = function.name;
        let (ours, theirs) =
            pair(bed, name, &events.next(function).await?, &events.next(function).await?).await?;
        same(name, &ours, &theirs)?;
        for (_, field, value) in REFUSALS.into_iter().filter(|(refusing, ..)| *refusing == name) {
            let event = with_field(&events.next(function).await?, field, value)?;
            let (ours, theirs) = pair(bed, name, &event, &event).await?;
            same(name, &ours, &theirs)?;
            if body(&ours)?["reason"] != body(&theirs)?["reason"] {
                return Err(format!("{name} refuses {field}: {ours} and {theirs}").into());
            }
        }
        if name == "finalize-magic-auth" {
            compare_sessions(bed, &events, [&ours, &theirs]).await?;
        }
    }
    say(&format!("  {} functions respond alike", functions.len()));
    Ok(())
}

/// Both authorizers accept the sessions of both sign-ins, so the items are alike, and refuse an unknown session.
async fn compare_sessions(bed: &Bed, events: &Events<'_>, sign_ins: [&Value; 2]) -> Outcome<()> {
    let Some(authorizer) = bed.peer(AUTHORIZER) else { return Ok(()) };
    let event = events.next(authorizer.function).await?;
    let mut sessions = vec![("A".repeat(43), "not_signed_in")];
    for response in sign_ins {
        sessions.push((session_of(response)?, "signed_in"));
    }
    for (token, verdict) in sessions {
        let event = with_session(&event, &token)?;
        let (ours, theirs) = pair(bed, AUTHORIZER, &event, &event).await?;
        if ours["context"]["verdict"] != verdict || ours != theirs {
            return Err(format!("authorizer, expected {verdict}: {ours} and {theirs}").into());
        }
    }
    Ok(())
}

/// The responses of both, each to its own event: a code can be redeemed once.
async fn pair(bed: &Bed, function: &str, ours: &Bytes, theirs: &Bytes) -> Outcome<(Value, Value)> {
    let (product, peer) = bed.product(function).zip(bed.peer(function)).ok_or("no such pair")?;
    let ours = bed.runtime(product)?.invoke(&product.name, ours.clone()).await?;
    let theirs = bed.runtime(peer)?.invoke(&peer.name, theirs.clone()).await?;
    Ok((serde_json::from_slice(&ours.payload)?, serde_json::from_slice(&theirs.payload)?))
}

/// The session token that a response sets.
fn session_of(response: &Value) -> Outcome<String> {
    let mut cookies = response["cookies"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let token = cookies.find_map(|cookie| {
        let (name, rest) = cookie.split_once('=')?;
        (name == SESSION_COOKIE).then(|| rest.split(';').next().unwrap_or_default().to_owned())
    });
    Ok(token.ok_or_else(|| format!("no session in {response}"))?)
}

fn same(function: &str, ours: &Value, theirs: &Value) -> Outcome<()> {
    let (our_shape, their_shape) = (shape(ours)?, shape(theirs)?);
    if our_shape == their_shape {
        return Ok(());
    }
    let differences: Vec<_> = our_shape.symmetric_difference(&their_shape).collect();
    Err(format!("{function} and its peer differ in {differences:?}: {ours} and {theirs}").into())
}

/// Status, header values, cookies without their values, and the body's fields with their types.
fn shape(response: &Value) -> Outcome<BTreeSet<String>> {
    let mut shape = BTreeSet::new();
    if response.get("statusCode").is_none() {
        fields("", response, &mut shape);
        return Ok(shape);
    }
    shape.insert(format!("status {}", response["statusCode"]));
    let listed = |name: &str| response.get(name).and_then(Value::as_object).into_iter().flatten();
    for (name, value) in listed("headers").chain(listed("multiValueHeaders")) {
        let value = value.get(0).unwrap_or(value).as_str().unwrap_or_default();
        match name.to_lowercase().as_str() {
            "retry-after" | "set-cookie" => {}
            // Every request has its own.
            "x-request-id" => _ = shape.insert(format!("x-request-id: {} characters", value.len())),
            name => _ = shape.insert(format!("{name}: {value}")),
        }
    }
    for cookie in response["cookies"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let (pair, attributes) = cookie.split_once(';').unwrap_or((cookie, ""));
        let name = pair.split('=').next().unwrap_or_default();
        shape.insert(format!("cookie {name}={} characters;{attributes}", pair.len()));
    }
    fields("", &body(response)?, &mut shape);
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
