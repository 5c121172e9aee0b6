//! Limits: who uses up whose budget, what a refused request costs, and what a stranger learns about an address.

use std::time::{Duration, Instant};

use local_proxy::{Effect, Fault};
use serde_json::{Value, json};

use crate::app::{Answer, App, Browser, now};

const JANE: &str = "jane.doe@example.com";
const NOBODY: &str = "nobody@example.com";
/// Her organization has SSO.
const ANN: &str = "ann@acme.test";

const MAIL_PATHS: [&str; 3] = ["/auth/sign-in", "/auth/sign-up", "/auth/resend-magic-auth"];

/// Every endpoint with a limit per source: function, limit and a body.
pub fn limited() -> [(&'static str, u64, Value); 7] {
    let state = "a".repeat(43);
    [
        ("sign-in", 120, json!({ "email": JANE })),
        ("sign-up", 60, json!({ "email": JANE })),
        ("resend-magic-auth", 60, json!({ "email": JANE })),
        ("finalize-magic-auth", 60, json!({ "email": JANE, "code": "123456" })),
        ("finalize-oauth", 60, json!({ "code": "a_code", "state": state })),
        (
            "select-organization",
            60,
            json!({ "pendingAuthenticationToken": "token", "organizationId": "org_01K2Z1R2MEJK6B41WW7428G9YC" }),
        ),
        ("dev-sign-in", 120, json!({})),
    ]
}

/// Counts `requests` of this machine in the current window of `seconds` and in the next one.
fn count(app: &App, scope: &str, key: &str, seconds: u64, requests: u64) {
    let table = app.cloud.table().expect("a table");
    let end = (now() / seconds + 1) * seconds;
    for end in [end, end + seconds] {
        let item = json!({
            "pk": { "S": format!("limit#{scope}#{key}#{end}") },
            "requests": { "N": requests.to_string() },
            "expires_at": { "N": end.to_string() },
        });
        app.dynamodb().put(table, &item).expect("the item is stored");
    }
}

pub fn count_source(app: &App, function: &str, requests: u64) {
    count(app, function, "source:127.0.0.1", 600, requests);
}

/// Makes all uses in budgets `seconds` older.
fn age(app: &App, prefix: &str, seconds: u64) {
    for item in app.items_of(prefix) {
        let pk = item["pk"]["S"].as_str().unwrap().to_owned();
        app.edit_item(&pk, |item| {
            let uses = item.as_object_mut().unwrap().iter_mut();
            for (_, at) in uses.filter(|(name, _)| name.starts_with("mail_") || name.starts_with("try_")) {
                let time: u64 = at["N"].as_str().unwrap().parse().unwrap();
                *at = json!({ "N": time.saturating_sub(seconds).to_string() });
            }
        });
    }
}

fn mails(app: &App) -> usize {
    app.workos().mails().len()
}

fn wrong(code: &str) -> &'static str {
    if code == "000000" { "000001" } else { "000000" }
}

async fn guess(browser: &mut Browser<'_>, times: usize, code: &str) {
    for _ in 0..times {
        browser.finalize_magic_auth(JANE, wrong(code)).await.refused(400, "code_rejected");
    }
}

/// Uses up the tries that strangers share.
async fn lock_out(app: &App, code: &str) {
    guess(&mut app.browser(), 5, code).await;
    app.browser().finalize_magic_auth(JANE, code).await.refused(429, "rate_limited");
}

#[tokio::test]
async fn a_refused_source_costs_workos_nothing_and_uses_up_nobodys_budget() {
    let app = App::start().await;
    for (function, max, body) in limited() {
        let path = format!("/auth/{function}");
        count_source(&app, function, max - 1);
        let admitted = app.browser().post(&path, body.clone()).await;
        assert_ne!(admitted.status, 429, "{function}: {}", admitted.body);
        for budget in ["limit#mail#", "limit#tries#", "limit#wrong-codes#"] {
            for item in app.items_of(budget) {
                let pk = item["pk"]["S"].as_str().unwrap().to_owned();
                app.edit_item(&pk, |item| *item = json!({ "pk": { "S": pk } }));
            }
        }
        let before = app.items();
        app.workos().proxy().reset_calls();
        count_source(&app, function, max);
        let refused = app.browser().post(&path, body).await.refused(429, "rate_limited");
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=600).contains(&wait), "{function}: {wait}");
        assert_eq!(app.workos().proxy().calls(), [""; 0], "{function}");
        assert!(refused.cookies.is_empty(), "{function}: {:?}", refused.cookies);
        for item in app.items() {
            let pk = item["pk"]["S"].as_str().unwrap();
            let is_source = pk.starts_with(&format!("limit#{function}#source:"));
            assert!(is_source || before.contains(&item), "{function} wrote {item}");
        }
    }
}

#[tokio::test]
async fn ipv6_sources_are_counted_by_their_network() {
    let app = App::start().await;
    let event = std::fs::read_to_string(crate::events::folder().join("sign-in/magic-auth.json")).unwrap();
    let mut event: Value = serde_json::from_str(&event).unwrap();
    for ip in ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1"] {
        event["requestContext"]["http"]["sourceIp"] = ip.into();
        let response = app.invoke("sign-in", &event.to_string()).await;
        assert_eq!(response["statusCode"], 200, "{response}");
    }
    let count = |network: &str| -> u64 {
        let items = app.items_of(&format!("limit#sign-in#source:{network}#"));
        items.iter().map(|item| item["requests"]["N"].as_str().unwrap().parse::<u64>().unwrap()).sum()
    };
    assert_eq!((count("2001:db8:1:2::/64"), count("2001:db8:1:3::/64")), (2, 1));
}

#[tokio::test]
async fn an_address_has_one_budget_of_mails_over_all_endpoints() {
    let app = App::start().await;
    for email in [JANE, NOBODY] {
        let before = mails(&app);
        let mut browser = app.browser();
        browser.sign_up(email).await.is(201);
        browser.sign_in(email).await.is(200);
        browser.resend_magic_auth(email).await.is(200);
        let (sent, code) = (mails(&app), app.code(email));
        assert_eq!(sent, before + 3, "{email}");
        for path in MAIL_PATHS {
            let response = app.browser().post(path, json!({ "email": email.to_uppercase() })).await;
            assert!(response.status.is_success(), "{email}: {}", response.body);
            assert_eq!(response.cookies.len(), 1, "{:?}", response.cookies);
        }
        assert_eq!((mails(&app), app.code(email)), (sent, code.clone()), "{email}: no mail, the same code");
        // Three a minute, ten an hour.
        for _ in 0..3 {
            age(&app, "limit#mail#", 61);
            for _ in 0..4 {
                app.browser().sign_in(email).await.is(200);
            }
        }
        assert_eq!(mails(&app), sent + 7, "{email}");
        let code = app.code(email);
        browser.finalize_magic_auth(email, &code).await.is(200);
        age(&app, "limit#mail#", 3_600);
        app.browser().sign_in(email).await.is(200);
        assert_eq!(mails(&app), sent + 8, "{email}");
    }
}

#[tokio::test]
async fn requests_for_an_unknown_address_count_as_those_for_a_known_one() {
    let app = App::start().await;
    for _ in 0..3 {
        app.browser().sign_in(NOBODY).await.is(200);
    }
    app.browser().sign_up(NOBODY).await.is(201);
    assert_eq!(mails(&app), 0);
}

#[tokio::test]
async fn a_known_device_has_a_budget_of_mails_of_its_own() {
    let app = App::start().await;
    let mut device = app.signed_in(JANE).await;
    age(&app, "limit#mail#", 3_600);
    for _ in 0..4 {
        app.browser().sign_in(JANE).await.is(200);
    }
    let sent = mails(&app);
    for _ in 0..4 {
        device.sign_in(JANE).await.is(200);
    }
    assert_eq!(mails(&app), sent + 3);
}

#[tokio::test]
async fn every_way_of_mailing_a_code_asks_for_sso_first() {
    let app = App::start().await;
    for _ in 0..4 {
        for path in MAIL_PATHS {
            let mut browser = app.browser();
            let response = browser.post(path, json!({ "email": ANN })).await;
            let response = response.is(if path == "/auth/sign-up" { 201 } else { 200 });
            assert_eq!(response.body["authData"]["authMethod"], "sso", "{path}: {}", response.body);
            let url = response.text("/authData/redirectURL");
            let back = app.at_provider(&url, ANN).await;
            let signed_in = browser.finalize_oauth(back.code(), back.state.as_deref()).await.is(200);
            assert_eq!(signed_in.body["user"]["email"], ANN);
            count_source(&app, "finalize-oauth", 0);
        }
    }
    assert_eq!(mails(&app), 0);
    // The budget of mails is untouched.
    for budget in app.items_of("limit#mail#") {
        assert_eq!(budget["mail_0"]["N"], "0", "{budget}");
    }
}

#[tokio::test]
async fn known_and_unknown_addresses_get_the_same_responses() {
    let app = App::start().await;
    // Until their budgets are used up, after that, and when WorkOS refuses to send more mail.
    for _ in 0..3 {
        for path in MAIL_PATHS {
            let known = app.browser().post(path, json!({ "email": JANE })).await;
            let unknown = app.browser().post(path, json!({ "email": NOBODY })).await;
            same(path, &known, &unknown);
        }
    }
    age(&app, "limit#mail#", 3_600);
    let busy = json!({ "code": "rate_limit_exceeded", "message": "Too many mails" });
    app.workos().proxy().inject(Fault::response("magic_auth.create", 429, busy.to_string()));
    for path in MAIL_PATHS {
        let known = app.browser().post(path, json!({ "email": JANE })).await;
        let unknown = app.browser().post(path, json!({ "email": "nobody.else@example.com" })).await;
        assert!(known.status.is_success(), "{path}: {}", known.body);
        same(path, &known, &unknown);
    }
}

/// Checks that two responses differ only in their random parts.
fn same(path: &str, one: &Answer, other: &Answer) {
    let shape = |answer: &Answer| {
        let headers: Vec<_> = answer
            .headers
            .iter()
            .filter(|(name, _)| !["date", "apigw-requestid", "set-cookie"].contains(&name.as_str()))
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        let cookies: Vec<_> = answer
            .cookies
            .iter()
            .map(|cookie| {
                let (name, rest) = cookie.split_once('=').unwrap();
                let (value, attributes) = rest.split_once(';').unwrap();
                (name.to_owned(), value.len(), attributes.to_owned())
            })
            .collect();
        (answer.status, headers, answer.body.clone(), cookies)
    };
    assert_eq!(shape(one), shape(other), "{path}");
}

#[tokio::test]
async fn nothing_is_counted_for_a_request_that_sent_nothing() {
    let app = App::start().await;
    for path in MAIL_PATHS {
        let proxy = app.dynamodb().proxy();
        proxy.inject(Fault::new("TransactWriteItems", Effect::Drop));
        app.browser().post(path, json!({ "email": JANE })).await.refused(503, "store_unavailable");
        proxy.clear_faults();
        app.workos().proxy().inject(Fault::response("magic_auth.create", 500, "{}"));
        let failed = app.browser().post(path, json!({ "email": JANE })).await;
        assert!(failed.status.is_server_error(), "{path}: {}", failed.body);
        app.workos().proxy().clear_faults();
    }
    let sent = mails(&app);
    for path in MAIL_PATHS {
        assert!(app.browser().post(path, json!({ "email": JANE })).await.status.is_success());
    }
    assert_eq!(mails(&app), sent + 3);
}

#[tokio::test]
async fn strangers_cannot_lock_out_the_browser_that_asked_for_the_code() {
    let app = App::start().await;
    let mut browser = app.browser();
    let asked = browser.sign_in(JANE).await.is(200);
    assert!(
        asked.cookies[0].starts_with("__Host-pending=") && asked.cookies[0].contains("Max-Age=600"),
        "{:?}",
        asked.cookies
    );
    let code = app.code(JANE);
    lock_out(&app, &code).await;
    guess(&mut browser, 4, &code).await;
    browser.finalize_magic_auth("JANE.DOE@example.com", &code).await.is(200);

    // It has five tries.
    let mut browser = app.browser();
    browser.sign_in(JANE).await.is(200);
    let code = app.code(JANE);
    guess(&mut browser, 5, &code).await;
    app.workos().proxy().reset_calls();
    let refused = browser.finalize_magic_auth(JANE, &code).await.refused(429, "rate_limited");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(app.workos().proxy().calls(), [""; 0]);
    // Other addresses are not affected.
    app.signed_in("other@example.com").await;
}

#[tokio::test]
async fn strangers_cannot_lock_out_a_device_that_signed_in_before() {
    let app = App::start().await;
    let mut device = app.signed_in(JANE).await;
    device.sign_out().await.is(200);
    device.cookies.retain(|name, _| name == "__Host-device");
    assert_eq!(device.cookies.len(), 1);
    app.browser().sign_in(JANE).await.is(200);
    let code = app.code(JANE);
    lock_out(&app, &code).await;
    // It has ten tries, and a day with a hundred wrong codes does not count. WorkOS refuses a code after ten wrong
    // ones in a row, so she succeeds in between.
    count(&app, "wrong-codes", &hash(JANE), 86_400, 100);
    guess(&mut device, 4, &code).await;
    let answer = device.clone().finalize_magic_auth(JANE, &code).await.is(200);
    let cookie = answer.cookies.iter().find(|cookie| cookie.starts_with("__Host-device=")).unwrap();
    assert!(cookie.contains("Max-Age=7776000"), "{cookie}");
    guess(&mut device, 5, &code).await;
    device.finalize_magic_auth(JANE, wrong(&code)).await.refused(429, "rate_limited");
}

#[tokio::test]
async fn a_cookie_counts_only_for_the_address_that_it_was_set_for() {
    let app = App::start().await;
    let mut other = app.signed_in("other@example.com").await;
    other.sign_in("other@example.com").await.is(200);
    let mut expired = app.browser();
    expired.sign_in(JANE).await.is(200);
    let code = app.code(JANE);
    lock_out(&app, &code).await;
    for item in app.items_of("code#").into_iter().chain(app.items_of("device#")) {
        let pk = item["pk"]["S"].as_str().unwrap().to_owned();
        app.edit_item(&pk, |item| item["expires_at"] = json!({ "N": now().to_string() }));
    }
    expired.finalize_magic_auth(JANE, &code).await.refused(429, "rate_limited");
    other.finalize_magic_auth(JANE, &code).await.refused(429, "rate_limited");
    let token = "A".repeat(49);
    for name in ["__Host-pending", "__Host-device"] {
        let mut invented = app.browser();
        invented.cookies.insert(name.to_owned(), token.clone());
        invented.finalize_magic_auth(JANE, &code).await.refused(429, "rate_limited");
    }
}

#[tokio::test]
async fn a_hundred_wrong_codes_a_day_are_the_most() {
    let app = App::start().await;
    let mut browser = app.browser();
    browser.sign_in(JANE).await.is(200);
    let code = app.code(JANE);
    // A right code does not count.
    count(&app, "wrong-codes", &hash(JANE), 86_400, 98);
    browser.finalize_magic_auth(JANE, &code).await.is(200);
    app.browser().finalize_magic_auth(JANE, wrong(&code)).await.refused(400, "code_rejected");
    let mut browser = app.browser();
    browser.sign_in(JANE).await.is(200);
    browser.finalize_magic_auth(JANE, wrong(&code)).await.refused(400, "code_rejected");
    for stranger in [app.browser(), browser] {
        let mut stranger = stranger;
        let refused = stranger.finalize_magic_auth(JANE, &app.code(JANE)).await.refused(429, "rate_limited");
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=86_400).contains(&wait), "{wait}");
    }
}

#[tokio::test]
async fn a_code_that_workos_did_not_check_is_not_a_try() {
    let app = App::start().await;
    let mut browser = app.browser();
    browser.sign_in(JANE).await.is(200);
    let busy = json!({ "message": "Too many requests" }).to_string();
    app.workos().proxy().inject(Fault::response("authenticate.magic_auth", 429, busy));
    for _ in 0..6 {
        browser.finalize_magic_auth(JANE, "123456").await.refused(503, "workos_busy");
    }
    app.workos().proxy().clear_faults();
    browser.finalize_magic_auth(JANE, &app.code(JANE)).await.is(200);
}

#[tokio::test]
async fn the_time_of_a_response_does_not_tell_known_from_unknown() {
    let app = App::with(|options| {
        options.environment.insert("MAIL_FLOOR_MS".to_owned(), "300".to_owned());
    })
    .await;
    app.workos()
        .proxy()
        .inject(Fault::new("magic_auth.create", Effect::Serve).delay(Duration::from_millis(60)));
    for path in MAIL_PATHS {
        for email in [JANE, NOBODY] {
            let start = Instant::now();
            assert!(app.browser().post(path, json!({ "email": email })).await.status.is_success());
            assert!(start.elapsed() >= Duration::from_millis(300), "{path} {email}");
        }
    }
    assert!(app.logs().iter().any(|line| line.contains("MailLatency")), "a metric shows the mail call");
}

/// SHA-256 of an address, as base64url.
fn hash(email: &str) -> String {
    use base64::Engine as _;
    let hash = ring::digest::digest(&ring::digest::SHA256, email.as_bytes());
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash)
}
