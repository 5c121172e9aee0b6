//! The start of a function and the frame around every request.

use std::future::Future;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use http::{HeaderMap, header};
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2CustomAuthorizerSimpleResponse;
use lambda_http::request::RequestContext;
use lambda_http::{Body, RequestExt as _};
use lambda_runtime::{LambdaEvent, service_fn};
use serde::{Deserialize, Serialize};

use crate::body::FromBody;
use crate::caller::Verdict;
use crate::{
    Access, ApiConfig, ApiError, Client, ConfigError, Cookies, Env, Reason, Request, Response, Route, Secret,
    logs, request, response,
};

/// How long a function works on one request before it answers `deadline_exceeded`. Lambda's own timeout is longer, so
/// that a client always gets an answer in our shape.
const DEADLINE: Duration = Duration::from_secs(8);

/// Runs an endpoint: reads its configuration, then answers requests until Lambda ends the process.
///
/// A bad configuration is one log line that names the variable, and a non-zero exit. `handle` never sees a request with
/// a foreign origin, a bad body or, on a protected route, without a caller.
pub fn run<C, I, O, F, Fut>(
    route: &'static Route,
    load: fn(&Env) -> Result<C, ConfigError>,
    handle: F,
) -> ExitCode
where
    C: Send + Sync + 'static,
    I: FromBody + Send + 'static,
    O: Serialize,
    F: Fn(&'static C, Request<I>) -> Fut + Copy + Send + Sync,
    Fut: Future<Output = Result<Response<O>, ApiError>> + Send,
{
    let load = |env: &Env| Ok((ApiConfig::load(env)?, load(env)?));
    boot(route.name, load, async |context| {
        let (config, context) = context;
        lambda_http::run(service_fn(move |event: lambda_http::Request| async move {
            let invocation = event.lambda_context();
            let answer = answer(route, config, context, handle, event, &invocation.request_id);
            Ok::<_, lambda_http::Error>(logs::invocation(&invocation, answer).await)
        }))
        .await
    })
}

/// Runs the authorizer: a session is good, or not, or it could not be told.
pub fn run_authorizer<C, F, Fut>(
    name: &'static str,
    load: fn(&Env) -> Result<C, ConfigError>,
    handle: F,
) -> ExitCode
where
    C: Send + Sync + 'static,
    F: Fn(&'static C, Cookies, Option<Secret>, Client) -> Fut + Copy,
    Fut: Future<Output = Option<Verdict>>,
{
    boot(name, load, async |context| {
        let service = service_fn(move |event: LambdaEvent<AuthorizerEvent>| async move {
            let (cookies, bearer, client) = event.payload.read();
            let verdict = tokio::time::timeout(DEADLINE, handle(context, cookies, bearer, client));
            let verdict = logs::invocation(&event.context, verdict)
                .await
                .unwrap_or(Some(Verdict::Unavailable(Reason::DeadlineExceeded)));
            let mut answer = ApiGatewayV2CustomAuthorizerSimpleResponse::<serde_json::Value>::default();
            answer.is_authorized = verdict.is_some();
            answer.context = verdict.map_or_else(|| serde_json::json!({}), Verdict::into_context);
            Ok::<_, lambda_runtime::Error>(answer)
        });
        lambda_runtime::run(service).await
    })
}

/// Loads the context, which lives as long as the process, and runs `serve` on a single-threaded runtime: Lambda sends
/// one request at a time.
fn boot<C, F>(name: &'static str, load: impl FnOnce(&Env) -> Result<C, ConfigError>, serve: F) -> ExitCode
where
    C: 'static,
    F: AsyncFnOnce(&'static C) -> Result<(), lambda_runtime::Error>,
{
    logs::install(name);
    let context: &'static C = match load(&Env::process()) {
        Ok(context) => Box::leak(Box::new(context)),
        Err(error) => {
            tracing::error!(cause = %error, "the configuration is not usable");
            return ExitCode::FAILURE;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(cause = %error, "the runtime does not start");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(serve(context)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(cause = %error, "the Lambda runtime API failed");
            ExitCode::FAILURE
        }
    }
}

/// Answers one request and logs it, once.
async fn answer<C, I, O, F, Fut>(
    route: &'static Route,
    config: &'static ApiConfig,
    context: &'static C,
    handle: F,
    event: lambda_http::Request,
    request_id: &str,
) -> http::Response<Body>
where
    I: FromBody,
    O: Serialize,
    F: Fn(&'static C, Request<I>) -> Fut,
    Fut: Future<Output = Result<Response<O>, ApiError>>,
{
    let started = Instant::now();
    let result = async { handle(context, read(route, config, event)?).await };
    let result = tokio::time::timeout(DEADLINE, result)
        .await
        .unwrap_or_else(|_| Err(Reason::DeadlineExceeded.into()))
        .and_then(|success| {
            response::success(route.success, &success)
                .map_err(|error| ApiError::new(Reason::Internal).because(error))
        });

    let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    match result {
        Ok(response) => {
            tracing::info!(route = route.path, status = route.success, duration_ms, "answered");
            response
        }
        Err(error) => {
            log_error(route, &error, duration_ms);
            response::failure(&error, request_id)
        }
    }
}

/// Server errors are for us and logged as errors; refusals are the client's and logged as information.
fn log_error(route: &Route, error: &ApiError, duration_ms: u64) {
    let (status, reason, at, cause) =
        (error.reason().status(), error.reason().name(), error.at(), error.cause());
    if status >= 500 {
        tracing::error!(route = route.path, status, reason, at, cause, duration_ms, "failed");
    } else {
        tracing::info!(route = route.path, status, reason, at, cause, duration_ms, "refused");
    }
}

/// Checks origin, then caller, then body: a page of a foreign origin learns nothing else.
fn read<I: FromBody>(
    route: &Route,
    config: &ApiConfig,
    event: lambda_http::Request,
) -> Result<Request<I>, ApiError> {
    check_origin(config, event.headers())?;
    let (client, authorizer) = match event.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => (
            Client {
                ip: context.http.source_ip.as_deref().and_then(|ip| ip.parse().ok()),
                user_agent: context.http.user_agent.clone(),
            },
            context.authorizer.as_ref().map(|authorizer| &authorizer.fields),
        ),
        _ => (Client::default(), None),
    };
    let caller = match route.access {
        Access::Public => None,
        Access::Protected => {
            let context = authorizer.map(|fields| fields.clone().into_iter().collect());
            Some(Verdict::from_context(context)?)
        }
    };
    let body = I::from_body(event.headers(), event.body())?;
    let cookies = cookies(event.headers());
    Ok(Request { body, client, cookies, bearer: bearer(event.headers()), caller })
}

fn check_origin(config: &ApiConfig, headers: &HeaderMap) -> Result<(), ApiError> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let all_allowed = origins
        .all(|origin| config.allowed_origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()));
    if all_allowed { Ok(()) } else { Err(Reason::OriginNotAllowed.into()) }
}

fn cookies(headers: &HeaderMap) -> Cookies {
    Cookies::parse(headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok()))
}

fn bearer(headers: &HeaderMap) -> Option<Secret> {
    request::bearer(headers.get(header::AUTHORIZATION)?.to_str().ok()?)
}

/// What is read of an authorizer's event (payload 2.0; header names are in lower case there). The rest, three quarters of
/// it, is passed over: this runs before every protected request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthorizerEvent {
    #[serde(default)]
    cookies: Option<Vec<String>>,
    #[serde(default)]
    headers: AuthorizerHeaders,
    request_context: AuthorizerContext,
}

#[derive(Default, Deserialize)]
struct AuthorizerHeaders {
    #[serde(alias = "Cookie")]
    cookie: Option<String>,
    #[serde(alias = "Authorization")]
    authorization: Option<String>,
}

#[derive(Deserialize)]
struct AuthorizerContext {
    http: AuthorizerClient,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthorizerClient {
    source_ip: Option<String>,
    user_agent: Option<String>,
}

impl AuthorizerEvent {
    fn read(self) -> (Cookies, Option<Secret>, Client) {
        let cookies = match self.cookies.as_deref() {
            None | Some([]) => Cookies::parse(self.headers.cookie.as_deref()),
            Some(listed) => Cookies::parse(listed.iter().map(String::as_str)),
        };
        let http = self.request_context.http;
        let ip = http.source_ip.and_then(|ip| ip.parse().ok());
        let bearer = self.headers.authorization.as_deref().and_then(request::bearer);
        (cookies, bearer, Client { ip, user_agent: http.user_agent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(event: serde_json::Value) -> (Cookies, Option<Secret>, Client) {
        serde_json::from_value::<AuthorizerEvent>(event).unwrap().read()
    }

    #[test]
    fn the_authorizers_event_is_read_as_api_gateway_sends_it() {
        let event = include_str!("../../../events/authorizer/unknown-session.json");
        let (cookies, bearer, client) = read(serde_json::from_str(event).unwrap());
        assert!(cookies.get("__Host-session").is_some());
        assert!(bearer.is_none());
        assert_eq!(client.ip_text(), "203.0.113.7");
        assert!(client.user_agent.is_some_and(|agent| agent.starts_with("Mozilla/5.0")));
    }

    #[test]
    fn cookies_may_come_as_a_header_and_the_session_as_bearer() {
        let context = serde_json::json!({ "http": { "sourceIp": "::1" } });
        let (cookies, ..) =
            read(serde_json::json!({ "headers": { "cookie": "a=1; b=2" }, "requestContext": context }));
        assert_eq!(cookies.get("b"), Some("2"));
        let (_, bearer, _) = read(
            serde_json::json!({ "headers": { "authorization": "Bearer x" }, "requestContext": context }),
        );
        assert_eq!(bearer.unwrap().expose(), "x");
        let (cookies, bearer, _) = read(serde_json::json!({ "requestContext": context }));
        assert!(cookies.get("a").is_none() && bearer.is_none());
    }
}
