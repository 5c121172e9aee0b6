//! openapi.yaml, from the code: the functions' routes, the schemas of their types, the table of reasons. What the types
//! do not say stands in [`described`].

mod described;
mod responses;
mod yaml;

use std::collections::BTreeMap;

use api::response::{ErrorBody, HEADERS};
use api::{Access, Route};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema as _, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};
use serde_yaml_ng::Value as Yaml;

use crate::endpoints::{self, Named};

pub use responses::gateway_answers;

/// The cookies that an endpoint can set or clear.
pub fn cookies(name: &str) -> &'static [&'static str] {
    described::of(name).cookies
}

#[test]
fn the_document_is_what_the_code_says() {
    let text = serde_yaml_ng::to_string(&document()).expect("YAML");
    crate::golden::check("openapi.yaml", &format!("# Generated from the code by `make generate`.\n{text}"));
}

const INTRODUCTION: &str = "\
Sign-in by enterprise SSO, by a code sent by mail, by Google and Microsoft; organizations; LiveKit room tokens and recordings.

**Sessions.** A sign-in sets the cookie `__Host-session`. Clients without cookies send its value as `Authorization: Bearer`.

**Errors.** Every error has the body `Error`; programs go by `reason`. API Gateway refuses some requests by itself, with \
`GatewayError`: a protected endpoint without a good session is 403, an unknown path or another method than `POST` is 404 \
`{\"message\":\"Not Found\"}`.

**Browsers.** A request whose `Origin` is not among the allowed ones is 403 `origin_not_allowed`. Send cookies with \
`fetch(…, { credentials: \"include\" })`.

**Fields.** Unknown fields are ignored. Text is trimmed; null and empty count as missing. Lengths are in bytes of UTF-8.
";

fn document() -> Yaml {
    let mut requests = generator(SchemaSettings::for_deserialize);
    let mut answers = generator(SchemaSettings::for_serialize);
    let mut schemas = BTreeMap::new();

    schemas.insert("Error".to_owned(), answer(ErrorBody::json_schema(&mut answers)));
    let mut paths = Vec::new();
    for endpoint in endpoints::ALL {
        let request = (endpoint.request)(&mut requests)
            .map(|named| add(&mut schemas, endpoint.route, named, "Request"));
        let Named { name, schema } = (endpoint.response)(&mut answers);
        let response = Named { name, schema: answer(schema) };
        let response = add(&mut schemas, endpoint.route, response, "Response");
        let operation = operation(endpoint.route, request, &response);
        paths.push((
            endpoint.route.path.to_owned(),
            yaml::mapping([("post".to_owned(), yaml::ordered(operation))]),
        ));
    }
    for (generator, answers) in [(requests, false), (answers, true)] {
        for (name, schema) in generator.clone().take_definitions(true) {
            let schema = if answers { never_null(schema) } else { schema };
            let schema = Schema::try_from(schema).expect("a schema");
            if let Some(other) = schemas.insert(name.clone(), schema.clone()) {
                assert_eq!(other, schema, "two types are called {name} (answers: {answers})");
            }
        }
    }
    let schemas: Map<_, _> = schemas
        .into_iter()
        .map(|(name, schema)| (name, tidy(schema.into())))
        .chain([gateway_error()])
        .collect();

    yaml::mapping([
        ("openapi".to_owned(), "3.1.0".into()),
        ("info".to_owned(), yaml::ordered(info())),
        ("servers".to_owned(), yaml::ordered(servers())),
        ("tags".to_owned(), yaml::ordered(tags())),
        ("paths".to_owned(), yaml::mapping(paths)),
        ("components".to_owned(), yaml::ordered(components(schemas))),
    ])
}

fn generator(contract: fn(SchemaSettings) -> SchemaSettings) -> SchemaGenerator {
    let settings = contract(SchemaSettings::draft2020_12());
    settings.with(|settings| settings.definitions_path = "/components/schemas".into()).into_generator()
}

/// Puts the schema under a name of its own among the components, and gives the reference to it.
fn add(schemas: &mut BTreeMap<String, Schema>, route: &Route, named: Named, suffix: &str) -> String {
    // Each function calls its own types `Input` and `Output`.
    let name = match named.name.as_str() {
        "Input" | "Output" => pascal(route.name) + suffix,
        shared => shared.to_owned(),
    };
    schemas.insert(name.clone(), named.schema);
    format!("#/components/schemas/{name}")
}

fn pascal(name: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('-').map(capital).collect()
}

fn answer(schema: Schema) -> Schema {
    Schema::try_from(never_null(schema.into())).expect("a schema")
}

/// An answer leaves a field without value out: what `Option` allows beside that is not needed.
fn never_null(schema: Value) -> Value {
    let null = json!("null");
    match schema {
        Value::Object(mut fields) => {
            let types = fields.get_mut("type").and_then(Value::as_array_mut);
            if let Some(types) = types {
                types.retain(|name| *name != null);
                if let [only] = &types[..] {
                    let only = only.clone();
                    fields.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = fields.get("anyOf")
                && let [choice, Value::Object(nothing)] = &choices[..]
                && nothing.get("type") == Some(&null)
                && let Value::Object(choice) = choice.clone()
            {
                fields.remove("anyOf");
                fields.extend(choice);
            }
            fields.into_iter().map(|(name, value)| (name, never_null(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(never_null).collect(),
        plain => plain,
    }
}

/// Takes out what readers have no use for.
fn tidy(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(fields) => {
            // Names of Rust's number types; JSON has one.
            if fields.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
                fields.remove("format");
            }
            for value in fields.values_mut() {
                *value = tidy(value.take());
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = tidy(item.take());
            }
        }
        _ => {}
    }
    schema
}

fn operation(route: &Route, request: Option<String>, response: &str) -> Value {
    let about = described::of(route.name);
    let mut operation = json!({
        "operationId": route.name,
        "summary": about.summary,
        "description": about.details,
        "tags": [about.tag],
        "security": security(route),
        "responses": responses::responses(route, &about, response),
    });
    match request {
        Some(schema) => {
            let takes_none = schema.ends_with("/Nothing");
            let mut content = json!({ "schema": { "$ref": schema } });
            if !about.request.is_null() {
                content["example"] = about.request;
            }
            operation["requestBody"] =
                json!({ "required": !takes_none, "content": { "application/json": content } });
        }
        // LiveKit's webhooks are JSON of another content type, and signed as they come.
        None => {
            operation["requestBody"] =
                json!({ "required": true, "content": { "application/webhook+json": {} } });
        }
    }
    if route.name == "finalize-oauth" {
        operation["parameters"] = json!([{
            "name": workos::OAUTH_COOKIE,
            "in": "cookie",
            "description": "The sign-ins that this browser has begun. Without it: 400 `flow_expired`.",
            "required": false,
            "schema": { "type": "string" },
        }]);
    }
    operation
}

fn security(route: &Route) -> Value {
    match (route.access, route.name) {
        // It checks the session by itself.
        (Access::Protected, _) | (Access::Public, "switch-organization") => {
            json!([{ "cookie": [] }, { "bearer": [] }])
        }
        (Access::Public, "livekit-webhook") => json!([{ "livekit": [] }]),
        (Access::Public, _) => json!([]),
    }
}

/// The headers that are the same on every answer of a function, but for its content type.
fn constant_headers() -> Vec<(String, String)> {
    let headers = HEADERS.into_iter().filter(|(name, _)| name != "content-type");
    headers.map(|(name, value)| (title(name.as_str()), value.to_str().expect("text").to_owned())).collect()
}

/// A header's name as people write it.
fn title(name: &str) -> String {
    let words: Vec<_> = name.split('-').map(pascal).collect();
    words.join("-")
}

/// The name of a header among the components.
fn component(header: &str) -> String {
    header.replace('-', "")
}

fn info() -> Value {
    json!({
        "title": "Authentication API",
        "version": env!("CARGO_PKG_VERSION"),
        "description": INTRODUCTION,
        "license": { "name": "MIT", "identifier": "MIT" },
    })
}

fn servers() -> Value {
    json!([
        { "url": "http://localhost:3000", "description": "`make dev`" },
        {
            "url": "https://{host}",
            "description": "A deployment: the output `ApiUrl` of its stack",
            "variables": { "host": { "default": "api.example.com" } },
        },
    ])
}

fn tags() -> Value {
    json!([
        { "name": described::SIGN_IN, "description": "Ways into a session." },
        { "name": described::SESSION, "description": "What a session can do with itself." },
        { "name": described::ROOMS, "description": "LiveKit, behind a session." },
        { "name": described::WEBHOOKS, "description": "Called by LiveKit." },
    ])
}

fn gateway_error() -> (String, Value) {
    let schema = json!({
        "type": "object",
        "description": "API Gateway's own answer, given before any function runs.",
        "required": ["message"],
        "properties": { "message": { "type": "string" } },
    });
    ("GatewayError".to_owned(), schema)
}

fn components(schemas: Map<String, Value>) -> Value {
    let constant = constant_headers().into_iter().map(|(name, value)| {
        let header = json!({ "required": true, "schema": { "type": "string", "const": value } });
        (component(&name), header)
    });
    let retry_after = json!({
        "description": "Seconds to wait before the next try. API Gateway's own answers lack it.",
        "schema": { "type": "integer", "minimum": 1 },
    });
    let headers: Map<_, _> = constant.chain([("RetryAfter".to_owned(), retry_after)]).collect();
    json!({
        "schemas": schemas,
        "headers": headers,
        "responses": responses::shared(),
        "examples": responses::examples(),
        "securitySchemes": {
            "cookie": {
                "type": "apiKey",
                "in": "cookie",
                "name": session::SESSION_COOKIE,
                "description": "Set by every sign-in; HttpOnly, Secure, SameSite.",
            },
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "The same token, for clients without cookies.",
            },
            "livekit": {
                "type": "apiKey",
                "in": "header",
                "name": "Authorization",
                "description": "A token that LiveKit signs with the API secret; it holds the body's SHA-256.",
            },
        },
    })
}
