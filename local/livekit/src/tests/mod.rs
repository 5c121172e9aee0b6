//! Tests of the double with LiveKit's official client.

mod access;
mod recordings;
mod rooms;
mod twirp;
mod webhooks;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use http::{HeaderMap, Method, StatusCode};
use livekit_api::access_token::{AccessToken, Claims, TokenVerifier, VideoGrants};
use livekit_api::services::egress::{
    EgressClient, EgressListFilter, EgressListOptions, EgressOutput, RoomCompositeOptions,
};
use livekit_api::services::room::{CreateRoomOptions, RoomClient};
use livekit_api::services::{ServerError, ServiceError};
use livekit_api::webhooks::WebhookReceiver;
use livekit_protocol::encoded_file_output::Output;
use livekit_protocol::{EgressInfo, EgressStatus, EncodedFileOutput, S3Upload, WebhookEvent};
use tokio::net::TcpListener;

use super::*;
use local_proxy::{Effect, Fault};

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

async fn livekit() -> LiveKit {
    start(listener().await, Options { webhook_backoff: Duration::from_millis(5), ..Options::default() }).await
}

fn rooms(livekit: &LiveKit) -> RoomClient {
    RoomClient::with_api_key(livekit.url(), "devkey", "secret")
}

fn egress(livekit: &LiveKit) -> EgressClient {
    EgressClient::with_api_key(livekit.url(), "devkey", "secret")
}

fn token(grants: VideoGrants) -> String {
    AccessToken::with_api_key("devkey", "secret").with_grants(grants).to_jwt().unwrap()
}

fn join_token(room: &str, identity: &str) -> String {
    AccessToken::with_api_key("devkey", "secret")
        .with_identity(identity)
        .with_name("Jane")
        .with_attributes([("organizationId", "org_1")])
        .with_grants(VideoGrants { room_join: true, room: room.to_owned(), ..VideoGrants::default() })
        .to_jwt()
        .unwrap()
}

fn bucket() -> S3Upload {
    S3Upload {
        bucket: "recordings".to_owned(),
        region: "eu-central-1".to_owned(),
        access_key: "AKIA".to_owned(),
        secret: "hush".to_owned(),
        ..S3Upload::default()
    }
}

fn file(s3: S3Upload) -> EgressOutput {
    EgressOutput::File(EncodedFileOutput {
        filepath: "org_1/{room_name}/now.mp4".to_owned(),
        output: Some(Output::S3(s3)),
        ..EncodedFileOutput::default()
    })
}

async fn record(livekit: &LiveKit, room: &str) -> Result<EgressInfo, ServiceError> {
    egress(livekit)
        .start_room_composite_egress(room, vec![file(bucket())], RoomCompositeOptions::default())
        .await
}

fn code<T: std::fmt::Debug>(result: Result<T, ServiceError>) -> (String, String) {
    match result {
        Err(ServiceError::Twirp(ServerError::Twirp(error))) => (error.code, error.msg),
        other => panic!("not a Twirp error: {other:?}"),
    }
}

async fn send(
    livekit: &LiveKit,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (StatusCode, String) {
    let request = local_http::client().request(method, format!("{}{path}", livekit.url()));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let response = request.body(body.to_owned()).send().await.unwrap();
    (response.status(), response.text().await.unwrap())
}

fn names(events: &[WebhookEvent]) -> Vec<&str> {
    events.iter().map(|event| event.event.as_str()).collect()
}
