//! The life of a recording.

use super::*;

#[tokio::test]
async fn a_recording_runs_from_starting_to_complete() {
    let livekit = livekit().await;
    livekit.join(&join_token("blue", "user_1")).unwrap();

    let started = record(&livekit, "blue").await.unwrap();
    assert!(started.egress_id.starts_with("EG_"));
    assert_eq!(started.status(), EgressStatus::EgressStarting);
    assert_eq!(started.room_id, livekit.rooms()[0].sid);
    assert_eq!(livekit.egresses()[0].status(), EgressStatus::EgressActive);
    assert!(livekit.rooms()[0].active_recording);

    let stopped = egress(&livekit).stop_egress(&started.egress_id).await.unwrap();
    assert_eq!(stopped.status(), EgressStatus::EgressEnding);
    let ended = &livekit.egresses()[0];
    assert_eq!(ended.status(), EgressStatus::EgressComplete);
    assert!(ended.started_at > 1_700_000_000_000_000_000 && ended.ended_at >= ended.started_at);
    assert_eq!(ended.file_results[0].filename, "org_1/blue/now.mp4");
    assert_eq!(ended.file_results[0].location, "https://recordings.s3.amazonaws.com/org_1/blue/now.mp4");
    assert_eq!(ended.file_results[0].duration, ended.ended_at - ended.started_at);
    assert_eq!(
        names(&livekit.events())[2..],
        ["egress_started", "egress_updated", "egress_updated", "egress_ended"]
    );

    assert_eq!(
        code(egress(&livekit).stop_egress(&started.egress_id).await),
        ("failed_precondition".to_owned(), "egress with status EGRESS_COMPLETE cannot be stopped".to_owned())
    );
    assert_eq!(
        code(egress(&livekit).stop_egress("EG_unknown").await),
        ("not_found".to_owned(), "egress does not exist".to_owned())
    );
}

#[tokio::test]
async fn bucket_credentials_are_never_returned() {
    let livekit = livekit().await;
    livekit.set_automatic(false);
    livekit.join(&join_token("blue", "user_1")).unwrap();
    let started = record(&livekit, "blue").await.unwrap();

    let listed = egress(&livekit).list_egress(EgressListOptions::default()).await.unwrap();
    for text in [format!("{started:?}{listed:?}"), format!("{:?}{:?}", livekit.events(), livekit.egresses())]
    {
        assert!(!text.contains("hush") && !text.contains("AKIA"), "{text}");
        assert!(text.contains("{access_key}"));
    }
    let request = livekit.egress_request(&started.egress_id).unwrap();
    assert_eq!(request.file_outputs[0].output, Some(Output::S3(bucket())));
}

#[tokio::test]
async fn a_recording_needs_a_room_and_one_file_in_a_bucket() {
    let livekit = livekit().await;
    assert_eq!(
        code(record(&livekit, "blue").await),
        ("not_found".to_owned(), "requested room does not exist".to_owned())
    );
    livekit.join(&join_token("blue", "user_1")).unwrap();
    for outputs in [
        vec![],
        vec![file(bucket()), file(bucket())],
        vec![EgressOutput::File(EncodedFileOutput::default())],
        vec![file(S3Upload { bucket: String::new(), ..bucket() })],
        vec![file(S3Upload { secret: String::new(), ..bucket() })],
        vec![file(S3Upload { assume_role_arn: "recorder".to_owned(), ..bucket() })],
    ] {
        let start = egress(&livekit)
            .start_room_composite_egress("blue", outputs, RoomCompositeOptions::default())
            .await;
        assert_eq!(code(start).0, "invalid_argument");
    }
    assert!(livekit.egresses().is_empty());
}

#[tokio::test]
async fn a_test_can_end_a_recording_in_every_way() {
    let livekit = livekit().await;
    livekit.set_automatic(false);
    livekit.join(&join_token("blue", "user_1")).unwrap();
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(record(&livekit, "blue").await.unwrap().egress_id);
    }
    assert_eq!(livekit.egresses()[0].status(), EgressStatus::EgressStarting);
    for id in &ids[..3] {
        livekit.activate(id);
    }

    let stopping = egress(&livekit).stop_egress(&ids[0]).await.unwrap();
    assert_eq!(stopping.status(), EgressStatus::EgressEnding);
    assert_eq!(egress(&livekit).stop_egress(&ids[0]).await.unwrap(), stopping);
    assert_eq!(livekit.finish(&ids[0]).unwrap().status(), EgressStatus::EgressComplete);
    assert!(livekit.finish(&ids[0]).is_err());

    let failed = livekit.fail(&ids[1], "no disk").unwrap();
    assert_eq!((failed.status(), failed.error.as_str()), (EgressStatus::EgressFailed, "no disk"));
    assert_eq!(failed.file_results[0].location, "");
    assert_eq!(livekit.reach_limit(&ids[2]).unwrap().status(), EgressStatus::EgressLimitReached);
    let early = egress(&livekit).stop_egress(&ids[3]).await.unwrap();
    assert_eq!(early.status(), EgressStatus::EgressAborted);
    assert_eq!(early.started_at, 0);
}

#[tokio::test]
async fn a_rejected_upload_fails_the_recording() {
    let livekit = livekit().await;
    livekit.join(&join_token("blue", "user_1")).unwrap();
    for (value, error) in [("x".repeat(2048), "MetadataTooLarge"), ("Zoë".to_owned(), "US-ASCII")] {
        let s3 = S3Upload { metadata: [("participants".to_owned(), value)].into(), ..bucket() };
        let started = egress(&livekit)
            .start_room_composite_egress("blue", vec![file(s3)], RoomCompositeOptions::default())
            .await
            .unwrap();
        egress(&livekit).stop_egress(&started.egress_id).await.unwrap();
        let ended = livekit.egresses().pop().unwrap();
        assert_eq!(ended.status(), EgressStatus::EgressFailed);
        assert!(ended.error.contains(error), "{}", ended.error);
    }
}

#[tokio::test]
async fn egresses_are_listed_by_room_id_and_activity() {
    let livekit = livekit().await;
    livekit.join(&join_token("blue", "user_1")).unwrap();
    livekit.join(&join_token("red", "user_1")).unwrap();
    let ended = record(&livekit, "blue").await.unwrap().egress_id;
    egress(&livekit).stop_egress(&ended).await.unwrap();
    let blue = record(&livekit, "blue").await.unwrap().egress_id;
    let red = record(&livekit, "red").await.unwrap().egress_id;

    let list = async |filter, active| {
        let options = EgressListOptions { filter, active, page_token: None };
        let items = egress(&livekit).list_egress(options).await?;
        Ok::<_, ServiceError>(items.into_iter().map(|info| info.egress_id).collect::<Vec<_>>())
    };
    assert_eq!(list(EgressListFilter::All, false).await.unwrap(), [&*ended, &*blue, &*red]);
    assert_eq!(list(EgressListFilter::All, true).await.unwrap(), [&*blue, &*red]);
    assert_eq!(list(EgressListFilter::Room("blue".to_owned()), true).await.unwrap(), [&*blue]);
    assert_eq!(list(EgressListFilter::Egress(ended.clone()), true).await.unwrap(), [&*ended]);
    assert!(list(EgressListFilter::Room("nowhere".to_owned()), false).await.unwrap().is_empty());
    assert_eq!(code(list(EgressListFilter::Egress("EG_unknown".to_owned()), false).await).0, "not_found");
}

#[test]
fn files_are_named_as_livekit_names_them() {
    let name = |filepath: &str, audio_only| {
        let file = EncodedFileOutput { filepath: filepath.to_owned(), ..EncodedFileOutput::default() };
        let request = RoomCompositeEgressRequest {
            room_name: "blue".to_owned(),
            audio_only,
            ..RoomCompositeEgressRequest::default()
        };
        recording::file_name(&request, &file, "RM_1")
    };
    assert_eq!(name("a/{room_name}-{room_id}", false), "a/blue-RM_1.mp4");
    assert_eq!(name("a/talk.mp4", true), "a/talk.ogg");
    assert_eq!(name("a/v1.2", false), "a/v1.2.mp4");
    assert_eq!(name("../../a/./../b//c.mp4", false), "b/c.mp4");
    assert!(name("a/", false).starts_with("a/blue-2"));
    assert!(name("", false).starts_with("blue-2"));
    assert!(!name("a/{time}-{utc}", false).contains('{'));

    let store = S3Upload { endpoint: "https://minio.local/".to_owned(), force_path_style: true, ..bucket() };
    assert_eq!(recording::location(&store, "a.mp4"), "https://minio.local/recordings/a.mp4");
}
