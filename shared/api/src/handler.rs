//! Turns a `handle` method into a Lambda function, according to its signature.

use std::future::Future;
use std::process::ExitCode;

use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use lambda_runtime::{LambdaEvent, service_fn};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use crate::authorizer::AuthorizerEvent;
use crate::boot::boot;
use crate::caller::Verdict;
use crate::config::COOKIE_SAME_SITE;
use crate::input::Input;
use crate::{ApiConfig, ApiError, Credentials, Endpoint, Env, Request, Response, invoke, logs};

/// A `handle` method that can run as a Lambda function. Its signature decides what invokes the function:
///
/// | signature, after `&self` | invoked by |
/// |---|---|
/// | `Request<I>` → `Result<Response<O>, ApiError>` | API Gateway, on the endpoint's route |
/// | [`Schedule`] → `Result<(), ApiError>` | EventBridge, on the endpoint's schedule |
/// | [`Credentials`] → [`Verdict`] | API Gateway, as the authorizer |
///
/// `M` is a marker type that keeps the three implementations apart. The compiler infers it.
///
/// The futures of `handle` are boxed: rustc computes the layout of nested futures recursively, and the authorizer
/// exceeds its recursion limit of 128.
pub trait Handler<E, M>: Copy + Send + Sync + 'static {
    /// Serves invocations until Lambda ends the process.
    fn run(self, name: &'static str) -> ExitCode;

    /// The schemas of input and output, for documents and tests. Functions never call it: it is not in their binaries.
    fn schemas(self) -> Schemas;
}

/// The schemas of an endpoint's input and output.
#[derive(Default)]
pub struct Schemas {
    /// The input; `None` if it is not JSON.
    pub input: Option<SchemaFn>,
    /// The output of a success; `None` for a function without a route.
    pub output: Option<SchemaFn>,
}

/// Generates the schema of a type.
pub type SchemaFn = fn(&mut SchemaGenerator) -> NamedSchema;

/// A schema and the name of its type.
pub struct NamedSchema {
    /// The name of the type.
    pub name: String,
    /// The schema.
    pub schema: Schema,
}

impl NamedSchema {
    /// The schema of `T`.
    pub fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Self {
        Self { name: T::schema_name().into_owned(), schema: T::json_schema(generator) }
    }
}

/// Marker for handlers of HTTP requests.
pub struct Http<I, O>(I, O);

impl<E, I, O, F, Fut> Handler<E, Http<I, O>> for F
where
    E: Endpoint,
    I: Input,
    O: Serialize + JsonSchema,
    F: Fn(&'static E, Request<I>) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = Result<Response<O>, ApiError>> + Send,
{
    fn run(self, name: &'static str) -> ExitCode {
        boot(
            name,
            |env| Ok((ApiConfig::load(env)?, E::load(env)?)),
            async |context| {
                let (config, endpoint) = context;
                // `lambda_http::run` would join the cookies into a header and lose those that are not ASCII.
                lambda_runtime::run(service_fn(
                    move |event: LambdaEvent<ApiGatewayV2httpRequest>| async move {
                        let handle = move |request| Box::pin(self(endpoint, request));
                        Ok::<_, lambda_runtime::Error>(
                            invoke::respond::<E, _, _, _>(name, config, handle, event).await,
                        )
                    },
                ))
                .await
            },
        )
    }

    fn schemas(self) -> Schemas {
        Schemas { input: I::SCHEMA, output: Some(NamedSchema::of::<O>) }
    }
}

/// An invocation by EventBridge.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Schedule {
    /// When the invocation was due: RFC 3339, in UTC.
    pub time: String,
}

/// Marker for handlers of scheduled invocations.
pub struct Scheduled;

impl<E, F, Fut> Handler<E, Scheduled> for F
where
    E: Endpoint,
    F: Fn(&'static E, Schedule) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = Result<(), ApiError>> + Send,
{
    fn run(self, name: &'static str) -> ExitCode {
        boot(name, E::load, async |endpoint| {
            lambda_runtime::run(service_fn(move |event: LambdaEvent<Schedule>| async move {
                let work = Box::pin(self(endpoint, event.payload));
                logs::invocation(&event.context, invoke::on_schedule(name, work)).await
            }))
            .await
        })
    }

    fn schemas(self) -> Schemas {
        Schemas::default()
    }
}

/// Marker for authorizers.
pub struct Authorizes;

impl<E, F, Fut> Handler<E, Authorizes> for F
where
    E: Endpoint,
    F: Fn(&'static E, Credentials) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = Verdict> + Send,
{
    fn run(self, name: &'static str) -> ExitCode {
        let load = |env: &Env| Ok((env.parsed(&COOKIE_SAME_SITE)?, E::load(env)?));
        boot(name, load, async |context| {
            let (same_site, endpoint) = context;
            let service = service_fn(move |event: LambdaEvent<AuthorizerEvent>| async move {
                let verdict = Box::pin(self(endpoint, event.payload.credentials(*same_site)));
                Ok::<_, lambda_runtime::Error>(invoke::authorize(&event.context, verdict).await)
            });
            lambda_runtime::run(service).await
        })
    }

    fn schemas(self) -> Schemas {
        Schemas::default()
    }
}
