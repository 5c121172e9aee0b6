//! The test bed: the local cloud with the release binaries, and a second host of the same kind for the floor, the bare
//! read and the peer.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use local::{Cloud, CloudOptions};
use local_dynamodb::DynamoDb;
use local_livekit::LiveKit;
use local_proxy::FaultProxy;
use local_runtime::{Account, FunctionConfig, Invocation, Logs, Runtime, Source};
use local_workos::WorkOs;
use serde_json::Value;

use crate::{Outcome, say};

/// The program that does nothing.
pub(crate) const FLOOR: &str = "floor";
/// The program that reads one item.
pub(crate) const GET_ITEM: &str = "get-item";

/// A program under measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    /// The name it is hosted under.
    pub(crate) name: String,
    /// The function whose events it takes.
    pub(crate) function: String,
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
    beside: Runtime,
    processes: Processes,
    subjects: Vec<Subject>,
}

impl Bed {
    pub(crate) async fn start(root: &Path, binaries: &Path, peer: Option<&Path>) -> Outcome<Self> {
        let (cloud, processes) = start_cloud(root, binaries).await?;
        let mut subjects = vec![
            Subject {
                name: FLOOR.to_owned(),
                function: "continue-with-google".to_owned(),
                program: binaries.join(FLOOR),
                kind: Kind::Floor,
            },
            // The event of a protected route with a body takes longer to read, whoever reads it.
            Subject {
                name: "floor-room-auth".to_owned(),
                function: "room-auth".to_owned(),
                program: binaries.join(FLOOR),
                kind: Kind::Floor,
            },
            Subject {
                name: GET_ITEM.to_owned(),
                function: GET_ITEM.to_owned(),
                program: binaries.join(GET_ITEM),
                kind: Kind::GetItem,
            },
        ];
        subjects.extend(cloud.template().functions.values().map(|function| Subject {
            name: function.binary.clone(),
            function: function.binary.clone(),
            program: binaries.join(&function.binary),
            kind: Kind::Function,
        }));
        if let Some(folder) = peer {
            let mut names = Vec::new();
            for entry in std::fs::read_dir(folder)? {
                names.push(entry?.file_name().to_string_lossy().into_owned());
            }
            names.sort();
            subjects.extend(names.into_iter().map(|name| Subject {
                program: folder.join(&name).join("bootstrap"),
                name: format!("peer-{name}"),
                function: name,
                kind: Kind::Peer,
            }));
        }
        for subject in &subjects {
            if !subject.program.exists() {
                return Err(format!("{} is missing: run bench/run", subject.program.display()).into());
            }
        }
        let beside = subjects.iter().filter(|subject| subject.kind != Kind::Function);
        let beside = beside.map(|subject| config(subject, &cloud)).collect();
        let deployment = &cloud.template().deployment;
        let account = Account { region: deployment.region.clone(), id: deployment.account.clone() };
        let beside = Runtime::new(beside, account, cloud.logs().clone());
        Ok(Self { cloud, beside, processes, subjects })
    }

    pub(crate) fn subjects(&self) -> &[Subject] {
        &self.subjects
    }

    pub(crate) fn product(&self, function: &str) -> Option<&Subject> {
        self.subjects.iter().find(|each| each.kind == Kind::Function && each.function == function)
    }

    pub(crate) fn peer(&self, function: &str) -> Option<&Subject> {
        self.subjects.iter().find(|each| each.kind == Kind::Peer && each.function == function)
    }

    pub(crate) fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    pub(crate) fn runtime(&self, subject: &Subject) -> Outcome<&Runtime> {
        match subject.kind {
            Kind::Function => hosted(&self.cloud),
            Kind::Floor | Kind::GetItem | Kind::Peer => Ok(&self.beside),
        }
    }

    /// Invokes a program; an answer that is no success is an error.
    pub(crate) async fn invoke(&self, subject: &Subject, event: Bytes) -> Outcome<Invocation> {
        let invoked = self.runtime(subject)?.invoke(&subject.name, event).await;
        let invocation = invoked.map_err(|error| format!("{}: {error}", subject.name))?;
        succeeded(&subject.name, &invocation)?;
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
        self.beside.stop().await;
        self.cloud.stop().await;
    }
}

/// A cloud whose log lines are dropped unless they tell of an error, and which process served each function last.
pub(crate) async fn start_cloud(root: &Path, binaries: &Path) -> Outcome<(Cloud, Processes)> {
    let processes = Processes::default();
    let mut options = CloudOptions::new(root, binaries);
    options.logs = Logs::to({
        let processes = Arc::clone(&processes);
        move |line| match line.source {
            Source::Platform if line.text.starts_with("START") => {
                let mut processes = processes.lock().unwrap_or_else(PoisonError::into_inner);
                processes.insert(line.function.to_string(), line.process);
            }
            // Nothing that is measured fails; where it does, this is why.
            Source::Stdout if line.text.contains(r#""level":"ERROR""#) => say(&line.text),
            Source::Stderr => say(&line.text),
            Source::Platform | Source::Stdout => {}
        }
    });
    // What LiveKit tells by itself would run beside what is measured.
    options.livekit.automatic = false;
    let cloud = Cloud::start(options).await?;
    livekit(&cloud)?.set_webhook_url(None);
    Ok((cloud, processes))
}

/// Whether an answer is a success: an HTTP answer below 300, an authorizer that lets pass, or no HTTP at all.
fn succeeded(name: &str, invocation: &Invocation) -> Outcome<()> {
    let answer: Value = serde_json::from_slice(&invocation.payload)?;
    let ok = match (answer.get("statusCode"), answer.get("isAuthorized"), answer.get("found")) {
        (Some(status), None, None) => status.as_u64().is_some_and(|status| status < 300),
        (None, Some(authorized), None) => {
            authorized == true && answer.pointer("/context/userId").is_some_and(Value::is_string)
        }
        (None, None, Some(found)) => found == true,
        _ => false,
    };
    if ok { Ok(()) } else { Err(format!("{name} answered {answer}").into()) }
}

/// Hosts a program as the function it stands for is hosted.
fn config(subject: &Subject, cloud: &Cloud) -> FunctionConfig {
    let like = if subject.kind == Kind::Peer { subject.function.as_str() } else { "authorizer" };
    let mut environment = match subject.kind {
        Kind::Floor => BTreeMap::new(),
        _ => cloud.environment_of(like).cloned().unwrap_or_default(),
    };
    if subject.kind == Kind::Peer {
        // The SDK would print at every start that Node.js 20 is old, which takes time.
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
