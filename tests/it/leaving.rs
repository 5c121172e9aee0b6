//! Ended means out of the room as well: who leaves a meeting when a session ends, and who stays.
//!
//! The LiveKit double behaves as a livekit-server: a removed participant gets back in with the same token. Its webhooks
//! go to the product.

use std::time::{Duration, Instant};

use livekit_api::access_token::{AccessToken, VideoGrants};
use livekit_protocol::WebhookEvent;
use local_proxy::{Effect, Fault};
use serde_json::{Value, json};

use crate::app::{Answer, App, Browser, now};
use crate::meeting::{JANE, JOHN, MASADAS, ROOM, TAUNTA, enter, john};
use crate::rounds;

const OTHER_ROOM: &str = "another-room";

/// The ways in which a session ends without its browser.
pub const ENDS: [&str; 5] = ["end-session", "sign-out-everywhere", "revoked", "membership", "backstop"];

/// Jane in one more browser. She signs in more often than people do.
async fn jane(app: &App) -> Browser<'_> {
    app.reset_limits();
    crate::meeting::jane(app).await
}

/// Joins with a token, and waits until LiveKit has told the product.
async fn join(app: &App, token: &str) {
    app.livekit().join(token).expect("the token opens the room");
    app.livekit().webhooks_settled().await;
}

/// Leaves the room, and waits until LiveKit has told the product.
async fn leave(app: &App, room: &str, identity: &str) {
    app.livekit().leave(room, identity).expect("somebody to leave");
    app.livekit().webhooks_settled().await;
}

async fn token(browser: &mut Browser<'_>, room: &str) -> String {
    browser.room_auth("Somebody", room).await.is(200).text("/token")
}

async fn sign_out_and_leave(browser: &mut Browser<'_>) -> Answer {
    browser.post("/auth/sign-out", json!({ "leaveRooms": true })).await.is(200)
}

fn is_in(app: &App, room: &str, identity: &str) -> bool {
    app.livekit().participants(room).iter().any(|participant| participant.identity == identity)
}

/// How many connections the table knows.
fn connections(app: &App) -> usize {
    let items = app.items_of("presence#").into_iter();
    items
        .flat_map(|item| item.as_object().unwrap().clone())
        .filter(|(name, _)| name.starts_with("in#"))
        .count()
}

/// The id of the session, by which clients know it.
async fn session_id(app: &App, browser: &Browser<'_>) -> String {
    app.context_of(browser).await.unwrap()["session"].as_str().unwrap().to_owned()
}

/// A token for a room that LiveKit's key signs, with these attributes.
fn signed(identity: &str, room: &str, attributes: &[(&str, &str)]) -> String {
    let grants = VideoGrants { room_join: true, room: room.to_owned(), ..VideoGrants::default() };
    let token = AccessToken::with_api_key("devkey", "secret").with_identity(identity);
    token.with_attributes(attributes.iter().copied()).with_grants(grants).to_jwt().unwrap()
}

/// Ends the session of John, who is in a room and has switched to its organization, without his browser. Returns him and
/// a room token that he has kept.
pub async fn ended_elsewhere<'a>(app: &'a App, end: &str) -> (Browser<'a>, String) {
    app.reset_limits();
    let (mut browser, mut other) = (john(app, MASADAS).await, john(app, MASADAS).await);
    browser.switch_organization("123@gmail.com", TAUNTA).await.is(200);
    enter(app, &mut browser, ROOM).await;
    let kept = token(&mut browser, ROOM).await;
    let id = session_id(app, &browser).await;
    match end {
        "end-session" => {
            other.post("/auth/end-session", json!({ "sessionId": id })).await.is(200);
        }
        "sign-out-everywhere" => {
            other.post("/auth/sign-out-everywhere", json!({})).await.is(200);
        }
        _ => {
            let is_lost = end == "backstop";
            app.workos().set_webhook_url((!is_lost).then(|| format!("{}/webhooks/workos", app.cloud.url())));
            if is_lost {
                // The backstop reads what happened some minutes ago.
                app.workos().rewind(Duration::from_secs(300));
            }
            match end {
                "membership" => app.workos().remove_membership(JOHN, TAUNTA),
                _ => _ = app.workos().revoke_sessions(JOHN),
            }
            app.workos().webhooks_settled().await;
            app.workos().set_webhook_url(None);
            if is_lost {
                app.cloud.fire_schedule("sweep-sessions").await.unwrap();
            }
        }
    }
    (browser, kept)
}

#[tokio::test]
async fn however_a_session_ends_elsewhere_its_person_leaves_the_room_and_stays_out() {
    for end in ENDS {
        let app = App::start().await;
        let mut jane = jane(&app).await;
        enter(&app, &mut jane, ROOM).await;
        let (mut browser, kept) = ended_elsewhere(&app, end).await;
        browser.room_auth("John", ROOM).await.refused(401, "not_signed_in");
        assert!(!is_in(&app, ROOM, JOHN), "{end}");
        // The same token opens the room again, and the webhook throws him out.
        join(&app, &kept).await;
        assert!(!is_in(&app, ROOM, JOHN), "{end}: with the kept token");
        assert!(is_in(&app, ROOM, JANE), "{end}: nobody else leaves");
    }
}

#[tokio::test]
async fn a_plain_sign_out_leaves_the_meeting_alone_when_workos_reports_it_as_well() {
    let app = App::start().await;
    app.webhooks_from_workos();
    let mut jane = jane(&app).await;
    enter(&app, &mut jane, ROOM).await;
    let url = jane.post("/auth/sign-out", json!({})).await.is(200).text("/authData/redirectURL");
    // The browser's visit ends WorkOS' session, which WorkOS reports like a revocation.
    crate::app::http().get(url).send().await.unwrap();
    app.workos().webhooks_settled().await;
    let is_revocation = |line: &String| line.contains("session.revoked") && line.contains("was applied");
    assert!(app.logs().iter().any(is_revocation), "{:?}", app.logs());
    assert!(is_in(&app, ROOM, JANE));
    // A sign-out everywhere else takes her out.
    let mut phone = crate::meeting::jane(&app).await;
    phone.post("/auth/sign-out-everywhere", json!({ "exceptCurrent": true })).await.is(200);
    assert!(!is_in(&app, ROOM, JANE));
}

/// Not an assertion of a time: it prints how long a revocation takes to be over everywhere, at the doubles.
#[tokio::test]
async fn a_revocation_at_workos_is_over_everywhere() {
    let app = App::start().await;
    app.webhooks_from_workos();
    let mut jane = jane(&app).await;
    enter(&app, &mut jane, ROOM).await;
    let begun = Instant::now();
    assert_eq!(app.workos().revoke_sessions(JANE), 1);
    let (mut refused, mut gone) = (None, None);
    while refused.is_none() || gone.is_none() {
        assert!(begun.elapsed() < Duration::from_secs(30), "401: {refused:?}, out of the room: {gone:?}");
        if refused.is_none() && jane.clone().post("/api/v1/livekit/room-auth", json!({})).await.status == 401
        {
            refused = Some(begun.elapsed());
        }
        if gone.is_none() && !is_in(&app, ROOM, JANE) {
            gone = Some(begun.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("after a revocation: 401 after {refused:?}, out of the room after {gone:?}");
}

#[tokio::test]
async fn a_room_token_names_the_session_and_no_credential() {
    let app = App::start().await;
    let mut jane = jane(&app).await;
    let participant = enter(&app, &mut jane, ROOM).await;
    let attributes = json!(participant.attributes);
    let session = session_id(&app, &jane).await;
    assert_eq!(attributes, json!({ "organizationId": MASADAS, "sessionId": session, "stage": "dev" }));
    let workos = app.context_of(&jane).await.unwrap()["sessionId"].clone();
    assert!(!attributes.to_string().contains(workos.as_str().unwrap()));
}

#[tokio::test]
async fn a_plain_sign_out_leaves_the_meeting_alone_and_the_kept_token_lets_nobody_back_in() {
    let app = App::start().await;
    let mut jane = jane(&app).await;
    let kept = token(&mut jane, ROOM).await;
    join(&app, &kept).await;
    assert_eq!(connections(&app), 1);
    let answer = jane.sign_out().await.is(200);
    assert!(answer.body.get("leftRooms").is_none(), "{}", answer.body);
    assert!(is_in(&app, ROOM, JANE));
    assert_eq!(app.livekit().proxy().count("RemoveParticipant"), 0);

    leave(&app, ROOM, JANE).await;
    assert_eq!(connections(&app), 0);
    join(&app, &kept).await;
    assert!(!is_in(&app, ROOM, JANE), "the session has ended");
    assert_eq!(connections(&app), 0);
}

#[tokio::test]
async fn it_leaves_the_meeting_alone_when_other_sessions_of_the_person_end() {
    let app = App::start().await;
    // Without the authorizer's verdict, the id of the session is known only after its end.
    for verdict in [true, false] {
        let (mut laptop, mut phone) = (jane(&app).await, jane(&app).await);
        enter(&app, &mut laptop, ROOM).await;
        enter(&app, &mut phone, OTHER_ROOM).await;
        if !verdict {
            app.dynamodb().proxy().inject(Fault::new("GetItem", Effect::Drop));
        }
        laptop.sign_out().await.is(200);
        app.dynamodb().proxy().clear_faults();
        assert_eq!(sign_out_and_leave(&mut phone).await.body["leftRooms"], true);
        assert!(is_in(&app, ROOM, JANE) && !is_in(&app, OTHER_ROOM, JANE), "{verdict}");
        leave(&app, ROOM, JANE).await;
    }
}

#[tokio::test]
async fn a_sign_out_with_leave_rooms_leaves_the_rooms_of_its_session_and_no_other() {
    let app = App::start().await;
    let (mut laptop, mut phone) = (jane(&app).await, jane(&app).await);
    let mut john = john(&app, MASADAS).await;
    for room in ["one", "two"] {
        enter(&app, &mut laptop, room).await;
        enter(&app, &mut john, room).await;
    }
    enter(&app, &mut phone, "three").await;
    let kept = token(&mut laptop, "one").await;
    let answer = sign_out_and_leave(&mut laptop).await;
    assert_eq!(answer.body["leftRooms"], true);
    assert!(!is_in(&app, "one", JANE) && !is_in(&app, "two", JANE));
    assert!(is_in(&app, "three", JANE), "another session");
    assert!(is_in(&app, "one", JOHN) && is_in(&app, "two", JOHN), "another person");
    app.livekit().webhooks_settled().await;
    assert_eq!(connections(&app), 3);

    // LiveKit lets her back in, and the product removes her.
    join(&app, &kept).await;
    assert!(!is_in(&app, "one", JANE));
    let events = app.livekit().events();
    let joined = events.iter().filter(|event| event.event == "participant_joined").count();
    assert_eq!(joined, 6, "the double lets a removed participant back in");
}

#[tokio::test]
async fn a_sign_out_without_meetings_has_nothing_to_leave() {
    let app = App::start().await;
    let mut jane = jane(&app).await;
    assert_eq!(sign_out_and_leave(&mut jane).await.body["leftRooms"], true);
    let calls = ["GetParticipant", "RemoveParticipant"].map(|call| app.livekit().proxy().count(call));
    assert_eq!(calls, [0, 0]);
    let mut browser = app.browser();
    let body = json!({ "leaveRooms": true });
    browser.post("/auth/sign-out", body).await.refused(401, "not_signed_in");
}

#[tokio::test]
async fn a_newer_connection_of_the_same_identity_survives() {
    let app = App::start().await;
    let (mut laptop, mut phone) = (jane(&app).await, jane(&app).await);
    enter(&app, &mut laptop, ROOM).await;
    // The phone throws the laptop out, and LiveKit's webhooks about it are lost.
    app.without_webhooks();
    enter(&app, &mut phone, ROOM).await;
    assert_eq!(sign_out_and_leave(&mut laptop).await.body["leftRooms"], true);
    assert!(is_in(&app, ROOM, JANE), "the phone's session lives");
    assert_eq!(connections(&app), 0);
}

#[tokio::test]
async fn a_switch_leaves_the_meeting_alone_and_the_token_of_the_old_organization_lets_nobody_back_in() {
    let app = App::start().await;
    let mut browser = john(&app, MASADAS).await;
    let id = session_id(&app, &browser).await;
    let old = token(&mut browser, ROOM).await;
    join(&app, &old).await;
    browser.switch_organization("123@gmail.com", TAUNTA).await.is(200);
    assert_eq!(session_id(&app, &browser).await, id);
    assert!(is_in(&app, ROOM, JOHN));
    join(&app, &old).await;
    assert!(!is_in(&app, ROOM, JOHN), "the session acts in another organization");

    enter(&app, &mut browser, ROOM).await;
    assert!(is_in(&app, ROOM, JOHN));
    // The session is found by its id after several switches as well.
    browser.switch_organization("123@gmail.com", MASADAS).await.is(200);
    let mut phone = john(&app, MASADAS).await;
    sign_out_and_leave(&mut phone).await;
    assert!(is_in(&app, ROOM, JOHN));
    sign_out_and_leave(&mut browser).await;
    assert!(!is_in(&app, ROOM, JOHN));
}

#[tokio::test]
async fn a_session_that_has_expired_or_ended_elsewhere_opens_no_room() {
    let app = App::start().await;
    let mut jane = jane(&app).await;
    let kept = token(&mut jane, ROOM).await;
    app.edit_session(&jane, |item| item["last_seen_at"] = json!({ "N": "1000" }));
    join(&app, &kept).await;
    assert!(!is_in(&app, ROOM, JANE));
    // The session of somebody else opens none either.
    let mut john = john(&app, MASADAS).await;
    let session = session_id(&app, &john).await;
    enter(&app, &mut john, ROOM).await;
    let attributes = [("organizationId", MASADAS), ("sessionId", session.as_str()), ("stage", "dev")];
    join(&app, &signed(JANE, ROOM, &attributes)).await;
    assert!(!is_in(&app, ROOM, JANE) && is_in(&app, ROOM, JOHN));
}

#[tokio::test]
async fn a_device_of_its_own_identity_belongs_to_the_person() {
    let app = App::start().await;
    let mut jane = jane(&app).await;
    let session = session_id(&app, &jane).await;
    let attributes = [("organizationId", MASADAS), ("sessionId", session.as_str()), ("stage", "dev")];
    let devices = [format!("{JANE}:phone"), format!("{JANE}:tablet")];
    for device in &devices {
        join(&app, &signed(device, ROOM, &attributes)).await;
        assert!(is_in(&app, ROOM, device));
    }
    assert_eq!(app.items_of("presence#").len(), 1);
    sign_out_and_leave(&mut jane).await;
    assert!(app.livekit().participants(ROOM).is_empty());
}

#[tokio::test]
async fn participants_without_a_token_of_this_deployment_are_left_alone() {
    let app = App::start().await;
    for (number, attributes) in [
        &[][..],
        &[("organizationId", MASADAS)],
        &[("sessionId", "of another application")],
        &[("sessionId", "of another deployment"), ("stage", "prod")],
    ]
    .iter()
    .enumerate()
    {
        let identity = format!("EG_{number}");
        join(&app, &signed(&identity, ROOM, attributes)).await;
        assert!(is_in(&app, ROOM, &identity), "{attributes:?}");
    }
    assert!(app.items_of("presence#").is_empty());
}

#[tokio::test]
async fn any_order_and_repetition_of_joins_and_leaves_has_the_same_result() {
    let app = App::start().await;
    app.without_webhooks();
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for order in orders {
        let mut jane = jane(&app).await;
        let seen = app.livekit().events().len();
        let token = token(&mut jane, ROOM).await;
        app.livekit().join(&token).unwrap();
        app.livekit().leave(ROOM, JANE).unwrap();
        app.livekit().join(&token).unwrap();
        let events = app.livekit().events().split_off(seen);
        let events: Vec<WebhookEvent> =
            events.into_iter().filter(|event| event.event.starts_with("participant_")).collect();
        assert_eq!(events.len(), 3);
        for index in order {
            for _ in 0..2 {
                app.tell(&events[index]).await.is(200);
            }
        }
        assert!(is_in(&app, ROOM, JANE), "{order:?}");
        assert_eq!(sign_out_and_leave(&mut jane).await.body["leftRooms"], true);
        assert!(!is_in(&app, ROOM, JANE), "{order:?}");
        assert_eq!(connections(&app), 0, "{order:?}");
        // Late and repeated news of a person who is gone.
        for event in &events {
            app.tell(event).await.is(200);
        }
        assert_eq!(connections(&app), 0, "{order:?}");
    }
}

#[tokio::test]
async fn a_sign_out_that_meets_a_join_leaves_nobody_inside() {
    let app = App::start().await;
    // The webhook waits before one of its calls, and the sign-out comes and goes.
    for call in ["UpdateItem", "BatchGetItem"] {
        let mut jane = jane(&app).await;
        let kept = token(&mut jane, ROOM).await;
        let webhooks = app.livekit().deliveries().len();
        app.dynamodb().proxy().inject(Fault::new(call, Effect::Serve).delay(Duration::from_secs(1)).times(1));
        app.livekit().join(&kept).unwrap();
        while app.dynamodb().proxy().faulted() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(sign_out_and_leave(&mut jane).await.body["leftRooms"], true);
        app.livekit().webhooks_settled().await;
        assert!(app.livekit().deliveries().len() > webhooks);
        assert!(!is_in(&app, ROOM, JANE), "{call}");
        app.dynamodb().proxy().clear_faults();
    }
}

#[tokio::test]
async fn a_failed_removal_is_repeated_with_the_webhook() {
    let app = App::with(|options| options.livekit.webhook_backoff = Duration::from_millis(20)).await;
    let busy = r#"{"code":"unavailable","msg":"no servers"}"#;
    let (livekit, table) = (app.livekit().proxy(), app.dynamodb().proxy());
    let faults = [
        (livekit, Fault::response("GetParticipant", 503, busy).times(1), 503),
        (livekit, Fault::new("GetParticipant", Effect::Drop).times(1), 502),
        // An empty body decodes as a message of defaults.
        (livekit, Fault::response("GetParticipant", 200, "").times(1), 502),
        (livekit, Fault::new("RemoveParticipant", Effect::Drop).times(1), 502),
        // The SDK attempts a call three times.
        (table, Fault::new("UpdateItem", Effect::Drop).times(3), 503),
        (table, Fault::new("BatchGetItem", Effect::Drop).times(3), 503),
    ];
    let mut jane = jane(&app).await;
    let kept = token(&mut jane, ROOM).await;
    jane.sign_out().await.is(200);
    for (proxy, fault, status) in faults {
        let what = format!("{fault:?}");
        let sent = app.livekit().deliveries().len();
        proxy.inject(fault);
        join(&app, &kept).await;
        assert!(!is_in(&app, ROOM, JANE), "{what}");
        assert_eq!(connections(&app), 0, "{what}");
        let deliveries = app.livekit().deliveries().split_off(sent);
        let joined = deliveries.iter().find(|delivery| delivery.event.event == "participant_joined").unwrap();
        assert_eq!(joined.statuses, [Some(status), Some(200)], "{what}");
        proxy.clear_faults();
    }
}

#[tokio::test]
async fn a_sign_out_works_while_livekit_is_down_and_says_who_is_still_inside() {
    let app = App::start().await;
    for effect in [Effect::Drop, Effect::Serve] {
        let mut jane = jane(&app).await;
        let kept = token(&mut jane, ROOM).await;
        join(&app, &kept).await;
        // Longer than the sign-out waits.
        let fault = Fault::new("GetParticipant", effect).delay(Duration::from_secs(5));
        app.livekit().proxy().inject(fault);
        let answer = sign_out_and_leave(&mut jane).await;
        assert_eq!(answer.body["leftRooms"], false);
        assert!(answer.text("/authData/redirectURL").contains("session_id="));
        assert!(app.items_of("session#").is_empty() && !jane.is_signed_in());
        assert!(is_in(&app, ROOM, JANE));
        app.livekit().proxy().clear_faults();
        assert_eq!(connections(&app), 1, "the next event finishes it");

        let mut phone = self::jane(&app).await;
        assert_eq!(sign_out_and_leave(&mut phone).await.body["leftRooms"], true);
        assert!(!is_in(&app, ROOM, JANE));
        app.livekit().webhooks_settled().await;
    }
}

#[tokio::test]
async fn livekit_cloud_revokes_the_tokens_of_the_session_and_no_later_ones() {
    let app = App::start().await;
    app.livekit().set_cloud(true);
    let mut jane = jane(&app).await;
    let kept = token(&mut jane, ROOM).await;
    let issued = now();
    join(&app, &kept).await;
    // LiveKit compares whole seconds.
    while now() == issued {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sign_out_and_leave(&mut jane).await;
    assert!(app.livekit().join(&kept).is_err());
    let mut jane = self::jane(&app).await;
    enter(&app, &mut jane, ROOM).await;
    assert!(is_in(&app, ROOM, JANE));
}

#[tokio::test]
async fn the_most_connections_of_one_person_are_fifty() {
    let app = App::start().await;
    let jane = jane(&app).await;
    let session = session_id(&app, &jane).await;
    let attributes = [("organizationId", MASADAS), ("sessionId", session.as_str()), ("stage", "dev")];
    for room in 0..52 {
        join(&app, &signed(JANE, &format!("room {room}"), &attributes)).await;
    }
    assert_eq!(connections(&app), 50);
    let inside = (0..52).filter(|room| is_in(&app, &format!("room {room}"), JANE)).count();
    assert_eq!(inside, 50, "nobody is inside unnoticed");
    assert!(is_in(&app, "room 51", JANE), "the last one may stay");
}

#[tokio::test]
async fn leaving_rooms_takes_five_rounds_after_the_sign_out_however_many_rooms() {
    let app = App::start().await;
    for rooms in [1, 3] {
        let mut browser = jane(&app).await;
        for room in 0..rooms {
            enter(&app, &mut browser, &format!("room {room}")).await;
        }
        app.without_webhooks();
        rounds::begin(&app);
        let answer = sign_out_and_leave(&mut browser).await;
        let measured = rounds::end(&app);
        assert_eq!(answer.body["leftRooms"], true);
        // The authorizer reads and the session ends. Then the connections are read, and their sessions with the notes; LiveKit
        // is asked who they are and to remove them; they are forgotten.
        assert_eq!(measured.rounds, 1 + 1 + 5, "{:?}", measured.calls);
        app.livekit().set_webhook_url(Some(format!("{}/webhooks/livekit", app.cloud.url())));
    }
}

#[tokio::test]
async fn no_log_and_no_item_repeats_a_room_token() {
    let app = App::start().await;
    let mut jane = jane(&app).await;
    let kept = token(&mut jane, ROOM).await;
    join(&app, &kept).await;
    sign_out_and_leave(&mut jane).await;
    join(&app, &kept).await;
    let (_, signature) = kept.rsplit_once('.').unwrap();
    assert!(!app.logs().iter().any(|line| line.contains(signature)));
    assert!(!Value::from(app.items()).to_string().contains(signature));
}
