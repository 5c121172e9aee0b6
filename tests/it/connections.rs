//! Warm functions reuse their connections: a new one costs a TCP and a TLS handshake before the first byte is sent.

use crate::app::App;
use crate::meeting::{ROOM, ada, enter, jane, start, stop};

/// The connections opened so far to LiveKit, DynamoDB and WorkOS.
fn connections(app: &App) -> [usize; 3] {
    [app.livekit().proxy(), app.dynamodb().proxy(), app.workos().proxy()].map(|proxy| proxy.connections())
}

/// Repeats `request` until it opens no connection. A function opens as many as it has concurrent calls, and whether two
/// calls overlap varies from request to request. So the pool may grow for a few requests, but then it must suffice.
async fn assert_reuse(app: &App, mut request: impl AsyncFnMut()) {
    let mut opened = vec![connections(app)];
    for _ in 0..6 {
        request().await;
        opened.push(connections(app));
        if opened.iter().rev().take(2).all(|each| Some(each) == opened.last()) {
            return;
        }
    }
    panic!("every request opens a connection: {opened:?}");
}

#[tokio::test]
async fn a_warm_start_and_stop_open_no_connection() {
    let app = App::start().await;
    app.without_webhooks();
    let mut ada = ada(&app).await;
    enter(&app, &mut ada, ROOM).await;
    let cold = connections(&app);
    let mut start_and_stop = async || {
        let egress = ada.start_recording(start(ROOM)).await.is(200).text("/egressId");
        ada.stop_recording(stop(ROOM, &egress)).await.is(200);
    };
    start_and_stop().await;
    let warm = connections(&app);
    assert!(cold[0] < warm[0] && cold[1] < warm[1], "each process connects to LiveKit and DynamoDB");
    assert_reuse(&app, start_and_stop).await;
}

#[tokio::test]
async fn a_warm_sign_in_opens_no_connection() {
    let app = App::start().await;
    jane(&app).await;
    assert_reuse(&app, async || drop(jane(&app).await)).await;
}
