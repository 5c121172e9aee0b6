//! Runs one invocation: checks the request, calls `handle` within the deadline, logs the result and renders the
//! response.

use std::future::Future;
use std::time::Instant;

use http::{HeaderMap, HeaderValue, header};
use lambda_http::aws_lambda_events::apigw::{
    ApiGatewayV2CustomAuthorizerSimpleResponse, ApiGatewayV2httpRequest, ApiGatewayV2httpResponse,
};
use lambda_http::request::LambdaRequest;
use lambda_runtime::LambdaEvent;
use serde::Serialize;

use crate::caller::Verdict;
use crate::input::Input;
use crate::transport::Transport;
use crate::{
    Access, ApiConfig, ApiError, Client, Cookies, Endpoint, Impersonator, Reason, Request, Response, Secret,
    audit, deadline, logs, request, response,
};

/// Responds to one request to the function `name` and logs one line about it; two if it is audited.
///
/// The route is a constant of `E` here and in [`read`], so the code for other methods is not part of the binary.
pub(crate) async fn respond<E, I, O, Fut>(
    name: &'static str,
    config: &ApiConfig,
    handle: impl FnOnce(Request<I>) -> Fut,
    event: LambdaEvent<ApiGatewayV2httpRequest>,
) -> ApiGatewayV2httpResponse
where
    E: Endpoint,
    I: Input,
    O: Serialize,
    Fut: Future<Output = Result<Response<O>, ApiError>>,
{
    let route = const { E::ROUTE.http() };
    let started = Instant::now();
    let LambdaEvent { payload: mut event, context: invocation } = event;
    let client = client(&mut event);
    let response = async {
        let mut transport = Transport::default();
        let result = async {
            check_origin(config, &event.headers)?;
            transport = Transport::of(config, &mut event)?;
            handle(read::<E, I>(event, client.clone(), transport.cookies())?).await
        };
        let result = deadline::limit(result)
            .await
            .unwrap_or_else(|_| Err(Reason::DeadlineExceeded.into()))
            .and_then(|success| {
                response::success(route.success, &success, &transport)
                    .map_err(|error| ApiError::new(Reason::Internal).because(error))
            });
        if route.is_audited {
            audit::request(
                name,
                result.as_ref().map_or_else(|error| error.reason().name(), |_| "success"),
                &client,
            );
        }
        let mut response = match result {
            Ok(response) => {
                let duration_ms = millis_since(started);
                tracing::info!(route = route.path, status = route.success, duration_ms, "succeeded");
                response
            }
            Err(error) => {
                log_error(route.path, &error, started);
                response::failure(&error, &invocation.request_id, &transport)
            }
        };
        if let Ok(id) = HeaderValue::from_str(&invocation.request_id) {
            response.headers.insert(response::REQUEST_ID, id);
        }
        response
    };
    logs::invocation(&invocation, audit::scope(response)).await
}

/// Runs a scheduled invocation. An error fails the invocation, so that Lambda retries it and counts it as an error.
pub(crate) async fn on_schedule(
    name: &'static str,
    work: impl Future<Output = Result<(), ApiError>>,
) -> Result<(), &'static str> {
    let started = Instant::now();
    match deadline::limit(work).await.unwrap_or_else(|_| Err(Reason::DeadlineExceeded.into())) {
        Ok(()) => {
            tracing::info!(duration_ms = millis_since(started), "succeeded");
            Ok(())
        }
        Err(error) => {
            log_error(name, &error, started);
            Err(error.reason().name())
        }
    }
}

/// Runs the authorizer and returns its verdict in the form that API Gateway expects. Every request is allowed through;
/// the function acts on the verdict, see [`Verdict`].
pub(crate) async fn authorize(
    invocation: &lambda_runtime::Context,
    verdict: impl Future<Output = Verdict>,
) -> ApiGatewayV2CustomAuthorizerSimpleResponse<serde_json::Value> {
    let verdict = logs::invocation(invocation, deadline::limit(verdict)).await;
    let verdict = verdict.unwrap_or(Verdict::Unavailable(Reason::DeadlineExceeded));
    let mut response = ApiGatewayV2CustomAuthorizerSimpleResponse::default();
    response.is_authorized = true;
    response.context = verdict.into_context();
    response
}

/// Logs server errors at ERROR and refusals, which are the client's errors, at INFO.
fn log_error(route: &str, error: &ApiError, started: Instant) {
    let (status, reason, at, cause, duration_ms) =
        (error.reason().status(), error.reason().name(), error.at(), error.cause(), millis_since(started));
    if status >= 500 {
        tracing::error!(route, status, reason, at, cause, duration_ms, "failed");
    } else {
        tracing::info!(route, status, reason, at, cause, duration_ms, "refused");
    }
}

fn millis_since(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Checks the caller, then the input.
fn read<E: Endpoint, I: Input>(
    mut event: ApiGatewayV2httpRequest,
    client: Client,
    cookies: Cookies,
) -> Result<Request<I>, ApiError> {
    let route = const { E::ROUTE.http() };
    let context = &mut event.request_context;
    let caller = match route.access {
        Access::Session => {
            let fields = context.authorizer.take().map(|authorizer| authorizer.fields).unwrap_or_default();
            let caller = Verdict::from_context(fields.into_iter().collect()).caller();
            let caller = if route.any_verdict { caller.ok() } else { Some(caller?) };
            if let Some(caller) = caller.as_ref().filter(|_| route.is_audited) {
                audit::note(|notes| {
                    notes.user_id = Some(caller.user_id.clone());
                    notes.organization_id.clone_from(&caller.organization_id);
                    notes.impersonator_hash = caller.impersonator.as_ref().and_then(Impersonator::hash);
                });
            }
            caller
        }
        _ => None,
    };
    let bearer = bearer(&event.headers);
    let input = I::read(route, &LambdaRequest::ApiGatewayV2(event).into())?;
    Ok(Request { input, client, cookies, bearer, caller })
}

/// The client of a request.
fn client(event: &mut ApiGatewayV2httpRequest) -> Client {
    let http = &mut event.request_context.http;
    Client {
        ip: http.source_ip.as_deref().and_then(|ip| ip.parse().ok()),
        user_agent: http.user_agent.take(),
    }
}

/// Comes first, so that a page of a foreign origin learns nothing else.
fn check_origin(config: &ApiConfig, headers: &HeaderMap) -> Result<(), ApiError> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let all_allowed = origins
        .all(|origin| config.allowed_origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()));
    if all_allowed { Ok(()) } else { Err(Reason::OriginNotAllowed.into()) }
}

fn bearer(headers: &HeaderMap) -> Option<Secret> {
    request::bearer(headers.get(header::AUTHORIZATION)?.to_str().ok()?)
}
