//! The Twirp methods that are served, and the grant that each demands.
//!
//! | service | method | grant |
//! |---|---|---|
//! | RoomService | CreateRoom, DeleteRoom | `roomCreate` |
//! | RoomService | ListRooms | `roomList` |
//! | RoomService | ListParticipants, GetParticipant, RemoveParticipant | `roomAdmin` and `room` |
//! | Egress | StartRoomCompositeEgress, StopEgress, ListEgress | `roomRecord` |

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, Method};
use livekit_protocol::{
    CreateRoomRequest, DeleteRoomRequest, DeleteRoomResponse, DisconnectReason, ListEgressRequest,
    ListEgressResponse, ListParticipantsRequest, ListParticipantsResponse, ListRoomsRequest,
    ListRoomsResponse, RemoveParticipantResponse, RoomCompositeEgressRequest, RoomParticipantIdentity,
    StopEgressRequest,
};

use super::Shared;
use super::access::{Access, SeenToken};
use super::twirp::{Code, Codec, TwirpError};

/// Serves `/twirp/{service}/{method}`: the token first, then the route, then the message, then the grant.
pub(super) async fn serve(
    State(shared): State<Arc<Shared>>,
    Path((service, method)): Path<(String, String)>,
    verb: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (access, token) = match Access::of(&headers, &shared.keys) {
        Ok(access) => access,
        Err(refused) => return refused.into_response(),
    };
    if let Some((claims, token)) = token {
        shared.state().tokens.push(SeenToken { call: method.clone(), claims, token });
    }
    if verb != Method::POST {
        let msg = format!("unsupported method {:?} (only POST is allowed)", verb.as_str());
        return TwirpError::new(Code::BadRoute, msg).into_response();
    }
    call(&shared, &access, &service, &method, &headers, &body).unwrap_or_else(TwirpError::into_response)
}

fn call(
    shared: &Shared,
    access: &Access,
    service: &str,
    method: &str,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Response, TwirpError> {
    let codec = Codec::of(headers)?;
    match (service, method) {
        ("livekit.RoomService", "CreateRoom") => codec.serve(body, |request: CreateRoomRequest| {
            access.create()?;
            shared.state().create_room(request)
        }),
        ("livekit.RoomService", "DeleteRoom") => codec.serve(body, |request: DeleteRoomRequest| {
            access.create()?;
            shared.state().delete_room(&request.room)?;
            Ok(DeleteRoomResponse {})
        }),
        ("livekit.RoomService", "ListRooms") => codec.serve(body, |request: ListRoomsRequest| {
            access.list()?;
            Ok(ListRoomsResponse { rooms: shared.state().list_rooms(&request.names) })
        }),
        ("livekit.RoomService", "ListParticipants") => {
            codec.serve(body, |request: ListParticipantsRequest| {
                access.admin(&request.room)?;
                let participants = shared.state().list_participants(&request.room)?;
                Ok(ListParticipantsResponse { participants })
            })
        }
        ("livekit.RoomService", "GetParticipant") => codec.serve(body, |request: RoomParticipantIdentity| {
            access.admin(&request.room)?;
            shared.state().participant(&request.room, &request.identity)
        }),
        ("livekit.RoomService", "RemoveParticipant") => {
            codec.serve(body, |request: RoomParticipantIdentity| {
                access.admin(&request.room)?;
                shared.state().leave(
                    &request.room,
                    &request.identity,
                    DisconnectReason::ParticipantRemoved,
                )?;
                Ok(RemoveParticipantResponse {})
            })
        }
        ("livekit.Egress", "StartRoomCompositeEgress") => {
            codec.serve(body, |request: RoomCompositeEgressRequest| {
                access.record()?;
                shared.state().start_room_composite(request)
            })
        }
        ("livekit.Egress", "StopEgress") => codec.serve(body, |request: StopEgressRequest| {
            access.record()?;
            shared.state().stop_egress(&request.egress_id)
        }),
        ("livekit.Egress", "ListEgress") => codec.serve(body, |request: ListEgressRequest| {
            access.record()?;
            let items = shared.state().list_egress(&request)?;
            Ok(ListEgressResponse { items, next_page_token: None })
        }),
        _ => {
            Err(TwirpError::new(Code::BadRoute, format!("no handler for path \"/twirp/{service}/{method}\"")))
        }
    }
}
