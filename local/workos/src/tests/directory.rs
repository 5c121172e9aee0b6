//! Users, organizations, memberships, connections: shapes, filters, errors.

use http::{Method, header};
use serde_json::json;

use super::{TestBed, TestResult, error};
use crate::Seed;

#[tokio::test]
async fn calls_need_the_api_key_and_responses_have_a_request_id() -> TestResult {
    let bed = TestBed::new().await?;
    for path in ["/user_management/users", "/organizations", "/connections"] {
        for key in ["", "Bearer sk_test_other", "Basic sk_test_default"] {
            let request = bed.request(Method::GET, path).header(header::AUTHORIZATION, key);
            let response = bed.send(request, String::new()).await?;
            assert_eq!(response.status, 401);
            assert_eq!(response.body, json!({"message": "Unauthorized"}));
            assert!(response.headers.contains_key("x-request-id"));
        }
    }
    assert_eq!(bed.get("/nowhere").await?.status, 404);
    Ok(())
}

#[tokio::test]
async fn an_address_belongs_to_one_user() -> TestResult {
    let bed = TestBed::new().await?;
    let path = "/user_management/users";
    let made = bed.post(path, json!({"email": "kim@example.com", "first_name": "Kim"})).await?;
    assert_eq!((made.status.as_u16(), made.text("first_name")), (201, "Kim"));
    let again = bed.post(path, json!({"email": "KIM@example.com"})).await?;
    assert_eq!(error(&again), (400, "user_creation_error"));
    assert_eq!(again.body["errors"][0]["code"], "email_not_available");
    for email in [json!("no-address"), json!(null), json!(7), json!("a@b")] {
        let invalid = bed.post(path, json!({"email": email})).await?;
        assert_eq!(error(&invalid), (422, "invalid_request_parameters"));
    }
    let one = format!("{path}/{}", made.text("id"));
    assert_eq!(bed.get(&one).await?.body, made.body);
    bed.workos.delete_user(made.text("id"));
    assert_eq!(bed.get(&one).await?.status, 404);
    Ok(())
}

#[tokio::test]
async fn lists_have_cursor_pages() -> TestResult {
    let bed = TestBed::new().await?;
    let all = bed.get("/user_management/users?limit=100").await?;
    let ids: Vec<_> = all.body["data"].as_array().into_iter().flatten().map(|user| &user["id"]).collect();
    assert_eq!(all.body["list_metadata"], json!({"before": null, "after": null}));

    let mut seen = Vec::new();
    let mut path = "/user_management/users?limit=3".to_owned();
    loop {
        let page = bed.get(&path).await?;
        seen.extend(page.body["data"].as_array().into_iter().flatten().map(|user| user["id"].clone()));
        let Some(after) = page.body["list_metadata"]["after"].as_str() else { break };
        path = format!("/user_management/users?limit=3&after={after}");
    }
    assert_eq!(seen.iter().collect::<Vec<_>>(), ids);
    assert_eq!(bed.get("/user_management/users?limit=0").await?.status, 422);
    assert_eq!(bed.get("/user_management/users?after=user_unknown").await?.status, 422);
    Ok(())
}

#[tokio::test]
async fn connections_and_organizations_can_be_filtered_by_domain() -> TestResult {
    let bed = TestBed::new().await?;
    let found = bed.get("/connections?domain=ACME.test&limit=10").await?;
    let connection = &found.body["data"][0];
    assert_eq!(connection["state"], "active");
    assert_eq!(connection["status"], "linked");
    assert_eq!(connection["domains"][0]["domain"], "acme.test");
    let nothing = bed.get("/connections?domain=example.com").await?;
    assert_eq!(nothing.body["data"], json!([]));

    let found = bed.get("/organizations?domains=acme.test").await?;
    assert_eq!(found.body["data"][0]["id"], connection["organization_id"]);
    assert_eq!(found.body["data"][0]["domains"][0]["state"], "verified");
    let both = bed.get("/organizations?domains=acme.test,umbrella.test").await?;
    assert_eq!(both.body["data"].as_array().map(Vec::len), Some(2));
    Ok(())
}

#[tokio::test]
async fn users_and_memberships_can_be_created_over_http() -> TestResult {
    let bed = TestBed::new().await?;
    let organization_id = bed.workos.add_organization("New", &[]);
    let user = bed.post("/user_management/users", json!({"email": "lee@new.test"})).await?;

    let path = "/user_management/organization_memberships";
    let user_id = user.text("id");
    let wanted =
        |role: &str| json!({"user_id": user_id, "organization_id": organization_id, "role_slug": role});
    assert_eq!(error(&bed.post(path, wanted("king")).await?), (422, "invalid_role"));
    let made = bed.post(path, wanted("admin")).await?;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.body["role"]["slug"], "admin");
    assert_eq!(bed.post(path, wanted("admin")).await?.status, 422);

    let list = |statuses: &str| format!("{path}?user_id={}&statuses={statuses}", user.text("id"));
    assert_eq!(bed.get(&list("active")).await?.body["data"][0]["id"], made.body["id"]);
    let off = format!("{path}/{}/deactivate", made.text("id"));
    let request = bed.request(Method::PUT, &off).header(header::AUTHORIZATION, "Bearer sk_test_default");
    assert_eq!(bed.send(request, String::new()).await?.body["status"], "inactive");
    assert_eq!(bed.get(&list("active")).await?.body["data"], json!([]));
    assert_eq!(bed.get(&list("inactive,pending")).await?.body["data"][0]["id"], made.body["id"]);
    assert_eq!(error(&bed.get(path).await?), (400, "missing_user_id_or_organization_id"));
    Ok(())
}

#[test]
fn seed_errors_name_the_problem() {
    let cases = [
        ("users: [{email: nobody}]", "nobody is not an email address"),
        ("users: [{email: a@b.test}, {email: A@b.test}]", "A@b.test occurs twice"),
        ("users: [{email: a@b.test, memberships: [{organization: X}]}]", "a@b.test: no organization X"),
        ("user: []", "unknown field `user`"),
        (
            "{organizations: [{name: X}], users: [{email: a@b.test, memberships: [{organization: X, role: r}]}]}",
            "a@b.test: no role r",
        ),
    ];
    for (yaml, problem) in cases {
        let error = Seed::parse(yaml).map_err(|error| error.to_string()).err().unwrap_or_default();
        assert!(error.contains(problem), "{error}");
    }
}
