//! Users of the seed in rooms, and the records of their recordings.

use livekit_protocol::{EgressInfo, ParticipantInfo, WebhookEvent};
use reqwest::header::AUTHORIZATION;
use serde_json::{Value, json};

use crate::app::{Answer, App, Browser};

/// The room of the API document.
pub const ROOM: &str = "test-room";

/// Two organizations of the seed.
pub const MASADAS: &str = "org_01K2Z1R2MEJK6B41WW7428G9YC";
pub const TAUNTA: &str = "org_01K3BK4YS5SDH22RV4P9QYJR7Z";
/// The organization of [`ada`].
pub const CAZZI: &str = "org_01HCNYM2R5T8W9C3K6V7X1B4DA";

/// The user ids of [`jane`] and [`john`].
pub const JANE: &str = "user_01JXJANE0000000000000000D0";
pub const JOHN: &str = "user_01JY16X8FCYMX981HC4GYQ6S01";

/// A member of MASADAS.
pub async fn jane(app: &App) -> Browser<'_> {
    let email = "jane.doe@example.com";
    let mut browser = app.browser();
    browser.sign_in(email).await.is(200);
    browser.finalize_magic_auth(email, &app.code(email)).await.is(200);
    browser
}

/// A member of MASADAS and TAUNTA, in one of them.
pub async fn john<'a>(app: &'a App, organization: &str) -> Browser<'a> {
    let email = "123@gmail.com";
    let mut browser = app.browser();
    browser.sign_in(email).await.is(200);
    let answer = browser.finalize_magic_auth(email, &app.code(email)).await.is(200);
    let pending = answer.text("/user/pendingAuthenticationToken");
    browser.select_organization(&pending, organization).await.is(200);
    browser
}

/// A member of Cazzi, with the quickest sign-in.
pub async fn ada(app: &App) -> Browser<'_> {
    let mut browser = app.browser();
    browser.dev_sign_in().await.is(200);
    browser
}

/// Jane and John of MASADAS, both in [`ROOM`].
pub async fn jane_and_john(app: &App) -> (Browser<'_>, Browser<'_>) {
    let (mut jane, mut john) = (jane(app).await, john(app, MASADAS).await);
    enter(app, &mut jane, ROOM).await;
    enter(app, &mut john, ROOM).await;
    (jane, john)
}

/// Enters a room like a front end, with a token of room-auth, and waits until LiveKit has told the product.
pub async fn enter(app: &App, browser: &mut Browser<'_>, room: &str) -> ParticipantInfo {
    let token = browser.room_auth("Somebody", room).await.is(200).text("/token");
    let participant = app.livekit().join(&token).expect("the token opens the room");
    app.livekit().webhooks_settled().await;
    participant
}

/// The example start of the API document.
pub fn start(room: &str) -> Value {
    json!({ "roomName": room, "conferenceTopic": "Weekly Sync Meeting", "zoneId": "1", "participants": "alice,bob,charlie" })
}

/// A stop in the zone of [`start`].
pub fn stop(room: &str, egress_id: &str) -> Value {
    json!({ "roomName": room, "egressId": egress_id, "zoneId": "1" })
}

impl App {
    /// The running egresses.
    pub fn running(&self) -> Vec<EgressInfo> {
        self.livekit().egresses().into_iter().filter(|egress| egress.status <= 1).collect()
    }

    /// Turns the double's webhooks off, for tests that send them themselves or need none.
    pub fn without_webhooks(&self) {
        self.livekit().set_webhook_url(None);
    }

    /// The attributes of a recording's record, as plain values.
    pub fn record(&self, egress_id: &str) -> Value {
        let items = self.items_of(&format!("recording#{egress_id}"));
        assert_eq!(items.len(), 1, "one record of {egress_id}");
        plain(&items[0])
    }

    /// Posts a webhook like LiveKit.
    pub async fn webhook(&self, body: impl Into<Vec<u8>>, authorization: Option<&str>) -> Answer {
        let mut livekit = self.browser().without_origin();
        if let Some(authorization) = authorization {
            livekit = livekit.header(AUTHORIZATION.as_str(), authorization);
        }
        let body = (body.into(), local_livekit::WEBHOOK_CONTENT_TYPE);
        livekit.send("/webhooks/livekit", Some(body)).await
    }

    /// Posts a signed event.
    pub async fn tell(&self, event: &WebhookEvent) -> Answer {
        let (body, authorization) = self.livekit().sign_webhook(event).expect("the event is signed");
        self.webhook(body, Some(&authorization)).await
    }

    /// Posts an event about the current state of an egress.
    pub async fn tell_of(&self, event: &str, egress_id: &str) -> Answer {
        self.tell(&self.livekit().egress_event(event, egress_id).expect("an egress")).await
    }
}

/// DynamoDB's JSON without type descriptors.
fn plain(value: &Value) -> Value {
    let Value::Object(attributes) = value else { return value.clone() };
    let plain_value = |typed: &Value| {
        let (kind, value) = typed.as_object().and_then(|typed| typed.iter().next()).expect("a typed value");
        match (kind.as_str(), value) {
            ("N", Value::String(digits)) => json!(digits.parse::<u64>().expect("a whole number")),
            ("L", Value::Array(values)) => values.iter().map(|each| each["S"].clone()).collect(),
            _ => value.clone(),
        }
    };
    attributes.iter().map(|(name, typed)| (name.clone(), plain_value(typed))).collect()
}
