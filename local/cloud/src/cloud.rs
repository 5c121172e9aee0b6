//! Starts the parts of the cloud and wires them.

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
use local_workos::{Seed, Webhooks, WorkOs};

use super::options::{CloudError, CloudOptions, FRONT_ENDS, Hosting, WORKOS_EVENTS};
use super::part::Part;
use super::redirects::Redirects;
use super::schedules;
use super::supplied::Supplied;

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

impl Cloud {
    /// Starts everything; the gateway accepts requests as soon as this returns.
    ///
    /// # Errors
    ///
    /// See [`CloudError`]; its text is one line for the person who started it.
    pub async fn start(options: CloudOptions) -> Result<Self, CloudError> {
        raise_descriptor_limit();
        let mut template = read_template(&options)?;
        let gateway = listen("the API", options.ports.gateway, "PORT").await?;
        let url = local_url("the API", &gateway)?;

        let redirects = Redirects::new(&options);
        let workos = match options.workos_url.clone() {
            Some(url) => Part::Outside(url),
            None => {
                let seed =
                    options.seed.as_deref().map_or_else(|| Ok(options.workos.seed.clone()), read_seed)?;
                let webhooks = Webhooks {
                    url: route_of(&template, "workos-webhook", &url),
                    secret: webhook_secret(&options),
                    events: WORKOS_EVENTS.to_vec(),
                    ..options.workos.webhooks.clone()
                };
                let settings = local_workos::Options {
                    seed,
                    webhooks,
                    redirect_uris: redirects.sign_in.registered(),
                    sign_out_redirects: redirects.sign_out.registered(),
                    initiate_login_uri: initiate_login_uri(&template, &url),
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
                    webhook_url: route_of(&template, "livekit-webhook", &url),
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

        let supplied = Supplied::new(&options, &workos, &livekit, &dynamodb, redirects);
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
                        program: directory.join(&function.binary),
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

    /// The host of the functions; `None` if `cargo lambda watch` hosts them.
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

    /// The WorkOS double; `None` if it is replaced.
    pub fn workos(&self) -> Option<&WorkOs> {
        self.workos.local()
    }

    /// The LiveKit double; `None` if it is replaced.
    pub fn livekit(&self) -> Option<&LiveKit> {
        self.livekit.local()
    }

    /// The embedded DynamoDB; `None` if it is replaced.
    pub fn dynamodb(&self) -> Option<&DynamoDb> {
        self.dynamodb.local()
    }

    /// The URL of WorkOS, double or not.
    pub fn workos_url(&self) -> &str {
        self.workos.url(WorkOs::url)
    }

    /// The URL of LiveKit, double or not.
    pub fn livekit_url(&self) -> &str {
        self.livekit.url(LiveKit::url)
    }

    /// The URL of DynamoDB, embedded or not.
    pub fn dynamodb_url(&self) -> &str {
        self.dynamodb.url(DynamoDb::url)
    }

    /// The log lines of functions and gateway.
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// The environments of all functions together, for a host that starts them with one environment. Holds secrets.
    pub fn environment(&self) -> BTreeMap<String, String> {
        self.environments.values().flatten().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// The environment of the function that runs `binary`. Holds secrets.
    pub fn environment_of(&self, binary: &str) -> Option<&BTreeMap<String, String>> {
        self.environments.get(binary)
    }

    /// Ends everything and waits until every process has exited.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
        if let Functions::Hosted(runtime) = &*self.functions {
            runtime.stop().await;
        }
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        // The gateway's tasks share the host and may be dropped later.
        if let Functions::Hosted(runtime) = &*self.functions {
            runtime.close();
        }
    }
}

/// A function's process takes about five descriptors here, so the common limit of 1,024 is only about 200 processes.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // If the system refuses, fewer processes fit.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

fn read_template(options: &CloudOptions) -> Result<Template, CloudError> {
    let text = std::fs::read_to_string(&options.template)
        .map_err(|error| CloudError::File(options.template.clone(), error))?;
    let mut parameters = options.parameters.clone();
    // A developer's machine is the stage `dev`.
    parameters.entry("Stage".to_owned()).or_insert_with(|| "dev".to_owned());
    // CORS uses the list that the functions check.
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

/// The secret of WorkOS' webhooks. While it is rotated there are two, and the first one signs.
fn webhook_secret(options: &CloudOptions) -> String {
    let secrets = setting(options, "WORKOS_WEBHOOK_SECRET", &options.workos.webhooks.secret);
    secrets.split(',').next().unwrap_or_default().trim().to_owned()
}

/// The URL where WorkOS begins a sign-in: on `localhost`, where front ends call the API, because the flow's cookie belongs
/// to the host.
fn initiate_login_uri(template: &Template, url: &str) -> Option<String> {
    route_of(template, "start-login", &url.replace("127.0.0.1", "localhost"))
}

/// The URL of the function that runs `binary`.
fn route_of(template: &Template, binary: &str, url: &str) -> Option<String> {
    let function = template.function_of_binary(binary)?;
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
