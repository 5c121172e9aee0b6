#!/usr/bin/env python3
"""Creates a function: its crate and an example event. Prints the entry that template.yaml needs.

    make endpoint NAME=say-hello
    make endpoint NAME=get-greeting METHOD=GET ROUTE='/greetings/{id}' ACCESS=session
    make endpoint NAME=sweep-greetings SCHEDULE='rate(5 minutes)'
"""

import argparse
import json
import pathlib
import re
import sys
import textwrap

MANIFEST = """\
[package]
name = "{name}"
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
publish.workspace = true

[dependencies]
{dependencies}
[lints]
workspace = true
"""

MAIN = """\
//! The Lambda function `{name}`.

api::main!({module}::{type});
"""

PUBLIC = """\
//! Greets someone.
//!
//! Requests are limited per source address.

use api::{{ApiError, ConfigError, Endpoint, Env, Reason, Request, Response, Route}};
use schemars::JsonSchema;
use serde::{{Deserialize, Serialize}};
use store::{{Rate, SourceLimit, Table}};

const PER_SOURCE: SourceLimit = SourceLimit {{ scope: "{name}", rate: Rate {{ max: 60, seconds: 600 }} }};

api::text! {{
    /// An id: at most 64 bytes, no control characters.
    pub struct Id {{ max: 64, reason: InvalidField, accept: |text| !text.contains(char::is_control) }}
}}

/// The person to greet.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Input {{
    id: Id,
}}

/// The greeting.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {{
    greeting: String,
}}

/// `{method} {route}`.
pub struct {type}(Table);

impl Endpoint for {type} {{
    const ROUTE: Route = Route::{constructor}("{route}")
        .summary("Greet someone")
        .reasons(&[api::INPUT, &[Reason::RateLimited], store::FAILURES])
        .rounds(1)
        .example(r#"{{ "id": "jane" }}"#)
        .success(&[("greeting", r#"{{ "greeting": "Hello, jane" }}"#)]);

    fn load(env: &Env) -> Result<Self, ConfigError> {{
        Table::load(env).map(Self)
    }}
}}

impl {type} {{
    /// Greets someone.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Input>) -> Result<Response<Output>, ApiError> {{
        PER_SOURCE.admit(&self.0, &req.client).await?;
        Ok(Response::new(Output {{ greeting: format!("Hello, {{}}", req.input.id.as_str()) }}))
    }}
}}
"""

SESSION = """\
//! Greets the caller.

use api::{{ApiError, ConfigError, Endpoint, Env, Request, Response, Route, Tag}};
use schemars::JsonSchema;
use serde::{{Deserialize, Serialize}};

api::text! {{
    /// An id: at most 64 bytes, no control characters.
    pub struct Id {{ max: 64, reason: InvalidField, accept: |text| !text.contains(char::is_control) }}
}}

/// The greeting to return.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Input {{
    id: Id,
}}

/// The greeting.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {{
    greeting: String,
}}

/// `{method} {route}`.
pub struct {type};

impl Endpoint for {type} {{
    const ROUTE: Route = Route::{constructor}("{route}")
        .session()
        .tag(Tag::Session)
        .summary("Greet the caller")
        .reasons(&[api::INPUT])
        .example(r#"{{ "id": "morning" }}"#)
        .success(&[("greeting", r#"{{ "greeting": "morning, jane.doe@example.com" }}"#)]);

    fn load(_: &Env) -> Result<Self, ConfigError> {{
        Ok(Self)
    }}
}}

impl {type} {{
    /// Greets the caller.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, req: Request<Input>) -> Result<Response<Output>, ApiError> {{
        let greeting = format!("{{}}, {{}}", req.input.id.as_str(), req.caller()?.email);
        Ok(Response::new(Output {{ greeting }}))
    }}
}}
"""

SCHEDULED = """\
//! Runs on a schedule.

use api::{{ApiError, ConfigError, Endpoint, Env, Route, Schedule}};

/// Runs at `{schedule}`.
pub struct {type};

impl Endpoint for {type} {{
    const ROUTE: Route = Route::schedule("{schedule}").summary("Run on a schedule");

    fn load(_: &Env) -> Result<Self, ConfigError> {{
        Ok(Self)
    }}
}}

impl {type} {{
    /// Runs once.
    ///
    /// # Errors
    /// The reasons that [`Self::ROUTE`] declares.
    pub async fn handle(&self, schedule: Schedule) -> Result<(), ApiError> {{
        tracing::info!(due = schedule.time, "ran on schedule");
        Ok(())
    }}
}}
"""

ENTRY = """\
  {type}Function:
    Type: AWS::Serverless::Function
    Metadata: {{BuildMethod: rust-cargolambda, BuildProperties: {{Binary: {name}}}}}
    Properties:
      FunctionName: !Sub ${{AWS::StackName}}-{name}
{policies}      Events:
{event}
"""

HTTP_EVENT = """\
        Route:
          Type: HttpApi
          Properties: {{ApiId: !Ref HttpApi, Method: {method}, Path: '{route}'{auth}}}"""

SCHEDULE_EVENT = """\
        Schedule:
          Type: ScheduleV2
          Properties: {{ScheduleExpression: {schedule}, OmitName: true}}"""


def http_event(function):
    """An API Gateway event (payload 2.0) for the function's example."""
    value = "morning" if function.access == "session" else "jane"
    path = re.sub(r"\{(\w+)\}", value, function.route)
    route_key = f"{function.method} {function.route}"
    event = {
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": path,
        "rawQueryString": "",
        "headers": {
            "accept": "application/json",
            "content-type": "application/json",
            "origin": "http://localhost:5173",
            "user-agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
        },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abcdefghij",
            "domainName": "abcdefghij.execute-api.eu-central-1.amazonaws.com",
            "domainPrefix": "abcdefghij",
            "http": {
                "method": function.method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
            },
            "requestId": "PEMk9gLdFiAEJ5g=",
            "routeKey": route_key,
            "stage": "$default",
            "time": "24/Nov/2026:08:00:00 +0000",
            "timeEpoch": 1795507200000,
        },
        "isBase64Encoded": False,
    }
    if names := re.findall(r"\{(\w+)\}", function.route):
        event["pathParameters"] = {name: value for name in names}
    if "{id}" not in function.route:
        if function.method == "POST":
            event["body"] = json.dumps({"id": value})
        else:
            event["rawQueryString"] = f"id={value}"
            event["queryStringParameters"] = {"id": value}
    if function.access == "session":
        event["requestContext"]["authorizer"] = {
            "lambda": {
                "userId": "user_01HCNYK4PEV6Y1EDZ8EAZG1A1B",
                "email": "jane.doe@example.com",
                "sessionId": "session_01JZG38PH9VWFRMCXZB8M5B6SR",
            }
        }
    return event


def scheduled_event():
    """A scheduled event, as EventBridge sends it."""
    return {
        "version": "0",
        "id": "89d1a02d-5ec7-412e-82f5-13505f849b41",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": "2026-11-24T08:00:00Z",
        "region": "eu-central-1",
        "resources": [],
        "detail": {},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="lower-case words joined by hyphens")
    parser.add_argument("--method", default="POST", choices=["GET", "POST", "DELETE"])
    parser.add_argument("--route", help="path of the route (default: /auth/<name>)")
    parser.add_argument("--access", default="public", choices=["public", "session"])
    parser.add_argument("--schedule", help="schedule expression of a function without a route, such as rate(5 minutes)")
    function = parser.parse_args()
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", function.name):
        sys.exit(f"{function.name}: the name must be lower-case words joined by hyphens")
    folder = pathlib.Path("functions", function.name)
    if folder.exists():
        sys.exit(f"{folder} already exists")
    function.route = function.route or f"/auth/{function.name}"

    if function.schedule:
        body, dependencies = SCHEDULED, ["api", "tracing"]
        policies, event = "", SCHEDULE_EVENT
    elif function.access == "session":
        body, dependencies = SESSION, ["api", "schemars", "serde"]
        policies, event = "", HTTP_EVENT
    else:
        body, dependencies = PUBLIC, ["api", "schemars", "serde", "store"]
        policies, event = "      Policies: [!Ref RateLimitAccess]\n", HTTP_EVENT
    values = {
        "name": function.name,
        "module": function.name.replace("-", "_"),
        "type": "".join(word.capitalize() for word in function.name.split("-")),
        "method": function.method,
        "constructor": function.method.lower(),
        "route": function.route,
        "schedule": function.schedule,
        "auth": ", Auth: {Authorizer: SessionAuthorizer}" if function.access == "session" else "",
        "dependencies": "".join(f"{crate}.workspace = true\n" for crate in dependencies),
        "policies": policies,
    }
    values["event"] = event.format(**values)

    (folder / "src").mkdir(parents=True)
    (folder / "Cargo.toml").write_text(MANIFEST.format(**values))
    (folder / "src/main.rs").write_text(MAIN.format(**values))
    (folder / "src/lib.rs").write_text(body.format(**values))
    events = pathlib.Path("events", function.name)
    events.mkdir(exist_ok=True)
    example = scheduled_event() if function.schedule else http_event(function)
    (events / "example.json").write_text(json.dumps(example, indent=2) + "\n")

    print(
        textwrap.dedent(f"""\
            Created {folder} and {events}. Three steps are left:
            1. Implement the function in {folder}/src/lib.rs.
            2. Add this to template.yaml, before the shared policies:
            """),
        file=sys.stderr,
    )
    print(ENTRY.format(**values))
    print("3. Run `make generate`, review what it wrote, and run `make test`.", file=sys.stderr)


if __name__ == "__main__":
    main()
