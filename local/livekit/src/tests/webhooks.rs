//! Webhooks, received with the official receiver.

use super::*;

#[derive(Clone, Default)]
struct Receiver {
    statuses: Arc<Mutex<Vec<u16>>>,
    received: Arc<Mutex<Vec<(String, String, String)>>>,
}

impl Receiver {
    /// Responds to each request with the next of `statuses`, then with 200.
    async fn start(statuses: &[u16]) -> (String, Self) {
        let receiver = Self { statuses: Arc::new(Mutex::new(statuses.to_vec())), ..Self::default() };
        let router = Router::new().route("/hook", post(Self::receive)).with_state(receiver.clone());
        let listener = listener().await;
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (url, receiver)
    }

    async fn receive(State(receiver): State<Self>, headers: HeaderMap, body: String) -> StatusCode {
        let header = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
        receiver.received.lock().unwrap().push((header("content-type"), header("authorization"), body));
        let mut statuses = receiver.statuses.lock().unwrap();
        if statuses.is_empty() { StatusCode::OK } else { StatusCode::from_u16(statuses.remove(0)).unwrap() }
    }

    fn events(&self) -> Vec<WebhookEvent> {
        let receiver = webhook_receiver();
        let received = self.received.lock().unwrap();
        received
            .iter()
            .map(|(_, authorization, body)| receiver.receive(body, authorization).unwrap())
            .collect()
    }
}

fn webhook_receiver() -> WebhookReceiver {
    WebhookReceiver::new(TokenVerifier::with_api_key("devkey", "secret"))
}

#[tokio::test]
async fn webhooks_verify_with_the_official_receiver_and_keep_their_order() {
    let livekit = livekit().await;
    let (url, receiver) = Receiver::start(&[]).await;
    livekit.set_webhook_url(Some(url));
    livekit.join(&join_token("blue", "user_1")).unwrap();
    record(&livekit, "blue").await.unwrap();
    livekit.end_room("blue").unwrap();
    livekit.webhooks_settled().await;

    let events = receiver.events();
    let of_egress = |egress: bool| -> Vec<WebhookEvent> {
        events.iter().filter(|event| event.egress_info.is_some() == egress).cloned().collect()
    };
    assert_eq!(
        names(&of_egress(true)),
        ["egress_started", "egress_updated", "egress_updated", "egress_ended"]
    );
    assert_eq!(
        names(&of_egress(false)),
        ["room_started", "participant_joined", "participant_left", "room_finished"]
    );
    let statuses: Vec<EgressStatus> =
        of_egress(true).iter().filter_map(|event| Some(event.egress_info.as_ref()?.status())).collect();
    assert_eq!(
        statuses,
        [
            EgressStatus::EgressStarting,
            EgressStatus::EgressActive,
            EgressStatus::EgressEnding,
            EgressStatus::EgressComplete
        ]
    );
    assert!(events.iter().all(|event| event.id.starts_with("EV_") && event.created_at > 1_700_000_000));
    assert!(receiver.received.lock().unwrap().iter().all(|(kind, ..)| kind == WEBHOOK_CONTENT_TYPE));
    assert_eq!(livekit.deliveries().len(), 8);
}

#[tokio::test]
async fn webhooks_are_retried_after_a_failure_and_not_after_a_4xx() {
    let livekit = livekit().await;
    let (url, receiver) = Receiver::start(&[500, 429, 200, 401]).await;
    livekit.set_webhook_url(Some(url));
    livekit.join(&join_token("blue", "user_1")).unwrap();
    livekit.webhooks_settled().await;

    let attempts: Vec<_> = livekit.deliveries().into_iter().map(|delivery| delivery.statuses).collect();
    assert_eq!(attempts, [vec![Some(500), Some(429), Some(200)], vec![Some(401)]]);
    let events = receiver.events();
    assert_eq!(events[0].id, events[2].id, "a retry repeats the event");

    let closed = listener().await;
    livekit.set_webhook_url(Some(format!("http://{}/hook", closed.local_addr().unwrap())));
    drop(closed);
    livekit.leave("blue", "user_1").unwrap();
    livekit.webhooks_settled().await;
    assert_eq!(livekit.deliveries().pop().unwrap().statuses, [None; 5]);
}

#[tokio::test]
async fn a_changed_webhook_fails_to_verify() {
    let livekit = livekit().await;
    livekit.join(&join_token("blue", "user_1")).unwrap();
    let id = record(&livekit, "blue").await.unwrap().egress_id;
    let event = livekit.egress_event("egress_ended", &id).unwrap();
    let (body, authorization) = livekit.sign_webhook(&event).unwrap();

    assert_eq!(webhook_receiver().receive(&body, &authorization).unwrap(), event);
    assert!(webhook_receiver().receive(&body.replace("blue", "red"), &authorization).is_err());
    let (_, foreign) = sign_webhook("devkey", "another", &event).unwrap();
    assert!(webhook_receiver().receive(&body, &foreign).is_err());
    assert!(webhook_receiver().receive("{}", &sign_body("devkey", "secret", "{}").unwrap()).is_ok());
}
