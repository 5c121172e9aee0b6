//! Rooms: scope, recording policy and field limits.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::app::{App, Browser};
use crate::meeting::{CAZZI, JANE, MASADAS, ROOM, ada, enter, jane, jane_and_john, start, stop};

const START: &str = "/api/v1/livekit/start-recording";
const STOP: &str = "/api/v1/livekit/stop-recording";

/// The room in the token that room-auth returns.
async fn room_of(browser: &mut Browser<'_>, room: &str) -> String {
    let token = browser.room_auth("Somebody", room).await.is(200).text("/token");
    let payload = token.split('.').nth(1).expect("a payload");
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    claims["video"]["room"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn without_a_scope_users_of_different_organizations_meet() {
    let app = App::start().await;
    let (mut jane, mut ada) = (jane(&app).await, ada(&app).await);
    let mut guest = app.signed_in("new.user@example.com").await;
    for browser in [&mut jane, &mut ada, &mut guest] {
        assert_eq!(room_of(browser, ROOM).await, ROOM);
        enter(&app, browser, ROOM).await;
    }
    assert_eq!(app.livekit().participants(ROOM).len(), 3);
    // A user without an organization records, and everybody in the room can stop it.
    let egress = guest.start_recording(start(ROOM)).await.is(200).text("/egressId");
    let key = app.record(&egress)["object_key"].as_str().unwrap().to_owned();
    assert!(key.starts_with("recordings/no-organization/1/test-room/"), "{key}");
    jane.stop_recording(stop(ROOM, &egress)).await.is(200);
    guest.stop_recording(stop(ROOM, &egress)).await.is(200);
}

#[tokio::test]
async fn with_organization_scope_nobody_enters_another_organizations_room() {
    let app = App::with_env(&[("ROOM_SCOPE", "organization")]).await;
    let (mut jane, mut ada) = (jane(&app).await, ada(&app).await);
    let theirs = format!("{MASADAS}:{ROOM}");
    assert_eq!(room_of(&mut jane, ROOM).await, theirs);
    for name in [ROOM, &theirs, &format!(":{theirs}"), &format!("../{theirs}"), &format!("{CAZZI}:{ROOM}")] {
        assert_eq!(
            room_of(&mut ada, name).await,
            format!("{CAZZI}:{name}"),
            "always prefixed with their own id"
        );
    }
    enter(&app, &mut jane, ROOM).await;
    enter(&app, &mut ada, ROOM).await;
    assert_eq!(app.livekit().rooms().len(), 2, "equal names, two rooms");

    let egress = jane.start_recording(start(ROOM)).await.is(200).text("/egressId");
    assert_eq!(app.record(&egress)["room"], theirs.as_str());
    for name in [ROOM, theirs.as_str()] {
        ada.stop_recording(stop(name, &egress)).await.refused(404, "recording_not_found");
    }
    ada.start_recording(start(&theirs)).await.refused(404, "room_not_found");
    ada.start_recording(start(ROOM)).await.is(200);
    assert_eq!(app.running().len(), 2);
    jane.stop_recording(stop(ROOM, &egress)).await.is(200);

    let mut guest = app.signed_in("new.user@example.com").await;
    guest.room_auth("Guest", ROOM).await.refused(403, "organization_not_allowed");
    guest.room_auth("Guest", &theirs).await.refused(403, "organization_not_allowed");
    guest.start_recording(start(ROOM)).await.refused(403, "organization_not_allowed");
    guest.stop_recording(stop(ROOM, &egress)).await.refused(403, "organization_not_allowed");
}

#[tokio::test]
async fn an_identity_in_the_body_is_ignored() {
    let app = App::start().await;
    let mut jane = jane(&app).await;
    let body = json!({ "username": "Ada", "roomId": ROOM, "identity": "user_other", "userId": "user_other", "organizationId": CAZZI });
    let token = jane.post("/api/v1/livekit/room-auth", body).await.is(200).text("/token");
    let inside = app.livekit().join(&token).unwrap();
    assert_eq!(inside.identity, JANE);
    assert_eq!(inside.attributes["organizationId"], MASADAS);
    let mut body = start(ROOM);
    body["startedBy"] = json!("user_other");
    body["organizationId"] = json!(CAZZI);
    let egress = jane.post(START, body).await.is(200).text("/egressId");
    let record = app.record(&egress);
    assert_eq!((&record["started_by"], &record["organization_id"]), (&json!(JANE), &json!(MASADAS)));
}

#[tokio::test]
async fn the_policy_anyone_does_not_require_presence_in_the_room() {
    let app = App::with_env(&[("RECORDING_POLICY", "anyone")]).await;
    let (mut jane, mut john) = jane_and_john(&app).await;
    app.livekit().leave(ROOM, JANE).unwrap();
    let egress = jane.start_recording(start(ROOM)).await.is(200).text("/egressId");
    assert_eq!(app.livekit().proxy().count("GetParticipant"), 0, "presence is not checked");
    ada(&app).await.stop_recording(stop(ROOM, &egress)).await.refused(404, "recording_not_found");
    john.stop_recording(stop(ROOM, &egress)).await.is(200);
    jane.start_recording(start("nowhere")).await.refused(404, "room_not_found");
    assert!(app.items_of("room#").is_empty());

    // Users without an organization share none: a recording belongs to the user who started it.
    let mut guest = app.signed_in("guest@example.org").await;
    let mut other = app.signed_in("other@example.org").await;
    let egress = guest.start_recording(start(ROOM)).await.is(200).text("/egressId");
    other.stop_recording(stop(ROOM, &egress)).await.refused(404, "recording_not_found");
    guest.stop_recording(stop(ROOM, &egress)).await.is(200);
}

fn with(mut body: Value, field: &str, value: Value) -> Value {
    body[field] = value;
    body
}

fn names(count: usize) -> String {
    (0..count).map(|n| format!("name {n}")).collect::<Vec<_>>().join(",")
}

#[tokio::test]
async fn fields_of_recordings_are_checked_and_named() {
    let app = App::start().await;
    let mut ada = ada(&app).await;
    let stop_body = stop(ROOM, "EG_1");
    let fields = [
        (START, start(ROOM), "roomName", 128),
        (START, start(ROOM), "conferenceTopic", 200),
        (START, start(ROOM), "zoneId", 64),
        (STOP, stop_body.clone(), "roomName", 128),
        (STOP, stop_body.clone(), "egressId", 64),
        (STOP, stop_body.clone(), "zoneId", 64),
    ];
    for (path, body, field, limit) in fields {
        let mut missing = body.clone();
        missing.as_object_mut().unwrap().remove(field);
        ada.post(path, missing).await.refused(400, "missing_field").names(field);
        for empty in [json!(null), json!(""), json!("   "), json!("\n\t")] {
            let body = with(body.clone(), field, empty);
            ada.post(path, body).await.refused(400, "missing_field").names(field);
        }
        for wrong in [
            json!("x".repeat(limit + 1)),
            // The limit counts bytes of UTF-8.
            json!("会".repeat(limit / 3 + 1)),
            json!("a\u{0}b"),
            json!("a\nb"),
            json!("a\u{7f}b"),
            json!("a\u{85}b"),
            json!(7),
            json!([ROOM]),
            json!({ "name": ROOM }),
        ] {
            let body = with(body.clone(), field, wrong);
            ada.post(path, body).await.refused(400, "invalid_field").names(field);
        }
    }
    for wrong in ["EG 1", "EG_é", "EG_\u{202e}1"] {
        let body = with(stop_body.clone(), "egressId", json!(wrong));
        ada.post(STOP, body).await.refused(400, "invalid_field").names("egressId");
    }
    for (list, reason) in [
        (json!(null), "missing_field"),
        (json!(""), "missing_field"),
        (json!(" , ,, "), "missing_field"),
        (json!(["alice"]), "invalid_field"),
        (json!("n".repeat(129)), "invalid_field"),
        (json!("alice,b\u{7}b"), "invalid_field"),
        (json!(names(501)), "invalid_field"),
    ] {
        let body = with(start(ROOM), "participants", list);
        ada.post(START, body).await.refused(400, reason).names("participants");
    }
    for path in [START, STOP] {
        ada.send(path, None).await.refused(400, "missing_field");
        ada.send(path, Some((b"{".to_vec(), "application/json"))).await.refused(400, "invalid_json");
        ada.send(path, Some((b"{}".to_vec(), "text/plain"))).await.refused(415, "json_required");
        let large = with(start(ROOM), "padding", json!("x".repeat(16 * 1024)));
        ada.post(path, large).await.refused(413, "body_too_large");
    }
    assert!(app.livekit().proxy().calls().is_empty(), "no call was made for bad input");
    assert!(app.items_of("room#").is_empty());
}

#[tokio::test]
async fn valid_fields_are_recorded_unchanged() {
    let app = App::start().await;
    let mut ada = ada(&app).await;
    let (a, b) = ("Zoë, 林 🎥, zoë".to_owned(), json!(["Zoë", "林 🎥", "zoë"]));
    let five_hundred = (0..500).map(|n| json!(format!("name {n}"))).collect::<Value>();
    let cases = [
        ("会議室 1", "Zoë's 設計 — 100% {time}", "Haus 3/α", a, b),
        ("../../etc", "a", "..", " alice ,bob,, alice ,".to_owned(), json!(["alice", "bob"])),
        (&"r".repeat(128), &"t".repeat(200), &"z".repeat(64), "n".repeat(128), json!(["n".repeat(128)])),
        ("{room_id}", "t", "1", names(500), five_hundred.clone()),
        ("twice", "t", "1", format!("{},{}", names(500), names(500)), five_hundred),
    ];
    for (room, topic, zone, participants, expected) in cases {
        enter(&app, &mut ada, room).await;
        let body = json!({ "roomName": room, "conferenceTopic": topic, "zoneId": zone, "participants": participants });
        let egress = ada.start_recording(body).await.is(200).text("/egressId");
        let record = app.record(&egress);
        assert_eq!(
            (&record["room"], &record["topic"], &record["zone_id"]),
            (&json!(room), &json!(topic), &json!(zone))
        );
        assert_eq!(record["participants"], expected);
        // Always three segments below the prefix, and no placeholder that LiveKit would replace.
        let key = record["object_key"].as_str().unwrap();
        let segments: Vec<_> = key.split('/').collect();
        assert_eq!((segments.len(), &segments[..2]), (5, &["recordings", CAZZI][..]), "{key}");
        assert!(segments.iter().all(|segment| !segment.is_empty() && !segment.starts_with('.')), "{key}");
        assert!(key.is_ascii() && key.len() <= 1024 && !key.contains('{'), "{key}");
        let stopped = json!({ "roomName": room, "egressId": egress, "zoneId": zone });
        ada.stop_recording(stopped).await.is(200);
        app.livekit().webhooks_settled().await;
        // The double refuses metadata that S3 would refuse.
        let record = app.record(&egress);
        assert_eq!(record["status"], "ended", "{record}");
        assert!(record["file_location"].as_str().unwrap().ends_with(key), "{record}");
    }
}

/// Persian with ZWNJ, Devanagari with ZWJ, and emoji with ZWJ and a variation selector.
const JOINED: [&str; 4] =
    ["می\u{200c}خواهم", "क्\u{200d}ष", "👩\u{200d}👩\u{200d}👧\u{200d}👦", "Jo ❤\u{fe0f}\u{200d}🔥"];

/// What people paste, and what they mean by it.
const PASTED: [(&str, &str); 4] = [
    ("\u{feff}Ja\u{ad}ne\u{200b} Doe\u{200e}", "Jane Doe"),
    ("Ｊａｎｅ\u{3000}Ｄｏｅ", "Jane Doe"),
    ("Zoe\u{308}", "Zoë"),
    ("\u{200d}Jane\u{200c}", "Jane"),
];

/// Nothing that anybody can see: a zero-width space, a Hangul filler, a braille blank, a joiner with nothing to join.
const INVISIBLE: [&str; 4] = ["\u{200b}", "\u{3164}", "\u{2800}\u{2060}", " \u{200d} "];

/// Directional overrides and isolates, and a line separator.
const REORDERED: [&str; 3] = ["Jane\u{202e}eoD", "Jane \u{2067}Doe\u{2069}", "Jane\u{2028}Doe"];

#[tokio::test]
async fn names_in_a_room_are_visible_and_have_one_form() {
    let app = App::start().await;
    let mut jane = jane(&app).await;
    for (name, seen) in JOINED.map(|name| (name, name)).into_iter().chain(PASTED) {
        let token = jane.room_auth(name, ROOM).await.is(200).text("/token");
        assert_eq!(app.livekit().join(&token).unwrap().name, seen, "{name:?}");
    }
    for name in INVISIBLE {
        jane.room_auth(name, ROOM).await.refused(400, "missing_field").names("username");
    }
    for name in REORDERED {
        jane.room_auth(name, ROOM).await.refused(400, "invalid_field").names("username");
    }
}

#[tokio::test]
async fn topics_and_participants_are_visible_and_have_one_form() {
    let app = App::start().await;
    let mut ada = ada(&app).await;
    enter(&app, &mut ada, ROOM).await;
    for text in INVISIBLE {
        let body = with(start(ROOM), "conferenceTopic", json!(text));
        ada.post(START, body).await.refused(400, "missing_field").names("conferenceTopic");
        let body = with(start(ROOM), "participants", json!(format!("{text},{text}")));
        ada.post(START, body).await.refused(400, "missing_field").names("participants");
    }
    for text in REORDERED {
        let body = with(start(ROOM), "conferenceTopic", json!(text));
        ada.post(START, body).await.refused(400, "invalid_field").names("conferenceTopic");
        let body = with(start(ROOM), "participants", json!(format!("alice,{text}")));
        ada.post(START, body).await.refused(400, "invalid_field").names("participants");
    }
    let body = with(start(ROOM), "conferenceTopic", json!(format!("\u{feff}{}", JOINED.join(" "))));
    // A full-width comma separates names too.
    let names = format!("{}，\u{200b},{}", PASTED.map(|(name, _)| name).join(","), JOINED.join(","));
    let egress =
        ada.start_recording(with(body, "participants", json!(names))).await.is(200).text("/egressId");
    let record = app.record(&egress);
    assert_eq!(record["topic"], JOINED.join(" "));
    let expected: Vec<_> = ["Jane Doe", "Zoë", "Jane"].into_iter().chain(JOINED).collect();
    assert_eq!(record["participants"], json!(expected));
}

#[tokio::test]
async fn identifiers_are_never_normalized() {
    let app = App::start().await;
    let mut ada = ada(&app).await;
    for name in ["Ｒｏｏｍ", "Room", "Ro\u{200b}om", "\u{feff}Room"] {
        assert_eq!(room_of(&mut ada, name).await, name);
    }
    enter(&app, &mut ada, ROOM).await;
    let egress = ada.start_recording(with(start(ROOM), "zoneId", json!("ﬁ"))).await.is(200).text("/egressId");
    assert_eq!(app.record(&egress)["zone_id"], "ﬁ");
    let other = with(stop(ROOM, &egress), "zoneId", json!("fi"));
    ada.stop_recording(other).await.refused(404, "recording_not_found");
    ada.stop_recording(with(stop(ROOM, &egress), "zoneId", json!("ﬁ"))).await.is(200);
}
