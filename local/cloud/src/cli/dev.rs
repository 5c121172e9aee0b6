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

use super::project::{Failure, Project, Surroundings, all_built};
use super::terminal::Terminal;

/// Commands that work as printed: curl keeps Secure cookies of http://localhost (since 7.79).
const SUGGESTIONS: &str = r#"
  Try it: sign in without a mail, then get a room token:

    curl -s -c /tmp/cookies -X POST {api}/auth/dev-sign-in; echo
    curl -s -b /tmp/cookies {api}/api/v1/livekit/room-auth -H 'content-type: application/json' \
      -d '{"username":"Ada","roomId":"room123"}'; echo

  Or sign in with a code. The mail is printed here:

    curl -s {api}/auth/sign-in -H 'content-type: application/json' -d '{"email":"jane.doe@example.com"}'; echo
    curl -s -c /tmp/cookies {api}/auth/finalize-magic-auth -H 'content-type: application/json' \
      -d '{"email":"jane.doe@example.com","code":"THE CODE"}'; echo
"#;

/// How long a program may take to end after SIGINT.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// Use the LiveKit double even if livekit-server is installed
    #[arg(long)]
    livekit_double: bool,
    /// Print the functions' log lines unchanged, including metrics
    #[arg(long)]
    raw_logs: bool,
    #[command(flatten)]
    project: Project,
    #[command(flatten)]
    surroundings: Surroundings,
}

impl Dev {
    pub(super) async fn run(self) -> Result<(), Failure> {
        // From the beginning: a Ctrl-C during the start must not leave processes behind either.
        let stop = stop_signal()?;
        tokio::pin!(stop);
        let terminal = Terminal::stdout();
        let (mail, mut mails) = unbounded_channel();
        let (delivery, mut deliveries) = unbounded_channel();

        let mut options = self.options(terminal)?;
        options.workos.mail = Some(mail);
        options.workos.webhooks.log = Some(delivery);
        let seed = options.seed.clone();
        let mut programs = Programs::default();
        let run = async {
            if options.livekit_url.is_none() && !self.livekit_double && is_installed("livekit-server") {
                options.livekit_url = Some(programs.livekit(self.livekit_port).await?);
                terminal.line(
                    "Using the installed livekit-server. Recordings also need LiveKit's egress service.",
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
            () = &mut stop => Err("stopped before it was ready".into()),
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
                Some(delivery) = deliveries.recv() => terminal.line(&format!("⇄ WorkOS: {delivery}")),
                ended = programs.ended() => break Err(ended.into()),
                () = &mut stop => break Ok(()),
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
        for (name, key) in [
            ("WORKOS_API_KEY", &mut options.workos.api_key),
            ("WORKOS_CLIENT_ID", &mut options.workos.client_id),
            ("LIVEKIT_API_KEY", &mut options.livekit.api_key),
            ("LIVEKIT_API_SECRET", &mut options.livekit.api_secret),
        ] {
            if let Some(value) = options.environment.get(name) {
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
        line(&terminal.dim(&format!("  {:<9} table {}", "", cloud.table().unwrap_or("none"))));
        line(&terminal.dim("  The variables choose another port, or a real service instead of the double."));
        line("");
        for (what, variable) in
            [("Allowed front ends", "ALLOWED_ORIGINS"), ("Sign-in callback", "OAUTH_REDIRECT_URI")]
        {
            let value = cloud.environment_of("sign-in").and_then(|environment| environment.get(variable));
            let value = value.map(|value| value.replace(',', ", ")).unwrap_or_default();
            line(&format!("  {what:<19} {value}  {}", terminal.dim(variable)));
        }
        if self.watch {
            line("");
            line("  The first call of a function, and the first after a change, waits for the compiler.");
        }
        if cloud.workos().is_some() {
            Self::list_users(terminal, seed);
            line(&SUGGESTIONS.replace("{api}", &api));
        }
        line(&terminal.dim("  Press Ctrl-C to stop."));
        line("");
    }

    fn list_users(terminal: Terminal, seed: Option<&Path>) {
        let Some(path) = seed else { return };
        let Some(seed) = std::fs::read_to_string(path).ok().and_then(|text| Seed::parse(&text).ok()) else {
            return;
        };
        let path = path.strip_prefix(".").unwrap_or(path);
        terminal.line("");
        terminal.line(&format!("  Users who can sign in ({}):", path.display()));
        for (email, organizations) in seed.users() {
            terminal.line(&format!("    {email:<26} {}", terminal.dim(&organizations.join(", "))));
        }
    }
}

/// Resolves on SIGINT, SIGTERM or SIGHUP, which no longer end the process by themselves.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

/// Programs that the local cloud starts beside the functions, each in its own process group, so that a Ctrl-C reaches
/// only this process, which ends them in order.
#[derive(Default)]
struct Programs {
    running: Vec<(&'static str, Child)>,
}

impl Programs {
    /// Starts `livekit-server` with its development keys and waits until it accepts connections.
    async fn livekit(&mut self, port: u16) -> Result<String, Failure> {
        let mut command = Command::new("livekit-server");
        command.args(["--dev", "--bind", "127.0.0.1", "--config-body", &format!("port: {port}")]);
        self.start("livekit-server", command)?;
        let ready = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            ready = tokio::time::timeout(Duration::from_secs(10), ready) => {
                ready.map_err(|_| "livekit-server does not accept connections; --livekit-double does without it")?;
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

    /// Waits until a program ends by itself; returns what to print about it.
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
            if tokio::time::timeout(STOP_TIMEOUT, child.wait()).await.is_err() {
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
    // It fails if the group is gone already.
    let _ = kill.args([signal, "--", &target]).stderr(Stdio::null()).status().await;
}

fn is_installed(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}
