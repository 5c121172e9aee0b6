//! Faults of LiveKit and DynamoDB at the recording endpoints: the response has our shape and arrives in time, and the
//! same request succeeds after the fault.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use livekit_protocol::EgressInfo;
use local_proxy::{Effect, Fault};
use prost::Message as _;

use crate::app::{Answer, App, Browser};
use crate::meeting::{ROOM, ada, enter, jane_and_john, start, stop};

/// A function's deadline, plus the time that the gateway and a busy machine add.
const DEADLINE: Duration = Duration::from_millis(9500);

const UNAVAILABLE: (u16, &str) = (502, "livekit_unavailable");
const BUSY: (u16, &str) = (503, "livekit_busy");
const STORE: (u16, &str) = (503, "store_unavailable");

const HTML: &str = "<!DOCTYPE html><html><body>Bad gateway</body></html>";

/// The faults of a LiveKit call, with the status and reason that the client gets.
fn livekit_faults(call: &str) -> Vec<(&'static str, Fault, (u16, &'static str))> {
    let exhausted = r#"{"code":"resource_exhausted","msg":"m"}"#;
    let unavailable = r#"{"code":"unavailable","msg":"m"}"#;
    vec![
        ("dropped", Fault::new(call, Effect::Drop), UNAVAILABLE),
        ("dropped mid-body", Fault::new(call, Effect::DropMidBody), UNAVAILABLE),
        ("429", Fault::response(call, 429, exhausted), BUSY),
        ("429 with a time", Fault::response(call, 429, exhausted).header("retry-after", "7"), BUSY),
        ("429 by a proxy", Fault::response(call, 429, "slow down"), BUSY),
        ("500", Fault::response(call, 500, r#"{"code":"internal","msg":"m"}"#), UNAVAILABLE),
        ("500 without a code", Fault::response(call, 500, "{}"), UNAVAILABLE),
        ("503", Fault::response(call, 503, unavailable), BUSY),
        ("503 by a proxy", Fault::response(call, 503, HTML), BUSY),
        ("502 by a proxy", Fault::response(call, 502, HTML), UNAVAILABLE),
        ("404 by a proxy", Fault::response(call, 404, HTML), UNAVAILABLE),
        ("malformed", Fault::response(call, 200, "{\"half\":"), UNAVAILABLE),
        ("HTML", Fault::response(call, 200, HTML), UNAVAILABLE),
        ("an unknown code", Fault::response(call, 418, r#"{"code":"teapot","msg":"m"}"#), UNAVAILABLE),
    ]
}

/// The faults of a DynamoDB call, which the SDK attempts three times.
fn dynamodb_faults(call: &str) -> Vec<(&'static str, Fault)> {
    let error =
        |name: &str| format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{name}","message":"m"}}"#);
    vec![
        ("dropped", Fault::new(call, Effect::Drop)),
        ("dropped mid-body", Fault::new(call, Effect::DropMidBody)),
        ("throttled", Fault::response(call, 400, error("ProvisionedThroughputExceededException"))),
        ("throttled otherwise", Fault::response(call, 400, error("ThrottlingException"))),
        ("429", Fault::response(call, 429, "slow down").header("retry-after", "7")),
        ("500", Fault::response(call, 500, error("InternalServerError"))),
        ("503", Fault::response(call, 503, "")),
        ("malformed", Fault::response(call, 200, "{\"half\":")),
        ("HTML", Fault::response(call, 200, HTML)),
        ("an unknown error", Fault::response(call, 400, error("NovelException"))),
    ]
}

/// Asserts an error in our shape, with `Retry-After` on a 503 and without internals.
#[track_caller]
fn check(answer: Answer, (status, reason): (u16, &str), what: &str) {
    assert_eq!(answer.status, status, "{what}: {}", answer.body);
    let answer = answer.refused(status, reason);
    assert_eq!(answer.header("retry-after").is_some(), status == 503, "{what}");
    let fields = answer.body.as_object().expect("an object");
    assert_eq!(fields.len(), 5, "{what}: {}", answer.body);
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"), "{what}");
}

#[tokio::test]
async fn faults_of_livekit_during_a_start() {
    let app = App::start().await;
    app.without_webhooks();
    let mut ada = ada(&app).await;
    enter(&app, &mut ada, ROOM).await;
    for call in ["GetParticipant", "ListEgress", "StartRoomCompositeEgress", "*"] {
        for (what, fault, expected) in livekit_faults(call) {
            let what = format!("{call}, {what}");
            app.livekit().proxy().inject(fault);
            check(ada.start_recording(start(ROOM)).await, expected, &what);
            app.livekit().proxy().clear_faults();
            assert!(app.livekit().egresses().is_empty(), "{what}");
            assert!(app.items_of("recording#").is_empty(), "{what}");
        }
    }
    let egress = ada.start_recording(start(ROOM)).await.is(200).text("/egressId");
    assert_eq!(app.items_of("recording#").len(), 1);
    ada.stop_recording(stop(ROOM, &egress)).await.is(200);
}

#[tokio::test]
async fn after_each_fault_of_livekit_the_same_start_succeeds() {
    let app = App::start().await;
    app.without_webhooks();
    let mut ada = ada(&app).await;
    enter(&app, &mut ada, ROOM).await;
    for (what, fault, expected) in livekit_faults("StartRoomCompositeEgress") {
        app.livekit().proxy().inject(fault.times(1));
        check(ada.start_recording(start(ROOM)).await, expected, what);
        let egress = ada.start_recording(start(ROOM)).await.is(200).text("/egressId");
        assert_eq!(app.running().len(), 1, "{what}");
        ada.stop_recording(stop(ROOM, &egress)).await.is(200);
    }
}

#[tokio::test]
async fn the_wait_that_livekit_asks_for_is_passed_on() {
    let app = App::start().await;
    let mut ada = ada(&app).await;
    enter(&app, &mut ada, ROOM).await;
    let exhausted = r#"{"code":"resource_exhausted","msg":"m"}"#;
    for (status, body) in [(429, exhausted), (429, "slow down"), (503, HTML)] {
        for (header, expected) in [(None, "2"), (Some("7"), "7"), (Some("3600"), "60"), (Some("soon"), "2")] {
            let mut fault = Fault::response("GetParticipant", status, body).times(1);
            if let Some(value) = header {
                fault = fault.header("retry-after", value);
            }
            app.livekit().proxy().inject(fault);
            let answer = ada.start_recording(start(ROOM)).await.refused(503, "livekit_busy");
            assert_eq!(answer.header("retry-after"), Some(expected), "{status} {body} {header:?}");
        }
    }
}

#[tokio::test]
async fn faults_of_livekit_during_a_stop() {
    let app = App::start().await;
    app.without_webhooks();
    let (mut jane, mut john) = jane_and_john(&app).await;
    for (call, participant) in [("StopEgress", false), ("GetParticipant", true), ("*", true)] {
        for (what, fault, expected) in livekit_faults(call) {
            let what = format!("{call}, {what}");
            let egress = jane.start_recording(start(ROOM)).await.is(200).text("/egressId");
            let stopper = if participant { &mut john } else { &mut jane };
            app.livekit().proxy().inject(fault);
            check(stopper.stop_recording(stop(ROOM, &egress)).await, expected, &what);
            app.livekit().proxy().clear_faults();
            assert_eq!(app.running().len(), 1, "{what}: it is still running");
            stopper.stop_recording(stop(ROOM, &egress)).await.is(200);
            assert!(app.running().is_empty() && app.items_of("room#").is_empty(), "{what}");
        }
    }
}

#[tokio::test]
async fn an_empty_success_is_an_error() {
    let app = App::start().await;
    app.without_webhooks();
    let (mut jane, mut john) = jane_and_john(&app).await;
    let egress = jane.start_recording(start(ROOM)).await.is(200).text("/egressId");
    // Protobuf decodes an empty body as a message of defaults.
    for call in ["GetParticipant", "StopEgress"] {
        app.livekit().proxy().inject(Fault::response(call, 200, "").times(1));
        check(john.stop_recording(stop(ROOM, &egress)).await, UNAVAILABLE, call);
        assert_eq!((app.running().len(), app.record(&egress)["stopped_at"].is_null()), (1, true), "{call}");
    }
    john.stop_recording(stop(ROOM, &egress)).await.is(200);
    for call in ["GetParticipant", "StartRoomCompositeEgress"] {
        app.livekit().proxy().inject(Fault::response(call, 200, "").times(1));
        check(john.start_recording(start(ROOM)).await, UNAVAILABLE, call);
        assert_eq!((app.running().len(), app.items_of("recording#").len()), (0, 1), "{call}");
    }
    john.start_recording(start(ROOM)).await.is(200);
}

#[tokio::test]
async fn an_unknown_egress_status_counts_as_running() {
    let app = App::start().await;
    app.without_webhooks();
    let mut ada = ada(&app).await;
    enter(&app, &mut ada, ROOM).await;
    let novel = |id: &str| {
        let info = EgressInfo {
            egress_id: id.into(),
            room_name: ROOM.into(),
            room_id: "RM_1".into(),
            status: 99,
            ..EgressInfo::default()
        };
        String::from_utf8(info.encode_to_vec()).expect("small numbers and ASCII only")
    };
    app.livekit().proxy().inject(Fault::response("StartRoomCompositeEgress", 200, novel("EG_9")).times(1));
    let started = ada.start_recording(start(ROOM)).await.is(200);
    assert_eq!(started.text("/egressId"), "EG_9");
    app.livekit().proxy().inject(Fault::response("StopEgress", 200, novel("EG_9")).times(1));
    ada.stop_recording(stop(ROOM, "EG_9")).await.is(200);
    assert_eq!(app.record("EG_9")["status"], "ending");
    ada.start_recording(start(ROOM)).await.is(200);
}

/// The transactions of a start: they claim the room, and confirm the start.
const CLAIM: &str = "claim";
const CONFIRM: &str = "confirm";

/// DynamoDB's call at a step of a request.
fn call_at(step: &'static str) -> &'static str {
    if [CLAIM, CONFIRM].contains(&step) { "TransactWriteItems" } else { step }
}

/// Lets earlier calls with the same name pass, such as the authorizer's read, so that the fault hits the step.
fn inject_at(app: &App, step: &'static str, fault: Fault) {
    if ["GetItem", CONFIRM].contains(&step) {
        app.dynamodb().proxy().inject(Fault::new(call_at(step), Effect::Serve).times(1));
    }
    app.dynamodb().proxy().inject(fault);
}

#[tokio::test]
async fn faults_of_dynamodb_during_a_start() {
    let app = App::start().await;
    app.without_webhooks();
    let mut ada = ada(&app).await;
    enter(&app, &mut ada, ROOM).await;
    let mut recordings = 0;
    for step in ["GetItem", CLAIM, CONFIRM, "*"] {
        for (what, fault) in dynamodb_faults(call_at(step)) {
            let what = format!("{step}, {what}");
            inject_at(&app, step, fault);
            check(ada.start_recording(start(ROOM)).await, STORE, &what);
            app.dynamodb().proxy().clear_faults();
            assert_eq!(app.items_of("recording#").len(), recordings, "{what}");
            let lost = app.running();
            assert_eq!(lost.len(), usize::from(step == CONFIRM), "{what}");

            let egress = ada.start_recording(start(ROOM)).await.is(200).text("/egressId");
            assert!(lost.iter().all(|lost| lost.egress_id == egress), "{what}: the same egress");
            assert_eq!(app.running().len(), 1, "{what}");
            ada.stop_recording(stop(ROOM, &egress)).await.is(200);
            recordings += 1;
        }
    }
}

#[tokio::test]
async fn faults_of_dynamodb_during_a_stop() {
    let app = App::start().await;
    app.without_webhooks();
    let mut ada = ada(&app).await;
    enter(&app, &mut ada, ROOM).await;
    for call in ["GetItem", "UpdateItem", "DeleteItem"] {
        for (round, (what, fault)) in dynamodb_faults(call).into_iter().enumerate() {
            let what = format!("{call}, {what}");
            let egress = ada.start_recording(start(ROOM)).await.is(200).text("/egressId");
            inject_at(&app, call, fault);
            check(ada.stop_recording(stop(ROOM, &egress)).await, STORE, &what);
            app.dynamodb().proxy().clear_faults();
            ada.stop_recording(stop(ROOM, &egress)).await.is(200);
            assert!(app.running().is_empty(), "{what}");
            assert!(
                ["ending", "ended"].iter().any(|status| app.record(&egress)["status"] == *status),
                "{what}"
            );
            assert!(app.items_of("room#").is_empty(), "{what}");
            assert!(app.items_of("recordings-of#").iter().all(|item| item.get("slots").is_none()), "{what}");
            if round % 2 == 0 {
                // Every other webhook is lost.
                app.tell_of("egress_ended", &egress).await.is(200);
                assert_eq!(app.record(&egress)["status"], "ended", "{what}");
                assert!(app.items_of("room#").is_empty(), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn faults_of_dynamodb_during_a_webhook() {
    let app = App::start().await;
    app.without_webhooks();
    let mut ada = ada(&app).await;
    enter(&app, &mut ada, ROOM).await;
    for call in ["UpdateItem", "DeleteItem"] {
        for (what, fault) in dynamodb_faults(call) {
            let what = format!("{call}, {what}");
            let egress = ada.start_recording(start(ROOM)).await.is(200).text("/egressId");
            app.livekit().finish(&egress).unwrap();
            app.dynamodb().proxy().inject(fault);
            check(app.tell_of("egress_ended", &egress).await, STORE, &what);
            app.dynamodb().proxy().clear_faults();
            app.tell_of("egress_ended", &egress).await.is(200);
            assert_eq!(app.record(&egress)["status"], "ended", "{what}");
            assert!(app.items_of("room#").is_empty(), "{what}");
        }
    }
}

#[tokio::test]
async fn transaction_conflicts_and_repeated_writes_are_invisible() {
    let app = App::start().await;
    app.without_webhooks();
    let mut ada = ada(&app).await;
    enter(&app, &mut ada, ROOM).await;
    let conflict = r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","message":"m",
        "CancellationReasons":[{"Code":"TransactionConflict","Message":"m"},{"Code":"None"}]}"#;
    app.dynamodb().proxy().inject(Fault::response("TransactWriteItems", 400, conflict).times(2));
    let egress = ada.start_recording(start(ROOM)).await.is(200).text("/egressId");
    // The SDK repeats a write whose response is lost, and its condition then fails on its own result.
    for call in ["UpdateItem", "DeleteItem"] {
        app.dynamodb().proxy().inject(Fault::new(call, Effect::LoseResponse).times(1));
    }
    ada.stop_recording(stop(ROOM, &egress)).await.is(200);
    // The claim and the confirmation, each with its repetition.
    for _ in 0..2 {
        for effect in [Effect::LoseResponse, Effect::Serve] {
            app.dynamodb().proxy().inject(Fault::new("TransactWriteItems", effect).times(1));
        }
    }
    let egress = ada.start_recording(start(ROOM)).await.is(200).text("/egressId");
    let refused = ada.start_recording(start(ROOM)).await.refused(409, "already_recording");
    assert_eq!(refused.body["egressId"], egress.as_str());
    assert_eq!(app.running().len(), 1);
}

#[tokio::test]
async fn after_a_lasting_transaction_conflict_the_next_start_gets_the_egress() {
    let app = App::start().await;
    app.without_webhooks();
    let mut ada = ada(&app).await;
    enter(&app, &mut ada, ROOM).await;
    let conflict = r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","message":"m",
        "CancellationReasons":[{"Code":"TransactionConflict","Message":"m"},{"Code":"None"}]}"#;
    inject_at(&app, CONFIRM, Fault::response("TransactWriteItems", 400, conflict));
    check(ada.start_recording(start(ROOM)).await, STORE, "a conflict");
    app.dynamodb().proxy().clear_faults();
    let running = app.running();
    assert_eq!(ada.start_recording(start(ROOM)).await.is(200).text("/egressId"), running[0].egress_id);
    assert_eq!(app.livekit().egresses().len(), 1);
}

#[tokio::test]
async fn refused_connections_are_errors_and_stop_nothing() {
    let app = App::start().await;
    let mut ada = ada(&app).await;
    enter(&app, &mut ada, ROOM).await;
    let egress = ada.start_recording(start(ROOM)).await.is(200).text("/egressId");
    app.livekit().webhooks_settled().await;
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    for (variable, expected, right) in [
        ("LIVEKIT_URL", UNAVAILABLE, app.livekit().url()),
        ("AWS_ENDPOINT_URL_DYNAMODB", STORE, app.dynamodb().url()),
    ] {
        let point = |url: &str| {
            for function in ["start-recording", "stop-recording", "livekit-webhook"] {
                app.runtime().set_environment(function, [(variable, Some(url))]).unwrap();
            }
        };
        point(&nobody);
        check(ada.start_recording(start(ROOM)).await, expected, variable);
        check(ada.stop_recording(stop(ROOM, &egress)).await, expected, variable);
        if expected == STORE {
            check(app.tell_of("egress_updated", &egress).await, expected, variable);
        }
        point(right);
    }
    assert_eq!(app.running().len(), 1, "nothing was stopped");
    ada.stop_recording(stop(ROOM, &egress)).await.is(200);
    ada.start_recording(start(ROOM)).await.is(200);
}

/// The request during a stall.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask {
    Start,
    Stop,
    Webhook,
}

/// Whether LiveKit (or else DynamoDB) stalls for 30 s, at which call, and the status and reason that the client gets.
const STALLS: [(bool, &str, Ask, (u16, &str)); 14] = [
    (true, "GetParticipant", Ask::Start, UNAVAILABLE),
    (true, "ListEgress", Ask::Start, UNAVAILABLE),
    (true, "StartRoomCompositeEgress", Ask::Start, UNAVAILABLE),
    (true, "*", Ask::Start, UNAVAILABLE),
    (true, "StopEgress", Ask::Stop, UNAVAILABLE),
    (true, "*", Ask::Stop, UNAVAILABLE),
    (false, "GetItem", Ask::Start, STORE),
    (false, CLAIM, Ask::Start, STORE),
    (false, CONFIRM, Ask::Start, STORE),
    (false, "*", Ask::Start, STORE),
    (false, "GetItem", Ask::Stop, STORE),
    (false, "UpdateItem", Ask::Stop, STORE),
    (false, "DeleteItem", Ask::Stop, STORE),
    (false, "UpdateItem", Ask::Webhook, STORE),
];

/// The rows run concurrently, each on its own local cloud.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn during_a_stall_the_response_is_in_time_and_afterwards_the_request_succeeds() {
    let apps = join_all(STALLS.iter().map(|_| App::start())).await;
    let rows = apps.iter().zip(STALLS);
    let rows = join_all(rows.map(|(app, row)| async move {
        app.without_webhooks();
        let mut ada = ada(app).await;
        enter(app, &mut ada, ROOM).await;
        let egress = match row.2 {
            Ask::Start => None,
            _ => Some(ada.start_recording(start(ROOM)).await.is(200).text("/egressId")),
        };
        (app, row, ada, egress)
    }))
    .await;
    join_all(rows.into_iter().map(|(app, row, ada, egress)| stall(app, row, ada, egress))).await;
}

async fn stall(
    app: &App,
    (livekit, call, ask, expected): (bool, &'static str, Ask, (u16, &str)),
    mut ada: Browser<'_>,
    egress: Option<String>,
) {
    let what = format!("{} stalls at {call}", if livekit { "LiveKit" } else { "DynamoDB" });
    let fault = Fault::new(call_at(call), Effect::Drop).delay(Duration::from_secs(30));
    if livekit {
        app.livekit().proxy().inject(fault);
    } else {
        inject_at(app, call, fault);
    }
    let egress = egress.as_deref();
    let mut request = async || match (ask, egress) {
        (Ask::Stop, Some(egress)) => ada.stop_recording(stop(ROOM, egress)).await,
        (Ask::Webhook, Some(egress)) => app.tell_of("egress_updated", egress).await,
        _ => ada.start_recording(start(ROOM)).await,
    };
    let begun = Instant::now();
    check(request().await, expected, &what);
    assert!(begun.elapsed() < DEADLINE, "{what}: {:?}", begun.elapsed());
    app.livekit().proxy().clear_faults();
    app.dynamodb().proxy().clear_faults();
    request().await.is(200);
    assert_eq!(app.running().len(), usize::from(ask != Ask::Stop), "{what}");
}
