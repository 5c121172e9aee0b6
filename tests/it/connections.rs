//! Warm functions reuse their connections: a new one costs a TCP and a TLS handshake before the first byte is sent.

use crate::app::{App, Browser};
use crate::meeting::{ROOM, ada, enter, jane, start, stop};

/// The connections opened so far to LiveKit, DynamoDB and WorkOS.
fn connections(app: &App) -> [usize; 3] {
    [app.livekit().proxy(), app.dynamodb().proxy(), app.workos().proxy()].map(|proxy| proxy.connections())
}

/// Starts and stops a recording; returns the connections opened before, between and after.
async fn start_and_stop(app: &App, browser: &mut Browser<'_>) -> [[usize; 3]; 3] {
    let before = connections(app);
    let egress = browser.start_recording(start(ROOM)).await.is(200).text("/egressId");
    let started = connections(app);
    browser.stop_recording(stop(ROOM, &egress)).await.is(200);
    [before, started, connections(app)]
}

#[tokio::test]
async fn a_warm_start_and_stop_open_no_connection() {
    let app = App::start().await;
    app.without_webhooks();
    let mut ada = ada(&app).await;
    enter(&app, &mut ada, ROOM).await;
    let [before, started, stopped] = start_and_stop(&app, &mut ada).await;
    assert!(before[0] < started[0] && started[0] < stopped[0], "each process connects to LiveKit once");
    assert!(before[1] < started[1] && started[1] < stopped[1], "each process connects to DynamoDB once");
    assert_eq!(start_and_stop(&app, &mut ada).await, [stopped; 3]);
}

#[tokio::test]
async fn a_warm_sign_in_opens_no_connection() {
    let app = App::start().await;
    jane(&app).await;
    let warm = connections(&app);
    jane(&app).await;
    assert_eq!(connections(&app), warm);
}
