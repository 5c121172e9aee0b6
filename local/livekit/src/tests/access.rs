//! Tokens and grants.

use super::*;

#[tokio::test]
async fn join_requires_a_join_token_of_this_key() {
    let livekit = livekit().await;
    let admin = token(VideoGrants { room_admin: true, room: "blue".to_owned(), ..VideoGrants::default() });
    assert_eq!(livekit.join(&admin).unwrap_err().code, Code::Unauthenticated);
    let foreign = AccessToken::with_api_key("devkey", "another")
        .with_identity("user_1")
        .with_grants(VideoGrants { room_join: true, room: "blue".to_owned(), ..VideoGrants::default() })
        .to_jwt()
        .unwrap();
    assert_eq!(livekit.join(&foreign).unwrap_err().code, Code::Unauthenticated);
    assert!(livekit.rooms().is_empty());
}

#[tokio::test]
async fn each_method_requires_its_own_grant() {
    let livekit = livekit().await;
    livekit.join(&join_token("blue", "user_1")).unwrap();
    let denied = ("unauthenticated".to_owned(), "permissions denied".to_owned());

    let other_room =
        token(VideoGrants { room_admin: true, room: "red".to_owned(), ..VideoGrants::default() });
    let all_but_admin = token(VideoGrants {
        room_create: true,
        room_list: true,
        room_record: true,
        room: "blue".to_owned(),
        ..VideoGrants::default()
    });
    let client = |token: &str| RoomClient::with_token(livekit.url(), token);
    for token in [&other_room, &all_but_admin, &join_token("blue", "user_1")] {
        assert_eq!(code(client(token).list_participants("blue").await), denied);
        assert_eq!(code(client(token).get_participant("blue", "user_1").await), denied);
        assert_eq!(code(client(token).remove_participant("blue", "user_1").await), denied);
    }

    let admin = token(VideoGrants { room_admin: true, room: "blue".to_owned(), ..VideoGrants::default() });
    assert_eq!(client(&admin).list_participants("blue").await.unwrap().len(), 1);
    assert_eq!(code(client(&admin).list_rooms(vec![]).await), denied);
    assert_eq!(code(client(&admin).delete_room("blue").await), denied);
    assert_eq!(code(client(&admin).create_room("red", CreateRoomOptions::default()).await), denied);

    let recorder = EgressClient::with_token(livekit.url(), &admin);
    let start = recorder
        .start_room_composite_egress("blue", vec![file(bucket())], RoomCompositeOptions::default())
        .await;
    assert_eq!(code(start), denied);
    assert_eq!(code(recorder.stop_egress("EG_1").await), denied);
    assert_eq!(code(recorder.list_egress(EgressListOptions::default()).await), denied);
    assert!(livekit.egresses().is_empty());
}

#[tokio::test]
async fn an_invalid_token_is_401_in_plain_text() {
    let livekit = livekit().await;
    let path = "/twirp/livekit.RoomService/ListRooms";
    let grants = VideoGrants { room_list: true, ..VideoGrants::default() };
    let good = token(grants.clone());
    let other_secret =
        AccessToken::with_api_key("devkey", "another").with_grants(grants.clone()).to_jwt().unwrap();
    let other_key =
        AccessToken::with_api_key("another", "secret").with_grants(grants.clone()).to_jwt().unwrap();
    let now = usize::try_from(clock::epoch_seconds()).unwrap();
    let valid_between = |nbf, exp| {
        let claims =
            Claims { iss: "devkey".to_owned(), nbf, exp, video: grants.clone(), ..Claims::default() };
        let key = jsonwebtoken::EncodingKey::from_secret(b"secret");
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
    };
    let expired = valid_between(now - 1000, now - 100);
    let too_early = valid_between(now + 100, now + 1000);
    let unsigned = {
        let payload = good.split('.').nth(1).unwrap();
        format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.")
    };

    for (authorization, message) in [
        (good.clone(), "invalid authorization header"),
        ("Bearer nonsense".to_owned(), "invalid authorization token"),
        (format!("Bearer {other_secret}"), "invalid token: "),
        (format!("Bearer {other_key}"), "invalid API key: another"),
        (format!("Bearer {expired}"), "ExpiredSignature"),
        (format!("Bearer {too_early}"), "ImmatureSignature"),
        (format!("Bearer {unsigned}"), "invalid token: "),
    ] {
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let (status, body) = send(&livekit, Method::POST, path, &headers, "{}").await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{body}");
        assert!(body.contains(message), "{body}");
    }
    let (status, body) =
        send(&livekit, Method::POST, path, &[("content-type", "application/json")], "{}").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(body, r#"{"code":"unauthenticated","msg":"permissions denied"}"#);
    assert!(livekit.seen_tokens().is_empty());
}

#[tokio::test]
async fn the_tokens_of_calls_are_recorded_with_their_methods() {
    let livekit = livekit().await;
    livekit.join(&join_token("blue", "user_1")).unwrap();
    rooms(&livekit).list_participants("blue").await.unwrap();
    record(&livekit, "blue").await.unwrap();

    let seen = livekit.seen_tokens();
    assert_eq!(seen[0].call, "ListParticipants");
    assert_eq!(
        seen[0].claims.video,
        VideoGrants { room_admin: true, room: "blue".to_owned(), ..VideoGrants::default() }
    );
    assert_eq!(seen[1].call, "StartRoomCompositeEgress");
    assert_eq!(seen[1].claims.video, VideoGrants { room_record: true, ..VideoGrants::default() });
    assert!(!format!("{seen:?}").contains(&seen[0].token));
    assert_eq!(livekit.proxy().calls(), ["ListParticipants", "StartRoomCompositeEgress"]);
}

#[tokio::test]
async fn other_algorithms_still_verify_after_livekit_api_has_signed() {
    let _livekit = livekit().await;
    join_token("blue", "user_1");
    let key = jsonwebtoken::DecodingKey::from_rsa_components(&"q".repeat(340), "AQAB").unwrap();
    let algorithm = jsonwebtoken::Algorithm::RS256;
    assert!(!jsonwebtoken::crypto::verify("c2ln", b"message", &key, algorithm).unwrap());
}
