//! People in rooms of a LiveKit server, over LiveKit's client for Node (npm `@livekit/rtc-node`).

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::node::packages;

/// Long enough for a slow machine; nothing waits that long if all is well.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A process with all connections of a test, each of which has a name. Stops when dropped.
pub struct Client {
    server: String,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    /// Lines that nobody has waited for yet.
    unread: Vec<Value>,
    _process: Child,
}

impl Client {
    /// Starts the process. Its connections are to the server at this WebSocket address.
    pub fn start(server: String) -> Self {
        let mut command = Command::new("node");
        let script = include_str!("../../livekit/client.mjs");
        command.args(["--input-type=module", "--eval", script]).current_dir(packages("LIVEKIT_TOOLS"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().expect("node starts");
        let input = process.stdin.take().expect("stdin is piped");
        let lines = BufReader::new(process.stdout.take().expect("stdout is piped")).lines();
        Self { server, input, lines, unread: Vec::new(), _process: process }
    }

    /// Joins with a token. Returns what the client knows about itself, or its error.
    pub async fn join(&mut self, name: &str, token: &str) -> Result<Value, String> {
        self.send(json!({ "do": "join", "as": name, "url": self.server, "token": token })).await;
        let line = self.line(name, &["joined", "refused"]).await;
        if line["is"] == "joined" { Ok(line) } else { Err(line["error"].to_string()) }
    }

    /// Waits until a connection ends. Returns LiveKit's reason, such as `PARTICIPANT_REMOVED`.
    pub async fn left(&mut self, name: &str) -> String {
        self.text(name, "left", "reason").await
    }

    /// The token that LiveKit sends to a connection in place of the one that it was made with.
    pub async fn renewed(&mut self, name: &str) -> String {
        self.text(name, "renewed", "token").await
    }

    async fn text(&mut self, name: &str, kind: &str, field: &str) -> String {
        let line = self.line(name, &[kind]).await;
        line[field].as_str().unwrap_or_else(|| panic!("no {field}: {line}")).to_owned()
    }

    /// Asserts that a connection lives.
    pub async fn is_in(&mut self, name: &str) {
        self.send(json!({ "do": "look", "as": name })).await;
        let line = self.line(name, &["in"]).await;
        assert_eq!(line["connected"], true, "{line}");
        let is_end = |line: &Value| line["is"] == "left" && line["as"] == name;
        assert!(!self.unread.iter().any(is_end), "{:?}", self.unread);
    }

    async fn send(&mut self, command: Value) {
        self.input.write_all(format!("{command}\n").as_bytes()).await.expect("the client reads");
    }

    /// The next line about this connection that is one of these.
    async fn line(&mut self, name: &str, kinds: &[&str]) -> Value {
        let matches =
            |line: &Value| line["as"] == name && line["is"].as_str().is_some_and(|is| kinds.contains(&is));
        if let Some(index) = self.unread.iter().position(matches) {
            return self.unread.remove(index);
        }
        let next = async {
            loop {
                let line = self.lines.next_line().await.expect("the line is UTF-8");
                let line = serde_json::from_str(&line.expect("the client runs")).expect("the line is JSON");
                if matches(&line) {
                    return line;
                }
                self.unread.push(line);
            }
        };
        let found = tokio::time::timeout(TIMEOUT, next).await;
        found.unwrap_or_else(|_| panic!("{name}: none of {kinds:?}"))
    }
}
