//! Protected routes: the authorizer's verdict reaches the function, which passes only an explicit "signed in".

use api::Access;
use local_proxy::{Effect, Fault};
use serde_json::{Value, json};

use crate::app::App;

/// The event of a signed-in caller.
fn event() -> Value {
    let event = std::fs::read_to_string(crate::events::folder().join("room-auth/join.json")).unwrap();
    serde_json::from_str(&event).unwrap()
}

fn without(context: &Value, field: &str) -> Value {
    let mut context = context.clone();
    context.as_object_mut().unwrap().remove(field);
    context
}

fn with(context: &Value, field: &str, value: Value) -> Value {
    let mut context = context.clone();
    context[field] = value;
    context
}

#[tokio::test]
async fn a_route_that_lost_its_authorizer_refuses_everything() {
    let app = App::start().await;
    let whole = event()["requestContext"]["authorizer"]["lambda"].clone();
    assert_eq!(whole["verdict"], "signed_in");
    let contexts = [
        json!(null),
        json!({}),
        json!({ "lambda": null }),
        json!({ "lambda": {} }),
        json!({ "lambda": without(&whole, "verdict") }),
        json!({ "lambda": with(&whole, "verdict", json!("SIGNED_IN")) }),
        json!({ "lambda": with(&whole, "verdict", json!("not_signed_in")) }),
        json!({ "lambda": with(&whole, "verdict", json!(true)) }),
        json!({ "lambda": without(&whole, "userId") }),
        json!({ "lambda": with(&whole, "userId", json!("")) }),
        json!({ "lambda": without(&whole, "sessionId") }),
        json!({ "lambda": without(&whole, "email") }),
        json!({ "jwt": { "claims": { "sub": "user_1" }, "scopes": [] } }),
    ];
    let protected: Vec<_> = catalog::endpoints()
        .into_iter()
        .filter(|function| function.route.access == Access::Session)
        .collect();
    assert!(protected.len() >= 4, "there are protected endpoints");
    for function in protected {
        for context in contexts.iter().map(Some).chain([None]) {
            let mut event = event();
            // A body that any function would refuse: nobody may learn that.
            event["body"] = json!(if function.route.any_verdict { "" } else { "{" });
            match context {
                Some(context) => event["requestContext"]["authorizer"] = context.clone(),
                None => drop(event["requestContext"].as_object_mut().unwrap().remove("authorizer")),
            }
            let response = app.invoke(function.name, &event.to_string()).await;
            let what = format!("{} with {context:?}: {response}", function.name);
            assert_eq!(response["statusCode"], 401, "{what}");
            let body: Value = serde_json::from_str(response["body"].as_str().unwrap()).unwrap();
            assert_eq!(
                (&body["reason"], &body["retryable"]),
                (&json!("not_signed_in"), &json!(false)),
                "{what}"
            );
        }
    }
}

#[tokio::test]
async fn a_refusal_has_our_shape_and_comes_before_the_body_is_read() {
    let app = App::start().await;
    let mut browser = app.browser();
    for function in catalog::endpoints().into_iter().filter(|each| each.route.access == Access::Session) {
        if function.route.any_verdict {
            continue;
        }
        let method = function.route.method.name().parse().unwrap();
        let answer = browser.exchange(method, function.route.path, Some((b"{".to_vec(), "text/plain"))).await;
        let answer = answer.refused(401, "not_signed_in");
        assert_eq!(answer.body["message"], "Unauthorized");
        assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
        assert_eq!(answer.header("strict-transport-security"), Some("max-age=63072000; includeSubDomains"));
    }
}

#[tokio::test]
async fn an_outage_is_no_refusal_and_comes_before_the_body_is_read() {
    let app = App::start().await;
    let mut browser = app.signed_in("jane.doe@example.com").await;
    app.dynamodb().proxy().inject(Fault::response("GetItem", 400, r#"{"__type":"x#InternalServerError"}"#));
    let answer = browser.send("/api/v1/livekit/room-auth", Some((b"{".to_vec(), "text/plain"))).await;
    let answer = answer.refused(503, "store_unavailable");
    assert_eq!(answer.body["retryable"], true);
    app.dynamodb().proxy().clear_faults();
    app.expire_access(&browser, 100_000);
    app.workos().proxy().inject(Fault::new("*", Effect::Drop));
    browser.room_auth("Jane", "room").await.refused(502, "workos_unavailable");
}
