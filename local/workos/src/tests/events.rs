//! The event log.

use std::time::Duration;

use serde_json::{Value, json};

use super::{TestBed, TestResult, error};

const JANE: &str = "jane.doe@example.com";
const MASADAS: &str = "org_01K2Z1R2MEJK6B41WW7428G9YC";
const MEMBERSHIPS: &str = "/user_management/organization_memberships";
const ALL: &str = "user.created,user.updated,user.deleted,session.created,session.revoked,\
                   organization_membership.created,organization_membership.updated,organization_membership.deleted";

/// The events of a page.
async fn listed(bed: &TestBed, query: &str) -> Result<Vec<Value>, Box<dyn std::error::Error>> {
    let page = bed.get(&format!("/events?{query}")).await?;
    assert_eq!(page.status, 200, "{}", page.text);
    Ok(page.body["data"].as_array().cloned().unwrap_or_default())
}

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["event"].as_str()).collect()
}

#[tokio::test]
async fn every_change_is_an_event_with_the_object_after_it() -> TestResult {
    let bed = TestBed::new().await?;
    assert!(bed.workos.events().is_empty(), "the seed is what was there before");
    let user = bed.post("/user_management/users", json!({"email": "kim@example.com"})).await?;
    let user_path = format!("/user_management/users/{}", user.text("id"));
    let named = bed.put(&user_path, json!({"first_name": "Kim"})).await?;
    assert_eq!((named.status.as_u16(), named.text("first_name")), (200, "Kim"));
    let wanted = json!({"user_id": user.text("id"), "organization_id": MASADAS});
    let member = bed.post(MEMBERSHIPS, wanted).await?;
    let path = format!("{MEMBERSHIPS}/{}", member.text("id"));
    assert_eq!(bed.get(&path).await?.body, member.body);
    assert_eq!(bed.put(&path, json!({"role_slug": "admin"})).await?.body["role"]["slug"], "admin");
    bed.sign_in("kim@example.com").await?;
    // Repeating a change changes nothing.
    for _ in 0..2 {
        assert_eq!(bed.put(&format!("{path}/deactivate"), json!({})).await?.text("status"), "inactive");
    }
    assert_eq!(bed.put(&format!("{path}/reactivate"), json!({})).await?.text("status"), "active");
    bed.sign_in("kim@example.com").await?;
    assert_eq!(bed.delete(&path).await?.status, 200);
    bed.sign_in("kim@example.com").await?;
    assert_eq!(bed.delete(&user_path).await?.status, 200);
    assert_eq!(bed.delete(&user_path).await?.status, 404);

    let events = listed(&bed, &format!("events={ALL}&order=asc&limit=100")).await?;
    assert_eq!(
        names(&events),
        [
            "user.created",
            "user.updated",
            "organization_membership.created",
            "organization_membership.updated",
            // The sign-in verifies the address.
            "user.updated",
            "session.created",
            "organization_membership.updated",
            "session.revoked",
            "organization_membership.updated",
            "session.created",
            "organization_membership.deleted",
            "session.revoked",
            "session.created",
            "session.revoked",
            "user.deleted",
        ]
    );
    assert!(events.is_sorted_by_key(|event| event["id"].as_str()), "later events have greater ids");
    assert_eq!(events[0]["data"], user.body);
    assert_eq!(events[1]["data"]["first_name"], "Kim");
    assert_eq!(events[3]["data"]["role"]["slug"], "admin");
    assert_eq!(events[6]["data"]["status"], "inactive");
    assert_eq!(events[7]["data"]["id"], events[5]["data"]["id"], "the session that began");
    assert_eq!(events[7]["data"]["status"], "revoked");
    assert_eq!(events[7]["data"]["organization_id"], MASADAS);
    assert_eq!(events[14]["data"]["id"], user.body["id"]);
    Ok(())
}

#[tokio::test]
async fn sessions_end_with_an_event_however_they_end() -> TestResult {
    let bed = TestBed::new().await?;
    let mut ended = Vec::new();
    for number in 0..3 {
        let session = bed.sign_in(JANE).await?.claims()?["sid"].as_str().unwrap_or_default().to_owned();
        match number {
            0 => drop(bed.get(&format!("/user_management/sessions/logout?session_id={session}")).await?),
            1 => drop(bed.post("/user_management/sessions/revoke", json!({"session_id": session})).await?),
            _ => assert!(bed.workos.revoke_session(&session)),
        }
        ended.push(session);
    }
    let events = listed(&bed, "events=session.revoked&order=asc").await?;
    let sessions: Vec<_> = events.iter().filter_map(|event| event["data"]["id"].as_str()).collect();
    assert_eq!(sessions, ended);
    Ok(())
}

#[tokio::test]
async fn a_cursor_leads_through_the_events_in_order() -> TestResult {
    let bed = TestBed::new().await?;
    for number in 0..7 {
        bed.workos.add_user(&format!("user{number}@example.com"));
    }
    let all: Vec<Value> = bed.workos.events().iter().map(|event| json!(event)).collect();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = bed.get(&format!("/events?events=user.created&order=asc&limit=3{cursor}")).await?;
        seen.extend(page.body["data"].as_array().cloned().unwrap_or_default());
        let Some(after) = page.body["list_metadata"]["after"].as_str() else { break };
        cursor = format!("&after={after}");
    }
    assert_eq!(seen, all);
    let newest = listed(&bed, "events=user.created&limit=2").await?;
    assert_eq!([&newest[0], &newest[1]], [&all[6], &all[5]], "newest first by default");

    // The cursor is a place among all events, whatever their type.
    let last = all[6]["id"].as_str().unwrap_or_default();
    bed.workos.remove_membership(&bed.workos.add_user(JANE), MASADAS);
    bed.sign_in("user1@example.com").await?;
    let events = listed(&bed, &format!("events=session.created&order=asc&after={last}")).await?;
    assert_eq!(names(&events), ["session.created"]);
    Ok(())
}

#[tokio::test]
async fn events_can_be_filtered_by_organization_and_time() -> TestResult {
    let bed = TestBed::new().await?;
    let user = bed.workos.add_user("kim@example.com");
    bed.workos.add_membership(&user, MASADAS, "member", &[]);
    bed.sign_in("kim@example.com").await?;
    let events = listed(&bed, &format!("events={ALL}&order=asc&organization_id={MASADAS}")).await?;
    assert_eq!(names(&events), ["organization_membership.created", "session.created"]);

    bed.workos.advance(Duration::from_secs(60));
    bed.workos.revoke_sessions(&user);
    let revoked = listed(&bed, "events=session.revoked").await?;
    let at = revoked[0]["created_at"].as_str().unwrap_or_default();
    let late = listed(&bed, &format!("events={ALL}&range_start={at}")).await?;
    assert_eq!(names(&late), ["session.revoked"]);
    let early = listed(&bed, &format!("events=session.created,session.revoked&range_end={at}")).await?;
    assert_eq!(names(&early), ["session.created"]);
    Ok(())
}

#[tokio::test]
async fn a_query_that_cannot_be_served_is_refused() -> TestResult {
    let bed = TestBed::new().await?;
    bed.workos.add_user("kim@example.com");
    let cursor = bed.workos.events()[0].id.clone();
    for query in [
        "",
        "events=",
        "events=user.created&limit=0",
        "events=user.created&limit=101",
        "events=user.created&order=sideways",
        "events=user.created&after=event_unknown",
        "events=user.created&range_start=yesterday",
        &format!("events=user.created&after={cursor}&range_start=2026-01-01T00:00:00Z"),
    ] {
        let response = bed.get(&format!("/events?{query}")).await?;
        assert_eq!(error(&response), (422, "invalid_request_parameters"), "{query}");
    }
    // Without a cursor or a range, a query covers 30 days; after 90, an event is gone.
    let day = Duration::from_secs(24 * 60 * 60);
    bed.workos.advance(day * 31);
    assert_eq!(listed(&bed, "events=user.created").await?, Vec::<Value>::new());
    assert_eq!(listed(&bed, "events=user.created&range_start=2026-01-01T00:00:00Z").await?.len(), 1);
    let after = format!("/events?events=user.created&after={cursor}");
    assert_eq!(bed.get(&after).await?.status, 200);
    bed.workos.advance(day * 60);
    assert_eq!(bed.get(&after).await?.status, 422);
    Ok(())
}

#[tokio::test]
async fn changes_of_what_does_not_exist_are_refused() -> TestResult {
    let bed = TestBed::new().await?;
    let path = format!("{MEMBERSHIPS}/om_unknown");
    assert_eq!(bed.get(&path).await?.status, 404);
    assert_eq!(bed.delete(&path).await?.status, 404);
    for change in ["deactivate", "reactivate"] {
        assert_eq!(bed.put(&format!("{path}/{change}"), json!({})).await?.status, 404);
    }
    assert_eq!(bed.put(&path, json!({"role_slug": "admin"})).await?.status, 404);
    assert_eq!(error(&bed.put(&path, json!({"role_slug": "king"})).await?), (422, "invalid_role"));
    assert_eq!(bed.put("/user_management/users/user_unknown", json!({})).await?.status, 404);
    assert!(bed.workos.events().is_empty());
    Ok(())
}
