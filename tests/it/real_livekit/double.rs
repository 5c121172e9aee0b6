//! The double against the server: the same calls get the same responses, and the same joins the same webhooks.

use livekit_protocol::{ListParticipantsRequest, ListParticipantsResponse, RemoveParticipantResponse};
use serde::Serialize;
use serde_json::{Value, json};

use super::server::{Api, Refusal, named};
use super::{Stage, token};
use crate::app::App;
use crate::meeting::{JANE, ROOM, jane};

/// What differs in every run: ids, times, and what a client says about itself.
const RANDOM: [&str; 9] = [
    "sid",
    "id",
    "createdAt",
    "creationTime",
    "creationTimeMs",
    "joinedAt",
    "joinedAtMs",
    "sessionId",
    "region",
];

/// What is not compared: about media, which the double does not have, about the client and about the server, which counts
/// a room's participants with a delay.
const LEFT_OUT: [&str; 6] =
    ["capabilities", "clientProtocol", "enabledCodecs", "numParticipants", "turnPassword", "version"];

/// Replaces what differs in every run, and removes what is not compared.
fn comparable(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !LEFT_OUT.contains(&name.as_str()));
            for (name, value) in fields {
                if RANDOM.contains(&name.as_str()) {
                    *value = json!("…");
                }
                comparable(value);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(comparable),
        _ => {}
    }
}

/// The responses to calls, in their order.
#[derive(Default)]
struct Responses(Vec<(&'static str, Value)>);

impl Responses {
    fn add<A: Serialize>(&mut self, call: &'static str, outcome: Result<A, Refusal>) {
        let outcome = outcome.map(|response| serde_json::to_value(response).expect("JSON"));
        let mut outcome = outcome.unwrap_or_else(|(status, code)| json!({ "status": status, "code": code }));
        comparable(&mut outcome);
        self.0.push((call, outcome));
    }

    /// Calls about Jane while she is in the room.
    async fn inside(&mut self, api: &Api, room_token: &str) {
        self.add("get", api.participant(ROOM, JANE).await);
        self.add("list", list(api, ROOM, &api.admin(ROOM)).await);
        self.add("list with a room token", list(api, ROOM, room_token).await);
        self.add("list with another room's token", list(api, ROOM, &api.admin("other")).await);
        self.add("remove with a room token", remove(api, ROOM, room_token).await);
        self.add("remove from another room", remove(api, "other", &api.admin("other")).await);
    }

    /// Removes her, and calls about somebody who is gone.
    async fn gone(&mut self, api: &Api) {
        self.add("remove", remove(api, ROOM, &api.admin(ROOM)).await);
        self.add("get the removed", api.participant(ROOM, JANE).await);
        self.add("remove the removed", remove(api, ROOM, &api.admin(ROOM)).await);
        self.add("get in a missing room", api.participant("missing", JANE).await);
        self.add("list a missing room", list(api, "missing", &api.admin("missing")).await);
    }
}

async fn list(api: &Api, room: &str, token: &str) -> Result<ListParticipantsResponse, Refusal> {
    api.call("ListParticipants", &ListParticipantsRequest { room: room.to_owned() }, token).await
}

async fn remove(api: &Api, room: &str, token: &str) -> Result<RemoveParticipantResponse, Refusal> {
    api.call("RemoveParticipant", &named(room, JANE), token).await
}

/// The events about participants, by name and then in their order.
fn events(all: impl Iterator<Item = Value>) -> Vec<Value> {
    let mut events: Vec<_> = all.filter(|event| event.get("participant").is_some()).collect();
    events.sort_by_key(|event| event["event"].to_string());
    events.iter_mut().for_each(comparable);
    events
}

async fn at_the_server() -> (Responses, Vec<Value>) {
    let Stage { app, server, relay, mut client } = Stage::start().await;
    let mut jane = jane(&app).await;
    let (token, mut responses) = (token(&mut jane).await, Responses::default());
    client.join("laptop", &token).await.unwrap();
    relay.event("participant_joined", JANE, 1).await;
    client.join("phone", &token).await.unwrap();
    relay.event("participant_left", JANE, 1).await;
    relay.event("participant_joined", JANE, 2).await;
    responses.inside(&server.api, &token).await;
    responses.gone(&server.api).await;
    relay.event("participant_left", JANE, 2).await;
    (responses, events(relay.deliveries().into_iter().map(|delivery| delivery.body)))
}

async fn at_the_double() -> (Responses, Vec<Value>) {
    let app = App::start().await;
    let mut jane = jane(&app).await;
    let (token, mut responses) = (token(&mut jane).await, Responses::default());
    app.livekit().join(&token).unwrap();
    app.livekit().join(&token).unwrap();
    let api = Api::of_double(&app);
    responses.inside(&api, &token).await;
    responses.gone(&api).await;
    app.livekit().webhooks_settled().await;
    let sent = app.livekit().events().into_iter();
    (responses, events(sent.map(|event| serde_json::to_value(event).expect("JSON"))))
}

#[tokio::test]
#[ignore = "needs livekit-server: `make test-livekit`"]
async fn the_double_responds_and_reports_as_the_server_does() {
    let (server, sent) = at_the_server().await;
    let (double, doubled) = at_the_double().await;
    for ((call, real), (_, doubled)) in server.0.iter().zip(&double.0) {
        assert_eq!(doubled, real, "{call}");
    }
    assert_eq!(doubled, sent);
}
