//! A livekit-server on this machine, and calls of its API.

use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use livekit_api::access_token::{Claims, VideoGrants};
use livekit_protocol::{ParticipantInfo, RoomParticipantIdentity};
use prost::Message;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::app::{App, http, now};

/// The API key and secret of the servers. livekit-server complains about shorter secrets.
pub const KEY: &str = "devkey";
pub const SECRET: &str = "a-secret-of-more-than-thirty-two-bytes";

/// Starts before giving up: another process can take a free port before the server listens on it.
const STARTS: usize = 5;
const START_TIMEOUT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);

/// A running server. Dropping it kills it; if the test has failed, its log is printed.
pub struct Server {
    pub api: Api,
    process: Child,
    folder: TempDir,
}

/// The API of a server, or of the double.
pub struct Api {
    pub url: String,
    pub secret: String,
}

impl Server {
    /// Starts a server on free loopback ports that sends its webhooks to `webhook`.
    pub async fn start(webhook: &str) -> Self {
        let program = std::env::var_os("LIVEKIT_SERVER").map(PathBuf::from);
        let program =
            program.expect("LIVEKIT_SERVER is not set: `make test-livekit` builds a server and sets it");
        for _ in 0..STARTS {
            let mut server = Self::spawn(&program, webhook);
            if server.is_ready().await {
                return server;
            }
            server.print_log();
        }
        panic!("{} does not start", program.display());
    }

    fn spawn(program: &PathBuf, webhook: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let log = std::fs::File::create(folder.path().join("log")).expect("a log file");
        let port = free_tcp_port();
        let mut command = Command::new(program);
        // JSON is YAML.
        command.env("LIVEKIT_CONFIG", config(port, webhook).to_string()).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("the log file")).stderr(log);
        let process = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let api = Api { url: format!("http://127.0.0.1:{port}"), secret: SECRET.to_owned() };
        Self { api, process, folder }
    }

    /// Waits until the server responds. Returns false if it exits, or does not respond in time.
    async fn is_ready(&mut self) -> bool {
        let ready = async {
            loop {
                let response = http().get(&self.api.url).send().await;
                if response.is_ok_and(|response| response.status().is_success()) {
                    return true;
                }
                if self.process.try_wait().expect("the server's state").is_some() {
                    return false;
                }
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(START_TIMEOUT, ready).await.unwrap_or(false)
    }

    /// The address for clients.
    pub fn websocket(&self) -> String {
        self.api.url.replacen("http", "ws", 1)
    }

    #[expect(clippy::print_stderr, reason = "the output of a failed test")]
    fn print_log(&self) {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        eprintln!("--- log of livekit-server ---\n{log}---");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_log();
        }
    }
}

/// A configuration that sends nothing beyond this machine: without `stun_servers`, clients are sent to public ones.
fn config(port: u16, webhook: &str) -> Value {
    json!({
        "port": port,
        "bind_addresses": ["127.0.0.1"],
        "keys": { KEY: SECRET },
        "rtc": {
            "tcp_port": free_tcp_port(),
            "udp_port": free_udp_port(),
            "use_external_ip": false,
            "node_ip": "127.0.0.1",
            "enable_loopback_candidate": true,
            "interfaces": { "includes": ["lo", "lo0"] },
            "stun_servers": ["127.0.0.1:3478"],
        },
        "webhook": { "api_key": KEY, "urls": [webhook] },
    })
}

fn free_tcp_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port()
}

fn free_udp_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port()
}

/// A refused call: status and Twirp code.
pub type Refusal = (u16, String);

impl Api {
    /// The API of the double.
    pub fn of_double(app: &App) -> Self {
        Self { url: app.livekit().url().to_owned(), secret: "secret".to_owned() }
    }

    /// Calls a method of `RoomService` with this token.
    pub async fn call<A: Message + Default>(
        &self,
        method: &str,
        request: &impl Message,
        token: &str,
    ) -> Result<A, Refusal> {
        let url = format!("{}/twirp/livekit.RoomService/{method}", self.url);
        let call = http().post(url).bearer_auth(token).header("content-type", "application/protobuf");
        let response = call.body(request.encode_to_vec()).send().await.expect("LiveKit responds");
        let status = response.status();
        let body = response.bytes().await.expect("a complete body");
        if status.is_success() {
            return Ok(A::decode(body).expect("a protobuf message"));
        }
        let error: Value = serde_json::from_slice(&body).expect("a Twirp error");
        Err((status.as_u16(), error["code"].as_str().expect("a code").to_owned()))
    }

    /// A participant, or why there is none.
    pub async fn participant(&self, room: &str, identity: &str) -> Result<ParticipantInfo, Refusal> {
        self.call("GetParticipant", &named(room, identity), &self.admin(room)).await
    }

    /// A token with which the application calls about a room and its participants.
    pub fn admin(&self, room: &str) -> String {
        let video = VideoGrants { room_admin: true, room: room.to_owned(), ..VideoGrants::default() };
        let exp = usize::try_from(now() + 60).expect("a time");
        self.sign(&Claims { iss: KEY.to_owned(), exp, video, ..Claims::default() })
    }

    /// Signs claims with the key of the server.
    pub fn sign(&self, claims: &Claims) -> String {
        sign(claims, &self.secret)
    }
}

/// Signs claims with any secret.
pub fn sign(claims: &Claims, secret: &str) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).expect("a token")
}

/// The request about a participant.
pub fn named(room: &str, identity: &str) -> RoomParticipantIdentity {
    RoomParticipantIdentity {
        room: room.to_owned(),
        identity: identity.to_owned(),
        ..RoomParticipantIdentity::default()
    }
}
