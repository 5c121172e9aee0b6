//! Prepares each endpoint's example so that it succeeds: takes the steps that the endpoint declares.

use std::collections::BTreeMap;

use catalog::{Answer, Function, Outgoing, Person};
use local_proxy::FaultProxy;
use serde_json::Value;

use crate::app::{App, ORIGIN};

/// An upstream call: `(upstream, call)`.
pub type Call = (&'static str, String);

/// The upstream calls of each endpoint.
pub type Survey = BTreeMap<&'static str, Vec<Call>>;

/// The product, with a new person for each request.
pub struct Stage {
    pub app: App,
}

/// A request that succeeds unless there is a fault, and the person who sends it.
pub struct Ready<'a> {
    pub person: Person<'a>,
    pub outgoing: Outgoing,
}

impl Ready<'_> {
    /// The function that serves it.
    pub fn function(&self) -> &'static Function {
        self.outgoing.function
    }

    /// Sends the request and checks that the response is documented.
    pub async fn send(&mut self) -> Answer {
        let response = self.person.send(&self.outgoing).await.expect("the gateway responds");
        crate::reasons::check(self.function(), &response);
        response
    }

    /// Sends the request and expects its success.
    #[track_caller]
    pub fn succeed(&mut self) -> impl Future<Output = Answer> {
        let at = std::panic::Location::caller();
        async move {
            let (name, expected) = (self.function().name, self.function().route.success);
            let response = self.send().await;
            assert_eq!(response.status, expected, "{name} at {at}: {}", response.body);
            response
        }
    }
}

impl Stage {
    /// Starts the product.
    pub async fn open() -> Self {
        Self::of(App::start().await)
    }

    /// Starts the product with header transport enabled.
    pub async fn with_header_transport() -> Self {
        Self::of(App::with_env(&[("SESSION_TRANSPORTS", "cookie,header")]).await)
    }

    /// LiveKit sends no webhooks, which would run concurrently with the requests of a test.
    pub fn of(app: App) -> Self {
        app.livekit().set_webhook_url(None);
        Self { app }
    }

    /// A new person, ready to send the function's example.
    pub async fn ready(&self, function: &'static Function) -> Ready<'_> {
        self.prepare(self.person(), function).await
    }

    /// As [`Stage::ready`], by header transport.
    pub async fn ready_without_cookies(&self, function: &'static Function) -> Ready<'_> {
        self.prepare(self.person().without_cookies(), function).await
    }

    fn person(&self) -> Person<'_> {
        Person::new(&self.app.cloud, crate::app::http(), ORIGIN).expect("a person")
    }

    async fn prepare<'a>(&self, mut person: Person<'a>, function: &'static Function) -> Ready<'a> {
        let outgoing = person.prepare(function).await.unwrap_or_else(|error| {
            let logs = self.app.logs();
            let last = logs.iter().rev().take(12).rev().cloned().collect::<Vec<_>>().join("\n");
            panic!("the steps before the example succeed: {error}\n{last}")
        });
        Ready { person, outgoing }
    }

    /// The upstreams by name.
    pub fn upstreams(&self) -> [(&'static str, &FaultProxy); 3] {
        [
            ("WorkOS", self.app.workos().proxy()),
            ("DynamoDB", self.app.dynamodb().proxy()),
            ("LiveKit", self.app.livekit().proxy()),
        ]
    }

    /// The upstream calls of each endpoint's example on a warm process, including the authorizer's, in the order of
    /// their start.
    pub async fn survey(&self) -> Survey {
        let mut survey = BTreeMap::new();
        for function in catalog::endpoints() {
            // The first request of a process also connects and reads the key set.
            self.ready(function).await.succeed().await;
            survey.insert(function.name, self.calls(self.ready(function).await).await);
        }
        survey
    }

    /// Sends a request, which succeeds. Returns its upstream calls in the order of their start.
    pub async fn calls(&self, mut ready: Ready<'_>) -> Vec<Call> {
        for (_, proxy) in self.upstreams() {
            proxy.reset_calls();
        }
        ready.succeed().await;
        let calls = self.upstreams().into_iter().flat_map(|(name, proxy)| {
            proxy.timed_calls().into_iter().map(move |call| (call.began, name, call.name))
        });
        let mut calls: Vec<_> = calls.collect();
        calls.sort();
        calls.into_iter().map(|(_, upstream, call)| (upstream, call)).collect()
    }
}

/// The fields of a request's JSON body.
pub fn body(outgoing: &Outgoing) -> Value {
    outgoing.body.as_deref().and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default()
}

#[tokio::test]
async fn every_endpoint_succeeds_after_the_steps_that_it_declares() {
    let stage = Stage::open().await;
    for function in catalog::functions().iter().filter(|function| function.route.schedule.is_some()) {
        let fired = stage.app.cloud.fire_schedule(function.name).await;
        fired.unwrap_or_else(|error| panic!("the schedule of {}: {error}", function.name));
    }
    for function in catalog::endpoints() {
        let response = stage.ready(function).await.succeed().await;
        let documented: Vec<Value> = function
            .route
            .responses
            .iter()
            .map(|(_, json)| serde_json::from_str(json).expect("a documented response is JSON"))
            .collect();
        assert!(
            documented.iter().any(|each| same_shape(each, &response.body)),
            "{} returns {}, but documents only {documented:?}",
            function.name,
            response.body
        );
    }
}

/// Whether a value has the shape of a documented one: the same fields with the same types. Optional fields may be
/// missing, and unknown ones null. `contract` checks which.
fn same_shape(documented: &Value, value: &Value) -> bool {
    match (documented, value) {
        (Value::Object(documented), Value::Object(fields)) => fields
            .iter()
            .all(|(name, value)| documented.get(name).is_some_and(|each| same_shape(each, value))),
        (Value::Array(documented), Value::Array(items)) => {
            items.iter().all(|item| documented.iter().any(|each| same_shape(each, item)))
        }
        (_, Value::Null) => true,
        _ => std::mem::discriminant(documented) == std::mem::discriminant(value),
    }
}
