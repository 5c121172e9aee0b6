//! A recording's life against the doubles of LiveKit and DynamoDB, with what breaks on the way.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::time::Duration;

use api::{ApiError, Caller, Env, RawBody, Reason};
use livekit::{Keys, Room, RoomName, Username};
use local_dynamodb::DynamoDb;
use local_livekit::{LiveKit, sign_body};
use local_proxy::{Effect, Fault};
use local_template::Table as Definition;
use recording::{
    EgressId, Events, NewRecording, Participants, Recorder, Started, Stop, Stopped, Stopper, Topic, ZoneId,
};
use serde_json::{Value, json};
use store::Table;
use store::recording::{RecordingItem, RecordingStatus};
use tokio::net::TcpListener;

const ROOM: &str = "test-room";
const START: &str = "StartRoomCompositeEgress";
const CONFIRM: &str = "TransactWriteItems";

struct World {
    database: DynamoDb,
    livekit: LiveKit,
    table: Table,
    recorder: Recorder,
    stopper: Stopper,
    events: Events,
    keys: Keys,
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

fn person(id: &str, organization: &str) -> Caller {
    Caller {
        user_id: id.into(),
        email: format!("{id}@example.com"),
        organization_id: Some(organization.into()),
        role: None,
        permissions: Vec::new(),
        session_id: "session_1".into(),
    }
}

fn alice() -> Caller {
    person("user_alice", "org_1")
}

fn bob() -> Caller {
    person("user_bob", "org_1")
}

fn new(room: &str, zone: &str) -> NewRecording {
    NewRecording {
        room_name: RoomName::parse(room).unwrap(),
        zone_id: ZoneId::parse(zone).unwrap(),
        topic: Topic::parse("Weekly Sync Meeting").unwrap(),
        participants: Participants::parse("alice,bob,charlie").unwrap(),
    }
}

fn reason<T: std::fmt::Debug>(result: Result<T, ApiError>) -> Reason {
    result.unwrap_err().reason()
}

impl World {
    /// A room with Alice and Bob in it.
    async fn new() -> Self {
        Self::with(&[]).await
    }

    async fn with(more: &[(&str, &str)]) -> Self {
        let definition = Definition {
            logical_id: "Table".into(),
            name: "sessions".into(),
            definition: json!({
                "TableName": "sessions",
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [{ "AttributeName": "pk", "AttributeType": "S" }],
                "KeySchema": [{ "AttributeName": "pk", "KeyType": "HASH" }],
            }),
            ttl_attribute: None,
        };
        let database = DynamoDb::start(listener().await, &[definition], Default::default()).await.unwrap();
        let livekit = local_livekit::start(listener().await, Default::default()).await;
        let required = [
            ("LIVEKIT_URL", livekit.url()),
            ("LIVEKIT_API_KEY", "devkey"),
            ("LIVEKIT_API_SECRET", "secret"),
            ("RECORDING_BUCKET", "recordings"),
            ("RECORDING_REGION", "eu-central-1"),
            ("RECORDING_ACCESS_KEY", "AKIA"),
            ("RECORDING_SECRET_KEY", "s3-secret"),
            ("SESSION_TABLE", "sessions"),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
            ("AWS_ENDPOINT_URL_DYNAMODB", database.url()),
        ];
        let env = Env::fixed(required.into_iter().chain(more.iter().copied()));
        let world = Self {
            table: Table::load(&env).unwrap(),
            recorder: Recorder::load(&env).unwrap(),
            stopper: Stopper::load(&env).unwrap(),
            events: Events::load(&env).unwrap(),
            keys: Keys::load(&env).unwrap(),
            database,
            livekit,
        };
        world.enter(&alice(), ROOM);
        world.enter(&bob(), ROOM);
        world
    }

    fn enter(&self, caller: &Caller, room: &str) {
        let username = Username::parse("Somebody").unwrap();
        let token = self.keys.join_token(caller, &username, &Room::named(room)).unwrap();
        self.livekit.join(token.expose()).unwrap();
    }

    async fn start(&self, caller: &Caller) -> Result<Started, ApiError> {
        self.recorder.start(caller, &new(ROOM, "1")).await
    }

    async fn stop(&self, caller: &Caller, room: &str, egress: &str, zone: &str) -> Result<Stopped, ApiError> {
        let stop = Stop {
            room_name: RoomName::parse(room).unwrap(),
            egress_id: EgressId::parse(egress).unwrap(),
            zone_id: ZoneId::parse(zone).unwrap(),
        };
        self.stopper.stop(caller, &stop).await
    }

    async fn receive(&self, body: String, authorization: Option<String>) -> Result<(), ApiError> {
        self.events.receive(&RawBody { bytes: body.into_bytes(), authorization }).await
    }

    /// Delivers an event about an egress as it is now.
    async fn tell(&self, event: &str, egress_id: &str) {
        let event = self.livekit.egress_event(event, egress_id).unwrap();
        let (body, authorization) = self.livekit.sign_webhook(&event).unwrap();
        self.receive(body, Some(authorization)).await.unwrap();
    }

    /// Delivers everything that has happened, in the order that `arrange` makes of it.
    async fn tell_all(&self, arrange: impl FnOnce(&mut Vec<livekit_protocol::WebhookEvent>)) {
        let mut events = self.livekit.events();
        arrange(&mut events);
        for event in events {
            let (body, authorization) = self.livekit.sign_webhook(&event).unwrap();
            self.receive(body, Some(authorization)).await.unwrap();
        }
    }

    async fn record(&self, egress_id: &str) -> RecordingItem {
        self.table.recording(egress_id).await.unwrap().unwrap()
    }

    fn items(&self) -> Vec<Value> {
        self.database.scan("sessions").unwrap()
    }

    fn running(&self) -> usize {
        self.livekit.egresses().iter().filter(|egress| egress.status <= 1).count()
    }
}

#[tokio::test]
async fn two_meet_one_records_and_the_record_tells_the_story() {
    let world = World::new().await;
    let started = world.start(&alice()).await.unwrap();

    let second = world.start(&bob()).await.unwrap_err();
    assert_eq!(second.reason(), Reason::AlreadyRecording);
    assert_eq!(second.details().egress_id.as_ref(), Some(&started.egress_id));

    let stopped = world.stop(&bob(), ROOM, &started.egress_id, "1").await.unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(world.stop(&alice(), ROOM, &started.egress_id, "1").await.unwrap(), stopped);
    world.tell_all(|_| ()).await;
    assert_eq!(world.stop(&alice(), ROOM, &started.egress_id, "1").await.unwrap(), stopped);
    assert_eq!(world.livekit.proxy().count("StopEgress"), 1);

    let record = world.record(&started.egress_id).await;
    assert_eq!(record.status, RecordingStatus::Ended);
    assert_eq!(record.claim.started_by, "user_alice");
    assert_eq!(record.claim.started_at, started.started_at);
    assert_eq!(record.claim.participants, ["alice", "bob", "charlie"]);
    assert_eq!(record.stopped_by.as_deref(), Some("user_bob"));
    assert!(record.ended_at.is_some());
    let location = record.location.unwrap();
    assert!(location.contains("recordings/org_1/1/test-room/"), "{location}");
    assert_eq!(world.items().len(), 1, "the room is free");

    let again = world.start(&bob()).await.unwrap();
    assert_ne!(again.egress_id, started.egress_id);
}

#[tokio::test]
async fn a_start_takes_four_rounds_and_a_stop_three() {
    let world = World::new().await;
    let started = world.start(&alice()).await.unwrap();
    let livekit: BTreeSet<_> = world.livekit.proxy().calls().into_iter().collect();
    assert_eq!(livekit, BTreeSet::from(["GetParticipant", "ListEgress", START].map(str::to_owned)));
    assert_eq!(world.livekit.proxy().calls().len(), 3);
    assert_eq!(world.database.proxy().calls(), ["GetItem", "PutItem", CONFIRM]);

    world.livekit.proxy().reset_calls();
    world.database.proxy().reset_calls();
    world.stop(&alice(), ROOM, &started.egress_id, "1").await.unwrap();
    assert_eq!(world.livekit.proxy().calls(), ["GetParticipant", "StopEgress"]);
    let mut calls = world.database.proxy().calls();
    calls.sort();
    assert_eq!(calls, ["DeleteItem", "GetItem", "UpdateItem", "UpdateItem"]);
}

#[tokio::test]
async fn of_fifty_starts_one_records() {
    let world = World::new().await;
    let caller = alice();
    let mut starts = Vec::new();
    for _ in 0..50 {
        starts.push(world.start(&caller));
    }
    let mut started = Vec::new();
    let mut refused = Vec::new();
    for result in local_join(starts).await {
        match result {
            Ok(start) => started.push(start.egress_id),
            Err(error) => refused.push((error.reason(), error.details().egress_id.clone())),
        }
    }
    assert_eq!(started.len(), 1);
    let expected = (Reason::AlreadyRecording, Some(started[0].clone()));
    assert!(refused.iter().all(|refusal| *refusal == expected), "{refused:?}");
    assert_eq!((refused.len(), world.livekit.egresses().len(), world.items().len()), (49, 1, 2));
}

/// Runs futures side by side on this task.
async fn local_join<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut pending = false;
        for (future, output) in &mut futures {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(ready) => *output = Some(ready),
                    std::task::Poll::Pending => pending = true,
                }
            }
        }
        if pending { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    futures.into_iter().filter_map(|(_, output)| output).collect()
}

#[tokio::test]
async fn a_refused_start_leaves_nothing_behind() {
    let world = World::new().await;
    for (status, body, expected) in [
        (429, r#"{"code":"resource_exhausted","msg":"egress minutes"}"#, Reason::LivekitBusy),
        (503, r#"{"code":"unavailable","msg":"no response from servers"}"#, Reason::LivekitBusy),
        (500, r#"{"code":"internal","msg":"oops"}"#, Reason::LivekitUnavailable),
        (502, "<html>Bad gateway</html>", Reason::LivekitUnavailable),
    ] {
        world.livekit.proxy().inject(Fault::response(START, status, body).times(1));
        assert_eq!(reason(world.start(&alice()).await), expected);
        assert_eq!(world.items(), Vec::<Value>::new());
    }
    world.start(&alice()).await.unwrap();
}

#[tokio::test]
async fn a_start_that_livekit_does_not_answer_is_settled_at_once() {
    let world = World::new().await;
    world.livekit.proxy().inject(Fault::new(START, Effect::LoseResponse).times(1));
    let started = world.start(&alice()).await.unwrap();
    assert_eq!(world.livekit.egresses().len(), 1);
    assert_eq!(world.record(&started.egress_id).await.claim.started_by, "user_alice");
}

#[tokio::test]
async fn a_start_that_times_out_leaves_the_room_free() {
    let world = World::new().await;
    let stall = Fault::new(START, Effect::Drop).delay(Duration::from_secs(30)).times(1);
    world.livekit.proxy().inject(stall);
    let begun = std::time::Instant::now();
    assert_eq!(reason(world.start(&alice()).await), Reason::LivekitUnavailable);
    assert!(begun.elapsed() < Duration::from_secs(8));
    world.start(&bob()).await.unwrap();
    assert_eq!(world.running(), 1);
}

#[tokio::test]
async fn the_next_start_adopts_an_egress_whose_write_was_lost() {
    let world = World::new().await;
    world.database.proxy().inject(Fault::new(CONFIRM, Effect::Drop));
    assert_eq!(reason(world.start(&alice()).await), Reason::StoreUnavailable);
    world.database.proxy().clear_faults();
    let running = world.livekit.egresses();
    assert_eq!(running.len(), 1);

    let adopted = world.start(&bob()).await.unwrap();
    assert_eq!(adopted.egress_id, running[0].egress_id);
    assert_eq!(world.livekit.egresses().len(), 1);
    // The object in the bucket says so too.
    assert_eq!(world.record(&adopted.egress_id).await.claim.started_by, "user_alice");
    assert_eq!(reason(world.start(&alice()).await), Reason::AlreadyRecording);
}

#[tokio::test]
async fn another_organization_does_not_get_what_it_completes() {
    let world = World::new().await;
    let eve = person("user_eve", "org_2");
    world.enter(&eve, ROOM);
    world.database.proxy().inject(Fault::new(CONFIRM, Effect::Drop));
    let _ = world.start(&alice()).await.unwrap_err();
    world.database.proxy().clear_faults();
    let refused = world.start(&eve).await.unwrap_err();
    assert_eq!((refused.reason(), refused.details().egress_id.as_ref()), (Reason::AlreadyRecording, None));
    let adopted = world.start(&alice()).await.unwrap();
    assert_eq!(reason(world.stop(&eve, ROOM, &adopted.egress_id, "1").await), Reason::RecordingNotFound);
    world.stop(&alice(), ROOM, &adopted.egress_id, "1").await.unwrap();
}

#[tokio::test]
async fn a_webhook_completes_a_start_whose_write_was_lost_and_the_next_start_is_told() {
    let world = World::new().await;
    world.database.proxy().inject(Fault::new(CONFIRM, Effect::Drop));
    let _ = world.start(&alice()).await.unwrap_err();
    world.database.proxy().clear_faults();
    let egress_id = world.livekit.egresses()[0].egress_id.clone();
    world.tell_all(|_| ()).await;
    assert_eq!(world.record(&egress_id).await.status, RecordingStatus::Active);
    assert_eq!(world.start(&alice()).await.unwrap().egress_id, egress_id);
    assert_eq!(reason(world.start(&alice()).await), Reason::AlreadyRecording);
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_not_taken_for_anothers() {
    let world = World::new().await;
    for call in ["PutItem", CONFIRM] {
        world.database.proxy().inject(Fault::new(call, Effect::LoseResponse).times(1));
    }
    let started = world.start(&alice()).await.unwrap();
    assert_eq!(reason(world.start(&bob()).await), Reason::AlreadyRecording);
    world.database.proxy().inject(Fault::new("UpdateItem", Effect::LoseResponse).times(1));
    world.stop(&alice(), ROOM, &started.egress_id, "1").await.unwrap();
}

#[tokio::test]
async fn an_egress_that_the_table_does_not_know_is_adopted() {
    let world = World::new().await;
    let started = world.start(&alice()).await.unwrap();
    // The table is another one now: as after a restore from an hour ago.
    world.database.proxy().inject(Fault::response("GetItem", 200, "{}").times(2));
    world.table.free_room(ROOM, &started.egress_id).await.unwrap();
    let adopted = world.start(&bob()).await.unwrap();
    assert_eq!(adopted.egress_id, started.egress_id);
    assert_eq!(world.livekit.egresses().len(), 1);
}

#[tokio::test]
async fn who_is_not_in_the_room_does_not_record() {
    let world = World::new().await;
    let eve = person("user_eve", "org_1");
    for cloud in [false, true] {
        world.livekit.set_cloud(cloud);
        assert_eq!(reason(world.start(&eve).await), Reason::NotInRoom);
        let absent = world.recorder.start(&alice(), &new("nowhere", "1")).await;
        assert_eq!(reason(absent), Reason::RoomNotFound);
    }
    assert_eq!((world.items().len(), world.livekit.egresses().len()), (0, 0));

    let started = world.start(&alice()).await.unwrap();
    assert_eq!(reason(world.stop(&eve, ROOM, &started.egress_id, "1").await), Reason::NotInRoom);
    world.livekit.leave(ROOM, "user_alice").unwrap();
    world.stop(&alice(), ROOM, &started.egress_id, "1").await.unwrap();
}

#[tokio::test]
async fn anyone_may_record_where_the_policy_says_so() {
    let world = World::with(&[("RECORDING_POLICY", "anyone")]).await;
    let eve = person("user_eve", "org_1");
    let started = world.start(&eve).await.unwrap();
    world.stop(&bob(), ROOM, &started.egress_id, "1").await.unwrap();
    assert_eq!(world.livekit.proxy().count("GetParticipant"), 0);
    assert_eq!(reason(world.recorder.start(&eve, &new("nowhere", "1")).await), Reason::RoomNotFound);
    assert_eq!(world.items().len(), 1);
}

#[tokio::test]
async fn a_stop_that_does_not_match_stops_nothing() {
    let world = World::new().await;
    world.enter(&alice(), "other-room");
    let started = world.start(&alice()).await.unwrap();
    let other = world.recorder.start(&alice(), &new("other-room", "1")).await.unwrap();
    let id = started.egress_id.as_str();
    for (caller, room, egress, zone) in [
        (alice(), ROOM, id, "2"),
        (alice(), "other-room", id, "1"),
        (alice(), ROOM, other.egress_id.as_str(), "1"),
        (alice(), ROOM, "EG_unknown", "1"),
        (person("user_alice", "org_2"), ROOM, id, "1"),
    ] {
        assert_eq!(reason(world.stop(&caller, room, egress, zone).await), Reason::RecordingNotFound);
    }
    assert_eq!((world.livekit.proxy().count("StopEgress"), world.running()), (0, 2));
}

#[tokio::test]
async fn a_stop_can_be_repeated_after_any_failure() {
    for (livekit, fault) in [
        (true, Fault::new("StopEgress", Effect::LoseResponse).times(1)),
        (true, Fault::response("StopEgress", 500, "oops").times(1)),
        (false, Fault::new("UpdateItem", Effect::Drop)),
        (false, Fault::response("DeleteItem", 400, r#"{"__type":"ThrottlingException"}"#)),
    ] {
        let world = World::new().await;
        let started = world.start(&alice()).await.unwrap();
        let proxy = if livekit { world.livekit.proxy() } else { world.database.proxy() };
        proxy.inject(fault);
        let error = world.stop(&alice(), ROOM, &started.egress_id, "1").await.unwrap_err();
        assert!(matches!(error.reason(), Reason::LivekitUnavailable | Reason::StoreUnavailable));
        proxy.clear_faults();
        world.stop(&alice(), ROOM, &started.egress_id, "1").await.unwrap();
        assert_eq!(world.running(), 0);
        world.tell_all(|_| ()).await;
        assert_eq!(world.record(&started.egress_id).await.status, RecordingStatus::Ended);
        world.start(&alice()).await.unwrap();
    }
}

#[tokio::test]
async fn a_recording_can_be_stopped_before_it_runs() {
    let world = World::new().await;
    world.livekit.set_automatic(false);
    let started = world.start(&alice()).await.unwrap();
    let stopped = world.stop(&alice(), ROOM, &started.egress_id, "1").await.unwrap();
    world.tell_all(|_| ()).await;
    assert_eq!(world.stop(&alice(), ROOM, &started.egress_id, "1").await.unwrap(), stopped);
    assert_eq!(world.record(&started.egress_id).await.status, RecordingStatus::Failed);
    assert_eq!(world.items().len(), 1, "the room is free");
}

#[tokio::test]
async fn equal_names_of_two_organizations_are_two_rooms_where_the_scope_says_so() {
    let world = World::with(&[("ROOM_SCOPE", "organization")]).await;
    assert_eq!(reason(world.start(&alice()).await), Reason::RoomNotFound);
    let eve = person("user_eve", "org_2");
    world.enter(&alice(), "org_1:test-room");
    world.enter(&eve, "org_2:test-room");
    let started = world.start(&alice()).await.unwrap();
    world.start(&eve).await.unwrap();
    assert_eq!(reason(world.stop(&eve, ROOM, &started.egress_id, "1").await), Reason::RecordingNotFound);
    assert_eq!(world.running(), 2);
}

#[tokio::test]
async fn a_recording_that_livekit_ended_frees_the_room_with_and_without_a_webhook() {
    for told in [true, false] {
        let world = World::new().await;
        let started = world.start(&alice()).await.unwrap();
        world.livekit.fail(&started.egress_id, "disk full").unwrap();
        if told {
            world.tell("egress_ended", &started.egress_id).await;
            assert_eq!(world.items().len(), 1);
        }
        let again = world.start(&alice()).await.unwrap();
        assert_ne!(again.egress_id, started.egress_id);
        let record = world.record(&started.egress_id).await;
        assert_eq!(record.status, RecordingStatus::Failed);
        assert_eq!(record.error.as_deref(), Some("disk full"));
    }
}

#[tokio::test]
async fn webhooks_lead_to_the_same_end_in_any_order_and_more_than_once() {
    let arrangements: [fn(&mut Vec<livekit_protocol::WebhookEvent>); 4] = [
        |_| (),
        |events| events.reverse(),
        |events| events.extend(events.clone()),
        |events| {
            let half = events.len() / 2;
            events.rotate_left(half);
        },
    ];
    for arrange in arrangements {
        let world = World::new().await;
        let started = world.start(&alice()).await.unwrap();
        world.livekit.end_room(ROOM).unwrap();
        world.tell_all(arrange).await;
        let record = world.record(&started.egress_id).await;
        assert_eq!(record.status, RecordingStatus::Ended);
        assert!(record.ended_at.is_some() && record.location.is_some());
        assert_eq!(world.items().len(), 1, "the room is free");
    }
}

#[tokio::test]
async fn a_room_that_is_opened_again_is_not_freed_by_old_messages() {
    let world = World::new().await;
    world.start(&alice()).await.unwrap();
    world.livekit.end_room(ROOM).unwrap();
    let old = world.livekit.events();
    world.enter(&alice(), ROOM);
    let again = world.start(&alice()).await.unwrap();
    for event in old {
        let (body, authorization) = world.livekit.sign_webhook(&event).unwrap();
        world.receive(body, Some(authorization)).await.unwrap();
    }
    let refused = world.start(&alice()).await.unwrap_err();
    assert_eq!(refused.details().egress_id.as_ref(), Some(&again.egress_id));
}

#[tokio::test]
async fn an_egress_that_turns_up_late_is_stopped() {
    let world = World::new().await;
    // LiveKit starts the first, says nothing, and does not list it either.
    world.livekit.proxy().inject(Fault::new(START, Effect::LoseResponse).times(1));
    world.livekit.proxy().inject(Fault::response("ListEgress", 200, "").times(2));
    let result = world.start(&alice()).await;
    assert_eq!(reason(result), Reason::LivekitUnavailable);
    let late = world.livekit.egresses()[0].egress_id.clone();
    world.livekit.proxy().inject(Fault::response("ListEgress", 200, "").times(1));
    let started = world.start(&bob()).await.unwrap();
    assert_eq!(world.running(), 2);

    world.tell("egress_started", &late).await;
    let running: Vec<_> = world.livekit.egresses().into_iter().filter(|egress| egress.status <= 1).collect();
    assert_eq!(running.len(), 1);
    assert_eq!(running[0].egress_id, started.egress_id);
}

#[tokio::test]
async fn only_livekits_own_words_are_taken_in() {
    let world = World::new().await;
    let started = world.start(&alice()).await.unwrap();
    world.livekit.fail(&started.egress_id, "x").unwrap();
    let event = world.livekit.egress_event("egress_ended", &started.egress_id).unwrap();
    let (body, authorization) = world.livekit.sign_webhook(&event).unwrap();
    let join = world.keys.join_token(&alice(), &Username::parse("A").unwrap(), &Room::named(ROOM)).unwrap();
    for (body, authorization) in [
        (body.clone(), None),
        (body.clone(), Some(String::new())),
        (body.replace("EG_", "EG-"), Some(authorization.clone())),
        (body.clone(), Some(sign_body("devkey", "another", &body).unwrap())),
        (body.clone(), Some(sign_body("otherkey", "secret", &body).unwrap())),
        (body.clone(), Some(join.expose().to_owned())),
    ] {
        assert_eq!(reason(world.receive(body, authorization).await), Reason::NotSignedIn);
    }
    assert_eq!(world.record(&started.egress_id).await.status, RecordingStatus::Starting);

    let nonsense = "{\"event\":7}".to_owned();
    let signed = sign_body("devkey", "secret", &nonsense).unwrap();
    assert_eq!(reason(world.receive(nonsense, Some(signed)).await), Reason::InvalidJson);
    let large = " ".repeat(256 * 1024 + 1);
    assert_eq!(reason(world.receive(large, None).await), Reason::BodyTooLarge);
    world.receive(body, Some(format!("Bearer {authorization}"))).await.unwrap();
    assert_eq!(world.record(&started.egress_id).await.status, RecordingStatus::Failed);
}

#[tokio::test]
async fn each_call_carries_the_grant_that_it_needs_for_seconds() {
    let world = World::new().await;
    let started = world.start(&alice()).await.unwrap();
    world.stop(&bob(), ROOM, &started.egress_id, "1").await.unwrap();
    for seen in world.livekit.seen_tokens() {
        let video = serde_json::to_value(&seen.claims.video).unwrap();
        let expected = match seen.call.as_str() {
            "GetParticipant" => json!({ "roomAdmin": true, "room": ROOM }),
            _ => json!({ "roomRecord": true }),
        };
        assert_eq!(video, expected, "{}", seen.call);
        assert!(seen.claims.exp - seen.claims.nbf <= 11);
    }
}

#[tokio::test]
async fn every_upstream_may_fail_and_nothing_hangs_or_is_left_behind() {
    let livekit = [
        Fault::new("*", Effect::Drop),
        Fault::new("*", Effect::DropMidBody),
        Fault::response("*", 200, "<html>"),
        Fault::response("*", 429, "slow down").header("retry-after", "3"),
        Fault::response("*", 500, "{}"),
    ];
    let world = World::new().await;
    for fault in livekit {
        world.livekit.proxy().inject(fault);
        assert_eq!(reason(world.start(&alice()).await), Reason::LivekitUnavailable);
        world.livekit.proxy().clear_faults();
        assert_eq!(world.items().len(), 0);
    }
    let database = [
        Fault::new("*", Effect::Drop),
        Fault::response("*", 400, r#"{"__type":"ProvisionedThroughputExceededException"}"#),
        Fault::response("*", 500, "oops"),
        Fault::response("*", 200, "<html>"),
    ];
    for fault in database {
        world.database.proxy().inject(fault);
        assert_eq!(reason(world.start(&alice()).await), Reason::StoreUnavailable);
        world.database.proxy().clear_faults();
    }
    assert_eq!((world.items().len(), world.livekit.egresses().len()), (0, 0));
    world.start(&alice()).await.unwrap();
}
