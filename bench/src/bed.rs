//! The test bed: the product's functions in a local cloud, and the programs that they are compared with, all hosted in
//! the same way.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::Access;
use bytes::Bytes;
use catalog::Function;
use local::{Cloud, CloudOptions};
use local_dynamodb::DynamoDb;
use local_livekit::LiveKit;
use local_proxy::FaultProxy;
use local_runtime::{Account, FunctionConfig, Invocation, Logs, Runtime, Source};
use local_workos::WorkOs;
use serde_json::Value;

use crate::events::function;
use crate::{Outcome, say};

/// The function that authorizes requests.
pub(crate) const AUTHORIZER: &str = "authorizer";
/// The program that does nothing.
pub(crate) const FLOOR: &str = "floor";
/// The program that reads one item.
pub(crate) const GET_ITEM: &str = "get-item";

/// A program under measurement.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// The name it is hosted under.
    pub(crate) name: String,
    /// The function whose events it receives. The bare read has events of its own and the environment of this function.
    pub(crate) function: &'static Function,
    /// The executable.
    pub(crate) program: PathBuf,
    pub(crate) kind: Kind,
}

/// What a program is measured as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Function,
    Floor,
    GetItem,
    Peer,
}

/// The process that served each program last.
type Processes = Arc<Mutex<HashMap<String, u32>>>;

pub(crate) struct Bed {
    cloud: Cloud,
    /// Hosts the programs that the functions are compared with.
    references: Runtime,
    processes: Processes,
    subjects: Vec<Subject>,
}

impl Bed {
    pub(crate) async fn start(root: &Path, binaries: &Path, peer: Option<&Path>) -> Outcome<Self> {
        let (cloud, processes) = start_cloud(root, binaries, MailFloor::Off).await?;
        let subject = |name: &str, program: &str, like: &str, kind| {
            let program = binaries.join(program);
            Ok::<_, crate::Error>(Subject { name: name.to_owned(), function: function(like)?, program, kind })
        };
        let mut subjects = vec![
            subject(FLOOR, FLOOR, "continue-with-google", Kind::Floor)?,
            // The event of a protected route with a body takes longer to parse, in every function.
            subject("floor-room-auth", FLOOR, "room-auth", Kind::Floor)?,
            subject(GET_ITEM, GET_ITEM, AUTHORIZER, Kind::GetItem)?,
        ];
        for function in catalog::functions() {
            subjects.push(subject(function.name, function.name, function.name, Kind::Function)?);
        }
        if let Some(folder) = peer {
            let mut names = Vec::new();
            for entry in std::fs::read_dir(folder)? {
                names.push(entry?.file_name().to_string_lossy().into_owned());
            }
            names.sort();
            for name in names {
                subjects.push(Subject {
                    name: format!("peer-{name}"),
                    function: function(&name)?,
                    program: folder.join(&name).join("bootstrap"),
                    kind: Kind::Peer,
                });
            }
        }
        for subject in &subjects {
            if !subject.program.exists() {
                return Err(format!("{} is missing: run bench/run", subject.program.display()).into());
            }
        }
        let references = subjects.iter().filter(|subject| subject.kind != Kind::Function);
        let references = references.map(|subject| config(subject, &cloud)).collect();
        let references = Runtime::new(references, account(&cloud), cloud.logs().clone());
        Ok(Self { cloud, references, processes, subjects })
    }

    pub(crate) fn subjects(&self) -> &[Subject] {
        &self.subjects
    }

    pub(crate) fn product(&self, function: &str) -> Option<&Subject> {
        self.subjects.iter().find(|each| each.kind == Kind::Function && each.function.name == function)
    }

    pub(crate) fn peer(&self, function: &str) -> Option<&Subject> {
        self.subjects.iter().find(|each| each.kind == Kind::Peer && each.function.name == function)
    }

    pub(crate) fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    pub(crate) fn runtime(&self, subject: &Subject) -> Outcome<&Runtime> {
        match subject.kind {
            Kind::Function => hosted(&self.cloud),
            Kind::Floor | Kind::GetItem | Kind::Peer => Ok(&self.references),
        }
    }

    /// Invokes a program and expects success.
    pub(crate) async fn invoke(&self, subject: &Subject, event: Bytes) -> Outcome<Invocation> {
        let invoked = self.runtime(subject)?.invoke(&subject.name, event).await;
        let invocation = invoked.map_err(|error| format!("{}: {error}", subject.name))?;
        let response: Value = serde_json::from_slice(&invocation.payload)?;
        if !succeeded(subject, &response) {
            return Err(format!("{} returned {response}", subject.name).into());
        }
        Ok(invocation)
    }

    /// The process that served a program last.
    pub(crate) fn process(&self, subject: &Subject) -> Outcome<u32> {
        let processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(*processes.get(&subject.name).ok_or("no process has served it")?)
    }

    /// The proxies of all upstreams.
    pub(crate) fn proxies(&self) -> Outcome<[&FaultProxy; 3]> {
        Ok([dynamodb(&self.cloud)?.proxy(), workos(&self.cloud)?.proxy(), livekit(&self.cloud)?.proxy()])
    }

    pub(crate) async fn stop(self) {
        self.references.stop().await;
        self.cloud.stop().await;
    }
}

/// Whether the mail endpoints take at least `MAIL_FLOOR_MS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MailFloor {
    /// They take the default.
    Default,
    /// They do not, because it would hide the work that is measured.
    Off,
}

/// A cloud that prints errors and drops all other log lines, and the process that served each function last.
pub(crate) async fn start_cloud(
    root: &Path,
    binaries: &Path,
    floor: MailFloor,
) -> Outcome<(Cloud, Processes)> {
    let processes = Processes::default();
    let mut options = CloudOptions::new(root, binaries);
    if floor == MailFloor::Off {
        options.environment.insert("MAIL_FLOOR_MS".to_owned(), "0".to_owned());
    }
    options.logs = Logs::to({
        let processes = Arc::clone(&processes);
        move |line| match line.source {
            Source::Platform if line.text.starts_with("START") => {
                let mut processes = processes.lock().unwrap_or_else(PoisonError::into_inner);
                processes.insert(line.function.to_string(), line.process);
            }
            // No measured request fails; if one does, this says why.
            Source::Stdout if line.text.contains(r#""level":"ERROR""#) => say(&line.text),
            Source::Stderr => say(&line.text),
            Source::Platform | Source::Stdout => {}
        }
    });
    let cloud = Cloud::start(options).await?;
    // Webhooks would run during a measurement.
    livekit(&cloud)?.set_webhook_url(None);
    if let Some(workos) = cloud.workos() {
        workos.set_webhook_url(None);
    }
    Ok((cloud, processes))
}

fn succeeded(subject: &Subject, response: &Value) -> bool {
    let route = &subject.function.route;
    match (subject.kind, route.access) {
        (Kind::Floor, _) => response["statusCode"] == 200,
        (Kind::GetItem, _) => response["found"] == true,
        (Kind::Function | Kind::Peer, Access::Authorizer) => response["context"]["verdict"] == "signed_in",
        (Kind::Function | Kind::Peer, Access::Scheduled) => response.is_null(),
        (Kind::Function | Kind::Peer, _) => response["statusCode"] == route.success,
    }
}

/// How a program is hosted: as the function is whose events it receives.
fn config(subject: &Subject, cloud: &Cloud) -> FunctionConfig {
    let mut environment = match subject.kind {
        Kind::Floor => BTreeMap::new(),
        _ => cloud.environment_of(subject.function.name).cloned().unwrap_or_default(),
    };
    if subject.kind == Kind::Peer {
        // The SDK warns at every start that Node.js 20 is old, which takes time.
        environment.insert("AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED".to_owned(), "true".to_owned());
    }
    FunctionConfig {
        logical_id: subject.name.clone(),
        name: subject.name.clone(),
        binary: subject.name.clone(),
        program: subject.program.clone(),
        timeout: Duration::from_secs(10),
        memory_mb: 256,
        environment,
        max_concurrency: 1000,
    }
}

pub(crate) fn account(cloud: &Cloud) -> Account {
    let deployment = &cloud.template().deployment;
    Account { region: deployment.region.clone(), id: deployment.account.clone() }
}

pub(crate) fn hosted(cloud: &Cloud) -> Outcome<&Runtime> {
    Ok(cloud.runtime().ok_or("the functions are not hosted here")?)
}

pub(crate) fn workos(cloud: &Cloud) -> Outcome<&WorkOs> {
    Ok(cloud.workos().ok_or("WorkOS is not the double")?)
}

pub(crate) fn livekit(cloud: &Cloud) -> Outcome<&LiveKit> {
    Ok(cloud.livekit().ok_or("LiveKit is not the double")?)
}

pub(crate) fn dynamodb(cloud: &Cloud) -> Outcome<&DynamoDb> {
    Ok(cloud.dynamodb().ok_or("DynamoDB is not the embedded one")?)
}
