//! Recordings: the happy path, races, crashes and authorization.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use livekit_protocol::S3Upload;
use livekit_protocol::encoded_file_output::Output;
use local_proxy::{Effect, Fault};
use serde_json::json;

use crate::app::{App, Browser, now};
use crate::meeting::{JANE, JOHN, MASADAS, ROOM, ada, enter, jane, jane_and_john, john, start, stop};

const START: &str = "StartRoomCompositeEgress";
const CONFIRM: &str = "TransactWriteItems";

/// Waits until `holds`.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < give_up, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn one_of_two_participants_records_and_the_other_stops() {
    let app = App::start().await;
    let (mut jane, mut john) = jane_and_john(&app).await;

    let before = now();
    let started = jane.start_recording(start(ROOM)).await.is(200);
    let egress = started.text("/egressId");
    let timestamp = started.body["timestamp"].as_u64().unwrap();
    assert!((before..=now()).contains(&timestamp), "{timestamp}");
    assert_eq!(started.body.as_object().unwrap().len(), 2, "exactly the documented fields");

    let second = john.start_recording(start(ROOM)).await.refused(409, "already_recording");
    assert_eq!(second.body["egressId"], egress.as_str());
    app.livekit().webhooks_settled().await;
    assert_eq!(app.record(&egress)["status"], "active");

    let stopped = john.stop_recording(stop(ROOM, &egress)).await.is(200);
    assert_eq!(stopped.body["egressId"], egress.as_str());
    assert!(stopped.body["timestamp"].as_u64().unwrap() >= timestamp);
    assert_eq!(stopped.body.as_object().unwrap().len(), 2);
    // In the next second, a recomputed timestamp would differ.
    tokio::time::sleep(Duration::from_millis(1050)).await;
    assert_eq!(jane.stop_recording(stop(ROOM, &egress)).await.is(200).body, stopped.body);
    app.livekit().webhooks_settled().await;
    assert_eq!(john.stop_recording(stop(ROOM, &egress)).await.is(200).body, stopped.body);
    assert_eq!(app.livekit().proxy().count("StopEgress"), 1);

    let record = app.record(&egress);
    assert_eq!(record["status"], "ended");
    assert_eq!(record["organization_id"], MASADAS);
    assert_eq!((&record["room"], &record["zone_id"]), (&json!(ROOM), &json!("1")));
    assert_eq!(record["topic"], "Weekly Sync Meeting");
    assert_eq!(record["participants"], json!(["alice", "bob", "charlie"]));
    assert_eq!((&record["started_by"], &record["stopped_by"]), (&json!(JANE), &json!(JOHN)));
    assert_eq!(record["started_at"], timestamp);
    assert_eq!(record["stopped_at"], stopped.body["timestamp"]);
    assert!(record["ended_at"].as_u64().unwrap() >= timestamp);
    let key = record["object_key"].as_str().unwrap();
    assert!(key.starts_with(&format!("recordings/{MASADAS}/1/{ROOM}/")) && key.ends_with("Z.mp4"), "{key}");
    // The file may be deleted after 365 days, the record two days later.
    assert_eq!(record["expires_at"], timestamp + 367 * 86_400);
    assert!(record["file_location"].as_str().unwrap().ends_with(key), "{record}");
    assert!(app.items_of("room#").is_empty(), "the room is free");

    let again = john.start_recording(start(ROOM)).await.is(200).text("/egressId");
    assert_ne!(again, egress);
}

#[tokio::test]
async fn the_object_carries_its_metadata() {
    let app = App::start().await;
    let (mut jane, _) = jane_and_john(&app).await;
    let egress = jane.start_recording(start(ROOM)).await.is(200).text("/egressId");
    let s3 = upload(&app, &egress);
    assert_eq!(s3.metadata["topic"], "Weekly Sync Meeting");
    assert_eq!(s3.metadata["participants"], "alice,bob,charlie");
    assert_eq!(s3.metadata["participant-count"], "3");
    assert_eq!(s3.metadata["started-by"], JANE);
    assert_eq!(s3.metadata["start"], app.record(&egress)["start_token"].as_str().unwrap());
}

fn upload(app: &App, egress: &str) -> S3Upload {
    let request = app.livekit().egress_request(egress).expect("a request");
    match request.file_outputs[0].output.clone() {
        Some(Output::S3(s3)) => s3,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn livekit_gets_the_keys_or_the_role_of_the_bucket() {
    let role = "arn:aws:iam::123456789012:role/recordings";
    let key = [("RECORDING_ACCESS_KEY", "AKIAEXAMPLE"), ("RECORDING_SECRET_KEY", "the-bucket-secret")];
    let by_role = [("RECORDING_ROLE_ARN", role), ("RECORDING_ACCESS_KEY", ""), ("RECORDING_SECRET_KEY", "")];
    let elsewhere = [("RECORDING_ENDPOINT", "https://minio.example.com")];
    for (variables, expected) in [
        (&key[..], ("AKIAEXAMPLE", "the-bucket-secret", "", "", false)),
        (&by_role[..], ("", "", role, "", false)),
        (&elsewhere[..], ("local", "local", "", "https://minio.example.com", true)),
    ] {
        let app = App::with_env(variables).await;
        let mut ada = ada(&app).await;
        enter(&app, &mut ada, ROOM).await;
        let egress = ada.start_recording(start(ROOM)).await.is(200).text("/egressId");
        let s3 = upload(&app, &egress);
        let seen = (
            s3.access_key.as_str(),
            s3.secret.as_str(),
            s3.assume_role_arn.as_str(),
            s3.endpoint.as_str(),
            s3.force_path_style,
        );
        assert_eq!(seen, expected);
        let environment = app.cloud.environment_of("start-recording").unwrap();
        assert_eq!(s3.bucket, environment["RECORDING_BUCKET"]);
        assert_eq!(s3.region, environment["RECORDING_REGION"]);
        assert!(!app.logs().iter().any(|line| line.contains("the-bucket-secret")));
    }
}

#[tokio::test]
async fn a_record_outlives_the_file_and_then_expires() {
    const DAY: u64 = 24 * 60 * 60;
    let app = App::with_env(&[("RECORDING_RETENTION_DAYS", "30")]).await;
    let (mut jane, _) = jane_and_john(&app).await;
    let egress = jane.start_recording(start(ROOM)).await.is(200).text("/egressId");
    jane.stop_recording(stop(ROOM, &egress)).await.is(200);
    app.livekit().webhooks_settled().await;
    let number =
        |name: &str| -> u64 { app.items_of("recording#")[0][name]["N"].as_str().unwrap().parse().unwrap() };
    assert_eq!(number("expires_at"), number("started_at") + 32 * DAY);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_starts_one_records() {
    let app = App::start().await;
    let (jane, john) = jane_and_john(&app).await;
    let people: Vec<Browser<'_>> = [jane, john].iter().cycle().take(50).cloned().collect();
    // Warm processes contend for LiveKit and the table; cold ones would arrive one by one.
    let warm =
        people.clone().into_iter().map(async |mut person| person.start_recording(start("nowhere")).await);
    for answer in join_all(warm).await {
        answer.refused(404, "room_not_found");
    }

    let starts = people.into_iter().map(async |mut person| person.start_recording(start(ROOM)).await);
    let (started, refused): (Vec<_>, Vec<_>) =
        join_all(starts).await.into_iter().partition(|answer| answer.status == 200);
    assert_eq!((started.len(), refused.len()), (1, 49));
    let egress = started[0].text("/egressId");
    for answer in refused {
        assert_eq!(answer.refused(409, "already_recording").body["egressId"], egress.as_str());
    }
    assert_eq!(app.livekit().egresses().len(), 1, "one egress at LiveKit");
    app.livekit().webhooks_settled().await;
    assert_eq!((app.items_of("recording#").len(), app.items_of("room#").len()), (1, 1));
    app.record(&egress);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stops_and_starts_that_race_leave_one_recording_or_none() {
    let app = App::start().await;
    let (jane, john) = jane_and_john(&app).await;
    for _ in 0..5 {
        let egress = jane.clone().start_recording(start(ROOM)).await.is(200).text("/egressId");
        let stops = [&jane, &john].repeat(3).into_iter().cloned();
        let stops = join_all(stops.map(async |mut person| person.stop_recording(stop(ROOM, &egress)).await));
        let mut starter = john.clone();
        let (stopped, started) = tokio::join!(stops, starter.start_recording(start(ROOM)));
        let stopped: Vec<_> = stopped.into_iter().map(|answer| answer.is(200).body).collect();
        assert!(stopped.iter().all(|body| *body == stopped[0]), "{stopped:?}");
        match started.status.as_u16() {
            200 => {
                let other = started.text("/egressId");
                assert_ne!(other, egress);
                starter.stop_recording(stop(ROOM, &other)).await.is(200);
            }
            _ => drop(started.refused(409, "already_recording")),
        }
        app.livekit().webhooks_settled().await;
        assert_eq!((app.running().len(), app.items_of("room#").len()), (0, 0));
    }
}

#[tokio::test]
async fn a_refused_start_leaves_nothing_behind() {
    let app = App::start().await;
    let (mut jane, mut john) = jane_and_john(&app).await;
    for (status, body, expected) in [
        (429, r#"{"code":"resource_exhausted","msg":"egress minutes"}"#, (503, "livekit_busy")),
        (503, r#"{"code":"unavailable","msg":"no response from servers"}"#, (503, "livekit_busy")),
        (500, r#"{"code":"internal","msg":"oops"}"#, (502, "livekit_unavailable")),
        (404, r#"{"code":"not_found","msg":"requested room does not exist"}"#, (404, "room_not_found")),
    ] {
        app.livekit().proxy().inject(Fault::response(START, status, body).times(1));
        let answer = jane.start_recording(start(ROOM)).await.refused(expected.0, expected.1);
        assert!(!answer.body.to_string().contains("egress minutes"), "LiveKit's message is internal");
        assert!(app.items_of("room#").is_empty() && app.items_of("recording#").is_empty());
    }
    john.start_recording(start(ROOM)).await.is(200);
}

#[tokio::test]
async fn a_start_that_a_proxy_gave_up_on_keeps_its_claim() {
    let app = App::start().await;
    let (mut jane, mut john) = jane_and_john(&app).await;
    // LiveKit may still start the egress: the claim must not be deleted.
    for status in [502, 504] {
        app.livekit().proxy().inject(Fault::response(START, status, "<html>").times(1));
        jane.start_recording(start(ROOM)).await.refused(502, "livekit_unavailable");
        assert_eq!(app.items_of("room#").len(), 1, "{status}");
        let egress = john.start_recording(start(ROOM)).await.is(200).text("/egressId");
        john.stop_recording(stop(ROOM, &egress)).await.is(200);
    }
}

#[tokio::test]
async fn a_recording_can_be_stopped_before_it_is_active() {
    let app = App::start().await;
    app.livekit().set_automatic(false);
    let (mut jane, _) = jane_and_john(&app).await;
    let egress = jane.start_recording(start(ROOM)).await.is(200).text("/egressId");
    let stopped = jane.stop_recording(stop(ROOM, &egress)).await.is(200);
    app.livekit().webhooks_settled().await;
    assert_eq!(app.record(&egress)["status"], "failed");
    assert!(app.items_of("room#").is_empty(), "the room is free");
    assert_eq!(jane.stop_recording(stop(ROOM, &egress)).await.is(200).body, stopped.body);
}

#[tokio::test]
async fn a_stop_whose_response_is_lost_can_be_repeated() {
    let app = App::start().await;
    app.without_webhooks();
    let (mut jane, _) = jane_and_john(&app).await;
    let egress = jane.start_recording(start(ROOM)).await.is(200).text("/egressId");
    app.livekit().proxy().inject(Fault::new("StopEgress", Effect::LoseResponse).times(1));
    jane.stop_recording(stop(ROOM, &egress)).await.refused(502, "livekit_unavailable");
    assert!(app.running().is_empty(), "LiveKit has stopped it");
    jane.stop_recording(stop(ROOM, &egress)).await.is(200);
    assert!(app.items_of("room#").is_empty(), "the room is free");
}

#[tokio::test]
async fn an_egress_that_the_table_does_not_know_is_adopted() {
    let app = App::start().await;
    app.without_webhooks();
    let (mut jane, mut john) = jane_and_john(&app).await;
    let egress = jane.start_recording(start(ROOM)).await.is(200).text("/egressId");
    // As if the table had been restored from a backup.
    let table = app.cloud.table().unwrap();
    for mut item in [app.items_of("room#"), app.items_of("recording#")].concat() {
        item["expires_at"] = json!({ "N": "1" });
        app.dynamodb().put(table, &item).unwrap();
    }
    assert_eq!(app.dynamodb().sweep().unwrap(), 2);
    let adopted = john.start_recording(start(ROOM)).await.is(200).text("/egressId");
    assert_eq!((adopted.as_str(), app.livekit().egresses().len()), (egress.as_str(), 1));
    john.stop_recording(stop(ROOM, &egress)).await.is(200);
}

#[tokio::test]
async fn a_start_whose_response_is_lost_succeeds() {
    let app = App::start().await;
    app.without_webhooks();
    let (mut jane, _) = jane_and_john(&app).await;
    app.livekit().proxy().inject(Fault::new(START, Effect::LoseResponse).times(1));
    let egress = jane.start_recording(start(ROOM)).await.is(200).text("/egressId");
    assert_eq!(app.livekit().egresses().len(), 1);
    assert_eq!(app.record(&egress)["started_by"], JANE);
}

/// Kills a start between LiveKit's response and the write that follows.
async fn crash_after_livekit(app: &App, browser: &Browser<'_>) -> String {
    // The first transaction claims the room, the second one confirms the start.
    app.dynamodb().proxy().inject(Fault::new(CONFIRM, Effect::Serve).times(1));
    let stall = Fault::new(CONFIRM, Effect::Drop).delay(Duration::from_secs(30)).times(1);
    app.dynamodb().proxy().inject(stall);
    let written = app.dynamodb().proxy().count(CONFIRM) + 1;
    let mut browser = browser.clone();
    let crash = async {
        eventually("the write after LiveKit's response", || app.dynamodb().proxy().count(CONFIRM) > written)
            .await;
        app.runtime().kill("start-recording").await.expect("it is killed");
    };
    let (answer, ()) = tokio::join!(browser.start_recording(start(ROOM)), crash);
    // API Gateway's response for a crashed function.
    assert_eq!(answer.is(500).body, json!({ "message": "Internal Server Error" }));
    let running = app.running();
    assert_eq!(running.len(), 1, "LiveKit is recording");
    running[0].egress_id.clone()
}

#[tokio::test]
async fn after_a_crash_the_next_start_adopts_the_running_egress() {
    let app = App::start().await;
    app.without_webhooks();
    let (jane, mut john) = jane_and_john(&app).await;
    let egress = crash_after_livekit(&app, &jane).await;
    assert!(app.items_of("recording#").is_empty(), "the write was lost");

    let adopted = john.start_recording(start(ROOM)).await.is(200).text("/egressId");
    assert_eq!(adopted, egress);
    assert_eq!(app.livekit().egresses().len(), 1, "no second egress");
    assert_eq!(app.record(&egress)["started_by"], JANE, "like the object in the bucket");
    let refused = john.start_recording(start(ROOM)).await.refused(409, "already_recording");
    assert_eq!(refused.body["egressId"], egress.as_str());
    john.stop_recording(stop(ROOM, &egress)).await.is(200);
    assert!(app.running().is_empty());
}

#[tokio::test]
async fn after_a_crash_the_webhook_completes_the_record_and_the_next_start_returns_it() {
    let app = App::start().await;
    app.without_webhooks();
    let (jane, mut john) = jane_and_john(&app).await;
    let egress = crash_after_livekit(&app, &jane).await;
    app.tell_of("egress_updated", &egress).await.is(200);
    assert_eq!(app.record(&egress)["status"], "active");
    assert_eq!(john.start_recording(start(ROOM)).await.is(200).text("/egressId"), egress);
    john.start_recording(start(ROOM)).await.refused(409, "already_recording");
    assert_eq!(app.livekit().egresses().len(), 1);
}

#[tokio::test]
async fn after_a_crash_another_organization_in_the_room_can_stop_the_recording() {
    let app = App::start().await;
    app.without_webhooks();
    let (mut jane, _) = jane_and_john(&app).await;
    let mut ada = ada(&app).await;
    enter(&app, &mut ada, ROOM).await;
    let egress = crash_after_livekit(&app, &jane).await;
    let refused = ada.start_recording(start(ROOM)).await.refused(409, "already_recording");
    assert_eq!(refused.body["egressId"], egress.as_str());
    assert_eq!(jane.start_recording(start(ROOM)).await.is(200).text("/egressId"), egress);
    ada.stop_recording(stop(ROOM, &egress)).await.is(200);
    assert!(app.running().is_empty());
}

#[tokio::test]
async fn a_crash_before_the_call_to_livekit_holds_the_room_until_the_lease_expires() {
    let app = App::start().await;
    let (mut jane, mut john) = jane_and_john(&app).await;
    app.livekit().proxy().inject(Fault::new(START, Effect::Drop).delay(Duration::from_secs(30)).times(1));
    let begun = Instant::now();
    let crash = async {
        eventually("the call to LiveKit", || app.livekit().proxy().count(START) == 1).await;
        app.runtime().kill("start-recording").await.expect("it is killed");
    };
    let (answer, ()) = tokio::join!(jane.start_recording(start(ROOM)), crash);
    answer.is(500);
    let started = loop {
        let answer = john.start_recording(start(ROOM)).await;
        if answer.status == 200 {
            break answer;
        }
        let refused = answer.refused(409, "already_recording");
        assert!(refused.body.get("egressId").is_none(), "there is no egress: {}", refused.body);
        assert!(begun.elapsed() < Duration::from_secs(14), "the room stays taken");
    };
    assert_eq!(app.livekit().egresses().len(), 1);
    app.record(&started.text("/egressId"));
}

#[tokio::test]
async fn an_unauthorized_request_starts_and_stops_nothing() {
    let app = App::start().await;
    let (mut jane_inside, mut john_inside) = jane_and_john(&app).await;
    enter(&app, &mut jane_inside, "other-room").await;
    let egress = jane_inside.start_recording(start(ROOM)).await.is(200).text("/egressId");
    let other = jane_inside.start_recording(start("other-room")).await.is(200).text("/egressId");
    app.livekit().webhooks_settled().await;
    let before = app.items_of("recording#");

    // A member of another organization, not in the room.
    let mut ada = ada(&app).await;
    ada.stop_recording(stop(ROOM, &egress)).await.refused(404, "recording_not_found");
    ada.start_recording(start(ROOM)).await.refused(403, "not_in_room");
    // Without an organization, and not in the room.
    let mut stranger = app.signed_in("new.user@example.com").await;
    stranger.start_recording(start(ROOM)).await.refused(403, "not_in_room");
    stranger.start_recording(start("nowhere")).await.refused(404, "room_not_found");
    stranger.stop_recording(stop(ROOM, &egress)).await.refused(404, "recording_not_found");
    // A member of the organization, but not in the room.
    app.livekit().leave(ROOM, JOHN).unwrap();
    john_inside.stop_recording(stop(ROOM, &egress)).await.refused(403, "not_in_room");
    john_inside.start_recording(start(ROOM)).await.refused(403, "not_in_room");
    enter(&app, &mut john_inside, ROOM).await;
    // Wrong zone, wrong room, the other room's egress, an unknown egress.
    for wrong in [
        json!({ "roomName": ROOM, "egressId": egress, "zoneId": "2" }),
        stop("other-room", &egress),
        stop("nowhere", &egress),
        stop(ROOM, &other),
        stop(ROOM, "EG_unknown"),
        stop(ROOM, &egress.to_lowercase()),
    ] {
        jane_inside.stop_recording(wrong.clone()).await.refused(404, "recording_not_found");
        john_inside.stop_recording(wrong).await.refused(404, "recording_not_found");
    }
    // Not signed in.
    app.browser().start_recording(start(ROOM)).await.refused(401, "not_signed_in");
    app.browser().stop_recording(stop(ROOM, &egress)).await.refused(401, "not_signed_in");
    // On a page of another origin.
    let mut lured = jane_inside.clone().header("origin", "https://evil.example");
    lured.stop_recording(stop(ROOM, &egress)).await.refused(403, "origin_not_allowed");
    lured.start_recording(start("other-room")).await.refused(403, "origin_not_allowed");

    assert_eq!(app.livekit().proxy().count("StopEgress"), 0, "nothing was stopped");
    assert_eq!((app.running().len(), app.livekit().egresses().len()), (2, 2));
    assert_eq!(app.items_of("recording#"), before);
    // The user who started it may stop it from outside the room.
    app.livekit().leave(ROOM, JANE).unwrap();
    jane_inside.stop_recording(stop(ROOM, &egress)).await.is(200);
}

#[tokio::test]
async fn livekit_cloud_and_livekit_server_report_a_missing_room_differently() {
    let app = App::start().await;
    let (mut jane, _) = jane_and_john(&app).await;
    let mut outside = jane_outside(&app).await;
    for cloud in [false, true] {
        app.livekit().set_cloud(cloud);
        jane.start_recording(start("nowhere")).await.refused(404, "room_not_found");
        outside.start_recording(start(ROOM)).await.refused(403, "not_in_room");
    }
    assert!(app.items_of("room#").is_empty());
}

async fn jane_outside(app: &App) -> Browser<'_> {
    let browser = jane(app).await;
    app.livekit().leave(ROOM, JANE).unwrap();
    browser
}

#[tokio::test]
async fn each_call_to_livekit_carries_only_the_grant_that_it_needs() {
    let app = App::start().await;
    let (mut jane, mut john) = jane_and_john(&app).await;
    let mut ada = ada(&app).await;
    ada.start_recording(start(ROOM)).await.refused(403, "not_in_room");
    let egress = jane.start_recording(start(ROOM)).await.is(200).text("/egressId");
    app.livekit().end_room(ROOM).unwrap();
    enter(&app, &mut john, ROOM).await;
    app.livekit().webhooks_settled().await;
    let again = john.start_recording(start(ROOM)).await.is(200).text("/egressId");
    jane.stop_recording(stop(ROOM, &egress)).await.is(200);
    john.stop_recording(stop(ROOM, &again)).await.is(200);

    let tokens = app.livekit().seen_tokens();
    for seen in &tokens {
        let video = serde_json::to_value(&seen.claims.video).unwrap();
        let expected = match seen.call.as_str() {
            "GetParticipant" | "ListParticipants" => json!({ "roomAdmin": true, "room": ROOM }),
            "ListEgress" | START | "StopEgress" => json!({ "roomRecord": true }),
            other => panic!("unexpected call: {other}"),
        };
        assert_eq!(video, expected, "{}", seen.call);
        let rest = serde_json::to_value(&seen.claims).unwrap();
        let rest = rest.as_object().unwrap().keys().filter(|name| *name != "video");
        for claim in rest {
            assert!(["exp", "iss", "nbf"].contains(&claim.as_str()), "{} carries {claim}", seen.call);
        }
        assert!(seen.claims.exp - seen.claims.nbf <= 330, "{}", seen.call);
    }
    for call in ["GetParticipant", "ListParticipants", "ListEgress", START, "StopEgress"] {
        assert!(tokens.iter().any(|seen| seen.call == call), "{call} was never called");
    }

    let logs = app.logs();
    for seen in tokens {
        assert!(!logs.iter().any(|line| line.contains(&seen.token)), "the token of {} is logged", seen.call);
    }
}

#[tokio::test]
async fn a_token_that_livekit_refuses_is_neither_returned_nor_logged() {
    let app = App::with_env(&[("LIVEKIT_API_SECRET", "another-secret")]).await;
    let mut ada = ada(&app).await;
    let answer = ada.start_recording(start(ROOM)).await.refused(502, "livekit_unavailable");
    assert!(!answer.body.to_string().contains("eyJ"));
    assert!(!app.logs().iter().any(|line| line.contains("eyJ") || line.contains("another-secret")));
    assert!(app.items_of("room#").is_empty());
}

/// The slots that a user's recordings take.
fn slots(app: &App, user: &str) -> usize {
    let items = app.items_of(&format!("recordings-of#{user}"));
    items.first().and_then(|item| item["slots"]["SS"].as_array()).map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_starts_in_fifty_rooms_by_one_person_three_record() {
    let app = App::start().await;
    app.without_webhooks();
    let mut jane = jane(&app).await;
    let rooms: Vec<_> = (0..50).map(|n| format!("room-{n}")).collect();
    for room in &rooms {
        enter(&app, &mut jane, room).await;
    }
    let starts = rooms.iter().map(async |room| (room, jane.clone().start_recording(start(room)).await));
    let (started, refused): (Vec<_>, Vec<_>) =
        join_all(starts).await.into_iter().partition(|(_, answer)| answer.status == 200);
    assert_eq!((started.len(), refused.len()), (3, 47));
    let free_room = refused[0].0;
    for (_, answer) in refused {
        answer.refused(409, "too_many_recordings");
    }
    assert_eq!((app.running().len(), app.items_of("room#").len(), slots(&app, JANE)), (3, 3, 3));
    // Another person is not affected.
    let mut john = john(&app, MASADAS).await;
    enter(&app, &mut john, ROOM).await;
    john.start_recording(start(ROOM)).await.is(200);
    // A stop gives the slot back at once, as often as it is repeated.
    let (room, answer) = &started[0];
    for _ in 0..2 {
        jane.stop_recording(stop(room, &answer.text("/egressId"))).await.is(200);
        assert_eq!(slots(&app, JANE), 2);
    }
    jane.start_recording(start(room)).await.is(200);
    jane.start_recording(start(free_room)).await.refused(409, "too_many_recordings");
}

#[tokio::test]
async fn a_recording_that_ends_gives_its_slot_back() {
    let app = App::start().await;
    let mut jane = jane(&app).await;
    enter(&app, &mut jane, ROOM).await;
    for end in ["finish", "fail", "end_room"] {
        let egress = jane.start_recording(start(ROOM)).await.is(200).text("/egressId");
        assert_eq!(slots(&app, JANE), 1);
        match end {
            "finish" => drop(app.livekit().finish(&egress).unwrap()),
            "fail" => drop(app.livekit().fail(&egress, "disk full").unwrap()),
            _ => app.livekit().end_room(ROOM).unwrap(),
        }
        app.livekit().webhooks_settled().await;
        assert_eq!(slots(&app, JANE), 0, "{end}");
    }
    enter(&app, &mut jane, ROOM).await;
    app.livekit().proxy().inject(Fault::response(START, 500, r#"{"code":"internal","msg":"m"}"#).times(1));
    jane.start_recording(start(ROOM)).await.refused(502, "livekit_unavailable");
    assert_eq!(slots(&app, JANE), 0, "a refused start");
}

#[tokio::test]
async fn the_sweep_repairs_what_a_lost_webhook_left() {
    let app = App::start().await;
    app.without_webhooks();
    let (mut jane, mut john) = jane_and_john(&app).await;
    let egress = jane.start_recording(start(ROOM)).await.is(200).text("/egressId");
    app.livekit().finish(&egress).unwrap();
    assert_eq!((slots(&app, JANE), app.items_of("room#").len()), (1, 1));
    app.cloud.fire_schedule("sweep-recordings").await.unwrap();
    assert_eq!((slots(&app, JANE), app.items_of("room#").len()), (0, 0));
    assert_eq!(app.record(&egress)["status"], "ended");

    // A start that died after LiveKit's response is completed, and can be stopped.
    let egress = crash_after_livekit(&app, &jane).await;
    app.cloud.fire_schedule("sweep-recordings").await.unwrap();
    assert_eq!((&app.record(&egress)["status"], slots(&app, JANE)), (&json!("active"), 1));
    john.stop_recording(stop(ROOM, &egress)).await.is(200);
    assert_eq!(slots(&app, JANE), 0);
    // A recording that runs is left alone.
    john.start_recording(start(ROOM)).await.is(200);
    app.cloud.fire_schedule("sweep-recordings").await.unwrap();
    assert_eq!((app.running().len(), slots(&app, JOHN)), (1, 1));
}

#[tokio::test]
async fn the_sweep_stops_a_recording_that_has_no_record_or_runs_too_long() {
    let app = App::with_env(&[("RECORDING_MAX_SECONDS", "3600")]).await;
    app.without_webhooks();
    let (mut jane, _) = jane_and_john(&app).await;
    let table = app.cloud.table().unwrap();
    jane.start_recording(start(ROOM)).await.is(200);
    app.cloud.fire_schedule("sweep-recordings").await.unwrap();
    assert_eq!(app.running().len(), 1);
    let mut record = app.items_of("recording#").remove(0);
    record["started_at"] = json!({ "N": (now() - 3600).to_string() });
    app.dynamodb().put(table, &record).unwrap();
    app.cloud.fire_schedule("sweep-recordings").await.unwrap();
    assert!(app.running().is_empty() && app.items_of("room#").is_empty());

    // As if the table had been restored from a backup.
    jane.start_recording(start(ROOM)).await.is(200);
    for mut item in [app.items_of("room#"), app.items_of("recording#")].concat() {
        item["expires_at"] = json!({ "N": "1" });
        app.dynamodb().put(table, &item).unwrap();
    }
    app.dynamodb().sweep().unwrap();
    app.cloud.fire_schedule("sweep-recordings").await.unwrap();
    assert!(app.running().is_empty());
    // A recording of another deployment in the same LiveKit project is left alone.
    jane.start_recording(start(ROOM)).await.is(200);
    app.runtime().set_environment("sweep-recordings", [("RECORDING_BUCKET", Some("other"))]).unwrap();
    app.cloud.fire_schedule("sweep-recordings").await.unwrap();
    assert_eq!(app.running().len(), 1);
}

#[tokio::test]
async fn slots_that_nothing_holds_are_taken_back_by_the_next_start() {
    let app = App::with_env(&[("RECORDINGS_PER_CALLER", "1")]).await;
    app.without_webhooks();
    let mut jane = jane(&app).await;
    enter(&app, &mut jane, ROOM).await;
    enter(&app, &mut jane, "other-room").await;
    let egress = jane.start_recording(start(ROOM)).await.is(200).text("/egressId");
    jane.start_recording(start("other-room")).await.refused(409, "too_many_recordings");
    let leaked = app.items_of("recordings-of#").remove(0);
    jane.stop_recording(stop(ROOM, &egress)).await.is(200);
    // As if the write that gives the slot back had failed.
    app.dynamodb().put(app.cloud.table().unwrap(), &leaked).unwrap();
    jane.start_recording(start("other-room")).await.is(200);
    assert_eq!(slots(&app, JANE), 1);
}

#[tokio::test]
async fn whoever_is_in_the_room_may_stop_its_recording() {
    let app = App::start().await;
    let mut stranger = app.signed_in("new.user@example.com").await;
    enter(&app, &mut stranger, ROOM).await;
    let (mut jane, _) = jane_and_john(&app).await;
    // A person without an organization records, and a member of one stops; then the other way round.
    let egress = stranger.start_recording(start(ROOM)).await.is(200).text("/egressId");
    let refused = jane.start_recording(start(ROOM)).await.refused(409, "already_recording");
    assert_eq!(refused.body["egressId"], egress.as_str());
    jane.stop_recording(stop(ROOM, &egress)).await.is(200);
    let egress = jane.start_recording(start(ROOM)).await.is(200).text("/egressId");
    stranger.stop_recording(stop(ROOM, &egress)).await.is(200);
    assert!(app.running().is_empty());
}

#[tokio::test]
async fn a_repeated_stop_finishes_what_the_first_one_left() {
    let app = App::start().await;
    app.without_webhooks();
    let (mut jane, mut john) = jane_and_john(&app).await;
    let table = app.cloud.table().unwrap();
    let egress = jane.start_recording(start(ROOM)).await.is(200).text("/egressId");
    let (room, slot) = (app.items_of("room#").remove(0), app.items_of("recordings-of#").remove(0));
    let stopped = jane.stop_recording(stop(ROOM, &egress)).await.is(200).body;
    // As if only the note of the stop had been written, or all but one of the other writes.
    let mut active = app.items_of("recording#").remove(0);
    active["status"] = json!({ "S": "active" });
    for lost in [&[&room, &slot, &active][..], &[&room], &[&slot], &[&active]] {
        for item in lost {
            app.dynamodb().put(table, item).unwrap();
        }
        assert_eq!(john.stop_recording(stop(ROOM, &egress)).await.is(200).body, stopped);
        assert_eq!(app.record(&egress)["status"], "ending");
        assert_eq!((app.items_of("room#").len(), slots(&app, JANE)), (0, 0));
    }
    assert_eq!(app.livekit().proxy().count("StopEgress"), 1);
}

#[tokio::test]
async fn the_lease_of_a_clock_that_is_ahead_is_cut() {
    let app = App::start().await;
    let (mut jane, mut john) = jane_and_john(&app).await;
    app.livekit().proxy().inject(Fault::response(START, 504, "<html>").times(1));
    jane.start_recording(start(ROOM)).await.refused(502, "livekit_unavailable");
    let mut claim = app.items_of("room#").remove(0);
    claim["lease_until"] = json!({ "N": (now() + 130).to_string() });
    app.dynamodb().put(app.cloud.table().unwrap(), &claim).unwrap();
    john.start_recording(start(ROOM)).await.refused(409, "already_recording");
    let until: u64 = app.items_of("room#")[0]["lease_until"]["N"].as_str().unwrap().parse().unwrap();
    assert!(until <= now() + 9, "{until}");
}
