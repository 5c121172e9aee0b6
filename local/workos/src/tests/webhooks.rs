//! Webhooks, verified with the official SDK.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use tokio::net::TcpListener;
use workos_sdk::WebhookVerifier;

use super::{TestBed, TestResult};
use crate::{Delivery, Options, Seed, Webhooks};

const SECRET: &str = "whsec_test";

#[derive(Clone, Default)]
struct Receiver {
    statuses: Arc<Mutex<Vec<u16>>>,
    received: Arc<Mutex<Vec<(String, String)>>>,
}

impl Receiver {
    /// Responds to each request with the next of `statuses`, then with 200.
    async fn start(statuses: &[u16]) -> (String, Self) {
        let receiver = Self { statuses: Arc::new(Mutex::new(statuses.to_vec())), ..Self::default() };
        let router = Router::new().route("/hook", post(Self::receive)).with_state(receiver.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (url, receiver)
    }

    async fn receive(State(receiver): State<Self>, headers: HeaderMap, body: String) -> StatusCode {
        let signature = headers["workos-signature"].to_str().unwrap().to_owned();
        receiver.received.lock().unwrap().push((signature, body));
        let mut statuses = receiver.statuses.lock().unwrap();
        if statuses.is_empty() { StatusCode::OK } else { StatusCode::from_u16(statuses.remove(0)).unwrap() }
    }

    /// The ids and names of the events, as the official SDK verifies and reads them.
    fn events(&self) -> Vec<(String, String)> {
        let verifier = WebhookVerifier::new(SECRET);
        let received = self.received.lock().unwrap();
        let events =
            received.iter().map(|(signature, body)| verifier.construct_event(signature, body).unwrap());
        events.map(|event| (event.id, event.event)).collect()
    }
}

/// A double that sends these events, or all of them, to `url`.
async fn sending(url: String, events: &[&'static str]) -> Result<TestBed, Box<dyn std::error::Error>> {
    let webhooks = Webhooks {
        url: Some(url),
        secret: SECRET.to_owned(),
        events: events.to_vec(),
        backoff: Duration::from_millis(5),
        ..Webhooks::default()
    };
    TestBed::with(Options { seed: Seed::bundled()?, webhooks, ..Options::default() }).await
}

fn statuses(deliveries: &[Delivery]) -> Vec<Vec<Option<u16>>> {
    deliveries.iter().map(|delivery| delivery.statuses.clone()).collect()
}

#[tokio::test]
async fn subscribed_events_are_sent_and_verify_with_the_official_sdk() -> TestResult {
    let (url, receiver) = Receiver::start(&[]).await;
    let bed = sending(url, &["session.created", "session.revoked"]).await?;
    bed.sign_in("new@example.com").await?;
    bed.workos.revoke_sessions(&bed.workos.user_id("new@example.com").ok_or("no user")?);
    bed.workos.webhooks_settled().await;

    let sessions = bed.workos.events().into_iter().filter(|event| event.name.starts_with("session."));
    let logged: BTreeSet<_> = sessions.map(|event| (event.id, event.name.to_owned())).collect();
    let received = receiver.events();
    assert_eq!(received.len(), 2, "user.created and user.updated were not subscribed to");
    assert_eq!(received.into_iter().collect::<BTreeSet<_>>(), logged);

    let (signature, body) = receiver.received.lock().unwrap()[0].clone();
    let (changed, other) = (body.replace("session", "season"), WebhookVerifier::new("whsec_other"));
    assert!(WebhookVerifier::new(SECRET).construct_event(&signature, &changed).is_err());
    assert!(other.construct_event(&signature, &body).is_err());
    Ok(())
}

#[tokio::test]
async fn a_webhook_is_sent_until_the_endpoint_accepts_it() -> TestResult {
    let (url, receiver) = Receiver::start(&[500, 400, 302]).await;
    let bed = sending(url, &[]).await?;
    bed.workos.add_user("one@example.com");
    bed.workos.webhooks_settled().await;
    let tried = vec![Some(500), Some(400), Some(302), Some(200)];
    assert_eq!(statuses(&bed.workos.deliveries()), [tried]);
    let events: BTreeSet<_> = receiver.events().into_iter().collect();
    assert_eq!(events.len(), 1, "a retry repeats the event");
    let signatures: BTreeSet<_> =
        receiver.received.lock().unwrap().iter().map(|(signature, _)| signature.clone()).collect();
    assert_eq!(signatures.len(), 4, "each attempt has its own time");

    let closed = TcpListener::bind("127.0.0.1:0").await?;
    bed.workos.set_webhook_url(Some(format!("http://{}/hook", closed.local_addr()?)));
    drop(closed);
    bed.workos.add_user("two@example.com");
    bed.workos.webhooks_settled().await;
    assert_eq!(bed.workos.deliveries()[1].statuses, [None; 6]);

    bed.workos.set_webhook_url(None);
    bed.workos.add_user("three@example.com");
    bed.workos.webhooks_settled().await;
    assert_eq!((bed.workos.deliveries().len(), bed.workos.events().len()), (2, 3));
    Ok(())
}

#[tokio::test]
async fn webhooks_can_be_held_back_lost_repeated_and_reordered() -> TestResult {
    let (url, receiver) = Receiver::start(&[]).await;
    let bed = sending(url, &[]).await?;
    let add = |number: u32| bed.workos.add_user(&format!("user{number}@example.com"));
    bed.workos.lose_webhooks(1);
    add(0);
    bed.workos.hold_webhooks();
    (1..4).for_each(|number| drop(add(number)));
    bed.workos.webhooks_settled().await;
    assert!(receiver.events().is_empty(), "one was lost and three are held back");

    let ids: Vec<_> = bed.workos.events().into_iter().map(|event| event.id).collect();
    bed.workos.release_webhooks(|held| {
        assert_eq!(held.iter().map(|event| event.id.clone()).collect::<Vec<_>>(), ids[1..]);
        vec![held[2].clone(), held[0].clone(), held[2].clone()]
    });
    bed.workos.webhooks_settled().await;
    let mut received: Vec<_> = receiver.events().into_iter().map(|(id, _)| id).collect();
    received.sort();
    assert_eq!(received, [&ids[1], &ids[3], &ids[3]].map(Clone::clone));

    add(4);
    bed.workos.webhooks_settled().await;
    assert_eq!(receiver.events().len(), 4, "webhooks are no longer held back");
    Ok(())
}
