//! `local dev`: the whole cloud until Ctrl-C.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use clap::Args;
use local::{Cloud, CloudOptions, Hosting, Ports};
use local_runtime::Logs;
use local_workos::Seed;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::unbounded_channel;

use super::{Failure, Project, Surroundings, Terminal, all_built};

/// How long a program that was asked to end may take.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Args, Debug)]
pub(super) struct Dev {
    /// Rebuild functions when their code changes (needs cargo-lambda)
    #[arg(long)]
    watch: bool,
    /// Port of the API
    #[arg(long, env = "PORT", default_value_t = 3000)]
    port: u16,
    /// Port of WorkOS
    #[arg(long, env = "WORKOS_PORT", default_value_t = 4100)]
    workos_port: u16,
    /// Port of LiveKit
    #[arg(long, env = "LIVEKIT_PORT", default_value_t = 7880)]
    livekit_port: u16,
    /// Port of DynamoDB
    #[arg(long, env = "DYNAMODB_PORT", default_value_t = 8000)]
    dynamodb_port: u16,
    /// Port of cargo lambda watch, with --watch
    #[arg(long, env = "WATCH_PORT", default_value_t = 9000)]
    watch_port: u16,
    /// Use the LiveKit double even where livekit-server is installed
    #[arg(long)]
    livekit_double: bool,
    /// Print the functions' log lines as they are, metrics included
    #[arg(long)]
    raw_logs: bool,
    #[command(flatten)]
    project: Project,
    #[command(flatten)]
    surroundings: Surroundings,
}

impl Dev {
    pub(super) async fn run(self) -> Result<(), Failure> {
        // Listened to from the start: a Ctrl-C during the start must leave nothing behind either.
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let terminal = Terminal::stdout();
        let (mail, mut mails) = unbounded_channel();

        let mut options = self.options(terminal)?;
        options.workos.mail = Some(mail);
        let seed = options.seed.clone();
        let mut programs = Programs::default();
        let run = async {
            if options.livekit_url.is_none() && !self.livekit_double && is_installed("livekit-server") {
                options.livekit_url = Some(programs.livekit(self.livekit_port).await?);
                terminal.line(
                    "LiveKit is the installed livekit-server; recordings also need LiveKit's egress service.",
                );
            }
            let hosting = options.hosting.clone();
            let cloud = Cloud::start(options).await?;
            all_built(&cloud, &hosting)?;
            if self.watch {
                programs.cargo_lambda_watch(&self.project.root, self.watch_port, &cloud)?;
            }
            Ok::<_, Failure>(cloud)
        };
        let started = tokio::select! {
            started = run => started,
            _ = interrupt.recv() => Err("stopped before it was ready".into()),
            _ = terminate.recv() => Err("stopped before it was ready".into()),
            _ = hangup.recv() => Err("stopped before it was ready".into()),
        };
        let cloud = match started {
            Ok(cloud) => cloud,
            Err(error) => {
                programs.stop().await;
                return Err(error);
            }
        };
        self.greet(terminal, &cloud, seed.as_deref());

        let ended = loop {
            tokio::select! {
                Some(mail) = mails.recv() => terminal.line(&terminal.bold(&format!("✉ {mail}"))),
                ended = programs.ended() => break Err(ended.into()),
                _ = interrupt.recv() => break Ok(()),
                _ = terminate.recv() => break Ok(()),
                _ = hangup.recv() => break Ok(()),
            }
        };
        terminal.line("Stopping.");
        cloud.stop().await;
        programs.stop().await;
        ended
    }

    fn options(&self, terminal: Terminal) -> Result<CloudOptions, Failure> {
        let mut options = self.project.options()?;
        self.surroundings.apply(&mut options);
        options.ports = Ports {
            gateway: self.port,
            workos: self.workos_port,
            livekit: self.livekit_port,
            dynamodb: self.dynamodb_port,
        };
        for (part, key) in [
            ("WORKOS_API_KEY", &mut options.workos.api_key),
            ("WORKOS_CLIENT_ID", &mut options.workos.client_id),
        ] {
            if let Some(value) = options.environment.get(part) {
                key.clone_from(value);
            }
        }
        for (part, key) in [
            ("LIVEKIT_API_KEY", &mut options.livekit.api_key),
            ("LIVEKIT_API_SECRET", &mut options.livekit.api_secret),
        ] {
            if let Some(value) = options.environment.get(part) {
                key.clone_from(value);
            }
        }
        options.fire_schedules = true;
        let raw = self.raw_logs;
        options.dynamodb.sweep_every = Some(Duration::from_secs(60));
        options.logs = Logs::to(move |line| terminal.log(line, raw));
        if self.watch {
            options.hosting = Hosting::Watch(format!("http://127.0.0.1:{}", self.watch_port));
        }
        Ok(options)
    }

    fn greet(&self, terminal: Terminal, cloud: &Cloud, seed: Option<&Path>) {
        let api = cloud.url().replace("127.0.0.1", "localhost");
        let line = |text: &str| terminal.line(text);
        line("");
        line(&terminal.bold(&format!("Ready: {api}")));
        line("");
        let part = |name: &str, url: &str, variables: &str, is_double: bool| {
            let replaced = if is_double { "" } else { "  (not the double)" };
            line(&format!("  {name:<9} {url:<26} {}{replaced}", terminal.dim(variables)));
        };
        part("API", &api, "PORT", true);
        part("WorkOS", cloud.workos_url(), "WORKOS_PORT, WORKOS_API_URL", cloud.workos().is_some());
        part("LiveKit", cloud.livekit_url(), "LIVEKIT_PORT, LIVEKIT_URL", cloud.livekit().is_some());
        let variables = "DYNAMODB_PORT, AWS_ENDPOINT_URL_DYNAMODB";
        part("DynamoDB", cloud.dynamodb_url(), variables, cloud.dynamodb().is_some());
        let table = cloud.table().unwrap_or("none");
        line(&terminal.dim(&format!("  {:<9} table {table}", "")));
        line(&terminal.dim("  The variables choose another port, or something real instead."));
        line("");
        let of = |function: &str, variable: &str| {
            let value = cloud.environment_of(function).and_then(|environment| environment.get(variable));
            value.map(|value| value.replace(',', ", ")).unwrap_or_default()
        };
        let setting = |what: &str, value: &str, variable: &str| {
            line(&format!("  {what:<26} {value}  {}", terminal.dim(variable)));
        };
        setting("FaultProxy ends that may call", &of("sign-in", "ALLOWED_ORIGINS"), "ALLOWED_ORIGINS");
        setting("Sign-ins come back to", &of("sign-in", "OAUTH_REDIRECT_URI"), "OAUTH_REDIRECT_URI");
        if cloud.workos().is_some()
            && let Some(path) = seed
            && let Some(seed) = std::fs::read_to_string(path).ok().and_then(|text| Seed::parse(&text).ok())
        {
            line("");
            let path = path.strip_prefix(".").unwrap_or(path);
            line(&format!("  People who can sign in ({}):", path.display()));
            for (email, organizations) in seed.users() {
                line(&format!("    {email:<26} {}", terminal.dim(&organizations.join(", "))));
            }
        }
        if self.watch {
            line("");
            line(
                "  The first call of a function waits for the compiler, and so does the first after a change.",
            );
        }
        if cloud.workos().is_some() {
            line("");
            Self::suggest(terminal, &api);
        }
        line("");
        line(&terminal.dim("  Ctrl-C stops everything."));
        line("");
    }

    /// Commands that work as they stand: curl keeps Secure cookies of http://localhost (since 7.79).
    fn suggest(terminal: Terminal, api: &str) {
        let line = |text: &str| terminal.line(text);
        let json = "-H 'content-type: application/json'";
        line("  Try it: sign in without a mail, then get a room token:");
        line("");
        line(&format!("    curl -s -c /tmp/cookies -X POST {api}/auth/dev-sign-in; echo"));
        line(&format!("    curl -s -b /tmp/cookies {api}/api/v1/livekit/room-auth {json} \\"));
        line("      -d '{\"username\":\"Ada\",\"roomId\":\"room123\"}'; echo");
        line("");
        line("  Or with a code; the mail is shown here:");
        line("");
        line(&format!(
            "    curl -s {api}/auth/sign-in {json} -d '{{\"email\":\"jane.doe@example.com\"}}'; echo"
        ));
        line(&format!("    curl -s -c /tmp/cookies {api}/auth/finalize-magic-auth {json} \\"));
        line("      -d '{\"email\":\"jane.doe@example.com\",\"code\":\"THE CODE\"}'; echo");
    }
}

/// Programs that the local cloud starts beside the functions. They get process groups of their own, so that a Ctrl-C
/// is answered here and ends them in order.
#[derive(Default)]
struct Programs {
    running: Vec<(&'static str, Child)>,
}

impl Programs {
    /// Starts `livekit-server` with its development keys and waits until it answers.
    async fn livekit(&mut self, port: u16) -> Result<String, Failure> {
        let mut command = Command::new("livekit-server");
        command.args(["--dev", "--bind", "127.0.0.1", "--config-body", &format!("port: {port}")]);
        self.start("livekit-server", command)?;
        let answers = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            answered = tokio::time::timeout(Duration::from_secs(10), answers) => {
                answered.map_err(|_| "livekit-server does not answer; --livekit-double does without it")?;
            }
            ended = self.ended() => return Err(ended.into()),
        }
        Ok(format!("http://127.0.0.1:{port}"))
    }

    /// Starts `cargo lambda watch` with the environment of all functions.
    fn cargo_lambda_watch(&mut self, root: &Path, port: u16, cloud: &Cloud) -> Result<(), Failure> {
        let mut command = Command::new("cargo");
        command
            .args(["lambda", "watch", "--invoke-address", "127.0.0.1", "--invoke-port", &port.to_string()])
            .current_dir(root)
            .envs(cloud.environment())
            .env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", "local")
            .env("AWS_REGION", &cloud.template().deployment.region);
        self.start("cargo lambda watch", command)
    }

    fn start(&mut self, name: &'static str, mut command: Command) -> Result<(), Failure> {
        let child = command.stdin(Stdio::null()).process_group(0).kill_on_drop(true).spawn();
        let child = child.map_err(|error| format!("{name} does not start: {error}"))?;
        self.running.push((name, child));
        Ok(())
    }

    /// Waits until one of the programs ends by itself: what there is to say about it.
    async fn ended(&mut self) -> String {
        loop {
            for (name, child) in &mut self.running {
                if let Ok(Some(status)) = child.try_wait() {
                    return format!("{name} ended: {status}");
                }
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    /// Ends the programs and what they started.
    async fn stop(&mut self) {
        for (_, mut child) in self.running.drain(..) {
            let Some(group) = child.id() else { continue };
            signal_group("-INT", group).await;
            if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
                let _ = child.start_kill();
            }
            // What the program itself left running in its group.
            signal_group("-KILL", group).await;
        }
    }
}

async fn signal_group(signal: &str, group: u32) {
    let target = format!("-{group}");
    let mut kill = Command::new("kill");
    // A group that is gone already is what is wanted.
    let _ = kill.args([signal, "--", &target]).stderr(Stdio::null()).status().await;
}

fn is_installed(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}
