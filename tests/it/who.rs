//! Who is signed in: `GET /auth/session`, and the person's organizations.

use std::time::Duration;

use local_proxy::{Effect, Fault};
use serde_json::{Value, json};

use crate::app::{App, Browser, now};
use crate::organizations::{MASADAS, TAUNTA, signed_in_to};

const EMAIL: &str = "123@gmail.com";
const USER: &str = "user_01JY16X8FCYMX981HC4GYQ6S01";
const LIST: &str = "organization_memberships.list";

/// What the session shows.
async fn shown(browser: &mut Browser<'_>) -> Value {
    browser.session().await.is(200).body
}

#[tokio::test]
async fn the_session_shows_its_person_organization_and_method_without_another_call() {
    let app = App::start().await;
    app.workos().set_profile(USER, "Kim", "Park", "https://example.com/kim.png");
    let began = now();
    let mut browser = signed_in_to(&app, EMAIL, MASADAS).await;
    let (calls, reads) = (app.workos().proxy().calls().len(), app.dynamodb().proxy().calls().len());
    let session = shown(&mut browser).await;
    assert_eq!(app.workos().proxy().calls().len(), calls, "WorkOS is not asked");
    assert_eq!(app.dynamodb().proxy().calls().len(), reads + 1, "the authorizer's read is the only one");

    let created_at = session["createdAt"].as_u64().unwrap();
    assert!((began..=now()).contains(&created_at), "{session}");
    let expected = json!({
        "user": {
            "id": USER,
            "email": EMAIL,
            "firstName": "Kim",
            "lastName": "Park",
            "avatarURL": "https://example.com/kim.png",
        },
        "organization": { "id": MASADAS, "name": "MASADAS" },
        "role": "member",
        "permissions": ["rooms:join"],
        "method": "magic_auth",
        "createdAt": created_at,
        "expiresAt": created_at + 7 * 24 * 3600,
    });
    assert_eq!(session, expected);

    // The switch changes the organization, not how and when the person signed in.
    app.edit_session(&browser, |item| item["created_at"] = json!({ "N": (created_at - 60).to_string() }));
    browser.switch_organization(EMAIL, TAUNTA).await.is(200);
    let session = shown(&mut browser).await;
    assert_eq!(session["organization"], json!({ "id": TAUNTA, "name": "TAUNTA SCRE" }));
    assert_eq!((&session["role"], &session["method"]), (&json!("admin"), &json!("magic_auth")));
    assert_eq!(session["createdAt"], created_at - 60);

    app.browser().session().await.refused(401, "not_signed_in");
    browser.sign_out().await.is(200);
    browser.session().await.refused(401, "not_signed_in");
}

#[tokio::test]
async fn what_is_unknown_is_null() {
    let app = App::start().await;
    let mut browser = app.signed_in("new.user@example.com").await;
    let session = shown(&mut browser).await;
    let user = session["user"].as_object().unwrap();
    assert_eq!(user.len(), 5, "{session}");
    for field in ["/user/firstName", "/user/lastName", "/user/avatarURL", "/organization", "/role"] {
        assert_eq!(session.pointer(field), Some(&Value::Null), "{field}");
    }
    assert_eq!(session["permissions"], json!([]));
}

#[tokio::test]
async fn the_method_is_the_one_of_the_sign_in() {
    let app = App::start().await;
    let mut browser = app.browser();
    for (email, method) in [("ann@acme.test", "sso"), ("jane.doe@example.com", "google_oauth")] {
        let started = match method {
            "sso" => browser.sign_in(email).await,
            _ => browser.continue_with_google().await,
        };
        let back = app.at_provider(&started.is(200).text("/authData/redirectURL"), email).await;
        browser.finalize_oauth(back.code(), back.state.as_deref()).await.is(200);
        let session = shown(&mut browser).await;
        assert_eq!((&session["user"]["email"], &session["method"]), (&json!(email), &json!(method)));
    }
}

#[tokio::test]
async fn a_session_of_an_earlier_release_works_and_learns_the_names_at_its_refresh() {
    let app = App::start().await;
    app.workos().set_profile(USER, "Kim", "Park", "https://example.com/kim.png");
    let mut browser = signed_in_to(&app, EMAIL, MASADAS).await;
    app.edit_session(&browser, |item| {
        for attribute in ["organization_name", "method", "first_name", "last_name", "avatar_url"] {
            assert!(item.as_object_mut().unwrap().remove(attribute).is_some(), "{attribute}");
        }
    });
    let session = shown(&mut browser).await;
    assert_eq!(session["organization"], json!({ "id": MASADAS, "name": null }));
    assert_eq!((&session["user"]["firstName"], &session["method"]), (&Value::Null, &Value::Null));
    browser.room_auth("Kim", "room").await.is(200);

    app.workos().set_profile(USER, "Kimberly", "Park", "https://example.com/kim.png");
    app.expire_access(&browser, 1);
    for _ in 0..2 {
        let session = shown(&mut browser).await;
        assert_eq!(session["organization"], json!({ "id": MASADAS, "name": "MASADAS" }));
        assert_eq!(session["user"]["firstName"], "Kimberly");
        assert_eq!(session["method"], Value::Null);
    }
}

#[tokio::test]
async fn a_sign_in_never_fails_for_the_name_of_an_organization() {
    let app = App::start().await;
    let nameless = json!({ "data": [], "list_metadata": {} }).to_string();
    for fault in [
        Fault::response(LIST, 500, "{}"),
        Fault::response(LIST, 429, "{}"),
        Fault::response(LIST, 200, "<html>"),
        Fault::response(LIST, 200, nameless),
        Fault::new(LIST, Effect::Drop),
        Fault::new(LIST, Effect::Serve).delay(Duration::from_secs(30)),
    ] {
        app.reset_limits();
        let what = format!("{fault:?}");
        app.workos().proxy().inject(fault);
        let email = "jane.doe@example.com";
        let mut browser = app.browser();
        browser.sign_in(email).await.is(200);
        let signed_in = browser.finalize_magic_auth(email, &app.code(email)).await.is(200);
        app.workos().proxy().clear_faults();
        assert!(signed_in.body["organization"]["id"].is_string(), "{what}");
        assert_eq!(signed_in.body["organization"]["name"], Value::Null, "{what}");
        assert_eq!(shown(&mut browser).await["organization"], signed_in.body["organization"], "{what}");
    }
}

#[tokio::test]
async fn the_name_of_an_organization_is_looked_up_once() {
    let app = App::start().await;
    let email = "jane.doe@example.com";
    for _ in 0..3 {
        app.reset_limits();
        let mut browser = app.browser();
        browser.sign_in(email).await.is(200);
        let signed_in = browser.finalize_magic_auth(email, &app.code(email)).await.is(200);
        assert!(signed_in.body["organization"]["name"].is_string(), "{}", signed_in.body);
    }
    assert_eq!(app.workos().proxy().count(LIST), 1);
}

#[tokio::test]
async fn names_that_are_too_long_to_pass_on_count_as_unknown() {
    let app = App::start().await;
    let long = format!("https://example.com/{}.png", "x".repeat(20_000));
    app.workos().set_profile(USER, &"K".repeat(20_000), "Park", &long);
    let mut browser = signed_in_to(&app, EMAIL, MASADAS).await;
    let user = shown(&mut browser).await["user"].clone();
    assert_eq!((&user["firstName"], &user["avatarURL"]), (&Value::Null, &Value::Null));
    assert_eq!(user["lastName"], "Park");
}

#[tokio::test]
async fn the_end_of_a_session_moves_with_its_use_up_to_the_absolute_lifetime() {
    let app = App::with_env(&[("SESSION_IDLE_SECONDS", "100"), ("SESSION_ABSOLUTE_SECONDS", "150")]).await;
    let mut browser = app.signed_in("jane.doe@example.com").await;
    for (age, idle, left) in [(0, 0, 100), (40, 0, 100), (40, 40, 100), (90, 20, 60)] {
        let began = now();
        app.edit_session(&browser, |item| {
            item["created_at"] = json!({ "N": (began - age).to_string() });
            item["last_seen_at"] = json!({ "N": (began - idle).to_string() });
        });
        let end = shown(&mut browser).await["expiresAt"].as_u64().unwrap();
        assert!((began + left..=now() + left).contains(&end), "age {age}, idle {idle}: {}", end - began);
        let stored = app.session_item(&browser).unwrap()["last_seen_at"]["N"].as_str().unwrap().to_owned();
        assert_eq!(end, (stored.parse::<u64>().unwrap() + 100).min(began - age + 150));
    }
    // After a switch, the old token can be read for a moment.
    let mut before = signed_in_to(&app, EMAIL, MASADAS).await;
    before.clone().switch_organization(EMAIL, TAUNTA).await.is(200);
    let end = shown(&mut before).await["expiresAt"].as_u64().unwrap();
    assert!(end <= now() + 30);
}

#[tokio::test]
async fn organizations_are_the_active_ones_with_the_current_one_marked() {
    let app = App::start().await;
    let mut browser = signed_in_to(&app, EMAIL, MASADAS).await;
    let organizations = |masadas: bool| {
        json!({ "organizations": [
            { "id": TAUNTA, "name": "TAUNTA SCRE", "role": "admin", "current": !masadas },
            { "id": MASADAS, "name": "MASADAS", "role": "member", "current": masadas },
        ]})
    };
    assert_eq!(browser.organizations().await.is(200).body, organizations(true));
    browser.switch_organization(EMAIL, TAUNTA).await.is(200);
    assert_eq!(browser.organizations().await.is(200).body, organizations(false));
    app.workos().deactivate_membership(USER, MASADAS);
    let left = browser.organizations().await.is(200).body;
    assert_eq!(left["organizations"].as_array().unwrap().len(), 1, "{left}");

    app.browser().organizations().await.refused(401, "not_signed_in");
    let mut alone = app.signed_in("new.user@example.com").await;
    assert_eq!(alone.organizations().await.is(200).body, json!({ "organizations": [] }));
}

#[tokio::test]
async fn a_thousand_organizations_are_listed_page_by_page_and_no_page_is_left_out() {
    let app = App::start().await;
    let mut browser = app.signed_in("new.user@example.com").await;
    let user = app.workos().user_id("new.user@example.com").unwrap();
    for number in 0..1010_usize {
        let organization = app.workos().add_organization(&format!("Number {number}"), &[]);
        app.workos().add_membership(&user, &organization, "member", &[]);
        let (expected, calls) = match number + 1 {
            count @ (100 | 101) => (count, count.div_ceil(100)),
            1010 => (1000, 10),
            _ => continue,
        };
        app.workos().proxy().reset_calls();
        let listed = browser.organizations().await.is(200).body;
        let mut ids: Vec<_> =
            listed["organizations"].as_array().unwrap().iter().map(|each| each["id"].to_string()).collect();
        ids.sort();
        ids.dedup();
        assert_eq!((ids.len(), app.workos().proxy().count(LIST)), (expected, calls));
    }
    let second_page = Fault::response(LIST, 500, "{}").skip(1).times(1);
    app.workos().proxy().inject(second_page);
    browser.organizations().await.refused(502, "workos_unavailable");
}

#[tokio::test]
async fn a_switch_needs_no_address_but_a_wrong_one_is_refused() {
    let app = App::start().await;
    let mut browser = signed_in_to(&app, EMAIL, MASADAS).await;
    browser.switch_organization("jane.doe@example.com", TAUNTA).await.refused(403, "email_mismatch");
    let path = "/auth/switch-organization";
    for email in [json!("nobody"), json!(7)] {
        let body = json!({ "email": email, "organizationId": TAUNTA });
        browser.post(path, body).await.is(400).names("email");
    }
    let switched = browser.post(path, json!({ "organizationId": TAUNTA })).await.is(200);
    assert_eq!(switched.body["organization"], json!({ "id": TAUNTA, "name": "TAUNTA SCRE" }));
    browser.post(path, json!({ "email": null, "organizationId": MASADAS })).await.is(200);
}
