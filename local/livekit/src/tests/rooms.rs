//! Rooms and their participants.

use livekit_protocol::RoomParticipantIdentity;

use super::*;

#[tokio::test]
async fn a_join_opens_the_room_and_lists_the_participant() {
    let livekit = livekit().await;
    livekit.join(&join_token("blue", "user_1")).unwrap();

    let participants = rooms(&livekit).list_participants("blue").await.unwrap();
    assert_eq!(participants.len(), 1);
    assert_eq!(participants[0].identity, "user_1");
    assert_eq!(participants[0].name, "Jane");
    assert_eq!(participants[0].attributes["organizationId"], "org_1");
    assert_eq!(rooms(&livekit).get_participant("blue", "user_1").await.unwrap(), participants[0]);

    let open = rooms(&livekit).list_rooms(vec!["blue".to_owned(), "red".to_owned()]).await.unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].num_participants, 1);
    assert!(open[0].sid.starts_with("RM_"));
}

#[tokio::test]
async fn a_second_join_of_an_identity_replaces_the_first() {
    let livekit = livekit().await;
    let first = livekit.join(&join_token("blue", "user_1")).unwrap();
    let second = livekit.join(&join_token("blue", "user_1")).unwrap();

    assert_ne!(first.sid, second.sid);
    assert_eq!(livekit.participants("blue"), [second]);
    assert_eq!(
        names(&livekit.events()),
        ["room_started", "participant_joined", "participant_left", "participant_joined"]
    );
}

#[tokio::test]
async fn a_participant_can_be_removed_and_an_unknown_one_is_not_found() {
    let livekit = livekit().await;
    livekit.join(&join_token("blue", "user_1")).unwrap();
    rooms(&livekit).remove_participant("blue", "user_1").await.unwrap();

    assert!(rooms(&livekit).list_participants("blue").await.unwrap().is_empty());
    assert_eq!(code(rooms(&livekit).remove_participant("blue", "user_1").await).0, "not_found");
    assert_eq!(
        code(rooms(&livekit).get_participant("nowhere", "user_1").await),
        ("not_found".to_owned(), "participant does not exist".to_owned())
    );
}

#[tokio::test]
async fn rooms_are_created_once_and_deleted_once() {
    let livekit = livekit().await;
    let created = rooms(&livekit).create_room("blue", CreateRoomOptions::default()).await.unwrap();
    let again = rooms(&livekit).create_room("blue", CreateRoomOptions::default()).await.unwrap();
    assert_eq!(created.sid, again.sid);

    rooms(&livekit).delete_room("blue").await.unwrap();
    assert_eq!(
        code(rooms(&livekit).delete_room("blue").await),
        ("not_found".to_owned(), "requested room does not exist".to_owned())
    );
    assert_eq!(
        code(rooms(&livekit).create_room("", CreateRoomOptions::default()).await).0,
        "invalid_argument"
    );
}

#[tokio::test]
async fn a_room_that_stays_empty_closes_and_its_recording_ends() {
    let livekit = livekit().await;
    let options = CreateRoomOptions { departure_timeout: 1, ..CreateRoomOptions::default() };
    rooms(&livekit).create_room("blue", options).await.unwrap();
    livekit.join(&join_token("blue", "user_1")).unwrap();
    let info = record(&livekit, "blue").await.unwrap();
    livekit.leave("blue", "user_1").unwrap();
    livekit.join(&join_token("blue", "user_2")).unwrap();
    livekit.leave("blue", "user_2").unwrap();
    assert_eq!(livekit.rooms().len(), 1);

    let closed = async {
        while !livekit.rooms().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), closed).await.unwrap();
    assert_eq!(livekit.egresses()[0].egress_id, info.egress_id);
    assert_eq!(livekit.egresses()[0].status(), EgressStatus::EgressComplete);
    assert_eq!(names(&livekit.events()).last(), Some(&"room_finished"));
}

#[test]
fn an_outdated_timer_does_not_close_the_room() {
    let (tasks, mut scheduled) = unbounded_channel();
    let mut state = crate::state::State::new(true, tasks);
    let claims = |identity: &str| claims("blue", identity);
    state.join(&claims("user_1")).unwrap();
    state.leave("blue", "user_1", DisconnectReason::ClientInitiated).unwrap();
    state.join(&claims("user_2")).unwrap();
    state.leave("blue", "user_2", DisconnectReason::ClientInitiated).unwrap();

    let mut timers = Vec::new();
    while let Ok(task) = scheduled.try_recv() {
        if let state::Task::CloseIfEmpty { sid, changes, after } = task {
            assert_eq!(after, Duration::from_secs(20));
            timers.push((sid, changes));
        }
    }
    state.close_if_empty(&timers[0].0, timers[0].1);
    assert!(state.room("blue").is_ok());
    state.close_if_empty(&timers[1].0, timers[1].1);
    assert!(state.room("blue").is_err());
}

#[tokio::test]
async fn a_missing_room_is_empty_or_not_found_on_livekit_cloud() {
    let livekit = livekit().await;
    assert!(rooms(&livekit).list_participants("nowhere").await.unwrap().is_empty());
    livekit.set_cloud(true);
    assert_eq!(
        code(rooms(&livekit).list_participants("nowhere").await),
        ("not_found".to_owned(), "requested room does not exist".to_owned())
    );
}

#[tokio::test]
async fn a_full_room_rejects_another_participant() {
    let livekit = livekit().await;
    let options = CreateRoomOptions { max_participants: 1, ..CreateRoomOptions::default() };
    rooms(&livekit).create_room("blue", options).await.unwrap();
    livekit.join(&join_token("blue", "user_1")).unwrap();
    assert_eq!(livekit.join(&join_token("blue", "user_2")).unwrap_err().code, Code::ResourceExhausted);
    livekit.join(&join_token("blue", "user_1")).unwrap();
    assert_eq!(livekit.participants("blue").len(), 1);
}

#[tokio::test]
async fn a_removed_participant_gets_back_in_except_at_livekit_cloud() {
    let livekit = livekit().await;
    let (mut old, mut new) = (claims("blue", "user_1"), claims("blue", "user_1"));
    (old.nbf, new.nbf) = (1000, 1001);
    for (cloud, refused) in [(false, false), (true, true)] {
        livekit.set_cloud(cloud);
        livekit.shared.state().join(&new).unwrap();
        let request = RoomParticipantIdentity {
            room: "blue".to_owned(),
            identity: "user_1".to_owned(),
            revoke_token_ts: 1001,
        };
        livekit.shared.state().remove_participant(&request).unwrap();
        assert!(livekit.participants("blue").is_empty());
        assert_eq!(livekit.shared.state().join(&old).is_err(), refused);
        livekit.shared.state().join(&new).unwrap();
    }
}

fn claims(room: &str, identity: &str) -> Claims {
    Claims {
        sub: identity.to_owned(),
        video: VideoGrants { room_join: true, room: room.to_owned(), ..VideoGrants::default() },
        ..Claims::default()
    }
}
