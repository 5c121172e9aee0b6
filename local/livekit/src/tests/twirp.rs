//! The Twirp protocol, faults and the developer's endpoints.

use super::*;

#[tokio::test]
async fn json_works_too_and_wrong_routes_are_bad_route() {
    let livekit = livekit().await;
    livekit.join(&join_token("blue", "user_1")).unwrap();
    let bearer = format!("Bearer {}", token(VideoGrants { room_list: true, ..VideoGrants::default() }));
    let json = [("authorization", bearer.as_str()), ("content-type", "application/json; charset=utf-8")];
    let list = "/twirp/livekit.RoomService/ListRooms";

    let (status, body) = send(&livekit, Method::POST, list, &json, r#"{"names":["blue"]}"#).await;
    assert_eq!(status, StatusCode::OK);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["rooms"][0]["name"], "blue");

    let (status, body) = send(&livekit, Method::POST, list, &json, "{").await;
    assert_eq!((status, body.contains("malformed")), (StatusCode::BAD_REQUEST, true));
    let protobuf = [("authorization", bearer.as_str()), ("content-type", "application/protobuf")];
    let (status, body) = send(&livekit, Method::POST, list, &protobuf, "\u{7}{").await;
    assert_eq!((status, body.contains("malformed")), (StatusCode::BAD_REQUEST, true));

    let xml = [("authorization", bearer.as_str()), ("content-type", "text/xml")];
    for (method, path, headers) in [
        (Method::POST, list, &xml),
        (Method::GET, list, &json),
        (Method::POST, "/twirp/livekit.RoomService/Nothing", &json),
        (Method::POST, "/twirp/livekit.Egress/ListRooms", &json),
    ] {
        let (status, body) = send(&livekit, method, path, headers, "{}").await;
        assert_eq!((status, body.contains("bad_route")), (StatusCode::NOT_FOUND, true), "{body}");
    }
}

#[tokio::test]
async fn a_fault_applies_to_its_twirp_method() {
    let livekit = livekit().await;
    livekit.join(&join_token("blue", "user_1")).unwrap();
    let full = r#"{"code":"resource_exhausted","msg":"not enough CPU"}"#;
    livekit.proxy().inject(Fault::response("StartRoomCompositeEgress", 429, full).times(1));
    livekit.proxy().inject(Fault::new("StartRoomCompositeEgress", Effect::LoseResponse).times(1));

    assert_eq!(code(record(&livekit, "blue").await).0, "resource_exhausted");
    assert!(livekit.egresses().is_empty());
    assert!(matches!(record(&livekit, "blue").await, Err(ServiceError::Twirp(ServerError::Request(_)))));
    assert_eq!(livekit.egresses().len(), 1, "the response is lost, but the recording runs");
    assert!(record(&livekit, "blue").await.is_ok());
}

#[tokio::test]
async fn a_developer_joins_and_ends_rooms_over_http() {
    let livekit = livekit().await;
    let json = [("content-type", "application/json")];
    let join = serde_json::json!({ "token": join_token("blue", "user_1") }).to_string();
    let (status, body) = send(&livekit, Method::POST, "/_livekit/join", &json, &join).await;
    assert_eq!((status, body.contains(r#""identity":"user_1""#)), (StatusCode::OK, true), "{body}");
    let (status, _) = send(&livekit, Method::POST, "/_livekit/join", &json, r#"{"token":"x"}"#).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);

    let id = record(&livekit, "blue").await.unwrap().egress_id;
    let (status, body) = send(&livekit, Method::GET, "/_livekit/state", &[], "").await;
    assert_eq!((status, body.contains(&id) && body.contains("user_1")), (StatusCode::OK, true));
    let end = serde_json::json!({ "egressId": id, "error": "no disk" }).to_string();
    let (status, body) = send(&livekit, Method::POST, "/_livekit/end-egress", &json, &end).await;
    assert_eq!((status, body.contains("EGRESS_FAILED")), (StatusCode::OK, true), "{body}");

    let leave = r#"{"room":"blue","identity":"user_1"}"#;
    let (status, _) = send(&livekit, Method::POST, "/_livekit/leave", &json, leave).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, _) = send(&livekit, Method::POST, "/_livekit/leave", &json, leave).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = send(&livekit, Method::POST, "/_livekit/end-room", &json, r#"{"room":"blue"}"#).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(send(&livekit, Method::GET, "/", &[], "").await, (StatusCode::OK, "OK".to_owned()));
}

#[tokio::test]
async fn the_port_is_free_once_the_handle_is_dropped() {
    let livekit = livekit().await;
    let address = livekit.url().trim_start_matches("http://").to_owned();
    drop(livekit);
    for _ in 0..1000 {
        if TcpListener::bind(&address).await.is_ok() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{address} is still in use");
}
