//! What a developer does by hand, since no media flows here: JSON under `/_livekit/`.
//!
//! | request | body | does |
//! |---|---|---|
//! | `POST /_livekit/join` | `{"token"}`, as room-auth hands it out | enters the room; answers the participant |
//! | `POST /_livekit/leave` | `{"room","identity"}` | leaves the room |
//! | `POST /_livekit/end-room` | `{"room"}` | ends the room, and its recordings with it |
//! | `POST /_livekit/end-egress` | `{"egressId"}`, and `"error"` for one that fails | ends the recording |
//! | `GET /_livekit/state` | | rooms, participants and egresses |

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use livekit_protocol::{DisconnectReason, EgressInfo, ParticipantInfo, Room};
use serde::{Deserialize, Serialize};

use super::Shared;
use super::egress::{End, shown};
use super::twirp::TwirpError;

#[derive(Deserialize)]
struct Join {
    token: String,
}

#[derive(Deserialize)]
struct Leave {
    room: String,
    identity: String,
}

#[derive(Deserialize)]
struct EndRoom {
    room: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EndEgress {
    egress_id: String,
    error: Option<String>,
}

#[derive(Serialize)]
struct Inhabited {
    room: Room,
    participants: Vec<ParticipantInfo>,
}

#[derive(Serialize)]
struct Overview {
    rooms: Vec<Inhabited>,
    egresses: Vec<EgressInfo>,
}

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/_livekit/join", post(join))
        .route("/_livekit/leave", post(leave))
        .route("/_livekit/end-room", post(end_room))
        .route("/_livekit/end-egress", post(end_egress))
        .route("/_livekit/state", get(overview))
}

async fn join(
    State(shared): State<Arc<Shared>>,
    Json(input): Json<Join>,
) -> Result<Json<ParticipantInfo>, TwirpError> {
    shared.join(&input.token).map(Json)
}

async fn leave(
    State(shared): State<Arc<Shared>>,
    Json(input): Json<Leave>,
) -> Result<StatusCode, TwirpError> {
    shared.state().leave(&input.room, &input.identity, DisconnectReason::ClientInitiated)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn end_room(
    State(shared): State<Arc<Shared>>,
    Json(input): Json<EndRoom>,
) -> Result<StatusCode, TwirpError> {
    shared.state().delete_room(&input.room)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn end_egress(
    State(shared): State<Arc<Shared>>,
    Json(input): Json<EndEgress>,
) -> Result<Json<EgressInfo>, TwirpError> {
    let end = input.error.map_or(End::Complete, End::Failed);
    shared.state().end(&input.egress_id, end).map(Json)
}

async fn overview(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let state = shared.state();
    let rooms = state
        .list_rooms(&[])
        .into_iter()
        .map(|room| Inhabited { participants: state.participants(&room.name), room })
        .collect();
    Json(Overview { rooms, egresses: state.egresses.iter().map(shown).collect() })
}
