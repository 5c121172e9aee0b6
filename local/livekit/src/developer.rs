//! Participants and endings by hand, since there is no media: JSON under `/_livekit/`.
//!
//! | request | body | effect |
//! |---|---|---|
//! | `POST /_livekit/join` | `{"token"}`, as room-auth returns it | joins the room; returns the participant |
//! | `POST /_livekit/leave` | `{"room","identity"}` | leaves the room |
//! | `POST /_livekit/end-room` | `{"room"}` | ends the room and its recordings |
//! | `POST /_livekit/end-egress` | `{"egressId"}`, optional `"error"` | completes or fails the recording |
//! | `GET /_livekit/state` | | rooms, participants and egresses |

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use livekit_protocol::{
    DeleteRoomRequest, DisconnectReason, EgressInfo, ParticipantInfo, RoomParticipantIdentity,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::egress::End;
use crate::shared::Shared;
use crate::state::redacted;
use crate::twirp::Result;

#[derive(Deserialize)]
struct Join {
    token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EndEgress {
    egress_id: String,
    error: Option<String>,
}

type Server = State<Arc<Shared>>;

pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/_livekit/join", post(join))
        .route("/_livekit/leave", post(leave))
        .route("/_livekit/end-room", post(end_room))
        .route("/_livekit/end-egress", post(end_egress))
        .route("/_livekit/state", get(overview))
}

async fn join(State(shared): Server, Json(input): Json<Join>) -> Result<Json<ParticipantInfo>> {
    shared.join(&input.token).map(Json)
}

async fn leave(State(shared): Server, Json(input): Json<RoomParticipantIdentity>) -> Result<StatusCode> {
    shared.state().leave(&input.room, &input.identity, DisconnectReason::ClientInitiated)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn end_room(State(shared): Server, Json(input): Json<DeleteRoomRequest>) -> Result<StatusCode> {
    shared.state().delete_room(&input.room)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn end_egress(State(shared): Server, Json(input): Json<EndEgress>) -> Result<Json<EgressInfo>> {
    let end = input.error.map_or(End::Complete, End::Failed);
    shared.state().end(&input.egress_id, end).map(Json)
}

async fn overview(State(shared): Server) -> Json<Value> {
    let state = shared.state();
    let rooms = state
        .rooms
        .iter()
        .map(|(name, open)| json!({ "room": state.room(name).ok(), "participants": open.participants }));
    let egresses = state.egresses.iter().map(redacted);
    Json(json!({ "rooms": rooms.collect::<Vec<_>>(), "egresses": egresses.collect::<Vec<_>>() }))
}
