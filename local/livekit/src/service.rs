//! The Twirp methods and their grants.

use std::sync::Arc;

use axum::extract::{Path, State as Extract};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use livekit_api::access_token::VideoGrants;
use livekit_protocol::{self as proto, ListParticipantsRequest, RoomParticipantIdentity};
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};

use crate::access::SeenToken;
use crate::shared::Shared;
use crate::state::State;
use crate::twirp::{Code, Codec, Result, TwirpError};

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
    state.tokens.extend(token.map(|(claims, token)| SeenToken { call: method.clone(), claims, token }));
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
    fn dispatch(&self, state: &mut State, path: &str) -> Result<Response> {
        match path {
            "livekit.RoomService/CreateRoom" => self.serve(|grants, request| {
                require(grants.room_create)?;
                state.create_room(request)
            }),
            "livekit.RoomService/DeleteRoom" => self.serve(|grants, request: proto::DeleteRoomRequest| {
                require(grants.room_create)?;
                state.delete_room(&request.room).map(|()| proto::DeleteRoomResponse {})
            }),
            "livekit.RoomService/ListRooms" => self.serve(|grants, request: proto::ListRoomsRequest| {
                require(grants.room_list)?;
                Ok(proto::ListRoomsResponse { rooms: state.list_rooms(&request.names) })
            }),
            "livekit.RoomService/ListParticipants" => {
                self.serve(|grants, request: ListParticipantsRequest| {
                    require(grants.room_admin && grants.room == request.room)?;
                    Ok(proto::ListParticipantsResponse {
                        participants: state.list_participants(&request.room)?,
                    })
                })
            }
            "livekit.RoomService/GetParticipant" => self.serve(|grants, request: RoomParticipantIdentity| {
                require(grants.room_admin && grants.room == request.room)?;
                state.participant(&request.room, &request.identity)
            }),
            "livekit.RoomService/RemoveParticipant" => {
                self.serve(|grants, request: RoomParticipantIdentity| {
                    require(grants.room_admin && grants.room == request.room)?;
                    state.remove_participant(&request)?;
                    Ok(proto::RemoveParticipantResponse {})
                })
            }
            "livekit.Egress/StartRoomCompositeEgress" => self.serve(|grants, request| {
                require(grants.room_record)?;
                state.start_egress(request)
            }),
            "livekit.Egress/StopEgress" => self.serve(|grants, request: proto::StopEgressRequest| {
                require(grants.room_record)?;
                state.stop_egress(&request.egress_id)
            }),
            "livekit.Egress/ListEgress" => self.serve(|grants, request| {
                require(grants.room_record)?;
                Ok(proto::ListEgressResponse { items: state.list_egress(&request)?, next_page_token: None })
            }),
            _ => Err(Code::BadRoute.error(format!("no handler for path \"/twirp/{path}\""))),
        }
    }

    fn serve<Q, A>(&self, respond: impl FnOnce(&VideoGrants, Q) -> Result<A>) -> Result<Response>
    where
        Q: Message + Default + DeserializeOwned,
        A: Message + Serialize,
    {
        let response = respond(&self.grants, self.codec.decode(&self.body)?)?;
        Ok(self.codec.encode(&response))
    }
}

fn require(grant: bool) -> Result<()> {
    if grant { Ok(()) } else { Err(Code::Unauthenticated.error("permissions denied")) }
}
