//! What ends or changes at WorkOS takes effect here: webhooks, and the list of events as their backstop.
//!
//! The tests sign webhooks themselves, so that the product is not tested against the double's own signatures.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use local_proxy::{Effect, Fault};
use ring::hmac;
use serde_json::{Value, json};

use crate::app::{Answer, App, Browser, now, session_key};
use crate::organizations::{MASADAS, TAUNTA, signed_in_to};

const JANE: &str = "jane.doe@example.com";
/// Has two organizations.
const KIM: &str = "123@gmail.com";
const SECRET: &str = "whsec_local";
const REFRESH: &str = "authenticate.refresh_token";
const BACKSTOP: &str = "sweep-sessions";

impl App {
    /// Posts a webhook like WorkOS.
    pub async fn workos_webhook(&self, body: impl Into<Vec<u8>>, signature: Option<&str>) -> Answer {
        let mut workos = self.browser().without_origin();
        if let Some(signature) = signature {
            workos = workos.header("workos-signature", signature);
        }
        workos.send("/webhooks/workos", Some((body.into(), "application/json"))).await
    }

    /// Posts a signed event.
    pub async fn hear(&self, event: &Value) -> Answer {
        let body = event.to_string();
        let signature = signature(SECRET, millis(0), &body);
        self.workos_webhook(body, Some(&signature)).await
    }

    /// Runs the backstop.
    async fn backstop(&self) -> Result<(), local_runtime::InvokeError> {
        self.cloud.fire_schedule(BACKSTOP).await.map(drop)
    }

    /// Whether the backstop has read every event.
    fn is_read(&self) -> bool {
        let last = self.workos().events().last().expect("an event").id.clone();
        self.items_of("cursor#").first().is_some_and(|item| item["event_id"]["S"] == *last)
    }

    /// Another device of a person who is signed in already.
    async fn another(&self, email: &str) -> Browser<'_> {
        self.signed_in(email).await
    }

    fn user(&self, email: &str) -> String {
        self.workos().user_id(email).expect("a user")
    }

    /// WorkOS' id of the browser's session.
    fn sid(&self, browser: &Browser<'_>) -> String {
        self.session_item(browser).expect("a session")["workos_session_id"]["S"].as_str().unwrap().to_owned()
    }

    /// How often sessions were refreshed.
    fn refreshes(&self) -> usize {
        self.workos().proxy().count(REFRESH)
    }

    /// The metric lines about events, as `(source, outcome)`.
    fn counted(&self) -> Vec<(String, String)> {
        let lines = self.logs();
        let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        lines
            .filter(|line| line["WorkosEvent"] == 1)
            .map(|line| (text(&line["Source"]), text(&line["Outcome"])))
            .collect()
    }
}

/// Milliseconds since the Unix epoch, so many seconds from now.
fn millis(seconds: i64) -> i64 {
    i64::try_from(now()).unwrap() * 1000 + seconds * 1000
}

/// `WorkOS-Signature` of a body.
fn signature(secret: &str, millis: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{millis}.{body}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={millis}, v1={hex}")
}

/// A time so many seconds from now, as WorkOS writes it.
fn time(seconds: i64) -> String {
    let time = time::OffsetDateTime::from_unix_timestamp(millis(seconds) / 1000).unwrap();
    time.format(&time::format_description::well_known::Rfc3339).unwrap()
}

/// An event that happened so many seconds from now.
fn event(name: &str, seconds: i64, data: Value) -> Value {
    json!({ "object": "event", "id": "event_01TEST", "event": name, "data": data, "created_at": time(seconds) })
}

fn revoked(user: &str, sid: &str) -> Value {
    let data = json!({ "object": "session", "id": sid, "user_id": user, "status": "revoked" });
    event("session.revoked", 0, data)
}

fn membership(name: &str, seconds: i64, user: &str, organization: &str, status: &str) -> Value {
    let data = json!({ "object": "organization_membership", "id": "om_01", "user_id": user, "status": status,
        "organization_id": organization, "role": { "slug": "member" },
        // As WorkOS sends it: the last update of a deleted membership can be long ago.
        "created_at": time(-86_400), "updated_at": time(-86_400) });
    event(&format!("organization_membership.{name}"), seconds, data)
}

async fn is_over(browser: &Browser<'_>) {
    browser.clone().room_auth("Jane", "room").await.refused(401, "not_signed_in");
}

async fn lives(browser: &Browser<'_>) {
    browser.clone().room_auth("Jane", "room").await.is(200);
}

/// Every event, so that each of the functions' calls to the table is made.
pub async fn every_event(app: &App) {
    let browser = app.signed_in(JANE).await;
    let user = app.user(JANE);
    app.hear(&event("user.updated", 1, json!({ "id": user, "email": JANE, "first_name": "New" })))
        .await
        .is(200);
    app.hear(&revoked(&user, &app.sid(&browser))).await.is(200);

    app.workos().rewind(Duration::from_secs(200));
    drop(app.signed_in(JANE).await);
    app.workos().set_profile(&user, "Other", "Name", "https://example.com/picture");
    app.backstop().await.unwrap();
    app.workos().revoke_sessions(&user);
    app.backstop().await.unwrap();
}

#[tokio::test]
async fn a_session_that_workos_revokes_is_over_at_the_next_request() {
    let app = App::start().await;
    app.webhooks_from_workos();
    let (jane, phone) = (app.signed_in(JANE).await, app.another(JANE).await);
    let kim = app.signed_in("kim@example.com").await;
    for browser in [&jane, &phone, &kim] {
        lives(browser).await;
    }
    // As an administrator does, in the dashboard or by `POST /user_management/sessions/revoke`.
    assert!(app.workos().revoke_session(&app.sid(&jane)));
    app.workos().webhooks_settled().await;
    is_over(&jane).await;
    lives(&phone).await;
    lives(&kim).await;
    assert!(app.session_item(&jane).is_none());
    let end = app.logs().into_iter().find(|line| line.contains(r#""event":"session-end""#)).unwrap();
    let end: Value = serde_json::from_str(&end).unwrap();
    assert_eq!((&end["cause"], &end["user_id"]), (&json!("revoked"), &json!(app.user(JANE))));
    assert_eq!(end["source_ip"], Value::Null, "nobody's browser has asked for it: {end}");
}

#[tokio::test]
async fn no_session_of_a_deleted_user_is_left() {
    let app = App::start().await;
    app.webhooks_from_workos();
    let (laptop, phone) = (app.signed_in(JANE).await, app.another(JANE).await);
    let kim = app.signed_in("kim@example.com").await;
    app.workos().delete_user(&app.user(JANE));
    app.workos().webhooks_settled().await;
    is_over(&laptop).await;
    is_over(&phone).await;
    lives(&kim).await;
    // The webhook alone, without those about the sessions.
    app.hear(&event(
        "user.deleted",
        0,
        json!({ "id": app.user("kim@example.com"), "email": "kim@example.com" }),
    ))
    .await
    .is(200);
    is_over(&kim).await;
}

#[tokio::test]
async fn a_membership_that_ends_takes_the_sessions_in_the_organization_with_it() {
    for (name, status) in [("deleted", "active"), ("updated", "inactive")] {
        let app = App::start().await;
        let user = app.user(KIM);
        let (there, elsewhere) =
            (signed_in_to(&app, KIM, MASADAS).await, signed_in_to(&app, KIM, TAUNTA).await);
        // Of another person, and of another organization.
        app.hear(&membership(name, 1, "user_01OTHER", MASADAS, status)).await.is(200);
        app.hear(&membership(name, 1, &user, "org_01OTHER", status)).await.is(200);
        lives(&there).await;
        app.hear(&membership(name, 1, &user, MASADAS, status)).await.is(200);
        is_over(&there).await;
        lives(&elsewhere).await;
    }
}

#[tokio::test]
async fn an_old_event_does_not_end_the_session_of_a_person_who_has_joined_again() {
    let app = App::start().await;
    let user = app.user(KIM);
    let mut session = signed_in_to(&app, KIM, MASADAS).await;
    let issued_at: i64 =
        app.session_item(&session).unwrap()["claims_issued_at"]["N"].as_str().unwrap().parse().unwrap();
    let ended = |at: i64| membership("deleted", at - millis(0) / 1000, &user, MASADAS, "active");
    app.hear(&ended(issued_at - 1)).await.is(200);
    lives(&session).await;
    // A switch keeps the age of the session, but its claims are new.
    let created = app.session_item(&session).unwrap()["created_at"].clone();
    app.edit_session(&session, |item| {
        for name in ["created_at", "claims_issued_at"] {
            item[name] = json!({ "N": (now() - 1000).to_string() });
        }
    });
    session.switch_organization(KIM, TAUNTA).await.is(200);
    session.switch_organization(KIM, MASADAS).await.is(200);
    assert_ne!(app.session_item(&session).unwrap()["created_at"], created, "it is older than the event");
    app.hear(&ended(issued_at - 1)).await.is(200);
    lives(&session).await;
    // In the same second the claims count as older.
    let item = app.session_item(&session).unwrap();
    let issued_at = item["claims_issued_at"]["N"].as_str().unwrap().parse().unwrap();
    app.hear(&ended(issued_at)).await.is(200);
    is_over(&session).await;
}

#[tokio::test]
async fn a_change_of_the_role_or_the_person_takes_effect_at_the_next_use() {
    let app = App::start().await;
    app.webhooks_from_workos();
    let user = app.user(KIM);
    let (mut there, mut elsewhere) =
        (signed_in_to(&app, KIM, MASADAS).await, signed_in_to(&app, KIM, TAUNTA).await);
    app.workos().webhooks_settled().await;
    lives(&there).await;
    lives(&elsewhere).await;
    let before = app.refreshes();
    // A second later, so that the next claims are newer than the event.
    app.workos().add_membership(&user, MASADAS, "owner", &["rooms:close"]);
    app.workos().webhooks_settled().await;
    app.workos().advance(Duration::from_secs(2));
    let session = there.session().await.is(200);
    assert_eq!(
        (session.text("/role"), &session.body["permissions"]),
        ("owner".to_owned(), &json!(["rooms:close"]))
    );
    elsewhere.session().await.is(200);
    assert_eq!(app.refreshes(), before + 1, "only the session in the organization, once");

    app.workos().set_profile(&user, "Kimberly", "Kay", "https://example.com/kim");
    app.workos().webhooks_settled().await;
    app.workos().advance(Duration::from_secs(2));
    for browser in [&mut there, &mut elsewhere] {
        for _ in 0..2 {
            assert_eq!(browser.session().await.is(200).text("/user/firstName"), "Kimberly");
        }
    }
    assert_eq!(app.refreshes(), before + 3, "each session once");
}

/// Otherwise a refresh that WorkOS reports as an update of the user would cause the next one.
#[tokio::test]
async fn an_update_that_no_session_shows_causes_no_refresh() {
    let app = App::start().await;
    let jane = app.signed_in(JANE).await;
    let same = json!({ "id": app.user(JANE), "email": JANE, "first_name": null, "last_name": "", "metadata": { "a": "b" } });
    let item = app.session_item(&jane).unwrap();
    let name = |field: &str| item[field]["S"].clone();
    let mut same = same;
    same["first_name"] = name("first_name");
    same["last_name"] = name("last_name");
    same["profile_picture_url"] = name("avatar_url");
    app.hear(&event("user.updated", 1, same.clone())).await.is(200);
    assert_eq!(app.session_item(&jane).unwrap(), item);
    same["email"] = json!("new@example.com");
    app.hear(&event("user.updated", 1, same)).await.is(200);
    assert_ne!(app.session_item(&jane).unwrap()["claims_stale_at"], Value::Null);
}

#[tokio::test]
async fn only_webhooks_that_workos_has_signed_are_applied() {
    let app = App::start().await;
    let jane = app.signed_in(JANE).await;
    let body = revoked(&app.user(JANE), &app.sid(&jane)).to_string();
    let right = signature(SECRET, millis(0), &body);
    let (time, hex) = right.split_once(", v1=").unwrap();
    let of = |secret: &str, seconds: i64, body: &str| signature(secret, millis(seconds), body);
    for (what, body, header) in [
        ("no signature", body.clone(), None),
        ("an empty one", body.clone(), Some(String::new())),
        ("no time", body.clone(), Some(format!("v1={hex}"))),
        ("no digest", body.clone(), Some(time.to_owned())),
        ("half a digest", body.clone(), Some(format!("{time}, v1={}", &hex[..32]))),
        ("no hexadecimal", body.clone(), Some(format!("{time}, v1={}", "x".repeat(64)))),
        ("an older scheme", body.clone(), Some(format!("{time}, v0={hex}"))),
        ("two times", body.clone(), Some(format!("{time}, {right}"))),
        ("another time", body.clone(), Some(format!("t={}, v1={hex}", millis(1)))),
        ("rubbish", body.clone(), Some(format!("{right}, rubbish"))),
        ("another secret", body.clone(), Some(of("whsec_other", 0, &body))),
        ("an empty secret", body.clone(), Some(of("", 0, &body))),
        ("181 seconds old", body.clone(), Some(of(SECRET, -182, &body))),
        ("of the future", body.clone(), Some(of(SECRET, 182, &body))),
        ("a changed body", body.replace("revoked", "renewed"), Some(right.clone())),
        ("a longer body", format!("{body} "), Some(right.clone())),
        ("a truncated body", body[..body.len() / 2].to_owned(), Some(right.clone())),
        ("no body", String::new(), Some(right.clone())),
        ("the signature of another body", body.clone(), Some(of(SECRET, 0, "{}"))),
        (
            "LiveKit's signature",
            body.clone(),
            Some(local_livekit::sign_body("devkey", "secret", &body).unwrap()),
        ),
    ] {
        let answer = app.workos_webhook(body, header.as_deref()).await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.body);
        answer.refused(401, "not_signed_in");
    }
    // A session is not a signature.
    let answer = jane.clone().send("/webhooks/workos", Some((body.clone().into(), "application/json"))).await;
    answer.refused(401, "not_signed_in");
    lives(&jane).await;

    // Signed, but not an event.
    for nonsense in ["", "{", "[]", "null", "7"] {
        let header = of(SECRET, 0, nonsense);
        app.workos_webhook(nonsense, Some(&header)).await.refused(400, "invalid_json");
    }
    let large = format!("{}{}", json!({ "event": "user.created" }), " ".repeat(1024 * 1024));
    let header = of(SECRET, 0, &large);
    app.workos_webhook(large.clone(), Some(&header)).await.refused(413, "body_too_large");
    app.workos_webhook(large, None).await.refused(413, "body_too_large");
    let most = "{}".to_owned() + &" ".repeat(256 * 1024 - 2);
    app.workos_webhook(most.clone(), Some(&of(SECRET, 0, &most))).await.is(200);
    lives(&jane).await;

    // By clocks that are two minutes apart, with an unknown part, and with another signature beside ours.
    for (header, body) in [
        (of(SECRET, -150, "{}"), "{}"),
        (of(SECRET, 150, "{}"), "{}"),
        (format!("{}, v2=abc", of(SECRET, 0, "{}")), "{}"),
        (format!("{}, v1={}", of(SECRET, 0, "{}"), "0".repeat(64)), "{}"),
    ] {
        app.workos_webhook(body, Some(&header)).await.is(200);
    }
    app.workos_webhook(body.clone(), Some(&right)).await.is(200);
    is_over(&jane).await;
    // A replay.
    app.workos_webhook(body, Some(&right)).await.is(200);
    assert!(!app.logs().iter().any(|line| line.contains(hex) || line.contains(SECRET)));
}

#[tokio::test]
async fn while_the_secret_is_rotated_both_are_accepted() {
    let app = App::with_env(&[("WORKOS_WEBHOOK_SECRET", "whsec_new,whsec_old")]).await;
    for (secret, status) in
        [("whsec_new", 200), ("whsec_old", 200), ("whsec_new,whsec_old", 401), (SECRET, 401)]
    {
        let answer = app.workos_webhook("{}", Some(&signature(secret, millis(0), "{}"))).await;
        assert_eq!(answer.status, status, "{secret}");
    }
}

#[tokio::test]
async fn without_a_secret_every_webhook_is_refused() {
    let app = App::with_env(&[("WORKOS_WEBHOOK_SECRET", "")]).await;
    for secret in ["", " ", SECRET] {
        let header = signature(secret, millis(0), "{}");
        app.workos_webhook("{}", Some(&header)).await.refused(401, "not_signed_in");
    }
    let logs = app.logs();
    assert!(logs.iter().any(|line| line.contains("WORKOS_WEBHOOK_SECRET is not set")));
}

#[tokio::test]
async fn other_events_are_accepted_and_one_that_lacks_a_field_is_reported() {
    let app = App::start().await;
    let jane = app.signed_in(JANE).await;
    let user = app.user(JANE);
    for name in ["session.created", "user.created", "role.updated", "organization_role.deleted", "a.new.one"]
    {
        app.hear(&event(name, 0, json!({ "id": user, "user_id": user, "slug": "member" }))).await.is(200);
    }
    assert_eq!(app.counted(), [], "they are nobody's business");
    let person = "Somebody's Name";
    for broken in [
        event("session.revoked", 0, json!({ "id": "session_01", "name": person })),
        event("user.deleted", 0, json!({ "id": 7, "name": person })),
        event("user.deleted", 0, json!(person)),
        json!({ "event": "organization_membership.deleted", "data": { "user_id": user, "organization_id": MASADAS } }),
        json!({ "data": { "name": person } }),
    ] {
        // A repetition would not help, and WorkOS would repeat it for days.
        app.hear(&broken).await.is(200);
    }
    assert_eq!(app.counted(), vec![("webhook".to_owned(), "undecodable".to_owned()); 5]);
    assert!(!app.logs().iter().any(|line| line.contains(person)));
    lives(&jane).await;
}

#[tokio::test]
async fn a_sign_in_that_is_storing_its_session_when_workos_revokes_it_is_refused() {
    let app = App::start().await;
    app.signed_in(JANE).await.sign_out().await.is(200);
    let mut browser = app.browser();
    app.reset_limits();
    browser.sign_in(JANE).await.is(200);
    let (code, user) = (app.code(JANE), app.user(JANE));
    let known: BTreeSet<_> = app.workos().sessions(&user).into_iter().collect();
    // The write of the session is on its way.
    let proxy = app.dynamodb().proxy();
    proxy.reset_calls();
    proxy.inject(
        Fault::new("TransactWriteItems", Effect::Serve).skip(1).delay(Duration::from_millis(700)).times(1),
    );
    let revocation = async {
        while proxy.count("TransactWriteItems") < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let sid =
            app.workos().sessions(&user).into_iter().find(|sid| !known.contains(sid)).expect("a session");
        app.hear(&revoked(&user, &sid)).await.is(200);
    };
    let (answer, ()) = tokio::join!(browser.finalize_magic_auth(JANE, &code), revocation);
    answer.refused(502, "sign_in_interrupted");
    assert_eq!(app.items_of("session#"), [] as [Value; 0], "nothing is stored");
}

#[tokio::test]
async fn a_session_in_the_middle_of_a_switch_is_ended_although_the_index_shows_only_the_replaced_one() {
    let app = App::start().await;
    let mut new = signed_in_to(&app, KIM, MASADAS).await;
    let old = new.clone();
    new.switch_organization(KIM, TAUNTA).await.is(200);
    // The index lags: it still lists the old session, and not yet the new one.
    let rename = |item: &mut Value, from: &str, to: &str| {
        item[to] = item.as_object_mut().unwrap().remove(from).unwrap()
    };
    app.edit_session(&old, |item| rename(item, "former_user_id", "user_id"));
    app.edit_session(&new, |item| rename(item, "user_id", "former_user_id"));
    app.hear(&revoked(&app.user(KIM), &app.sid(&new))).await.is(200);
    is_over(&old).await;
    is_over(&new).await;
}

#[tokio::test]
async fn all_of_two_hundred_sessions_end() {
    let app = App::start().await;
    let jane = app.signed_in(JANE).await;
    let (item, table) = (app.session_item(&jane).unwrap(), app.cloud.table().unwrap().to_owned());
    for number in 0..199 {
        let mut copy = item.clone();
        copy["pk"] = json!({ "S": format!("session#copy{number}") });
        copy["session_id"] = json!({ "S": format!("copy{number}") });
        copy["workos_session_id"] = json!({ "S": format!("session_copy{number}") });
        app.dynamodb().put(&table, &copy).unwrap();
    }
    assert_eq!(app.items_of("session#").len(), 200);
    let deleted = event("user.deleted", 0, json!({ "id": app.user(JANE) }));
    // On a slow machine they do not all end within one request: it fails, and WorkOS repeats it.
    while app.hear(&deleted).await.status != 200 {
        assert!(!app.items_of("session#").is_empty(), "nothing is left to do");
    }
    assert_eq!(app.items_of("session#").len(), 0);
}

#[tokio::test]
async fn without_the_table_a_webhook_fails_and_its_repetition_finishes_the_work() {
    let app = App::start().await;
    let (laptop, phone) = (app.signed_in(JANE).await, app.another(JANE).await);
    let deleted = event("user.deleted", 0, json!({ "id": app.user(JANE) }));
    let proxy = app.dynamodb().proxy();
    for call in ["Query", "BatchGetItem", "DeleteItem"] {
        proxy.inject(Fault::new(call, Effect::Drop));
        app.hear(&deleted).await.refused(503, "store_unavailable");
        proxy.clear_faults();
        lives(&laptop).await;
    }
    // One of the sessions ends, the other one does not.
    proxy.inject(Fault::new("DeleteItem", Effect::Drop).skip(1));
    app.hear(&deleted).await.refused(503, "store_unavailable");
    proxy.clear_faults();
    assert_eq!(app.items_of("session#").len(), 1);
    app.hear(&deleted).await.is(200);
    is_over(&laptop).await;
    is_over(&phone).await;
    let expected = ["failed", "failed", "failed", "failed", "applied"];
    assert_eq!(app.counted().into_iter().map(|(_, outcome)| outcome).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn the_note_of_a_revoked_session_comes_first() {
    let app = App::start().await;
    let jane = app.signed_in(JANE).await;
    let revoked = revoked(&app.user(JANE), &app.sid(&jane));
    app.dynamodb().proxy().inject(Fault::new("UpdateItem", Effect::Drop).with_retries().times(1));
    app.hear(&revoked).await.refused(503, "store_unavailable");
    lives(&jane).await;
    app.hear(&revoked).await.is(200);
    is_over(&jane).await;
}

/// WorkOS' clock is behind, so that its events have settled.
async fn settled() -> App {
    let app = App::with(|options| options.workos.access_token_lifetime = Duration::from_secs(3600)).await;
    app.workos().rewind(Duration::from_secs(200));
    app
}

#[tokio::test]
async fn the_backstop_applies_what_webhooks_have_not_told() {
    let app = settled().await;
    let (revoked, user_of) = (app.signed_in(JANE).await, app.user(KIM));
    let (mut member, mut changed) =
        (signed_in_to(&app, KIM, MASADAS).await, signed_in_to(&app, KIM, TAUNTA).await);
    let (deleted, other) = (app.signed_in("del@example.com").await, app.signed_in("other@example.com").await);
    app.backstop().await.unwrap();
    for browser in [&revoked, &member, &changed, &deleted, &other] {
        lives(browser).await;
    }
    app.workos().revoke_session(&app.sid(&revoked));
    app.workos().delete_user(&app.user("del@example.com"));
    app.workos().remove_membership(&user_of, MASADAS);
    app.workos().add_membership(&user_of, TAUNTA, "owner", &[]);
    lives(&revoked).await;
    app.backstop().await.unwrap();
    is_over(&revoked).await;
    is_over(&deleted).await;
    member.session().await.refused(401, "not_signed_in");
    app.workos().advance(Duration::from_secs(2));
    assert_eq!(changed.session().await.is(200).text("/role"), "owner");
    lives(&other).await;
}

#[tokio::test]
async fn the_backstop_reads_each_event_once_and_continues_after_the_last() {
    let app = settled().await;
    let user = app.workos().add_user(JANE);
    for number in 0..250 {
        app.workos().set_profile(&user, &format!("Jane {number}"), "", "");
    }
    // A run ends when its time is up.
    while !app.is_read() {
        app.backstop().await.unwrap();
    }
    assert_eq!(app.workos().proxy().count("events.list"), 5);
    assert_eq!(app.counted().len(), 250);
    app.backstop().await.unwrap();
    assert_eq!(app.counted().len(), 250, "nothing is read again");
    app.workos().set_profile(&user, "Jane", "", "");
    app.backstop().await.unwrap();
    assert_eq!(app.counted().len(), 251);
}

#[tokio::test]
async fn the_first_run_begins_an_hour_back() {
    let app = settled().await;
    let early = app.workos().add_user("early@example.com");
    app.workos().rewind(Duration::from_secs(3600));
    app.workos().set_profile(&early, "Early", "", "");
    app.workos().advance(Duration::from_secs(3600));
    app.workos().set_profile(&early, "Late", "", "");
    app.backstop().await.unwrap();
    assert_eq!(app.counted().len(), 1);
}

#[tokio::test]
async fn the_backstop_leaves_young_events_for_later() {
    let app = App::start().await;
    let jane = app.signed_in(JANE).await;
    app.workos().revoke_session(&app.sid(&jane));
    app.backstop().await.unwrap();
    lives(&jane).await;
    assert!(app.items_of("cursor#").is_empty(), "the cursor stays before them");
}

#[tokio::test]
async fn two_runs_at_once_do_no_harm() {
    let app = settled().await;
    let jane = app.signed_in(JANE).await;
    let user = app.user(JANE);
    for number in 0..150 {
        app.workos().set_profile(&user, &format!("Jane {number}"), "", "");
    }
    app.workos().revoke_session(&app.sid(&jane));
    // A run ends when its time is up, and what fails is repeated by the next one.
    while !app.is_read() {
        let _ = tokio::join!(app.backstop(), app.backstop());
    }
    is_over(&jane).await;
}

#[tokio::test]
async fn a_run_that_another_one_overtakes_moves_no_cursor_back() {
    let app = settled().await;
    let user = app.workos().add_user(JANE);
    app.workos().set_profile(&user, "One", "", "");
    // The slow run has read one event, and writes the cursor when the other one has read two.
    let proxy = app.dynamodb().proxy();
    proxy.inject(Fault::new("UpdateItem", Effect::Serve).delay(Duration::from_millis(700)).times(1));
    let slow = app.backstop();
    let fast = async {
        while proxy.count("UpdateItem") == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        app.workos().set_profile(&user, "Two", "", "");
        app.backstop().await
    };
    let (slow, fast) = tokio::join!(slow, fast);
    slow.and(fast).unwrap();
    let last = app.workos().events().last().unwrap().id.clone();
    assert_eq!(app.items_of("cursor#")[0]["event_id"]["S"], last);
}

#[tokio::test]
async fn a_cursor_that_workos_refuses_is_replaced_by_its_time() {
    let app = settled().await;
    let user = app.workos().add_user(JANE);
    app.workos().set_profile(&user, "One", "", "");
    app.backstop().await.unwrap();
    app.edit_item("cursor#workos", |item| item["event_id"] = json!({ "S": "event_00FORGOTTEN" }));
    app.workos().set_profile(&user, "Two", "", "");
    app.backstop().await.unwrap();
    let last = app.workos().events().last().unwrap().id.clone();
    assert_eq!(app.items_of("cursor#")[0]["event_id"]["S"], last);
    assert!(app.counted().contains(&("backstop".to_owned(), "cursor_refused".to_owned())));
}

#[tokio::test]
async fn a_failure_keeps_the_cursor_and_the_next_run_repeats_it() {
    let app = settled().await;
    let jane = app.signed_in(JANE).await;
    app.backstop().await.unwrap();
    app.workos().revoke_session(&app.sid(&jane));
    let before = app.items_of("cursor#");
    for (proxy, call) in [
        (app.dynamodb().proxy(), "Query"),
        (app.dynamodb().proxy(), "GetItem"),
        (app.workos().proxy(), "events.list"),
    ] {
        proxy.inject(Fault::new(call, Effect::Drop));
        app.backstop().await.unwrap_err();
        proxy.clear_faults();
        assert_eq!(app.items_of("cursor#"), before, "{call}");
    }
    lives(&jane).await;
    app.backstop().await.unwrap();
    is_over(&jane).await;
}

/// Events as `GET /events` lists them.
fn list(events: &[Value]) -> Fault {
    let body = json!({ "object": "list", "data": events, "list_metadata": { "after": null } });
    Fault::response("events.list", 200, body.to_string()).times(1)
}

#[tokio::test]
async fn an_event_that_lacks_a_field_does_not_hold_back_the_others() {
    let app = App::start().await;
    let jane = app.signed_in(JANE).await;
    let user = app.user(JANE);
    let mut events = vec![
        json!({ "id": "event_01", "event": "session.revoked", "created_at": time(-300), "data": {} }),
        json!({ "id": "event_02", "event": "user.deleted", "data": null }),
        json!("nonsense"),
        revoked(&user, &app.sid(&jane)),
    ];
    events[3]["created_at"] = json!(time(-200));
    app.workos().proxy().inject(list(&events));
    app.backstop().await.unwrap();
    is_over(&jane).await;
    assert_eq!(app.items_of("cursor#")[0]["event_id"]["S"], "event_01TEST");
    let undecodable = app.counted().into_iter().filter(|(_, outcome)| outcome == "undecodable").count();
    assert_eq!(undecodable, 3);
}

/// A small generator (xorshift64*), so that a seed repeats a run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next()).unwrap() % end
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            items.swap(index, self.below(index + 1));
        }
    }
}

/// A session of the random test, as it began.
struct Begun {
    pk: String,
    sid: String,
    user: String,
    organization: Option<String>,
    issued_at: i64,
    first_name: Option<String>,
}

/// People who sign in, and what happens to them at WorkOS.
struct World<'a> {
    app: &'a App,
    random: Random,
    people: Vec<String>,
    organizations: Vec<String>,
    sessions: Vec<Begun>,
    names: usize,
}

impl World<'_> {
    async fn sign_in(&mut self, email: &str) {
        let browser = self.app.signed_in(email).await;
        let item = self.app.session_item(&browser).unwrap();
        let text = |name: &str| item[name]["S"].as_str().map(str::to_owned);
        self.sessions.push(Begun {
            pk: session_key(&browser.token()),
            sid: text("workos_session_id").unwrap(),
            user: text("user_id").unwrap(),
            organization: text("organization_id"),
            issued_at: item["claims_issued_at"]["N"].as_str().unwrap().parse().unwrap(),
            first_name: text("first_name"),
        });
    }

    /// One change at WorkOS, which makes at least one event.
    fn change(&mut self) {
        let workos = self.app.workos();
        let email = self.random.pick(&self.people).clone();
        let Some(user) = workos.user_id(&email) else { return };
        let organization =
            self.organizations[self.people.iter().position(|each| *each == email).unwrap() % 3].clone();
        self.names += 1;
        match self.random.below(100) {
            0..50 => workos.set_profile(&user, &format!("Name {}", self.names), "", ""),
            50..90 => drop(workos.add_membership(
                &user,
                &organization,
                ["member", "admin"][self.random.below(2)],
                &[],
            )),
            90..95 => {
                let sids = workos.sessions(&user);
                if !sids.is_empty() {
                    workos.revoke_session(&sids[self.random.below(sids.len())]);
                }
            }
            95..97 => workos.deactivate_membership(&user, &organization),
            97..99 => workos.remove_membership(&user, &organization),
            _ => workos.delete_user(&user),
        }
    }

    /// Changes until there are so many events.
    fn changes(&mut self, events: usize) {
        while self.app.workos().events().len() < events {
            self.change();
        }
    }
}

/// The time of an event, in whole seconds.
fn at(event: &Value) -> i64 {
    let text = event["created_at"].as_str().unwrap();
    time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339)
        .unwrap()
        .unix_timestamp()
}

/// When each session that lives was last made stale, if the events arrive once and in order.
fn stale_in_order(sessions: &[Begun], events: &[Value]) -> BTreeMap<String, i64> {
    let mut stale = BTreeMap::new();
    for event in events {
        let data = &event["data"];
        for session in sessions.iter().filter(|session| session.issued_at <= at(event)) {
            let concerned = match event["event"].as_str().unwrap() {
                "user.updated" => {
                    data["id"] == *session.user
                        && data["first_name"].as_str() != session.first_name.as_deref()
                }
                "organization_membership.updated" => {
                    data["user_id"] == *session.user
                        && data["organization_id"].as_str() == session.organization.as_deref()
                        && data["status"] == "active"
                }
                _ => false,
            };
            if concerned {
                stale.insert(session.pk.clone(), at(event));
            }
        }
    }
    stale
}

#[tokio::test]
async fn a_thousand_events_in_any_order_repeated_and_lost_end_in_the_same_state() {
    let seed = u64::try_from(millis(0)).unwrap() | 1;
    println!("seed {seed}");
    let app = settled().await;
    let workos = app.workos();
    let organizations: Vec<_> =
        (0..3).map(|number| workos.add_organization(&format!("Org {number}"), &[])).collect();
    let people: Vec<_> = (0..12).map(|number| format!("person{number}@example.net")).collect();
    let mut world =
        World { app: &app, random: Random(seed), people, organizations, sessions: Vec::new(), names: 0 };
    for (index, email) in world.people.clone().iter().enumerate() {
        let user = workos.add_user(email);
        workos.add_membership(&user, &world.organizations[index % 3], "member", &[]);
    }
    for _ in 0..3 {
        for email in world.people.clone() {
            world.sign_in(&email).await;
        }
    }
    // Distinct seconds, because claims count in whole ones.
    workos.advance(Duration::from_secs(2));
    world.changes(700);
    workos.advance(Duration::from_secs(2));
    for email in world.people.clone() {
        // Whoever has left or was deleted comes back.
        let user = workos.add_user(&email);
        workos.add_membership(&user, &world.organizations[0], "member", &[]);
        if app.workos().sessions(&user).len() < 3 {
            let mut browser = app.browser();
            app.reset_limits();
            browser.sign_in(&email).await.is(200);
            let answer = browser.finalize_magic_auth(&email, &app.code(&email)).await.is(200);
            // Of two organizations, one has to be chosen: those sign in no further.
            if answer.body["status"] == "signed_in" {
                drop(browser);
                world.sign_in(&email).await;
            }
        }
    }
    workos.advance(Duration::from_secs(2));
    world.changes(1000);

    let events: Vec<Value> =
        workos.events().iter().map(|event| serde_json::from_str(&event.body()).unwrap()).collect();
    let mut sent: Vec<&Value> = events.iter().filter(|_| world.random.below(10) < 7).collect();
    for _ in 0..300 {
        sent.push(world.random.pick(&events));
    }
    world.random.shuffle(&mut sent);
    let lost = events.iter().filter(|event| !sent.contains(event)).count();
    assert!(lost > 100, "only {lost} are lost");
    stream::iter(&sent)
        .for_each_concurrent(8, |event| async {
            app.hear(event).await.is(200);
        })
        .await;
    // A run ends when its time is up.
    while !app.is_read() {
        app.backstop().await.unwrap();
    }

    let items = app.items_of("session#");
    let item = |pk: &str| items.iter().find(|item| item["pk"]["S"] == pk);
    let stale = stale_in_order(&world.sessions, &events);
    let mut living = 0;
    for session in &world.sessions {
        let lives_at_workos = workos.sessions(&session.user).contains(&session.sid);
        assert_eq!(
            item(&session.pk).is_some(),
            lives_at_workos,
            "seed {seed}: {} of {}",
            session.sid,
            session.user
        );
        if let Some(item) = item(&session.pk) {
            living += 1;
            let at = item["claims_stale_at"]["N"].as_str().map(|at| at.parse::<i64>().unwrap());
            assert_eq!(
                at,
                stale.get(&session.pk).copied(),
                "seed {seed}: {} of {}",
                session.sid,
                session.user
            );
        }
    }
    assert!(living > 0 && living < world.sessions.len(), "seed {seed}: {living} of {}", world.sessions.len());
}
