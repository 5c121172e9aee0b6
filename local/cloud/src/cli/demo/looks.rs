//! Looks behind the API: what a room token claims, what the table holds, what LiveKit and WorkOS have delivered.

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use local::Cloud;
use local_dynamodb::DynamoDb;
use local_livekit::LiveKit;
use local_workos::{Delivery, WorkOs};
use serde_json::{Map, Value, json};

use crate::cli::project::Failure;

const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// The verified claims of a room token.
pub(super) fn claims(cloud: &Cloud, token: &str) -> Result<Value, Failure> {
    let environment = cloud.environment_of("room-auth").ok_or("the template has no room-auth")?;
    let secret = environment.get("LIVEKIT_API_SECRET").ok_or("room-auth has no LIVEKIT_API_SECRET")?;
    let mut validation = Validation::new(Algorithm::HS256);
    validation.validate_nbf = true;
    let key = DecodingKey::from_secret(secret.as_bytes());
    let token = jsonwebtoken::decode::<Value>(token, &key, &validation)?;
    let second = |name: &str| token.claims.get(name).and_then(Value::as_u64).unwrap_or_default();
    Ok(json!({
        "alg": format!("{:?}", token.header.alg),
        "claims": token.claims,
        "lifetimeSeconds": second("exp").saturating_sub(second("nbf")),
    }))
}

/// Identity and name of the participant who enters a room with `token`.
pub(super) fn join(livekit: &LiveKit, token: &str) -> Result<Value, Failure> {
    let joined = livekit.join(token).map_err(|error| format!("LiveKit refused the token: {error:?}"))?;
    Ok(json!({ "identity": joined.identity, "name": joined.name }))
}

/// The names of who is in a room, once LiveKit's webhooks about it are delivered.
pub(super) async fn room(livekit: &LiveKit, name: &str) -> Result<Value, Failure> {
    settled(livekit).await?;
    Ok(livekit.participants(name).into_iter().map(|person| person.name).collect())
}

async fn settled(livekit: &LiveKit) -> Result<(), Failure> {
    let settled = tokio::time::timeout(WEBHOOK_TIMEOUT, livekit.webhooks_settled()).await;
    Ok(settled.map_err(|_| "LiveKit's webhooks were not delivered in time")?)
}

/// The webhooks about a recording and the HTTP statuses of their deliveries; repeated events count once.
pub(super) async fn webhooks(livekit: &LiveKit, egress: &str) -> Result<Value, Failure> {
    settled(livekit).await?;
    let mut delivered: Vec<Value> = Vec::new();
    for delivery in livekit.deliveries() {
        if delivery.event.egress_info.is_some_and(|info| info.egress_id == egress) {
            delivered.push(json!({ "event": delivery.event.event, "statuses": delivery.statuses }));
        }
    }
    delivered.dedup();
    Ok(delivered.into())
}

/// The webhooks about the sessions of the person with this address, which end now, and the HTTP statuses of their
/// deliveries.
pub(super) async fn revoke(workos: &WorkOs, email: &str) -> Result<Value, Failure> {
    let user = workos.user_id(email).ok_or_else(|| format!("WorkOS knows nobody with {email}"))?;
    let settled = async || {
        let settled = tokio::time::timeout(WEBHOOK_TIMEOUT, workos.webhooks_settled()).await;
        settled.map_err(|_| "WorkOS' webhooks were not delivered in time")
    };
    // The sign-in has made webhooks too.
    settled().await?;
    let before = workos.deliveries().len();
    workos.revoke_sessions(&user);
    settled().await?;
    let deliveries = workos.deliveries().into_iter().skip(before);
    let body = |delivery: Delivery| json!({ "event": delivery.event.name, "statuses": delivery.statuses });
    Ok(deliveries.map(body).collect())
}

/// An item of the table as plain JSON; null if there is none.
pub(super) fn item(cloud: &Cloud, dynamodb: &DynamoDb, pk: &str) -> Result<Value, Failure> {
    let table = cloud.table().ok_or("the template has no table")?;
    let items = dynamodb.scan(table)?;
    let item = items.into_iter().find(|item| item.pointer("/pk/S").and_then(Value::as_str) == Some(pk));
    Ok(item.as_ref().map(plain).unwrap_or_default())
}

/// DynamoDB's typed attributes as plain JSON.
fn plain(item: &Value) -> Value {
    let attributes = item.as_object().into_iter().flatten();
    Value::Object(attributes.map(|(name, typed)| (name.clone(), untyped(typed))).collect::<Map<_, _>>())
}

fn untyped(attribute: &Value) -> Value {
    let Some((kind, value)) = attribute.as_object().and_then(|typed| typed.iter().next()) else {
        return Value::Null;
    };
    match (kind.as_str(), value) {
        ("N", Value::String(digits)) => digits.parse::<u64>().map_or_else(|_| value.clone(), Value::from),
        ("L", Value::Array(values)) => values.iter().map(untyped).collect(),
        ("M", map) => plain(map),
        _ => value.clone(),
    }
}
