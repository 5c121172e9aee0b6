//! LiveKit's webhooks through the gateway: only signed ones count, in any order and any number of times.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use livekit_api::access_token::Claims;
use livekit_protocol::{EgressInfo, WebhookEvent};
use local_livekit::sign_body;
use local_proxy::{Effect, Fault};
use serde_json::{Value, json};

use crate::app::App;
use crate::meeting::{JANE, ROOM, ada, enter, jane_and_john, start, stop};

#[tokio::test]
async fn webhooks_move_a_recording_through_every_status() {
    let app = App::start().await;
    let (mut jane, _) = jane_and_john(&app).await;
    app.livekit().set_automatic(false);
    let egress = jane.start_recording(start(ROOM)).await.is(200).text("/egressId");
    app.livekit().webhooks_settled().await;
    assert_eq!(app.record(&egress)["status"], "starting");
    app.livekit().activate(&egress);
    app.livekit().webhooks_settled().await;
    assert_eq!(app.record(&egress)["status"], "active");
    jane.stop_recording(stop(ROOM, &egress)).await.is(200);
    app.livekit().webhooks_settled().await;
    assert_eq!(app.record(&egress)["status"], "ending");
    assert!(app.record(&egress).get("ended_at").is_none());
    app.livekit().finish(&egress).unwrap();
    app.livekit().webhooks_settled().await;
    let record = app.record(&egress);
    assert_eq!(record["status"], "ended");
    assert!(record["file_location"].as_str().unwrap().starts_with("https://"));

    let deliveries = app.livekit().deliveries();
    for event in ["room_started", "participant_joined", "egress_started", "egress_updated", "egress_ended"] {
        assert!(deliveries.iter().any(|delivery| delivery.event.event == event), "{event} was not sent");
    }
    for delivery in deliveries {
        assert_eq!(delivery.statuses, [Some(200)], "{}", delivery.event.event);
    }
}

#[tokio::test]
async fn a_recording_that_livekit_ends_by_itself_frees_the_room() {
    for told in [true, false] {
        let app = App::start().await;
        if !told {
            app.without_webhooks();
        }
        let (mut jane, _) = jane_and_john(&app).await;
        type End = fn(&App, &str);
        let ends: [(End, &str, Value); 3] = [
            (|app, egress| drop(app.livekit().fail(egress, "disk full")), "failed", json!("disk full")),
            (|app, egress| drop(app.livekit().reach_limit(egress)), "ended", json!("Session limit reached")),
            (|app, egress| drop(app.livekit().finish(egress)), "ended", Value::Null),
        ];
        for (end, status, failure) in ends {
            let egress = jane.start_recording(start(ROOM)).await.is(200).text("/egressId");
            end(&app, &egress);
            app.livekit().webhooks_settled().await;
            assert_eq!(app.items_of("room#").is_empty(), told, "only a webhook frees the room at once");

            // If the webhook was lost, the next start frees the room.
            let again = jane.start_recording(start(ROOM)).await.is(200).text("/egressId");
            assert_ne!(again, egress);
            let record = app.record(&egress);
            assert_eq!((&record["status"], &record["failure"]), (&json!(status), &failure));
            // A stop of an ended recording returns its end.
            let stopped = jane.stop_recording(stop(ROOM, &egress)).await.is(200);
            assert_eq!(stopped.body["timestamp"], record["ended_at"]);
            jane.stop_recording(stop(ROOM, &again)).await.is(200);
            app.livekit().webhooks_settled().await;
        }
        assert!(app.running().is_empty());
    }
}

#[tokio::test]
async fn a_closed_room_is_free_and_old_events_do_not_free_its_successor() {
    let app = App::start().await;
    app.without_webhooks();
    let (mut jane, _) = jane_and_john(&app).await;
    let first = jane.start_recording(start(ROOM)).await.is(200).text("/egressId");
    app.livekit().end_room(ROOM).unwrap();
    let old = app.livekit().events();
    let finished = old.iter().find(|event| event.event == "room_finished").expect("room_finished").clone();
    // `room_finished` alone, without an event about the egress.
    app.tell(&finished).await.is(200);
    assert!(app.items_of("room#").is_empty());
    assert_eq!(app.record(&first)["status"], "ending");

    enter(&app, &mut jane, ROOM).await;
    let second = jane.start_recording(start(ROOM)).await.is(200).text("/egressId");
    for event in &old {
        app.tell(event).await.is(200);
    }
    assert_eq!(app.record(&first)["status"], "ended");
    assert_eq!(app.record(&second)["status"], "starting");
    let refused = jane.start_recording(start(ROOM)).await.refused(409, "already_recording");
    assert_eq!(refused.body["egressId"], second.as_str());
}

#[tokio::test]
async fn any_order_and_repetition_of_events_has_the_same_result() {
    let app = App::start().await;
    app.without_webhooks();
    let mut ada = ada(&app).await;
    let arrangements: [fn(&mut Vec<WebhookEvent>); 6] = [
        |_| (),
        |events| events.reverse(),
        |events| events.extend(events.clone()),
        |events| *events = events.iter().flat_map(|event| [event.clone(), event.clone()]).collect(),
        |events| {
            let half = events.len() / 2;
            events.rotate_left(half);
        },
        // All but the last event are lost.
        |events| events.retain(|event| event.event == "egress_ended"),
    ];
    for (number, arrange) in arrangements.into_iter().enumerate() {
        let room = format!("room {number}");
        enter(&app, &mut ada, &room).await;
        let seen = app.livekit().events().len();
        let egress = ada.start_recording(start(&room)).await.is(200).text("/egressId");
        app.livekit().end_room(&room).unwrap();
        let mut events = app.livekit().events().split_off(seen);
        assert!(events.len() >= 5, "{events:?}");
        arrange(&mut events);
        for event in &events {
            app.tell(event).await.is(200);
        }
        let record = app.record(&egress);
        assert_eq!(record["status"], "ended", "arrangement {number}");
        assert!(record["ended_at"].is_u64() && record["file_location"].is_string());
        assert!(app.items_of("room#").is_empty(), "arrangement {number}");
    }
}

#[tokio::test]
async fn only_webhooks_signed_by_livekit_are_applied() {
    let app = App::start().await;
    app.without_webhooks();
    let mut ada = ada(&app).await;
    let join = ada.room_auth("Ada", ROOM).await.is(200).text("/token");
    app.livekit().join(&join).unwrap();
    let egress = ada.start_recording(start(ROOM)).await.is(200).text("/egressId");
    app.livekit().fail(&egress, "disk full").unwrap();
    let event = app.livekit().egress_event("egress_ended", &egress).unwrap();
    let (body, authorization) = app.livekit().sign_webhook(&event).unwrap();
    let (head, signature) = authorization.rsplit_once('.').unwrap();
    let (header, claims) = head.split_once('.').unwrap();
    let none = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(br#"{"alg":"none","typ":"JWT"}"#);
    let other = sign_body("devkey", "secret", "{}").unwrap();
    let (_, other_signature) = other.rsplit_once('.').unwrap();
    let of_an_hour_ago = signed(&body, now() - 3600, now() - 3300);
    let of_tomorrow = signed(&body, now() + 86_400, now() + 86_700);
    let bodiless = sign_body("devkey", "secret", "").unwrap();

    for (what, body, authorization) in [
        ("no Authorization", body.clone(), None),
        ("an empty one", body.clone(), Some("")),
        ("no token", body.clone(), Some("Bearer ")),
        ("nonsense", body.clone(), Some("a.b.c")),
        ("another signature", body.clone(), Some(&*format!("{head}.{other_signature}"))),
        ("no signature", body.clone(), Some(&*format!("{head}."))),
        ("alg none", body.clone(), Some(&*format!("{none}.{claims}."))),
        ("alg none, signed", body.clone(), Some(&*format!("{none}.{claims}.{signature}"))),
        ("another header's signature", body.clone(), Some(&*format!("{claims}.{header}.{signature}"))),
        ("another secret", body.clone(), Some(&*sign_body("devkey", "another", &body).unwrap())),
        ("another key", body.clone(), Some(&*sign_body("otherkey", "secret", &body).unwrap())),
        ("a changed body", body.replace("disk full", "disk fine"), Some(&*authorization)),
        ("a longer body", format!("{body} "), Some(&*authorization)),
        ("no body", String::new(), Some(&*authorization)),
        ("the signature of another body", body.clone(), Some(&*other)),
        ("the signature of no body", body.clone(), Some(&*bodiless)),
        ("a token to join a room", body.clone(), Some(&*join)),
        ("an expired token", body.clone(), Some(&*of_an_hour_ago)),
        ("a token of the future", body.clone(), Some(&*of_tomorrow)),
    ] {
        let answer = app.webhook(body, authorization).await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.body);
        answer.refused(401, "not_signed_in");
    }
    // A session is not a signature.
    let answer = ada.send("/webhooks/livekit", Some((body.clone().into(), "application/json"))).await;
    answer.refused(401, "not_signed_in");
    assert_eq!(app.record(&egress)["status"], "starting", "nothing was applied");
    assert_eq!(app.items_of("room#").len(), 1);

    // Signed, but not an event.
    for nonsense in ["", "{", "[]", "null", r#"{"event":7}"#, r#"{"egressInfo":{"status":"EGRESS_NOVEL"}}"#] {
        let signed = sign_body("devkey", "secret", nonsense).unwrap();
        app.webhook(nonsense, Some(&signed)).await.refused(400, "invalid_json");
    }
    // Signed, but irrelevant or unknown.
    for other in ["{}", r#"{"event":"a_new_one","novelty":{"a":[1]}}"#, r#"{"event":"egress_ended"}"#] {
        let signed = sign_body("devkey", "secret", other).unwrap();
        app.webhook(other, Some(&signed)).await.is(200);
    }
    assert_eq!(app.record(&egress)["status"], "starting");

    // The real one: as LiveKit sends it, and with the usual prefix.
    app.webhook(body.clone(), Some(&authorization)).await.is(200);
    let record = app.record(&egress);
    assert_eq!((&record["status"], &record["failure"]), (&json!("failed"), &json!("disk full")));
    app.webhook(body, Some(&format!("Bearer {authorization}"))).await.is(200);
    assert_eq!(app.record(&egress), record, "a replay changes nothing");
    let logs = app.logs();
    assert!(!logs.iter().any(|line| line.contains(signature) || line.contains(&join)));
}

#[tokio::test]
async fn a_webhook_by_a_clock_two_minutes_off_is_accepted() {
    let app = App::start().await;
    let clock = |off: i64| usize::try_from(i64::try_from(now()).unwrap() + off).unwrap();
    // LiveKit signs for five minutes.
    for (nbf, exp) in [(clock(120), clock(420)), (clock(-420), clock(-120))] {
        app.webhook("{}", Some(&signed("{}", nbf, exp))).await.is(200);
    }
}

/// The `Authorization` of a body, valid at another time.
fn signed(body: &str, nbf: usize, exp: usize) -> String {
    let sha256 = STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, body.as_bytes()));
    let claims = Claims { iss: "devkey".into(), nbf, exp, sha256, ..Claims::default() };
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(b"secret"))
        .unwrap()
}

fn now() -> usize {
    crate::app::now().try_into().unwrap()
}

#[tokio::test]
async fn an_egress_of_another_application_is_ignored() {
    let app = App::start().await;
    app.without_webhooks();
    let mut ada = ada(&app).await;
    enter(&app, &mut ada, ROOM).await;
    let egress = ada.start_recording(start(ROOM)).await.is(200).text("/egressId");
    let before = (app.items_of("room#"), app.items_of("recording#"));
    for event in ["egress_started", "egress_updated", "egress_ended"] {
        for status in 0..=6 {
            let info = EgressInfo {
                egress_id: "EG_of_somebody_else".into(),
                room_name: ROOM.into(),
                status,
                ..EgressInfo::default()
            };
            let event =
                WebhookEvent { event: event.into(), egress_info: Some(info), ..WebhookEvent::default() };
            app.tell(&event).await.is(200);
        }
    }
    assert_eq!((app.items_of("room#"), app.items_of("recording#")), before);
    assert_eq!(app.livekit().proxy().count("StopEgress"), 0, "the other egress is still running");
    ada.stop_recording(stop(ROOM, &egress)).await.is(200);
}

#[tokio::test]
async fn large_events_are_applied_and_too_large_ones_are_refused() {
    let app = App::start().await;
    app.without_webhooks();
    let mut ada = ada(&app).await;
    enter(&app, &mut ada, ROOM).await;
    let egress = ada.start_recording(start(ROOM)).await.is(200).text("/egressId");
    app.livekit().fail(&egress, &"é".repeat(20 * 1024)).unwrap();
    let event = app.livekit().egress_event("egress_ended", &egress).unwrap();
    let (body, authorization) = app.livekit().sign_webhook(&event).unwrap();
    assert!(body.len() > 32 * 1024);
    app.webhook(body, Some(&authorization)).await.is(200);
    let record = app.record(&egress);
    assert_eq!(record["status"], "failed");
    assert_eq!(record["failure"].as_str().unwrap(), "é".repeat(500), "only the beginning is stored");

    let most = padded(256 * 1024);
    app.webhook(most.clone(), Some(&sign_body("devkey", "secret", &most).unwrap())).await.is(200);
    let over = padded(256 * 1024 + 1);
    let authorization = sign_body("devkey", "secret", &over).unwrap();
    app.webhook(over, Some(&authorization)).await.refused(413, "body_too_large");
    // Above the limits of Lambda and of the gateway.
    for size in [7 * 1024 * 1024, 11 * 1024 * 1024] {
        let answer = app.webhook(vec![b' '; size], Some(&authorization)).await.is(413);
        assert_eq!(answer.body, json!({ "message": "Request Entity Too Large" }));
    }
}

fn padded(size: usize) -> String {
    let event = r#"{"event":"x"}"#;
    format!("{event}{}", " ".repeat(size - event.len()))
}

#[tokio::test]
async fn a_failed_webhook_is_repeated_and_applied() {
    let app = App::with(|options| options.livekit.webhook_backoff = Duration::from_millis(20)).await;
    app.without_webhooks();
    let mut ada = ada(&app).await;
    let faults = [
        // The SDK attempts a call three times.
        ("UpdateItem", Fault::new("UpdateItem", Effect::Drop).times(3)),
        ("UpdateItem", Fault::response("UpdateItem", 500, "oops").times(3)),
        ("UpdateItem", Fault::response("UpdateItem", 200, "<html>").times(1)),
        ("DeleteItem", Fault::response("DeleteItem", 400, THROTTLED).times(3)),
    ];
    for (call, fault) in faults {
        enter(&app, &mut ada, ROOM).await;
        let egress = ada.start_recording(start(ROOM)).await.is(200).text("/egressId");
        app.tell_of("egress_updated", &egress).await.is(200);
        let sent = app.livekit().deliveries().len();
        app.livekit().set_webhook_url(Some(format!("{}/webhooks/livekit", app.cloud.url())));
        app.dynamodb().proxy().inject(fault);
        app.livekit().finish(&egress).unwrap();
        app.livekit().webhooks_settled().await;
        app.without_webhooks();
        let deliveries = app.livekit().deliveries().split_off(sent);
        assert_eq!(deliveries.len(), 1);
        assert_eq!(deliveries[0].statuses, [Some(503), Some(200)], "{call}");
        assert_eq!(app.record(&egress)["status"], "ended", "{call}");
        assert!(app.items_of("room#").is_empty(), "{call}");
        app.dynamodb().proxy().clear_faults();
    }
}

const THROTTLED: &str = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"slow"}"#;

#[tokio::test]
async fn a_surplus_egress_is_stopped_by_its_webhook_even_if_livekit_is_busy_at_first() {
    let app = App::start().await;
    app.without_webhooks();
    let (mut jane, mut john) = jane_and_john(&app).await;
    // LiveKit starts the first egress, but neither responds nor lists it.
    let livekit = app.livekit().proxy();
    livekit.inject(Fault::new("StartRoomCompositeEgress", Effect::LoseResponse).times(1));
    livekit.inject(Fault::response("ListEgress", 200, "").times(3));
    jane.start_recording(start(ROOM)).await.refused(502, "livekit_unavailable");
    let surplus = app.livekit().egresses()[0].egress_id.clone();
    let egress = john.start_recording(start(ROOM)).await.is(200).text("/egressId");
    assert_eq!(app.running().len(), 2);
    livekit.clear_faults();

    let busy = r#"{"code":"unavailable","msg":"no servers"}"#;
    livekit.inject(Fault::response("StopEgress", 503, busy).times(1));
    livekit.inject(Fault::new("StopEgress", Effect::Drop).times(1));
    app.tell_of("egress_updated", &surplus).await.refused(503, "livekit_busy");
    app.tell_of("egress_updated", &surplus).await.refused(502, "livekit_unavailable");
    app.tell_of("egress_updated", &surplus).await.is(200);
    let running = app.running();
    assert_eq!((running.len(), running[0].egress_id.as_str()), (1, egress.as_str()));
    assert!(app.items_of(&format!("recording#{surplus}")).is_empty());
    assert_ne!(app.record(&egress)["started_by"], JANE);
}

#[tokio::test]
async fn other_methods_are_not_found() {
    let app = App::start().await;
    for method in ["GET", "PUT", "DELETE", "PATCH"] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = crate::app::http().request(method, format!("{}/webhooks/livekit", app.cloud.url()));
        assert_eq!(request.send().await.unwrap().status(), 404);
    }
}
