//! Rooms of a real livekit-server, which people enter over LiveKit's own client: what the product believes about LiveKit,
//! checked without the double.
//!
//! `make test-livekit` runs it. It is ignored elsewhere because it needs the server, which Go builds in some minutes.

mod client;
mod double;
mod relay;
mod server;

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use livekit_api::access_token::Claims;
use serde_json::{Value, json};

use crate::app::{App, Browser, http};
use crate::meeting::{JANE, JOHN, MASADAS, ROOM, jane, john};
use client::Client;
use relay::Relay;
use server::{SECRET, Server, sign};

/// The product with a livekit-server, and people's connections to it. All of it stops when dropped.
struct Stage {
    app: App,
    server: Server,
    relay: Relay,
    client: Client,
}

impl Stage {
    async fn start() -> Self {
        let relay = Relay::start().await;
        let server = Server::start(&relay.url).await;
        let app = App::with(|options| {
            options.livekit_url = Some(server.websocket());
            SECRET.clone_into(&mut options.livekit.api_secret);
        })
        .await;
        relay.pass_on_to(&app);
        app.webhooks_from_workos();
        let client = Client::start(server.websocket());
        Self { app, server, relay, client }
    }
}

async fn token(browser: &mut Browser<'_>) -> String {
    browser.room_auth("Jane", ROOM).await.is(200).text("/token")
}

fn claims(token: &str) -> Claims {
    let payload = token.split('.').nth(1).expect("a payload");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("claims")
}

/// The id of the session, by which clients know it.
async fn session_id(app: &App, browser: &Browser<'_>) -> Value {
    app.context_of(browser).await.expect("a session")["session"].clone()
}

#[tokio::test]
#[ignore = "needs livekit-server: `make test-livekit`"]
async fn a_room_token_admits_its_person_with_the_session_id_and_the_webhook_is_accepted() {
    let Stage { app, server, relay, mut client } = Stage::start().await;
    let mut jane = jane(&app).await;
    let me = client.join("laptop", &token(&mut jane).await).await.unwrap();
    assert_eq!((&me["identity"], &me["name"]), (&json!(JANE), &json!("Jane")));
    assert_eq!(me["attributes"]["sessionId"], session_id(&app, &jane).await);
    assert_eq!(me["attributes"]["organizationId"], MASADAS);

    let participant = server.api.participant(ROOM, JANE).await.unwrap();
    assert_eq!(
        (json!(participant.sid), json!(participant.attributes)),
        (me["sid"].clone(), me["attributes"].clone())
    );
    let joined = relay.event("participant_joined", JANE, 1).await;
    assert_eq!(joined.status, 200);
    let told = joined.event.participant.unwrap();
    assert_eq!((told.sid, told.attributes), (participant.sid, participant.attributes));
    client.is_in("laptop").await;
}

#[tokio::test]
#[ignore = "needs livekit-server: `make test-livekit`"]
async fn forged_and_expired_tokens_are_refused() {
    let Stage { app, server, relay: _relay, mut client } = Stage::start().await;
    let mut jane = jane(&app).await;
    let good = token(&mut jane).await;
    let (claims, (unsigned, _)) = (claims(&good), good.rsplit_once('.').unwrap());
    let (header, payload) = unsigned.split_once('.').unwrap();
    let unsecured = format!("{}.{payload}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#));
    let other = Claims { sub: JOHN.to_owned(), ..claims.clone() };
    let other = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&other).unwrap());
    let hours_ago = Claims { nbf: claims.nbf - 7200, exp: claims.exp - 7200, ..claims.clone() };
    let later = Claims { nbf: claims.nbf + 7200, exp: claims.exp + 7200, ..claims.clone() };
    let forgeries = [
        ("another secret", sign(&claims, "another-secret-of-more-than-thirty-two-bytes")),
        ("another key", server.api.sign(&Claims { iss: "another".to_owned(), ..claims.clone() })),
        ("changed claims", format!("{header}.{other}.{}", good.rsplit_once('.').unwrap().1)),
        ("no signature", unsecured),
        ("expired", server.api.sign(&hours_ago)),
        ("not valid yet", server.api.sign(&later)),
        ("the application's own", server.api.admin(ROOM)),
    ];
    for (flaw, forged) in forgeries {
        let outcome = client.join(flaw, &forged).await;
        assert!(outcome.is_err(), "{flaw}: {outcome:?}");
    }
    // The same claims are good.
    client.join("laptop", &server.api.sign(&claims)).await.unwrap();
}

#[tokio::test]
#[ignore = "needs livekit-server: `make test-livekit`"]
async fn the_same_person_joining_again_throws_the_first_connection_out() {
    let Stage { app, server: _server, relay, mut client } = Stage::start().await;
    let (mut laptop, mut phone) = (jane(&app).await, jane(&app).await);
    let first = client.join("laptop", &token(&mut laptop).await).await.unwrap();
    relay.event("participant_joined", JANE, 1).await;
    client.join("phone", &token(&mut phone).await).await.unwrap();
    assert_eq!(client.left("laptop").await, "DUPLICATE_IDENTITY");
    let left = relay.event("participant_left", JANE, 1).await;
    assert_eq!(left.status, 200);
    assert_eq!(json!(left.event.participant.unwrap().sid), first["sid"]);
    relay.event("participant_joined", JANE, 2).await;
    // The first connection's session has nobody in the room any more.
    leave(&mut laptop).await;
    client.is_in("phone").await;
    leave(&mut phone).await;
    assert_eq!(client.left("phone").await, "PARTICIPANT_REMOVED");
}

/// Signs out and leaves the rooms.
async fn leave(browser: &mut Browser<'_>) {
    let answer = browser.post("/auth/sign-out", json!({ "leaveRooms": true })).await.is(200);
    assert_eq!(answer.body["leftRooms"], true);
}

#[tokio::test]
#[ignore = "needs livekit-server: `make test-livekit`"]
async fn a_sign_out_with_leave_rooms_removes_the_person_and_the_kept_token_keeps_nobody_inside() {
    let Stage { app, server, relay, mut client } = Stage::start().await;
    let (mut jane, mut john) = (jane(&app).await, john(&app, MASADAS).await);
    let kept = token(&mut jane).await;
    client.join("john", &token(&mut john).await).await.unwrap();
    client.join("jane", &kept).await.unwrap();
    relay.event("participant_joined", JANE, 1).await;
    leave(&mut jane).await;
    assert_eq!(client.left("jane").await, "PARTICIPANT_REMOVED");
    assert_eq!(server.api.participant(ROOM, JANE).await, Err((404, "not_found".to_owned())));

    client.join("jane again", &kept).await.expect("livekit-server lets the kept token in");
    assert_eq!(client.left("jane again").await, "PARTICIPANT_REMOVED");
    assert_eq!(relay.event("participant_joined", JANE, 2).await.status, 200);
    client.is_in("john").await;
}

#[tokio::test]
#[ignore = "needs livekit-server: `make test-livekit`"]
async fn the_token_that_livekit_renews_keeps_nobody_inside_either() {
    let Stage { app, server: _server, relay, mut client } = Stage::start().await;
    let mut jane = jane(&app).await;
    let ours = token(&mut jane).await;
    client.join("jane", &ours).await.unwrap();
    relay.event("participant_joined", JANE, 1).await;
    let renewed = client.renewed("jane").await;
    assert_ne!(renewed, ours);
    assert_eq!(claims(&renewed).attributes, claims(&ours).attributes);
    leave(&mut jane).await;
    assert_eq!(client.left("jane").await, "PARTICIPANT_REMOVED");
    client.join("jane again", &renewed).await.expect("livekit-server lets its own token in");
    assert_eq!(client.left("jane again").await, "PARTICIPANT_REMOVED");
}

#[tokio::test]
#[ignore = "needs livekit-server: `make test-livekit`"]
async fn a_plain_sign_out_leaves_the_meeting_alone() {
    let Stage { app, server, relay, mut client } = Stage::start().await;
    let mut jane = jane(&app).await;
    let me = client.join("jane", &token(&mut jane).await).await.unwrap();
    relay.event("participant_joined", JANE, 1).await;
    let out = jane.sign_out().await.is(200).text("/authData/redirectURL");
    // WorkOS then reports the end of its session.
    app.redirected(&out).await;
    app.workos().webhooks_settled().await;
    assert_eq!(json!(server.api.participant(ROOM, JANE).await.unwrap().sid), me["sid"]);
    client.is_in("jane").await;
}

#[tokio::test]
#[ignore = "needs livekit-server: `make test-livekit`"]
async fn a_session_that_workos_revokes_is_over_in_the_meeting_as_well() {
    let Stage { app, server: _server, relay, mut client } = Stage::start().await;
    let mut jane = jane(&app).await;
    client.join("jane", &token(&mut jane).await).await.unwrap();
    relay.event("participant_joined", JANE, 1).await;
    app.workos().webhooks_settled().await;

    let revoked = Instant::now();
    revoke(&app, &app.workos().sessions(JANE)[0]).await;
    let responded = revoked.elapsed();
    let refused = async {
        while jane.session().await.status != 401 {}
        revoked.elapsed()
    };
    let removed = async {
        assert_eq!(client.left("jane").await, "PARTICIPANT_REMOVED");
        revoked.elapsed()
    };
    let (refused, removed) = tokio::join!(refused, removed);
    print_times("WorkOS has responded", responded);
    print_times("the next request is 401", refused);
    print_times("the participant is gone", removed);
}

/// Revokes a session as an application or WorkOS' dashboard does.
async fn revoke(app: &App, session: &str) {
    let url = format!("{}/user_management/sessions/revoke", app.workos().url());
    let call = http().post(url).bearer_auth(app.workos().api_key()).json(&json!({ "session_id": session }));
    assert!(call.send().await.expect("WorkOS responds").status().is_success());
}

#[expect(clippy::print_stdout, reason = "times are shown and never asserted")]
fn print_times(what: &str, after: Duration) {
    println!("{:>6.0} ms after the revocation: {what}", after.as_secs_f64() * 1000.0);
}
