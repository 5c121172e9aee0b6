//! `local invoke`: one event, one function, one answer.

use std::io::Read as _;
use std::path::PathBuf;

use clap::Args;
use local::cloud::Cloud;
use local::runtime::{InvokeError, Logs};
use serde_json::Value;

use super::{Failure, Project, Surroundings, Terminal};

#[derive(Args, Debug)]
pub(super) struct Invoke {
    /// The function, e.g. sign-in
    function: String,
    /// File with the event, or - for standard input
    event: PathBuf,
    #[command(flatten)]
    project: Project,
    #[command(flatten)]
    surroundings: Surroundings,
}

impl Invoke {
    /// Prints the answer on standard output and the log on standard error; a failed function is a failure.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let event = self.read_event()?;
        let mut options = self.project.options()?;
        self.surroundings.apply(&mut options);
        let log = Terminal::stderr();
        options.logs = Logs::to(move |line| log.log(line, true));
        let cloud = Cloud::start(options).await?;
        let runtime = cloud.runtime().ok_or("the functions are hosted elsewhere")?;
        let outcome = runtime.invoke(&self.function, event.into()).await;
        let (answer, failed) = match outcome {
            Ok(invocation) => (serde_json::from_slice(&invocation.payload)?, false),
            Err(InvokeError::Function { payload, .. }) => (payload, true),
            Err(InvokeError::UnknownFunction(name)) => {
                let known: Vec<_> =
                    cloud.template().functions.values().map(|function| function.binary.as_str()).collect();
                return Err(format!("there is no function {name}; there are: {}", known.join(", ")).into());
            }
            Err(error) => return Err(error.into()),
        };
        Terminal::stdout().line(&serde_json::to_string_pretty::<Value>(&answer)?);
        cloud.stop().await;
        if failed { Err(format!("{} failed", self.function).into()) } else { Ok(()) }
    }

    fn read_event(&self) -> Result<Vec<u8>, Failure> {
        let mut event = Vec::new();
        if self.event.as_os_str() == "-" {
            std::io::stdin().read_to_end(&mut event)?;
        } else {
            event =
                std::fs::read(&self.event).map_err(|error| format!("{}: {error}", self.event.display()))?;
        }
        serde_json::from_slice::<Value>(&event)
            .map_err(|error| format!("{} is not JSON: {error}", self.event.display()))?;
        Ok(event)
    }
}
