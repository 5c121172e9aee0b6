//! openapi.yaml, from the routes of the endpoints, the schemas of their types, and the table of reasons.

mod errors;
mod responses;
mod yaml;

use std::collections::BTreeMap;

use api::handler::NamedSchema;
use api::response::HEADERS;
use api::transport::{FLOW_TOKEN, SESSION_TRANSPORT};
use api::{Access, Reason, Route, Tag};
use catalog::Function;
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};
use serde_yaml_ng::Value as Yaml;

pub use errors::{COMMON, fields};
pub use responses::gateway_responses;

#[test]
fn the_document_matches_the_code() {
    let text = serde_yaml_ng::to_string(&document()).expect("YAML");
    super::golden::check("openapi.yaml", &format!("# Generated from the code by `make generate`.\n{text}"));
}

const INTRODUCTION: &str = "\
Sign-in with enterprise SSO, a code sent by mail, Google or Microsoft; organizations; LiveKit room tokens and recordings.

**Sessions.** A sign-in sets the cookie `__Host-session`, or `__Host-session-p` in a deployment for front ends on another \
site.

**Clients without cookies** send `Session-Transport: header`, if the deployment enables it, and get headers in place of \
every cookie. Send the last `Session-Token` as `Authorization: Bearer` until you sign out or get a 401. Keep the last \
`Flow-Token`, and send it with every request to `/auth`. A request with a session cookie is refused.

**Errors.** Every error of a function has the fields of `Error`; decide by `reason`, which is stable. API Gateway rejects \
some requests itself, with `GatewayError`, which has no reason: an unknown path or a wrong method is 404 \
`{\"message\":\"Not Found\"}`.

**Request ids.** Every response of a function has the header `X-Request-Id`, which is `requestId` in the body of an error. \
Every response has API Gateway's own `apigw-requestid`. Both are exposed to pages of allowed origins.

**Browsers.** A request with an `Origin` that is not allowed is 403 `origin_not_allowed`. Send cookies with \
`fetch(…, { credentials: \"include\" })`.

**Fields.** Unknown fields are ignored. Text is trimmed; null and empty values count as missing. Lengths are in bytes of \
UTF-8.
";

fn document() -> Yaml {
    let mut requests = generator(SchemaSettings::for_deserialize);
    let mut responses = generator(SchemaSettings::for_serialize);
    let mut schemas = BTreeMap::new();

    // Errors refer to it.
    responses.subschema_for::<api::auth_data::AuthMethod>();
    let mut paths: Vec<(String, Vec<(String, Yaml)>)> = Vec::new();
    for function in catalog::endpoints() {
        let operation = operation(function, &mut schemas, &mut requests, &mut responses);
        let method = function.route.method.name().to_lowercase();
        let operation = (method, yaml::ordered(operation));
        match paths.last_mut() {
            Some((path, operations)) if path == function.route.path => operations.push(operation),
            _ => paths.push((function.route.path.to_owned(), vec![operation])),
        }
    }
    let paths = paths.into_iter().map(|(path, operations)| (path, yaml::mapping(operations)));
    for (generator, in_responses) in [(requests, false), (responses, true)] {
        for (name, schema) in generator.clone().take_definitions(true) {
            let schema = if in_responses { never_null(schema) } else { schema };
            let schema = Schema::try_from(schema).expect("a schema");
            if let Some(other) = schemas.insert(name.clone(), schema.clone()) {
                assert_eq!(other, schema, "two types are called {name} (in responses: {in_responses})");
            }
        }
    }
    let mut components: Map<String, Value> = Map::new();
    for (name, schema) in schemas {
        let schema = hoist(tidy(schema.into()), &mut components);
        assert!(components.insert(name.clone(), schema).is_none(), "two schemas are called {name}");
    }
    let any_message = json!({ "type": "string" });
    components.extend([
        ("Reason".to_owned(), errors::reason()),
        ("Error".to_owned(), errors::any()),
        ("GatewayError".to_owned(), gateway_error(any_message)),
    ]);

    yaml::mapping([
        ("openapi".to_owned(), "3.1.0".into()),
        ("info".to_owned(), yaml::ordered(info())),
        ("servers".to_owned(), yaml::ordered(servers())),
        ("tags".to_owned(), yaml::ordered(tags())),
        ("paths".to_owned(), yaml::mapping(paths)),
        ("components".to_owned(), yaml::ordered(components_with(components))),
    ])
}

fn generator(contract: fn(SchemaSettings) -> SchemaSettings) -> SchemaGenerator {
    let settings = contract(SchemaSettings::draft2020_12());
    settings.with(|settings| settings.definitions_path = "/components/schemas".into()).into_generator()
}

/// Adds a schema to the components under a unique name, and returns a reference to it.
fn add(schemas: &mut BTreeMap<String, Schema>, function: &str, named: NamedSchema, suffix: &str) -> String {
    // Each function calls its own types `Input` and `Output`.
    let name = match named.name.as_str() {
        "Input" | "Output" => pascal(function) + suffix,
        shared => shared.to_owned(),
    };
    schemas.insert(name.clone(), named.schema);
    format!("#/components/schemas/{name}")
}

fn pascal(name: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('-').map(capital).collect()
}

fn response_schema(schema: Schema) -> Schema {
    Schema::try_from(never_null(schema.into())).expect("a schema")
}

/// Removes the `null` that `Option` allows from fields that a response omits if they have no value. A field that is always
/// there can be null.
fn never_null(schema: Value) -> Value {
    match schema {
        Value::Object(mut fields) => {
            let required = fields.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
            if let Some(Value::Object(properties)) = fields.get_mut("properties") {
                for (name, property) in properties {
                    if !required.iter().any(|each| each == name) {
                        *property = without_null(property.take());
                    }
                }
            }
            fields.into_iter().map(|(name, value)| (name, never_null(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(never_null).collect(),
        plain => plain,
    }
}

/// A schema without the alternative `null`.
fn without_null(mut schema: Value) -> Value {
    let null = json!("null");
    let Some(fields) = schema.as_object_mut() else { return schema };
    if let Some(types) = fields.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|name| *name != null);
        if let [only] = &types[..] {
            let only = only.clone();
            fields.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = fields.get("anyOf")
        && let [Value::Object(choice), nothing] = &choices[..]
        && nothing["type"] == null
    {
        let choice = choice.clone();
        fields.remove("anyOf");
        fields.extend(choice);
    }
    schema
}

/// Removes what is of no use to readers.
fn tidy(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(fields) => {
            // Names of Rust's number types. JSON has only one.
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

/// Gives each titled variant of a `oneOf` a component of its own, named by the title, and names the field that tells the
/// variants apart.
fn hoist(schema: Value, components: &mut Map<String, Value>) -> Value {
    let mut fields = match schema {
        Value::Object(fields) => fields,
        Value::Array(items) => return items.into_iter().map(|item| hoist(item, components)).collect(),
        plain => return plain,
    };
    if let Some(Value::Array(variants)) = fields.get_mut("oneOf")
        && variants.iter().all(|variant| variant["title"].is_string())
    {
        let mut mapping = Map::new();
        let mut discriminator = None;
        for variant in variants {
            let mut hoisted = hoist(variant.take(), components);
            let title = hoisted["title"].take();
            let title = title.as_str().expect("a title");
            hoisted.as_object_mut().expect("an object").remove("title");
            let properties = hoisted["properties"].as_object().expect("a variant has fields");
            let (field, value) =
                properties.iter().find(|(_, schema)| schema["const"].is_string()).expect("a discriminator");
            let reference = format!("#/components/schemas/{title}");
            mapping.insert(value["const"].as_str().unwrap_or_default().to_owned(), json!(reference));
            discriminator = Some(field.clone());
            *variant = json!({ "$ref": reference });
            components.insert(title.to_owned(), hoisted);
        }
        fields
            .insert("discriminator".to_owned(), json!({ "propertyName": discriminator, "mapping": mapping }));
    }
    fields.into_iter().map(|(name, value)| (name, hoist(value, components))).collect()
}

fn operation(
    function: &Function,
    schemas: &mut BTreeMap<String, Schema>,
    requests: &mut SchemaGenerator,
    responses: &mut SchemaGenerator,
) -> Value {
    let Function { name, route, .. } = function;
    let NamedSchema { name: output, schema } = function.output.expect("an endpoint has an output")(responses);
    let response =
        add(schemas, name, NamedSchema { name: output, schema: response_schema(schema) }, "Response");
    let mut operation = json!({
        "operationId": name,
        "summary": route.summary,
        "description": route.details,
        "tags": [tag(route.tag).0],
        "security": security(route),
        "responses": responses::responses(route, &response),
    });
    let mut parameters = Vec::new();
    match function.input.map(|input| input(requests)) {
        Some(input) if route.method == api::endpoint::Method::Post => {
            let body = without_path_parameters(input, route);
            let is_required = ["required", "anyOf"].into_iter().any(|key| body.schema.get(key).is_some());
            let text = json!({ "type": "string" });
            parameters.extend(path_parameters(route).map(|name| input_parameter(route, name, &text, true)));
            let mut content = json!({ "schema": { "$ref": add(schemas, name, body, "Request") } });
            if !route.example.is_empty() {
                let mut example = parse(route.example);
                let fields = example.as_object_mut().expect("an example is an object");
                fields.retain(|field, _| !path_parameters(route).any(|each| each == field));
                content["example"] = example;
            }
            operation["requestBody"] =
                json!({ "required": is_required, "content": { "application/json": content } });
        }
        Some(input) => parameters.extend(input_parameters(&input, route)),
        // A webhook has a JSON content type of its own.
        None => {
            operation["requestBody"] =
                json!({ "required": true, "content": { "application/webhook+json": {} } });
        }
    }
    if route.all_reasons().contains(&Reason::FlowExpired) {
        let mut flow = parameter(workos::OAUTH_COOKIE, "cookie", &json!({ "type": "string" }), false);
        flow["description"] =
            json!("The sign-ins in progress in this browser. Without it: 400 `flow_expired`.");
        parameters.push(flow);
    }
    if !route.cookies.is_empty() {
        parameters.extend(
            ["SessionTransport", "FlowToken"]
                .map(|name| json!({ "$ref": format!("#/components/parameters/{name}") })),
        );
    }
    if !parameters.is_empty() {
        operation["parameters"] = json!(parameters);
    }
    operation
}

/// Parses JSON that an endpoint declares.
fn parse(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error} in the example {json}"))
}

/// The names of a route's path parameters.
fn path_parameters(route: &Route) -> impl Iterator<Item = &'static str> {
    route.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}

/// The fields of an input that come from the path and the query.
fn input_parameters(input: &NamedSchema, route: &Route) -> Vec<Value> {
    let schema = serde_json::to_value(&input.schema).expect("a schema is JSON");
    let required = |name: &str| {
        schema["required"].as_array().into_iter().flatten().any(|each| each.as_str() == Some(name))
    };
    let fields = schema["properties"].as_object().into_iter().flatten();
    fields
        .map(|(name, schema)| {
            input_parameter(route, name, &tidy(without_null(schema.clone())), required(name))
        })
        .collect()
}

/// A field that comes from the path or the query, with its value in the route's example.
fn input_parameter(route: &Route, name: &str, schema: &Value, required: bool) -> Value {
    let place = if path_parameters(route).any(|each| each == name) { "path" } else { "query" };
    let mut schema = schema.clone();
    if place == "query"
        && !required
        && let Some(schema) = schema.as_object_mut()
    {
        // A blank value counts as missing.
        schema.remove("minLength");
    }
    let mut parameter = parameter(name, place, &schema, required);
    if !route.example.is_empty()
        && let Some(example) = parse(route.example).get(name)
    {
        parameter["example"] = example.clone();
    }
    parameter
}

/// The body of a `POST`: the fields that do not come from the path.
fn without_path_parameters(mut input: NamedSchema, route: &Route) -> NamedSchema {
    for name in path_parameters(route) {
        if let Some(fields) = input.schema.get_mut("properties").and_then(Value::as_object_mut) {
            fields.remove(name);
        }
        if let Some(required) = input.schema.get_mut("required").and_then(Value::as_array_mut) {
            required.retain(|each| each != name);
        }
    }
    input
}

fn parameter(name: &str, place: &str, schema: &Value, required: bool) -> Value {
    let mut schema = schema.clone();
    let description = schema.as_object_mut().and_then(|fields| fields.remove("description"));
    let mut parameter = json!({ "name": name, "in": place, "required": required, "schema": schema });
    if let Some(description) = description {
        parameter["description"] = description;
    }
    parameter
}

/// The name and description of a section.
fn tag(tag: Tag) -> (&'static str, &'static str) {
    match tag {
        Tag::SignIn => ("Sign-in", "Start a session."),
        Tag::Session => ("Session", "Manage the session."),
        Tag::Rooms => ("Rooms and recordings", "LiveKit rooms and recordings, for signed-in callers."),
        Tag::Webhooks => ("Webhooks", "Called by other services."),
    }
}

fn security(route: &Route) -> Value {
    match route.access {
        Access::Session | Access::OwnSession => json!([{ "cookie": [] }, { "bearer": [] }]),
        Access::Signed(_) => json!([{ sender(route): [] }]),
        Access::Public | Access::Scheduled | Access::Authorizer => json!([]),
    }
}

/// The service that signs the requests of a route, by the route's last segment.
fn sender(route: &Route) -> &'static str {
    route.path.rsplit('/').next().unwrap_or_default()
}

/// The headers that are the same in every response of a function, except the content type.
fn constant_headers() -> Vec<(String, String)> {
    let headers = HEADERS.into_iter().filter(|(name, _)| name != "content-type");
    headers.map(|(name, value)| (title(name.as_str()), value.to_str().expect("text").to_owned())).collect()
}

/// A header's name in its usual capitalization.
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
    let tags = [Tag::SignIn, Tag::Session, Tag::Rooms, Tag::Webhooks].map(tag);
    json!(tags.map(|(name, description)| json!({ "name": name, "description": description })))
}

/// An error of API Gateway itself. It declares a `reason`, so that generated clients can read that of every error. The type
/// `null` would be more exact, but openapi-fetch 0.17 drops such a field.
fn gateway_error(message: Value) -> Value {
    let reason = json!({
        "type": "string",
        "const": "api_gateway",
        "description": "Never sent: an error without a reason is API Gateway's.",
    });
    json!({
        "type": "object",
        "description": "An error of API Gateway itself, which has no reason.",
        "required": ["message"],
        "properties": { "message": message, "reason": reason },
    })
}

fn components_with(schemas: Map<String, Value>) -> Value {
    let constant = constant_headers().into_iter().map(|(name, value)| {
        let header = json!({ "required": true, "schema": { "type": "string", "const": value } });
        (component(&name), header)
    });
    let retry_after = json!({
        "description": "Seconds to wait before the next attempt. Errors of API Gateway itself do not have it.",
        "schema": { "type": "integer", "minimum": 1 },
    });
    let tokens = [
        ("SessionToken", "In place of `__Host-session`: the token of a new session."),
        ("FlowToken", "In place of all other cookies: keep it until a response has another one."),
    ];
    let tokens = tokens.map(|(name, description)| {
        let description = format!("With `Session-Transport: header` only. {description}");
        (name.to_owned(), json!({ "description": description, "schema": { "type": "string" } }))
    });
    let request_id = json!({
        "description": "The id of the invocation: `requestId` in the body of an error. Quote it in reports.",
        "required": true,
        "schema": { "type": "string" },
    });
    let gateway_request_id = json!({
        "description": "API Gateway's id of the request, on every response, in place of `X-Request-Id` on its own errors.",
        "schema": { "type": "string" },
    });
    let set_cookie = json!({
        "description": "The cookies in the description of the response.",
        "schema": { "type": "string" },
    });
    let headers: Map<_, _> = constant
        .chain([
            ("RetryAfter".to_owned(), retry_after),
            ("XRequestId".to_owned(), request_id),
            ("ApigwRequestid".to_owned(), gateway_request_id),
            ("SetCookie".to_owned(), set_cookie),
        ])
        .chain(tokens)
        .collect();
    json!({
        "schemas": schemas,
        "parameters": parameters(),
        "headers": headers,
        "responses": responses::shared(),
        "examples": responses::examples(),
        "securitySchemes": security_schemes(),
    })
}

/// The parameters of every endpoint with cookies.
fn parameters() -> Value {
    let transport = json!({ "type": "string", "enum": ["cookie", "header"], "default": "cookie" });
    let mut transport = parameter(&title(SESSION_TRANSPORT.as_str()), "header", &transport, false);
    transport["description"] =
        json!("`header` returns headers in place of cookies, for clients without cookies. Off by default.");
    let mut flow = parameter(&title(FLOW_TOKEN.as_str()), "header", &json!({ "type": "string" }), false);
    flow["description"] = json!(
        "With `Session-Transport: header`: the last `Flow-Token` of a response, in place of all cookies but the session's."
    );
    json!({ "SessionTransport": transport, "FlowToken": flow })
}

fn security_schemes() -> Value {
    let mut schemes = json!({
        "cookie": {
            "type": "apiKey",
            "in": "cookie",
            "name": session::SESSION_COOKIE,
            "description":
                "Set by every sign-in; HttpOnly, Secure, SameSite. `__Host-session-p` with `COOKIE_SAME_SITE=none`.",
        },
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "The same token, or that of `Session-Token`, for clients without cookies.",
        },
    });
    for Function { route, .. } in catalog::endpoints() {
        if let Access::Signed(header) = route.access {
            schemes[sender(route)] = json!({
                "type": "apiKey",
                "in": "header",
                "name": title(header),
                "description": route.details,
            });
        }
    }
    schemes
}
