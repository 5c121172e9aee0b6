//! The local cloud: everything that the functions use in AWS, WorkOS and LiveKit, on one machine.
//!
//! | crate | stands in for | uses |
//! |---|---|---|
//! | `local` | all of it, wired; the `dev` and `demo` commands | all of the below |
//! | `local-gateway` | API Gateway: an HTTP API with payload 2.0, authorizer and CORS | runtime, template, http |
//! | `local-runtime` | Lambda: the Runtime API, processes, START and REPORT lines | http |
//! | `local-template` | what CloudFormation reads: functions, routes, authorizer, table | |
//! | `local-dynamodb` | DynamoDB, embedded | proxy, template |
//! | `local-workos` | WorkOS | proxy |
//! | `local-livekit` | LiveKit | proxy |
//! | `local-proxy` | nothing: it counts the calls of the three doubles and injects faults | http |
//! | `local-http` | nothing: the HTTP/1.1 server loop and client of all of them | |
//!
//! [`Cloud::start`] reads the template, starts the doubles, and hosts the functions between them. Everything listens on
//! loopback. Port 0 is a free port, so any number of clouds can run in one process: that is the test bed. Dropping a
//! cloud ends it, the functions' processes included; [`Cloud::stop`] also waits until they are gone.
//!
//! A function's environment is what the template names for it. The local cloud supplies the endpoints, keys and
//! addresses ([`CloudOptions::environment`] overrides them), the template the rest. One variable is added that the
//! template does not name, because in AWS the SDK knows the endpoint: a function with `SESSION_TABLE` also gets
//! `AWS_ENDPOINT_URL_DYNAMODB`.
//!
//! None of this is ever linked into a function.

mod options;
mod schedules;
mod supplied;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use local_dynamodb::DynamoDb;
use local_gateway::Api;
use local_livekit::LiveKit;
use local_runtime::{Account, FunctionConfig, Functions, Invocation, InvokeError, Logs, Runtime, Watch};
use local_template::{Deployment, Template};
use local_workos::{Seed, WorkOs};
use supplied::Supplied;

pub use options::{CloudError, CloudOptions, Hosting, Ports};

/// The front ends that may call the local API from a browser: the development servers of Vite and of Next.js beside it.
pub const FRONT_ENDS: [&str; 2] = ["http://localhost:5173", "http://localhost:3001"];

/// Where a sign-in of the local cloud comes back to, unless `OAUTH_REDIRECT_URI` says otherwise.
pub const REDIRECT_URI: &str = "http://localhost:5173/callback";

/// Where a sign-out of the local cloud comes back to, unless `SIGN_OUT_RETURN_TO` says otherwise.
pub const SIGN_OUT_RETURN_TO: &str = "http://localhost:5173";

/// A running cloud.
#[derive(Debug)]
pub struct Cloud {
    url: String,
    template: Arc<Template>,
    /// Each function's environment, by binary.
    environments: BTreeMap<String, BTreeMap<String, String>>,
    functions: Arc<Functions>,
    workos: Part<WorkOs>,
    livekit: Part<LiveKit>,
    dynamodb: Part<DynamoDb>,
    logs: Logs,
    /// The gateway and the schedules.
    tasks: JoinSet<()>,
}

/// A part of the cloud: ours, or something real at a URL.
#[derive(Debug)]
enum Part<T> {
    Local(T),
    Outside(String),
}

impl<T> Part<T> {
    fn local(&self) -> Option<&T> {
        match self {
            Self::Local(part) => Some(part),
            Self::Outside(_) => None,
        }
    }

    fn url<'p>(&'p self, local: impl FnOnce(&'p T) -> &'p str) -> &'p str {
        match self {
            Self::Local(part) => local(part),
            Self::Outside(url) => url,
        }
    }
}

impl Cloud {
    /// Starts everything; the gateway answers as soon as this returns.
    ///
    /// # Errors
    ///
    /// See [`CloudError`]; its text is one line for the person who started it.
    pub async fn start(options: CloudOptions) -> Result<Self, CloudError> {
        raise_descriptor_limit();
        let mut template = read_template(&options)?;
        let gateway = listen("the API", options.ports.gateway, "PORT").await?;
        let url = local_url("the API", &gateway)?;

        let redirect_uri = setting(&options, "OAUTH_REDIRECT_URI", REDIRECT_URI);
        let return_to = setting(&options, "SIGN_OUT_RETURN_TO", SIGN_OUT_RETURN_TO);
        let workos = match options.workos_url.clone() {
            Some(url) => Part::Outside(url),
            None => {
                let seed =
                    options.seed.as_deref().map_or_else(|| Ok(options.workos.seed.clone()), read_seed)?;
                let settings = local_workos::Options {
                    seed,
                    redirect_uris: vec![redirect_uri.clone()],
                    sign_out_redirects: vec![return_to.clone()],
                    ..options.workos.clone()
                };
                let listener = listen("WorkOS", options.ports.workos, "WORKOS_PORT").await?;
                Part::Local(local_workos::start(listener, settings).await)
            }
        };
        let livekit = match options.livekit_url.clone() {
            Some(url) => Part::Outside(url),
            None => {
                let settings = local_livekit::Options {
                    webhook_url: webhook_url(&template, &url),
                    ..options.livekit.clone()
                };
                let listener = listen("LiveKit", options.ports.livekit, "LIVEKIT_PORT").await?;
                Part::Local(local_livekit::start(listener, settings).await)
            }
        };
        let dynamodb = match options.dynamodb_url.clone() {
            Some(url) => {
                if let Some(name) = options.environment.get("SESSION_TABLE") {
                    template.tables = template.tables.into_iter().map(|table| table.named(name)).collect();
                }
                let ensured =
                    local_dynamodb::ensure_tables(&url, &template.deployment.region, &template.tables);
                ensured.await.map_err(CloudError::DynamoDb)?;
                Part::Outside(url)
            }
            None => {
                let listener = listen("DynamoDB", options.ports.dynamodb, "DYNAMODB_PORT").await?;
                let started = DynamoDb::start(listener, &template.tables, options.dynamodb).await;
                Part::Local(started.map_err(CloudError::DynamoDb)?)
            }
        };

        let supplied = Supplied::new(&options, &workos, &livekit, &dynamodb, redirect_uri, return_to);
        let mut environments = BTreeMap::new();
        for function in template.functions.values() {
            let own = options.function_environment.get(&function.binary);
            let mut overlay = supplied.always.clone();
            overlay.extend(own.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
            let mut environment = function.environment(&overlay, &supplied.otherwise)?;
            if environment.contains_key("SESSION_TABLE") {
                environment.insert("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), supplied.dynamodb_url.clone());
            }
            environments.insert(function.binary.clone(), environment);
        }

        let account =
            Account { region: template.deployment.region.clone(), id: template.deployment.account.clone() };
        let functions = Arc::new(match &options.hosting {
            Hosting::Watch(endpoint) => Functions::Watched(Watch::new(endpoint)),
            Hosting::Binaries(directory) => {
                let configs = template
                    .functions
                    .values()
                    .map(|function| FunctionConfig {
                        logical_id: function.logical_id.clone(),
                        name: function.name.clone(),
                        binary: function.binary.clone(),
                        program: directory.join(format!(
                            "{}{}",
                            function.binary,
                            std::env::consts::EXE_SUFFIX
                        )),
                        timeout: function.timeout,
                        memory_mb: function.memory_mb,
                        environment: environments.get(&function.binary).cloned().unwrap_or_default(),
                        max_concurrency: function.reserved_concurrency.unwrap_or(options.max_concurrency),
                    })
                    .collect();
                Functions::Hosted(Runtime::new(configs, account, options.logs.clone()))
            }
        });
        let api = Arc::new(Api::new(&template, Arc::clone(&functions), options.logs.clone()));
        let mut tasks = JoinSet::new();
        tasks.spawn(local_gateway::serve(gateway, api));
        let template = Arc::new(template);
        if options.fire_schedules {
            for schedule in template.schedules.clone() {
                tasks.spawn(schedules::run(schedule, Arc::clone(&template), Arc::clone(&functions)));
            }
        }
        Ok(Self {
            url,
            template,
            environments,
            functions,
            workos,
            livekit,
            dynamodb,
            logs: options.logs,
            tasks,
        })
    }

    /// The API, e.g. `http://127.0.0.1:3000`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The template that runs.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// Name of the session table.
    pub fn table(&self) -> Option<&str> {
        self.template.tables.first().map(|table| table.name.as_str())
    }

    /// The host of the functions; `None` where `cargo lambda watch` hosts them.
    pub fn runtime(&self) -> Option<&Runtime> {
        match &*self.functions {
            Functions::Hosted(runtime) => Some(runtime),
            Functions::Watched(_) => None,
        }
    }

    /// Invokes a function, named by logical id or binary, with the event of its schedule and waits for it.
    ///
    /// # Errors
    ///
    /// If no schedule invokes this function, or the invocation fails.
    pub async fn fire_schedule(&self, function: &str) -> Result<Invocation, InvokeError> {
        let mut schedules = self.template.schedules.iter();
        let binary = |id: &String| self.template.functions.get(id).map(|found| found.binary.as_str());
        let schedule =
            schedules.find(|each| each.function == function || binary(&each.function) == Some(function));
        let schedule =
            schedule.ok_or_else(|| InvokeError::UnknownFunction(format!("{function} on a schedule")))?;
        schedules::fire(schedule, &self.template, &self.functions).await
    }

    /// The WorkOS double; `None` where it is replaced.
    pub fn workos(&self) -> Option<&WorkOs> {
        self.workos.local()
    }

    /// The LiveKit double; `None` where it is replaced.
    pub fn livekit(&self) -> Option<&LiveKit> {
        self.livekit.local()
    }

    /// The embedded DynamoDB; `None` where it is replaced.
    pub fn dynamodb(&self) -> Option<&DynamoDb> {
        self.dynamodb.local()
    }

    /// Where WorkOS is, double or not.
    pub fn workos_url(&self) -> &str {
        self.workos.url(WorkOs::url)
    }

    /// Where LiveKit is, double or not.
    pub fn livekit_url(&self) -> &str {
        self.livekit.url(LiveKit::url)
    }

    /// Where DynamoDB is, embedded or not.
    pub fn dynamodb_url(&self) -> &str {
        self.dynamodb.url(DynamoDb::url)
    }

    /// The log lines of functions and gateway.
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// The environments of all functions together: for a host that starts them with one environment. It holds secrets.
    pub fn environment(&self) -> BTreeMap<String, String> {
        self.environments.values().flatten().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// The environment of the function that runs `binary`. It holds secrets.
    pub fn environment_of(&self, binary: &str) -> Option<&BTreeMap<String, String>> {
        self.environments.get(binary)
    }

    /// Ends everything and waits until every process is gone.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
        if let Functions::Hosted(runtime) = &*self.functions {
            runtime.stop().await;
        }
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        // The gateway's tasks share the host and may be dropped later than this.
        if let Functions::Hosted(runtime) = &*self.functions {
            runtime.close();
        }
    }
}

/// Every process of a function costs a handful of descriptors here, and 1,024, a common limit, is 200 processes.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // A system that refuses is one where fewer processes fit.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

fn read_template(options: &CloudOptions) -> Result<Template, CloudError> {
    let text = std::fs::read_to_string(&options.template)
        .map_err(|error| CloudError::File(options.template.clone(), error))?;
    let mut parameters = options.parameters.clone();
    // CORS is configured by the same list that the functions check.
    parameters
        .entry("AllowedOrigins".to_owned())
        .or_insert_with(|| setting(options, "ALLOWED_ORIGINS", &FRONT_ENDS.join(",")));
    Ok(Template::parse(&text, &Deployment { parameters, ..Deployment::default() })?)
}

fn read_seed(path: &Path) -> Result<Seed, CloudError> {
    let text = std::fs::read_to_string(path).map_err(|error| CloudError::File(path.to_owned(), error))?;
    Seed::parse(&text).map_err(|error| CloudError::Seed(path.to_owned(), error.to_string()))
}

fn setting(options: &CloudOptions, name: &str, default: &str) -> String {
    options.environment.get(name).cloned().unwrap_or_else(|| default.to_owned())
}

/// Where LiveKit's events go: the route of the function that takes them.
fn webhook_url(template: &Template, url: &str) -> Option<String> {
    let function = template.function_of_binary("livekit-webhook")?;
    let route = template.routes.iter().find(|route| route.function == function.logical_id)?;
    Some(format!("{url}{}", route.path))
}

async fn listen(part: &'static str, port: u16, variable: &'static str) -> Result<TcpListener, CloudError> {
    TcpListener::bind(("127.0.0.1", port)).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => CloudError::PortTaken { part, port, variable },
        _ => CloudError::Listen(part, error),
    })
}

fn local_url(part: &'static str, listener: &TcpListener) -> Result<String, CloudError> {
    let address = listener.local_addr().map_err(|error| CloudError::Listen(part, error))?;
    Ok(format!("http://{address}"))
}
