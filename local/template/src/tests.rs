use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use serde_json::json;

use super::*;

const TEMPLATE: &str = include_str!("fixture.yaml");

fn parse(parameters: &[(&str, &str)]) -> Result<Template, TemplateError> {
    let parameters =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Template::parse(TEMPLATE, &Deployment { parameters, ..Deployment::default() })
}

#[test]
fn functions_take_their_own_settings_over_the_globals() -> Result<(), Box<dyn Error>> {
    let template = parse(&[])?;
    let sign_in = template.functions.get("SignInFunction").ok_or("no function")?;
    assert_eq!(sign_in.binary, "sign-in");
    assert_eq!(sign_in.name, "auth-dev-sign-in");
    assert_eq!(sign_in.timeout, Duration::from_secs(8));
    assert_eq!(sign_in.memory_mb, 256);
    let room_auth = template.function_of_binary("room-auth").ok_or("no function")?;
    assert_eq!(room_auth.name, "local-RoomAuthFunction");
    assert_eq!(room_auth.memory_mb, 128);
    assert_eq!(room_auth.reserved_concurrency, Some(7));
    Ok(())
}

#[test]
fn an_environment_is_what_the_template_names_with_the_overlay_on_top() -> Result<(), Box<dyn Error>> {
    let template = parse(&[])?;
    let sign_in = template.functions.get("SignInFunction").ok_or("no function")?;
    let missing =
        sign_in.environment(&BTreeMap::new(), &BTreeMap::new()).err().ok_or("it resolved a secret")?;
    assert!(missing.to_string().contains("WORKOS_API_KEY"), "{missing}");

    let overlay = [("WORKOS_API_KEY", "sk_test_default"), ("UNNAMED", "never seen")];
    let overlay = overlay.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let environment = sign_in.environment(&overlay, &BTreeMap::new())?;
    let environment: Vec<_> = environment.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(
        environment,
        [
            ("ALLOWED_ORIGINS", "http://localhost:5173,http://localhost:3001"),
            ("OAUTH_REDIRECT_URI", "https://dev.example.com/callback"),
            ("SESSION_TABLE", "local-Table"),
            ("STAGE", "dev"),
            ("WORKOS_API_KEY", "sk_test_default"),
        ]
    );
    Ok(())
}

#[test]
fn routes_are_protected_by_their_own_or_the_default_authorizer() -> Result<(), Box<dyn Error>> {
    let template = parse(&[])?;
    let protection: BTreeMap<_, _> = template
        .routes
        .iter()
        .map(|route| (format!("{} {}", route.method, route.path), route.authorizer.as_deref()))
        .collect();
    assert_eq!(
        protection,
        BTreeMap::from([
            ("POST /auth/sign-in".to_owned(), None),
            ("POST /auth/dev-sign-in".to_owned(), None),
            ("POST /api/v1/livekit/room-auth".to_owned(), Some("SessionAuthorizer")),
        ])
    );
    let authorizer = template.authorizers.get("SessionAuthorizer").ok_or("no authorizer")?;
    assert_eq!(authorizer.function, "AuthorizerFunction");
    assert!(authorizer.identity_sources.is_empty());
    let cached = TEMPLATE.replace("ReauthorizeEvery: 0", "ReauthorizeEvery: 60");
    let error = Template::parse(&cached, &Deployment::default()).err().ok_or("it emulates a cache")?;
    assert!(error.to_string().contains("ReauthorizeEvery"), "{error}");

    let defaulted = TEMPLATE.replace("DefaultAuthorizer: NONE", "DefaultAuthorizer: SessionAuthorizer");
    let template = Template::parse(&defaulted, &Deployment::default())?;
    let open: Vec<_> = template.routes.iter().filter(|route| route.authorizer.is_none()).collect();
    assert_eq!(open.len(), 1, "only the event with `Authorizer: NONE` is open: {open:?}");
    Ok(())
}

#[test]
fn a_false_condition_takes_the_function_and_its_route_away() -> Result<(), Box<dyn Error>> {
    let template = parse(&[("Stage", "prod")])?;
    assert!(!template.functions.contains_key("DevSignInFunction"));
    assert!(template.routes.iter().all(|route| route.path != "/auth/dev-sign-in"));
    Ok(())
}

#[test]
fn enabled_schedules_are_read_and_their_rates_are_durations() -> Result<(), Box<dyn Error>> {
    let read = |name: &str, source, every| Schedule {
        function: "DevSignInFunction".to_owned(),
        arn: name.to_owned(),
        source,
        every: Duration::from_secs(every),
    };
    assert_eq!(
        parse(&[])?.schedules,
        [
            read(
                "arn:aws:scheduler:us-east-1:123456789012:schedule/default/nightly",
                "aws.scheduler",
                86_400
            ),
            read(
                "arn:aws:events:us-east-1:123456789012:rule/local-DevSignInFunctionSweep",
                "aws.events",
                300
            ),
        ]
    );
    for unsupported in ["cron(0 12 * * ? *)", "rate(0 minutes)", "rate(5 fortnights)", "rate(minutes)"] {
        let template = TEMPLATE.replace("rate(1 day)", &format!("\"{unsupported}\""));
        let error = Template::parse(&template, &Deployment::default()).err().ok_or(unsupported)?;
        assert!(error.to_string().contains("Nightly: ScheduleExpression must be rate"), "{error}");
    }
    Ok(())
}

#[test]
fn cors_comes_from_the_parameter() -> Result<(), Box<dyn Error>> {
    let cors = parse(&[("AllowedOrigins", "https://a.example, https://b.example")])?.cors.ok_or("no CORS")?;
    assert_eq!(cors.allow_origins, ["https://a.example", "https://b.example"]);
    assert_eq!(cors.allow_methods, ["POST"]);
    assert!(cors.allow_credentials);
    assert_eq!(cors.max_age, Some(600));
    Ok(())
}

#[test]
fn the_table_is_a_create_table_call() -> Result<(), Box<dyn Error>> {
    let template = parse(&[])?;
    let table = template.tables.first().ok_or("no table")?;
    assert_eq!(table.ttl_attribute.as_deref(), Some("expires_at"));
    assert_eq!(table.definition.get("TableName"), Some(&json!("local-Table")));
    assert_eq!(
        table.definition.get("KeySchema"),
        Some(&json!([{ "AttributeName": "pk", "KeyType": "HASH" }]))
    );
    Ok(())
}

#[test]
fn wrong_parameters_are_named() {
    for (parameter, value) in [("Stage", "production"), ("Stge", "dev")] {
        let error = parse(&[(parameter, value)]).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(parameter), "{error}");
    }
}
