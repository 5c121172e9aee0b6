//! Replays the events in `events/` and compares each response, its status, headers, cookies and body, with a snapshot.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::app::App;

/// The folder of the events.
pub fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../events"))
}

#[tokio::test]
async fn every_event_gets_the_response_in_its_snapshot() {
    let mut replayed = Vec::new();
    let mut functions: Vec<_> =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    functions.sort();
    for path in functions {
        let function = path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut events: Vec<_> =
            std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
        events.sort();
        assert!(!events.is_empty(), "{function} has no event");
        for event in events {
            // A new cloud for each event, so that no response depends on earlier events.
            let app = App::start().await;
            let text = std::fs::read_to_string(&event).unwrap();
            let answer = app.invoke(&function, &text).await;
            let name = format!("{function}__{}", event.file_stem().unwrap().to_str().unwrap());
            let answer = redact(answer, app.workos().url());
            insta::with_settings!({ prepend_module_to_snapshot => false, snapshot_path => "snapshots/events" }, {
                insta::assert_json_snapshot!(name, answer);
            });
        }
        replayed.push(function);
    }
    assert_eq!(replayed, App::start().await.functions(), "every function has events");
}

/// Replaces what differs from run to run, and parses the body.
fn redact(mut response: Value, workos: &str) -> Value {
    if let Some(body) = response.get("body").and_then(Value::as_str) {
        response["body"] = serde_json::from_str(body).unwrap_or_else(|_| json!(body));
    }
    scrub(&mut response, workos);
    response
}

fn scrub(value: &mut Value, workos: &str) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                match name.as_str() {
                    "requestId" | "token" | "state" if value.is_string() => {
                        *value = json!(format!("[{name}]"))
                    }
                    "id" if value.as_str().is_some_and(|id| id.starts_with("user_")) => {
                        *value = json!("[user id]")
                    }
                    "retry-after" => *value = json!("[seconds]"),
                    "x-request-id" => *value = json!("[request id]"),
                    _ => scrub(value, workos),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| scrub(value, workos)),
        Value::String(text) => {
            let mut shown = text.replace(workos, "https://api.workos.com");
            let random = ["state=", "code_challenge="];
            let cookies = ["__Host-session=", "__Host-oauth=", "__Host-pending=", "__Host-device="];
            for name in random.into_iter().chain(cookies) {
                shown = scrub_after(&shown, name);
            }
            *text = shown;
        }
        _ => {}
    }
}

/// Replaces what follows `name` up to the next delimiter. An empty value stays, since it shows that a cookie is
/// cleared.
fn scrub_after(text: &str, name: &str) -> String {
    let Some(start) = text.find(name).map(|index| index + name.len()) else { return text.to_owned() };
    let end = text[start..].find(['&', ';']).map_or(text.len(), |index| start + index);
    if start == end { text.to_owned() } else { format!("{}[…]{}", &text[..start], &text[end..]) }
}
