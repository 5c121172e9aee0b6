//! The options of a cloud, and why one does not start.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use local_runtime::{DEFAULT_MAX_CONCURRENCY, Logs};
use local_template::TemplateError;

/// The port of each part; 0 chooses a free one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    /// API Gateway.
    pub gateway: u16,
    /// WorkOS.
    pub workos: u16,
    /// LiveKit.
    pub livekit: u16,
    /// DynamoDB.
    pub dynamodb: u16,
}

/// The front ends that may call the local API from a browser: the development servers of Vite and of Next.js beside it.
pub const FRONT_ENDS: [&str; 2] = ["http://localhost:5173", "http://localhost:3001"];

/// The callback of sign-ins, unless `OAUTH_REDIRECT_URI` replaces it.
pub const REDIRECT_URI: &str = "http://localhost:5173/callback";

/// Further callbacks, unless `OAUTH_REDIRECT_URIS` replaces them: of the second front end, and of a native app with its
/// own scheme or on a loopback port.
pub const REDIRECT_URIS: [&str; 3] =
    ["http://localhost:3001/callback", "com.example.app:/callback", "http://127.0.0.1/callback"];

/// Where else sign-outs may return to, unless `SIGN_OUT_RETURN_TOS` replaces it.
pub const SIGN_OUT_RETURN_TOS: [&str; 2] = ["http://localhost:3001", "com.example.app:/signed-out"];

/// Where sign-outs return to, unless `SIGN_OUT_RETURN_TO` replaces it.
pub const SIGN_OUT_RETURN_TO: &str = "http://localhost:5173";

/// The events that the WorkOS double sends to `POST /webhooks/workos`: those that the function acts on. A WorkOS
/// dashboard subscribes to the same ones; docs/operations.md lists them.
pub const WORKOS_EVENTS: [&str; 5] = [
    "organization_membership.deleted",
    "organization_membership.updated",
    "session.revoked",
    "user.deleted",
    "user.updated",
];

/// Where the functions run.
#[derive(Clone, Debug)]
pub enum Hosting {
    /// The binaries of this directory, e.g. `target/debug`, in processes of the local cloud.
    Binaries(PathBuf),
    /// `cargo lambda watch` at this address, e.g. `http://127.0.0.1:9000`, started by the caller with
    /// [`Cloud::environment`](super::Cloud::environment).
    Watch(String),
}

/// The options of a cloud.
#[derive(Clone)]
pub struct CloudOptions {
    /// The SAM template.
    pub template: PathBuf,
    /// Values of the template's parameters, over its defaults.
    pub parameters: BTreeMap<String, String>,
    /// Where the functions run. A missing binary fails on its first invocation.
    pub hosting: Hosting,
    /// The ports.
    pub ports: Ports,
    /// Values for variables that functions name, over all others.
    pub environment: BTreeMap<String, String>,
    /// The same for single functions, by binary.
    pub function_environment: BTreeMap<String, BTreeMap<String, String>>,
    /// WorkOS at this URL instead of the double.
    pub workos_url: Option<String>,
    /// LiveKit at this URL instead of the double.
    pub livekit_url: Option<String>,
    /// DynamoDB at this URL instead of the embedded one. A missing table is created if the URL is on this machine.
    pub dynamodb_url: Option<String>,
    /// The WorkOS double; seed, redirect addresses and the endpoint for webhooks are filled in.
    pub workos: local_workos::Options,
    /// The LiveKit double; the webhook address is filled in.
    pub livekit: local_livekit::Options,
    /// The embedded DynamoDB.
    pub dynamodb: local_dynamodb::Options,
    /// Seed of the WorkOS double; without one it starts empty.
    pub seed: Option<PathBuf>,
    /// Where log lines go.
    pub logs: Logs,
    /// Whether the template's schedules fire on time; a test fires them with
    /// [`Cloud::fire_schedule`](super::Cloud::fire_schedule).
    pub fire_schedules: bool,
    /// Concurrent invocations of a function, unless the template reserves a number.
    pub max_concurrency: usize,
}

impl fmt::Debug for CloudOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The environment may hold real keys.
        f.debug_struct("CloudOptions").field("template", &self.template).finish_non_exhaustive()
    }
}

impl CloudOptions {
    /// A cloud of the project in `root` with the binaries of `binaries`, on free ports, logs kept in memory.
    pub fn new(root: &Path, binaries: impl Into<PathBuf>) -> Self {
        Self {
            template: root.join("template.yaml"),
            parameters: BTreeMap::new(),
            hosting: Hosting::Binaries(binaries.into()),
            ports: Ports::default(),
            environment: BTreeMap::new(),
            function_environment: BTreeMap::new(),
            workos_url: None,
            livekit_url: None,
            dynamodb_url: None,
            workos: local_workos::Options::default(),
            livekit: local_livekit::Options::default(),
            dynamodb: local_dynamodb::Options::default(),
            seed: Some(root.join("local/seed.yaml")),
            logs: Logs::in_memory(),
            fire_schedules: false,
            max_concurrency: DEFAULT_MAX_CONCURRENCY,
        }
    }
}

/// Why a cloud does not start.
#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// A file cannot be read.
    #[error("{path}: {1}", path = .0.display())]
    File(PathBuf, io::Error),
    /// The template is wrong, or a variable has no value.
    #[error("template: {0}")]
    Template(#[from] TemplateError),
    /// The seed is wrong.
    #[error("{path}: {1}", path = .0.display())]
    Seed(PathBuf, String),
    /// A port is taken.
    #[error("port {port} of {part} is taken: set {variable} to another one, e.g. {variable}={}", port.wrapping_add(1))]
    PortTaken {
        /// The part of the cloud.
        part: &'static str,
        /// The port.
        port: u16,
        /// The environment variable that chooses another one.
        variable: &'static str,
    },
    /// A port cannot be opened for another reason.
    #[error("{0}: {1}")]
    Listen(&'static str, io::Error),
    /// The database refuses the template's table, or lacks it.
    #[error(transparent)]
    DynamoDb(local_dynamodb::Error),
}
