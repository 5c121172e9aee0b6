//! The Twirp methods and their grants.

use std::sync::Arc;

use axum::extract::{Path, State as Extract};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use livekit_api::access_token::VideoGrants;
use livekit_protocol as proto;
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};

use crate::access::SeenToken;
use crate::shared::Shared;
use crate::state::State;
use crate::twirp::{Code, Codec, TwirpError};

/// Serves `/twirp/{service}/{method}`. Checks the token, the route, the message and the grant, in this order.
pub(crate) async fn serve(
    Extract(shared): Extract<Arc<Shared>>,
    Path((service, method)): Path<(String, String)>,
    http_method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let token = match shared.keys.authenticate(&headers) {
        Ok(token) => token,
        Err(message) => return (StatusCode::UNAUTHORIZED, message).into_response(),
    };
    let mut state = shared.state();
    let grants = token.as_ref().map(|(claims, _)| claims.video.clone()).unwrap_or_default();
    let call = method.clone();
    state.tokens.extend(token.map(|(claims, token)| SeenToken { call, claims, token }));
    if http_method != Method::POST {
        let msg = format!("unsupported method {:?} (only POST is allowed)", http_method.as_str());
        return Code::BadRoute.error(msg).into_response();
    }
    let response = Codec::of(&headers).and_then(|codec| {
        let call = Call { codec, body, grants };
        call.dispatch(&mut state, &format!("{service}/{method}"))
    });
    response.unwrap_or_else(TwirpError::into_response)
}

struct Call {
    codec: Codec,
    body: Bytes,
    grants: VideoGrants,
}

impl Call {
    fn dispatch(&self, state: &mut State, path: &str) -> Result<Response, TwirpError> {
        let admin = |grants: &VideoGrants, room: &str| grants.room_admin && grants.room == room;
        match path {
            "livekit.RoomService/CreateRoom" => {
                self.serve(|grants, _| grants.room_create, |request| state.create_room(request))
            }
            "livekit.RoomService/DeleteRoom" => self.serve(
                |grants, _| grants.room_create,
                |request: proto::DeleteRoomRequest| {
                    state.delete_room(&request.room).map(|()| proto::DeleteRoomResponse {})
                },
            ),
            "livekit.RoomService/ListRooms" => self.serve(
                |grants, _| grants.room_list,
                |request: proto::ListRoomsRequest| {
                    Ok(proto::ListRoomsResponse { rooms: state.list_rooms(&request.names) })
                },
            ),
            "livekit.RoomService/ListParticipants" => self.serve(
                |grants, request: &proto::ListParticipantsRequest| admin(grants, &request.room),
                |request| {
                    let participants = state.list_participants(&request.room)?;
                    Ok(proto::ListParticipantsResponse { participants })
                },
            ),
            "livekit.RoomService/GetParticipant" => self.serve(
                |grants, request: &proto::RoomParticipantIdentity| admin(grants, &request.room),
                |request| state.participant(&request.room, &request.identity),
            ),
            "livekit.RoomService/RemoveParticipant" => self.serve(
                |grants, request: &proto::RoomParticipantIdentity| admin(grants, &request.room),
                |request| {
                    let reason = proto::DisconnectReason::ParticipantRemoved;
                    state.leave(&request.room, &request.identity, reason)?;
                    Ok(proto::RemoveParticipantResponse {})
                },
            ),
            "livekit.Egress/StartRoomCompositeEgress" => {
                self.serve(|grants, _| grants.room_record, |request| state.start_egress(request))
            }
            "livekit.Egress/StopEgress" => self.serve(
                |grants, _| grants.room_record,
                |request: proto::StopEgressRequest| state.stop_egress(&request.egress_id),
            ),
            "livekit.Egress/ListEgress" => self.serve(
                |grants, _| grants.room_record,
                |request| {
                    let items = state.list_egress(&request)?;
                    Ok(proto::ListEgressResponse { items, next_page_token: None })
                },
            ),
            _ => Err(Code::BadRoute.error(format!("no handler for path \"/twirp/{path}\""))),
        }
    }

    fn serve<Q, A>(
        &self,
        is_allowed: impl FnOnce(&VideoGrants, &Q) -> bool,
        respond: impl FnOnce(Q) -> Result<A, TwirpError>,
    ) -> Result<Response, TwirpError>
    where
        Q: Message + Default + DeserializeOwned,
        A: Message + Serialize,
    {
        let request = self.codec.decode(&self.body)?;
        if !is_allowed(&self.grants, &request) {
            return Err(Code::Unauthenticated.error("permissions denied"));
        }
        Ok(self.codec.encode(&respond(request)?))
    }
}
