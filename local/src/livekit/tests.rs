//! The double under LiveKit's official client, over HTTP.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use livekit_api::access_token::{AccessToken, TokenVerifier, VideoGrants};
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
use crate::front::{Effect, Fault};

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
    let mut request = Request::builder().method(method).uri(format!("{}{path}", livekit.url()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let client = Client::builder(TokioExecutor::new()).build_http();
    let response =
        client.request(request.body(Full::new(Bytes::from(body.to_owned()))).unwrap()).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[derive(Clone, Default)]
struct Receiver {
    answers: Arc<Mutex<Vec<u16>>>,
    received: Arc<Mutex<Vec<(String, String, String)>>>,
}

impl Receiver {
    /// Answers each request with the next of `answers`, and 200 after them.
    #[expect(clippy::disallowed_methods, reason = "the receiver runs as long as its test")]
    async fn start(answers: &[u16]) -> (String, Self) {
        let receiver = Self { answers: Arc::new(Mutex::new(answers.to_vec())), ..Self::default() };
        let router = Router::new().route("/hook", post(Self::receive)).with_state(receiver.clone());
        let listener = listener().await;
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (url, receiver)
    }

    async fn receive(State(receiver): State<Self>, headers: HeaderMap, body: String) -> StatusCode {
        let header = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
        receiver.received.lock().unwrap().push((header("content-type"), header("authorization"), body));
        let mut answers = receiver.answers.lock().unwrap();
        if answers.is_empty() { StatusCode::OK } else { StatusCode::from_u16(answers.remove(0)).unwrap() }
    }

    fn events(&self) -> Vec<WebhookEvent> {
        let receiver = webhook_receiver();
        let received = self.received.lock().unwrap();
        received
            .iter()
            .map(|(_, authorization, body)| receiver.receive(body, authorization).unwrap())
            .collect()
    }
}

fn webhook_receiver() -> WebhookReceiver {
    WebhookReceiver::new(TokenVerifier::with_api_key("devkey", "secret"))
}

fn names(events: &[WebhookEvent]) -> Vec<&str> {
    events.iter().map(|event| event.event.as_str()).collect()
}

#[tokio::test]
async fn a_join_token_opens_the_room_and_its_bearer_is_listed() {
    let livekit = livekit().await;
    livekit.join(&join_token("blue", "user_1")).unwrap();

    let present = rooms(&livekit).list_participants("blue").await.unwrap();
    assert_eq!(present.len(), 1);
    assert_eq!(present[0].identity, "user_1");
    assert_eq!(present[0].name, "Jane");
    assert_eq!(present[0].attributes["organizationId"], "org_1");
    assert_eq!(rooms(&livekit).get_participant("blue", "user_1").await.unwrap(), present[0]);

    let open = rooms(&livekit).list_rooms(vec!["blue".to_owned(), "red".to_owned()]).await.unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].num_participants, 1);
    assert!(open[0].sid.starts_with("RM_"));
}

#[tokio::test]
async fn a_second_join_of_an_identity_replaces_the_first() {
    let livekit = livekit().await;
    let first = livekit.join(&join_token("blue", "user_1")).unwrap();
    let second = livekit.join(&join_token("blue", "user_1")).unwrap();

    assert_ne!(first.sid, second.sid);
    assert_eq!(livekit.participants("blue"), [second]);
    assert_eq!(
        names(&livekit.events()),
        ["room_started", "participant_joined", "participant_left", "participant_joined"]
    );
}

#[tokio::test]
async fn join_demands_a_join_token_of_this_key() {
    let livekit = livekit().await;
    let admin = token(VideoGrants { room_admin: true, room: "blue".to_owned(), ..VideoGrants::default() });
    assert_eq!(livekit.join(&admin).unwrap_err().code, Code::Unauthenticated);
    let foreign = AccessToken::with_api_key("devkey", "another")
        .with_identity("user_1")
        .with_grants(VideoGrants { room_join: true, room: "blue".to_owned(), ..VideoGrants::default() })
        .to_jwt()
        .unwrap();
    assert_eq!(livekit.join(&foreign).unwrap_err().code, Code::Unauthenticated);
    assert!(livekit.rooms().is_empty());
}

#[tokio::test]
async fn participants_can_be_removed_and_unknown_ones_are_not_found() {
    let livekit = livekit().await;
    livekit.join(&join_token("blue", "user_1")).unwrap();
    rooms(&livekit).remove_participant("blue", "user_1").await.unwrap();

    assert!(rooms(&livekit).list_participants("blue").await.unwrap().is_empty());
    assert_eq!(code(rooms(&livekit).remove_participant("blue", "user_1").await).0, "not_found");
    assert_eq!(
        code(rooms(&livekit).get_participant("nowhere", "user_1").await),
        ("not_found".to_owned(), "participant does not exist".to_owned())
    );
}

#[tokio::test]
async fn rooms_are_created_once_and_deleted_once() {
    let livekit = livekit().await;
    let created = rooms(&livekit).create_room("blue", CreateRoomOptions::default()).await.unwrap();
    let again = rooms(&livekit).create_room("blue", CreateRoomOptions::default()).await.unwrap();
    assert_eq!(created.sid, again.sid);

    rooms(&livekit).delete_room("blue").await.unwrap();
    assert_eq!(
        code(rooms(&livekit).delete_room("blue").await),
        ("not_found".to_owned(), "requested room does not exist".to_owned())
    );
    assert_eq!(
        code(rooms(&livekit).create_room("", CreateRoomOptions::default()).await).0,
        "invalid_argument"
    );
}

#[tokio::test]
async fn a_room_that_stays_empty_closes_and_its_recording_ends() {
    let livekit = livekit().await;
    let options = CreateRoomOptions { departure_timeout: 1, ..CreateRoomOptions::default() };
    rooms(&livekit).create_room("blue", options).await.unwrap();
    livekit.join(&join_token("blue", "user_1")).unwrap();
    let info = record(&livekit, "blue").await.unwrap();
    livekit.leave("blue", "user_1").unwrap();
    livekit.join(&join_token("blue", "user_2")).unwrap();
    livekit.leave("blue", "user_2").unwrap();
    assert_eq!(livekit.rooms().len(), 1);

    let closed = async {
        while !livekit.rooms().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), closed).await.unwrap();
    assert_eq!(livekit.egresses()[0].egress_id, info.egress_id);
    assert_eq!(livekit.egresses()[0].status(), EgressStatus::EgressComplete);
    assert_eq!(names(&livekit.events()).last(), Some(&"room_finished"));
}

#[test]
fn a_timer_of_an_earlier_absence_does_not_close_the_room() {
    let (tasks, mut scheduled) = unbounded_channel();
    let mut world = World::new(true, false, tasks, watch::channel(0).0);
    let claims = |identity: &str| livekit_api::access_token::Claims {
        sub: identity.to_owned(),
        video: VideoGrants { room_join: true, room: "blue".to_owned(), ..VideoGrants::default() },
        ..livekit_api::access_token::Claims::default()
    };
    world.join(&claims("user_1")).unwrap();
    world.leave("blue", "user_1", DisconnectReason::ClientInitiated).unwrap();
    world.join(&claims("user_2")).unwrap();
    world.leave("blue", "user_2", DisconnectReason::ClientInitiated).unwrap();

    let mut timers = Vec::new();
    while let Ok(task) = scheduled.try_recv() {
        if let world::Task::CloseIfEmpty { sid, changes, after } = task {
            assert_eq!(after, Duration::from_secs(20));
            timers.push((sid, changes));
        }
    }
    world.close_if_empty(&timers[0].0, timers[0].1);
    assert!(world.room("blue").is_some());
    world.close_if_empty(&timers[1].0, timers[1].1);
    assert!(world.room("blue").is_none());
}

#[tokio::test]
async fn each_method_demands_its_own_grant() {
    let livekit = livekit().await;
    livekit.join(&join_token("blue", "user_1")).unwrap();
    let denied = ("unauthenticated".to_owned(), "permissions denied".to_owned());

    let other_room =
        token(VideoGrants { room_admin: true, room: "red".to_owned(), ..VideoGrants::default() });
    let everything_but_admin = token(VideoGrants {
        room_create: true,
        room_list: true,
        room_record: true,
        room: "blue".to_owned(),
        ..VideoGrants::default()
    });
    let client = |token: &str| RoomClient::with_token(livekit.url(), token);
    for token in [&other_room, &everything_but_admin, &join_token("blue", "user_1")] {
        assert_eq!(code(client(token).list_participants("blue").await), denied);
        assert_eq!(code(client(token).get_participant("blue", "user_1").await), denied);
        assert_eq!(code(client(token).remove_participant("blue", "user_1").await), denied);
    }

    let admin = token(VideoGrants { room_admin: true, room: "blue".to_owned(), ..VideoGrants::default() });
    assert_eq!(client(&admin).list_participants("blue").await.unwrap().len(), 1);
    assert_eq!(code(client(&admin).list_rooms(vec![]).await), denied);
    assert_eq!(code(client(&admin).delete_room("blue").await), denied);
    assert_eq!(code(client(&admin).create_room("red", CreateRoomOptions::default()).await), denied);

    let recorder = EgressClient::with_token(livekit.url(), &admin);
    let start = recorder
        .start_room_composite_egress("blue", vec![file(bucket())], RoomCompositeOptions::default())
        .await;
    assert_eq!(code(start), denied);
    assert_eq!(code(recorder.stop_egress("EG_1").await), denied);
    assert_eq!(code(recorder.list_egress(EgressListOptions::default()).await), denied);
    assert_eq!(code(recorder.update_layout("EG_1", "grid").await), denied);
    assert!(livekit.egresses().is_empty());
}

#[tokio::test]
async fn a_token_that_does_not_verify_is_401_in_plain_text() {
    let livekit = livekit().await;
    let path = "/twirp/livekit.RoomService/ListRooms";
    let grants = VideoGrants { room_list: true, ..VideoGrants::default() };
    let good = token(grants.clone());
    let other_secret =
        AccessToken::with_api_key("devkey", "another").with_grants(grants.clone()).to_jwt().unwrap();
    let other_key =
        AccessToken::with_api_key("another", "secret").with_grants(grants.clone()).to_jwt().unwrap();
    let keys = Keys { key: "devkey".to_owned(), secret: "secret".to_owned() };
    let now = usize::try_from(clock::epoch_seconds()).unwrap();
    let claims = |nbf, exp| livekit_api::access_token::Claims {
        iss: "devkey".to_owned(),
        nbf,
        exp,
        video: grants.clone(),
        ..livekit_api::access_token::Claims::default()
    };
    let expired = keys.sign(&claims(now - 1000, now - 100)).unwrap();
    let too_early = keys.sign(&claims(now + 100, now + 1000)).unwrap();
    let unsigned = {
        let payload = good.split('.').nth(1).unwrap();
        format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.")
    };

    for (authorization, said) in [
        (good.clone(), "invalid authorization header"),
        ("Bearer nonsense".to_owned(), "invalid authorization token"),
        (format!("Bearer {other_secret}"), "invalid token: "),
        (format!("Bearer {other_key}"), "invalid API key: another"),
        (format!("Bearer {expired}"), "ExpiredSignature"),
        (format!("Bearer {too_early}"), "ImmatureSignature"),
        (format!("Bearer {unsigned}"), "invalid token: "),
    ] {
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let (status, body) = send(&livekit, Method::POST, path, &headers, "{}").await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{body}");
        assert!(body.contains(said), "{body}");
    }
    let (status, body) =
        send(&livekit, Method::POST, path, &[("content-type", "application/json")], "{}").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(body, r#"{"code":"unauthenticated","msg":"permissions denied"}"#);
    assert!(livekit.seen_tokens().is_empty());
}

#[tokio::test]
async fn json_is_served_too_and_wrong_routes_are_named() {
    let livekit = livekit().await;
    livekit.join(&join_token("blue", "user_1")).unwrap();
    let bearer = format!("Bearer {}", token(VideoGrants { room_list: true, ..VideoGrants::default() }));
    let json = [("authorization", bearer.as_str()), ("content-type", "application/json; charset=utf-8")];
    let list = "/twirp/livekit.RoomService/ListRooms";

    let (status, body) = send(&livekit, Method::POST, list, &json, r#"{"names":["blue"]}"#).await;
    assert_eq!(status, StatusCode::OK);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["rooms"][0]["name"], "blue");

    let (status, body) = send(&livekit, Method::POST, list, &json, "{").await;
    assert_eq!((status, body.contains("malformed")), (StatusCode::BAD_REQUEST, true));
    let protobuf = [("authorization", bearer.as_str()), ("content-type", "application/protobuf")];
    let (status, body) = send(&livekit, Method::POST, list, &protobuf, "\u{7}{").await;
    assert_eq!((status, body.contains("malformed")), (StatusCode::BAD_REQUEST, true));

    let xml = [("authorization", bearer.as_str()), ("content-type", "text/xml")];
    for (method, path, headers) in [
        (Method::POST, list, &xml),
        (Method::GET, list, &json),
        (Method::POST, "/twirp/livekit.RoomService/Nothing", &json),
        (Method::POST, "/twirp/livekit.Egress/ListRooms", &json),
    ] {
        let (status, body) = send(&livekit, method, path, headers, "{}").await;
        assert_eq!((status, body.contains("bad_route")), (StatusCode::NOT_FOUND, true), "{body}");
    }
}

#[tokio::test]
async fn a_recording_lives_from_starting_to_complete() {
    let livekit = livekit().await;
    livekit.join(&join_token("blue", "user_1")).unwrap();

    let started = record(&livekit, "blue").await.unwrap();
    assert!(started.egress_id.starts_with("EG_"));
    assert_eq!(started.status(), EgressStatus::EgressStarting);
    assert_eq!(started.room_id, livekit.rooms()[0].sid);
    assert_eq!(livekit.egresses()[0].status(), EgressStatus::EgressActive);
    assert!(livekit.rooms()[0].active_recording);

    let stopped = egress(&livekit).stop_egress(&started.egress_id).await.unwrap();
    assert_eq!(stopped.status(), EgressStatus::EgressEnding);
    let ended = &livekit.egresses()[0];
    assert_eq!(ended.status(), EgressStatus::EgressComplete);
    assert!(ended.started_at > 1_700_000_000_000_000_000 && ended.ended_at >= ended.started_at);
    assert_eq!(ended.file_results[0].filename, "org_1/blue/now.mp4");
    assert_eq!(ended.file_results[0].location, "https://recordings.s3.amazonaws.com/org_1/blue/now.mp4");
    assert_eq!(ended.file_results[0].duration, ended.ended_at - ended.started_at);
    assert_eq!(
        names(&livekit.events())[2..],
        ["egress_started", "egress_updated", "egress_updated", "egress_ended"]
    );

    assert_eq!(
        code(egress(&livekit).stop_egress(&started.egress_id).await),
        ("failed_precondition".to_owned(), "egress with status EGRESS_COMPLETE cannot be stopped".to_owned())
    );
    assert_eq!(
        code(egress(&livekit).stop_egress("EG_unknown").await),
        ("not_found".to_owned(), "egress does not exist".to_owned())
    );
}

#[tokio::test]
async fn bucket_credentials_are_never_given_back() {
    let livekit = livekit().await;
    livekit.set_automatic(false);
    livekit.join(&join_token("blue", "user_1")).unwrap();
    let started = record(&livekit, "blue").await.unwrap();

    let listed = egress(&livekit).list_egress(EgressListOptions::default()).await.unwrap();
    for text in [format!("{started:?}{listed:?}"), format!("{:?}{:?}", livekit.events(), livekit.egresses())]
    {
        assert!(!text.contains("hush") && !text.contains("AKIA"), "{text}");
        assert!(text.contains("{access_key}"));
    }
    let asked = livekit.egress_request(&started.egress_id).unwrap();
    assert_eq!(asked.file_outputs[0].output, Some(Output::S3(bucket())));
}

#[tokio::test]
async fn a_recording_needs_a_room_and_one_file_in_a_bucket() {
    let livekit = livekit().await;
    assert_eq!(
        code(record(&livekit, "blue").await),
        ("not_found".to_owned(), "requested room does not exist".to_owned())
    );
    livekit.join(&join_token("blue", "user_1")).unwrap();
    for outputs in [
        vec![],
        vec![file(bucket()), file(bucket())],
        vec![EgressOutput::File(EncodedFileOutput::default())],
        vec![file(S3Upload { bucket: String::new(), ..bucket() })],
        vec![file(S3Upload { secret: String::new(), ..bucket() })],
        vec![file(S3Upload { assume_role_arn: "recorder".to_owned(), ..bucket() })],
    ] {
        let start = egress(&livekit)
            .start_room_composite_egress("blue", outputs, RoomCompositeOptions::default())
            .await;
        assert_eq!(code(start).0, "invalid_argument");
    }
    assert!(livekit.egresses().is_empty());
}

#[tokio::test]
async fn a_recording_can_be_moved_by_hand_to_any_end() {
    let livekit = livekit().await;
    livekit.set_automatic(false);
    livekit.join(&join_token("blue", "user_1")).unwrap();
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(record(&livekit, "blue").await.unwrap().egress_id);
    }
    assert_eq!(livekit.egresses()[0].status(), EgressStatus::EgressStarting);
    for id in &ids[..4] {
        livekit.activate(id);
    }

    let stopping = egress(&livekit).stop_egress(&ids[0]).await.unwrap();
    assert_eq!(stopping.status(), EgressStatus::EgressEnding);
    assert_eq!(egress(&livekit).stop_egress(&ids[0]).await.unwrap(), stopping);
    assert_eq!(livekit.finish(&ids[0]).unwrap().status(), EgressStatus::EgressComplete);
    assert!(livekit.finish(&ids[0]).is_err());

    let failed = livekit.fail(&ids[1], "no disk").unwrap();
    assert_eq!((failed.status(), failed.error.as_str()), (EgressStatus::EgressFailed, "no disk"));
    assert_eq!(failed.file_results[0].location, "");
    assert_eq!(livekit.reach_limit(&ids[2]).unwrap().status(), EgressStatus::EgressLimitReached);
    assert_eq!(livekit.abort(&ids[3], "gone").unwrap().status(), EgressStatus::EgressAborted);
    let early = egress(&livekit).stop_egress(&ids[4]).await.unwrap();
    assert_eq!(early.status(), EgressStatus::EgressAborted);
    assert_eq!(early.started_at, 0);
}

#[tokio::test]
async fn an_upload_that_the_bucket_refuses_fails_the_recording() {
    let livekit = livekit().await;
    livekit.join(&join_token("blue", "user_1")).unwrap();
    for (value, said) in [("x".repeat(2048), "MetadataTooLarge"), ("Zoë".to_owned(), "US-ASCII")] {
        let s3 = S3Upload { metadata: [("participants".to_owned(), value)].into(), ..bucket() };
        let started = egress(&livekit)
            .start_room_composite_egress("blue", vec![file(s3)], RoomCompositeOptions::default())
            .await
            .unwrap();
        egress(&livekit).stop_egress(&started.egress_id).await.unwrap();
        let ended = livekit.egresses().pop().unwrap();
        assert_eq!(ended.status(), EgressStatus::EgressFailed);
        assert!(ended.error.contains(said), "{}", ended.error);
    }
}

#[tokio::test]
async fn egresses_are_listed_by_room_by_id_and_by_activity() {
    let livekit = livekit().await;
    livekit.join(&join_token("blue", "user_1")).unwrap();
    livekit.join(&join_token("red", "user_1")).unwrap();
    let ended = record(&livekit, "blue").await.unwrap().egress_id;
    egress(&livekit).stop_egress(&ended).await.unwrap();
    let blue = record(&livekit, "blue").await.unwrap().egress_id;
    let red = record(&livekit, "red").await.unwrap().egress_id;

    let list = async |filter, active| {
        let options = EgressListOptions { filter, active, page_token: None };
        let items = egress(&livekit).list_egress(options).await?;
        Ok::<_, ServiceError>(items.into_iter().map(|info| info.egress_id).collect::<Vec<_>>())
    };
    assert_eq!(list(EgressListFilter::All, false).await.unwrap(), [&*ended, &*blue, &*red]);
    assert_eq!(list(EgressListFilter::All, true).await.unwrap(), [&*blue, &*red]);
    assert_eq!(list(EgressListFilter::Room("blue".to_owned()), true).await.unwrap(), [&*blue]);
    assert_eq!(list(EgressListFilter::Egress(ended.clone()), true).await.unwrap(), [&*ended]);
    assert!(list(EgressListFilter::Room("nowhere".to_owned()), false).await.unwrap().is_empty());
    assert_eq!(code(list(EgressListFilter::Egress("EG_unknown".to_owned()), false).await).0, "not_found");
    assert_eq!(egress(&livekit).update_layout(&blue, "grid").await.unwrap().egress_id, blue);
}

#[tokio::test]
async fn webhooks_verify_with_the_official_receiver_and_keep_their_order() {
    let livekit = livekit().await;
    let (url, receiver) = Receiver::start(&[]).await;
    livekit.set_webhook_url(Some(url));
    livekit.join(&join_token("blue", "user_1")).unwrap();
    record(&livekit, "blue").await.unwrap();
    livekit.end_room("blue").unwrap();
    livekit.webhooks_settled().await;

    let events = receiver.events();
    let about = |egress: bool| -> Vec<WebhookEvent> {
        events.iter().filter(|event| event.egress_info.is_some() == egress).cloned().collect()
    };
    assert_eq!(names(&about(true)), ["egress_started", "egress_updated", "egress_updated", "egress_ended"]);
    assert_eq!(
        names(&about(false)),
        ["room_started", "participant_joined", "participant_left", "room_finished"]
    );
    let statuses: Vec<EgressStatus> =
        about(true).iter().filter_map(|event| Some(event.egress_info.as_ref()?.status())).collect();
    assert_eq!(
        statuses,
        [
            EgressStatus::EgressStarting,
            EgressStatus::EgressActive,
            EgressStatus::EgressEnding,
            EgressStatus::EgressComplete
        ]
    );
    assert!(events.iter().all(|event| event.id.starts_with("EV_") && event.created_at > 1_700_000_000));
    assert!(receiver.received.lock().unwrap().iter().all(|(kind, ..)| kind == WEBHOOK_CONTENT_TYPE));
    assert_eq!(livekit.deliveries().len(), 8);
}

#[tokio::test]
async fn webhooks_are_tried_again_after_trouble_and_not_after_a_refusal() {
    let livekit = livekit().await;
    let (url, receiver) = Receiver::start(&[500, 429, 200, 401]).await;
    livekit.set_webhook_url(Some(url));
    livekit.join(&join_token("blue", "user_1")).unwrap();
    livekit.webhooks_settled().await;

    let statuses: Vec<_> = livekit.deliveries().into_iter().map(|delivery| delivery.statuses).collect();
    assert_eq!(statuses, [vec![Some(500), Some(429), Some(200)], vec![Some(401)]]);
    let events = receiver.events();
    assert_eq!(events[0].id, events[2].id, "an attempt repeats the event");

    let closed = listener().await;
    livekit.set_webhook_url(Some(format!("http://{}/hook", closed.local_addr().unwrap())));
    drop(closed);
    livekit.leave("blue", "user_1").unwrap();
    livekit.webhooks_settled().await;
    assert_eq!(livekit.deliveries().pop().unwrap().statuses, [None; 5]);
}

#[tokio::test]
async fn a_signed_webhook_does_not_survive_a_change() {
    let livekit = livekit().await;
    livekit.join(&join_token("blue", "user_1")).unwrap();
    let id = record(&livekit, "blue").await.unwrap().egress_id;
    let event = livekit.egress_event("egress_ended", &id).unwrap();
    let (body, authorization) = livekit.sign_webhook(&event).unwrap();

    assert_eq!(webhook_receiver().receive(&body, &authorization).unwrap(), event);
    assert!(webhook_receiver().receive(&body.replace("blue", "red"), &authorization).is_err());
    let (_, foreign) = sign_webhook("devkey", "another", &event).unwrap();
    assert!(webhook_receiver().receive(&body, &foreign).is_err());
    assert!(webhook_receiver().receive("{}", &sign_body("devkey", "secret", "{}").unwrap()).is_ok());
}

#[tokio::test]
async fn the_tokens_of_calls_are_kept_with_their_methods() {
    let livekit = livekit().await;
    livekit.join(&join_token("blue", "user_1")).unwrap();
    rooms(&livekit).list_participants("blue").await.unwrap();
    record(&livekit, "blue").await.unwrap();

    let seen = livekit.seen_tokens();
    assert_eq!(seen[0].call, "ListParticipants");
    assert_eq!(
        seen[0].claims.video,
        VideoGrants { room_admin: true, room: "blue".to_owned(), ..VideoGrants::default() }
    );
    assert_eq!(seen[1].call, "StartRoomCompositeEgress");
    assert_eq!(seen[1].claims.video, VideoGrants { room_record: true, ..VideoGrants::default() });
    assert!(!format!("{seen:?}").contains(&seen[0].token));
    assert_eq!(livekit.front().calls(), ["ListParticipants", "StartRoomCompositeEgress"]);
}

#[tokio::test]
async fn faults_hit_a_call_by_its_twirp_method() {
    let livekit = livekit().await;
    livekit.join(&join_token("blue", "user_1")).unwrap();
    let full = r#"{"code":"resource_exhausted","msg":"not enough CPU"}"#;
    livekit.front().inject(Fault::answer("StartRoomCompositeEgress", 429, full).times(1));
    livekit.front().inject(Fault::new("StartRoomCompositeEgress", Effect::LoseAnswer).times(1));

    assert_eq!(code(record(&livekit, "blue").await).0, "resource_exhausted");
    assert!(livekit.egresses().is_empty());
    assert!(matches!(record(&livekit, "blue").await, Err(ServiceError::Twirp(ServerError::Request(_)))));
    assert_eq!(livekit.egresses().len(), 1, "the answer is lost and the recording runs");
    assert!(record(&livekit, "blue").await.is_ok());
}

#[tokio::test]
async fn a_developer_enters_and_ends_rooms_over_http() {
    let livekit = livekit().await;
    let json = [("content-type", "application/json")];
    let join = serde_json::json!({ "token": join_token("blue", "user_1") }).to_string();
    let (status, body) = send(&livekit, Method::POST, "/_livekit/join", &json, &join).await;
    assert_eq!((status, body.contains(r#""identity":"user_1""#)), (StatusCode::OK, true), "{body}");
    let (status, _) = send(&livekit, Method::POST, "/_livekit/join", &json, r#"{"token":"x"}"#).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);

    let id = record(&livekit, "blue").await.unwrap().egress_id;
    let (status, body) = send(&livekit, Method::GET, "/_livekit/state", &[], "").await;
    assert_eq!((status, body.contains(&id) && body.contains("user_1")), (StatusCode::OK, true));
    let end = serde_json::json!({ "egressId": id, "error": "no disk" }).to_string();
    let (status, body) = send(&livekit, Method::POST, "/_livekit/end-egress", &json, &end).await;
    assert_eq!((status, body.contains("EGRESS_FAILED")), (StatusCode::OK, true), "{body}");

    let leave = r#"{"room":"blue","identity":"user_1"}"#;
    let (status, _) = send(&livekit, Method::POST, "/_livekit/leave", &json, leave).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, _) = send(&livekit, Method::POST, "/_livekit/leave", &json, leave).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = send(&livekit, Method::POST, "/_livekit/end-room", &json, r#"{"room":"blue"}"#).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(send(&livekit, Method::GET, "/", &[], "").await, (StatusCode::OK, "OK".to_owned()));
}

#[tokio::test]
async fn a_missing_room_has_nobody_in_it_or_is_not_found_on_livekit_cloud() {
    let livekit = livekit().await;
    assert!(rooms(&livekit).list_participants("nowhere").await.unwrap().is_empty());
    livekit.set_cloud(true);
    assert_eq!(
        code(rooms(&livekit).list_participants("nowhere").await),
        ("not_found".to_owned(), "requested room does not exist".to_owned())
    );
}

#[tokio::test]
async fn a_full_room_lets_nobody_else_in() {
    let livekit = livekit().await;
    let options = CreateRoomOptions { max_participants: 1, ..CreateRoomOptions::default() };
    rooms(&livekit).create_room("blue", options).await.unwrap();
    livekit.join(&join_token("blue", "user_1")).unwrap();
    assert_eq!(livekit.join(&join_token("blue", "user_2")).unwrap_err().code, Code::ResourceExhausted);
    livekit.join(&join_token("blue", "user_1")).unwrap();
    assert_eq!(livekit.participants("blue").len(), 1);
}

#[tokio::test]
async fn other_algorithms_still_verify_in_a_process_where_livekit_api_has_signed() {
    let _livekit = livekit().await;
    join_token("blue", "user_1");
    let key = jsonwebtoken::DecodingKey::from_rsa_components(&"q".repeat(340), "AQAB").unwrap();
    let algorithm = jsonwebtoken::Algorithm::RS256;
    assert!(!jsonwebtoken::crypto::verify("c2ln", b"message", &key, algorithm).unwrap());
}

#[test]
fn files_are_named_as_livekit_names_them() {
    let name = |filepath: &str, audio_only| {
        let file = EncodedFileOutput { filepath: filepath.to_owned(), ..EncodedFileOutput::default() };
        let request = RoomCompositeEgressRequest {
            room_name: "blue".to_owned(),
            audio_only,
            ..RoomCompositeEgressRequest::default()
        };
        recording::file_name(&request, &file, "RM_1")
    };
    assert_eq!(name("a/{room_name}-{room_id}", false), "a/blue-RM_1.mp4");
    assert_eq!(name("a/talk.mp4", true), "a/talk.ogg");
    assert_eq!(name("a/v1.2", false), "a/v1.2.mp4");
    assert_eq!(name("../../a/./../b//c.mp4", false), "b/c.mp4");
    assert!(name("a/", false).starts_with("a/blue-2"));
    assert!(name("", false).starts_with("blue-2"));
    assert!(!name("a/{time}-{utc}", false).contains('{'));

    let store = S3Upload { endpoint: "https://minio.local/".to_owned(), force_path_style: true, ..bucket() };
    assert_eq!(recording::location(&store, "a.mp4"), "https://minio.local/recordings/a.mp4");
}

#[tokio::test]
async fn the_port_is_free_once_the_handle_is_dropped() {
    let livekit = livekit().await;
    let address = livekit.url().trim_start_matches("http://").to_owned();
    drop(livekit);
    for _ in 0..1000 {
        if TcpListener::bind(&address).await.is_ok() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{address} is still in use");
}
