//! Start-up with an invalid configuration: one log line that names the variable, and a non-zero exit.

use std::process::{Command, Output};

use serde_json::Value;

use crate::app::App;

const REQUIRED: [&str; 8] = [
    "STAGE",
    "SESSION_TABLE",
    "WORKOS_API_KEY",
    "WORKOS_CLIENT_ID",
    "OAUTH_REDIRECT_URI",
    "LIVEKIT_URL",
    "LIVEKIT_API_KEY",
    "LIVEKIT_API_SECRET",
];

/// The environment that the local cloud gives a function, without Lambda's own variables.
fn environment(app: &App, function: &str) -> Vec<(String, String)> {
    let environment = app.cloud.environment_of(function).expect("the function's environment");
    environment.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Runs a function's binary with `environment` and Lambda's variables, and nothing else.
fn boot(function: &str, environment: &[(String, String)]) -> Output {
    let mut command = Command::new(crate::app::binaries().join(function));
    command.env_clear().envs(environment.iter().cloned());
    // Nothing listens here: a function with a valid configuration fails later, with another message.
    command.env("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1");
    for (name, value) in [
        ("AWS_LAMBDA_FUNCTION_NAME", function),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ] {
        command.env(name, value);
    }
    command.output().expect("the binary runs")
}

#[tokio::test]
async fn a_weak_secret_or_a_plain_url_stops_the_boot() {
    let app = App::start().await;
    for (function, variable, value) in [
        ("room-auth", "LIVEKIT_API_SECRET", "shorter-than-32-bytes"),
        ("authorizer", "WORKOS_JWKS_URL", "http://keys.example.com"),
    ] {
        let mut environment = environment(&app, function);
        environment.retain(|(name, _)| ![variable, "STAGE"].contains(&name.as_str()));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        environment.extend([pair(variable, value), pair("STAGE", "prod")]);
        let output = boot(function, &environment);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!output.status.success() && text.contains(variable) && !text.contains(value), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[tokio::test]
async fn a_missing_variable_is_one_log_line_that_names_it() {
    let app = App::start().await;
    let read = crate::template::variables_read();
    let mut checked = 0;
    for function in app.functions() {
        let environment = environment(&app, &function);
        for required in REQUIRED.iter().filter(|name| read[function.as_str()].contains(*name)) {
            let rest: Vec<_> = environment.iter().filter(|(name, _)| name != required).cloned().collect();
            let output = boot(&function, &rest);
            assert!(!output.status.success(), "{function} starts without {required}");
            let text = String::from_utf8(output.stdout).unwrap();
            let lines: Vec<_> = text.lines().collect();
            assert_eq!(lines.len(), 1, "{function} without {required}: {text}");
            let line: Value = serde_json::from_str(lines[0]).expect("a JSON line");
            assert_eq!(line["level"], "ERROR");
            let cause = line["cause"].as_str().unwrap();
            assert_eq!(cause, format!("environment variable {required} is not set"), "{function}");
            assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked}");
}

#[tokio::test]
async fn an_invalid_variable_is_named_without_its_value() {
    let app = App::start().await;
    let cases = [
        ("sign-in", "WORKOS_API_URL", "sk_secret"),
        ("sign-in", "SSO_AUTHORIZE_ENDPOINT", "sk_secret"),
        ("authorizer", "SESSION_IDLE_SECONDS", "sk_secret"),
        ("authorizer", "REFRESH_GRACE_SECONDS", "0"),
        ("finalize-oauth", "COOKIE_SAME_SITE", "strict"),
        ("authorizer", "COOKIE_SAME_SITE", "strict"),
        ("finalize-oauth", "SESSION_TRANSPORTS", "header"),
        ("dev-sign-in", "STAGE", "prod"),
        ("dev-sign-in", "STAGE", "staging"),
        ("dev-sign-in", "STAGE", "Dev"),
        ("dev-sign-in", "STAGE", "live"),
        ("dev-sign-in", "WORKOS_API_KEY", "sk_live_secret"),
        ("sign-in", "MAIL_FLOOR_MS", "3001"),
        ("dev-sign-in", "DEV_SIGN_IN_EMAIL", "admin"),
        ("room-auth", "ROOM_SCOPE", "sk_secret"),
        ("start-recording", "RECORDING_POLICY", "sk_secret"),
    ];
    for (function, name, value) in cases {
        let mut environment = environment(&app, function);
        environment.retain(|(each, _)| each != name);
        environment.push((name.to_owned(), value.to_owned()));
        let output = boot(function, &environment);
        assert!(!output.status.success(), "{function} starts with {name}={value}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains(name) && !text.contains("_secret"), "{text}");
    }
}
