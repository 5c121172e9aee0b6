//! The life of a recording.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::Client;
use super::main_job::ROOM_AUTH;
use super::shape::NUMBER;
use super::tour::Tour;
use crate::cli::Failure;

const START: &str = "/api/v1/livekit/start-recording";
const STOP: &str = "/api/v1/livekit/stop-recording";
const ROOM: &str = "weekly-sync";
const PATIENCE: Duration = Duration::from_secs(10);

/// `jane` and `gail` are of one organization, `outsider` is of another.
pub(super) async fn tell<'a>(
    tour: &'a Tour<'a>,
    mut jane: Client<'a>,
    mut gail: Client<'a>,
    mut outsider: Client<'a>,
) -> Result<(), Failure> {
    let start = json!({
        "roomName": ROOM, "conferenceTopic": "Weekly Sync Meeting", "zoneId": "1", "participants": "Jane Doe, Gail",
    });
    jane.post("Nobody is in the room, so there is nothing to record", START, &start).await?.refused(
        404,
        "Not found",
        "room_not_found",
    )?;
    let jane_id = join(tour, &mut jane, "Jane Doe").await?;
    let gail_id = join(tour, &mut gail, "Gail").await?;

    outsider.post("Somebody who is not in the room may not record it", START, &start).await?.refused(
        403,
        "Forbidden",
        "not_in_room",
    )?;
    let started = json!({ "egressId": "EG_…", "timestamp": NUMBER });
    let egress =
        jane.post("Jane starts the recording", START, &start).await?.is(200, &started)?.text("/egressId")?;
    gail.post("Gail is too late: the answer names the recording that runs", START, &start).await?.is(
        409,
        &json!({
            "code": 409, "message": "Conflict", "reason": "already_recording", "requestId": "…", "egressId": egress,
        }),
    )?;

    let stop = |zone: &str| json!({ "roomName": ROOM, "egressId": egress, "zoneId": zone });
    jane.post("It is not stopped from another zone", STOP, &stop("2")).await?.refused(
        404,
        "Not found",
        "recording_not_found",
    )?;
    let stopped = json!({ "egressId": egress, "timestamp": NUMBER });
    let first = gail.post("Gail stops it", STOP, &stop("1")).await?.is(200, &stopped)?.body;
    jane.post("Stopping it again gives the same answer", STOP, &stop("1")).await?.is(200, &first)?;

    webhooks(tour, &egress).await?;
    let record = tour.item(&format!("recording#{egress}"))?;
    tour.look(
        "The record: who recorded what, when, for whom, and where the file is",
        &record,
        &json!({
            "pk": format!("recording#{egress}"),
            "egress_id": egress,
            "status": "ended",
            "room": ROOM,
            "zone_id": "1",
            "topic": "Weekly Sync Meeting",
            "participants": ["Jane Doe", "Gail"],
            "organization_id": "org_…",
            "object_key": format!("recordings/org_…/1/{ROOM}/….mp4"),
            "file_location": "https://….mp4",
            "started_by": jane_id,
            "started_at": NUMBER,
            "start_token": "…",
            "stopped_by": gail_id,
            "stopped_at": NUMBER,
            "ended_at": NUMBER,
        }),
    )?;
    jane.post("The room is free again", START, &start).await?.is(200, &started)?;
    Ok(())
}

/// Enters the room with a token from `room-auth`; gives the identity.
async fn join(tour: &Tour<'_>, client: &mut Client<'_>, name: &str) -> Result<String, Failure> {
    let token = client
        .post(&format!("A room token for {name}"), ROOM_AUTH, &json!({ "username": name, "roomId": ROOM }))
        .await?
        .is(200, &json!({ "token": "ey…" }))?
        .text("/token")?;
    let joined =
        tour.livekit.join(&token).map_err(|refused| format!("LiveKit refuses the token: {refused:?}"))?;
    tour.look(
        &format!("{name} joins with it at LiveKit"),
        &json!({ "room": ROOM, "identity": joined.identity, "name": joined.name }),
        &json!({ "room": ROOM, "identity": "user_…", "name": name }),
    )?;
    Ok(joined.identity)
}

/// LiveKit's own account of the recording, as it reached the API; and one that LiveKit did not send.
async fn webhooks(tour: &Tour<'_>, egress: &str) -> Result<(), Failure> {
    let settled = tokio::time::timeout(PATIENCE, tour.livekit.webhooks_settled()).await;
    settled.map_err(|_| "LiveKit's webhooks do not arrive")?;
    let about = |event: &livekit_protocol::WebhookEvent| {
        event.egress_info.as_ref().is_some_and(|info| info.egress_id == egress)
    };
    let deliveries = tour.livekit.deliveries();
    let mut told: Vec<Value> = deliveries
        .iter()
        .filter(|delivery| about(&delivery.event))
        .map(|delivery| json!({ "event": delivery.event.event, "statuses": delivery.statuses }))
        .collect();
    // One update for active, one for ending.
    told.dedup();
    tour.look(
        "Meanwhile LiveKit has told the API how it went, at POST /webhooks/livekit, signed",
        &Value::Array(told),
        &json!([
            { "event": "egress_started", "statuses": [200] },
            { "event": "egress_updated", "statuses": [200] },
            { "event": "egress_ended", "statuses": [200] },
        ]),
    )?;
    tour.program("forged")?
        .post(
            "A webhook that LiveKit did not sign is refused",
            "/webhooks/livekit",
            &json!({ "event": "egress_ended" }),
        )
        .await?
        .refused(401, "Unauthorized", "not_signed_in")?;
    Ok(())
}
