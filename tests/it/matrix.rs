//! The fault matrix: each single upstream call of each endpoint fails, in three ways and for three durations. The same
//! request is then sent again without faults: it succeeds, or the error has told the client to start over. Nothing is
//! left behind: no egress without a record, no session without a holder, no WorkOS session without one of ours or one that
//! is still to be revoked, no claim that outlives its lease.
//!
//! The cells are generated from what each endpoint's example calls, see [`Stage::survey`]: a new endpoint is included.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use api::Reason;
use catalog::{Answer, Function};
use futures_util::future::join_all;
use livekit_protocol::EgressStatus;
use local_proxy::{Effect, Fault, FaultProxy};
use serde_json::Value;

use crate::app::{now, session_key};
use crate::stage::{Call, Ready, Stage};

/// Instances of the product that work on the matrix side by side. Most of a cell is waiting.
const WORKERS: usize = 4;

/// A client gives up after this time.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// The upstream responds with 500 and does nothing.
    Status500,
    /// The connection is closed before the upstream sees the call.
    Dropped,
    /// The upstream serves the call, but the response is lost.
    ResponseLost,
}

/// For how long it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lasting {
    /// One attempt.
    Once,
    /// All attempts of the SDK at this call.
    Retries,
    /// This and all later calls of the same name, until the endpoint responds.
    Request,
}

/// An endpoint's example, after the steps that it declares.
#[derive(Clone, Copy)]
struct Scenario {
    function: &'static Function,
    /// Whether the access token of the caller's session has expired: the request refreshes it.
    is_expired: bool,
}

impl Scenario {
    async fn prepare(self, stage: &Stage) -> Ready<'_> {
        let ready = stage.ready(self.function).await;
        if self.is_expired {
            let session = session_key(&ready.person.cookies["__Host-session"]);
            let expiry = serde_json::json!({ "N": (now() - 1).to_string() });
            stage.app.edit_item(&session, |item| item["access_expires_at"] = expiry);
        }
        ready
    }
}

/// The example of every endpoint, and a refresh by one endpoint of each kind.
fn scenarios() -> impl Iterator<Item = Scenario> {
    let fresh = catalog::endpoints().into_iter().map(|function| Scenario { function, is_expired: false });
    let refreshing = ["room-auth", "switch-organization"].into_iter().filter_map(catalog::function);
    fresh.chain(refreshing.map(|function| Scenario { function, is_expired: true }))
}

/// One call of one endpoint, and how it fails.
struct Cell<'a> {
    scenario: Scenario,
    call: &'a Call,
    /// Calls of the same name before it.
    nth: u32,
    failure: Failure,
    lasting: Lasting,
}

impl fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (upstream, call) = self.call;
        let expired = if self.scenario.is_expired { ", access token expired" } else { "" };
        let Self { scenario: Scenario { function, .. }, nth, failure, lasting, .. } = self;
        write!(f, "{}{expired}: {upstream} {call} #{nth} {failure:?} {lasting:?}", function.name)
    }
}

/// What a cell may leave behind, with the reason, which docs/testing.md explains.
struct Exception {
    applies: fn(&Cell<'_>) -> bool,
    leftover: &'static str,
}

const EXCEPTIONS: [Exception; 2] = [
    // Only the lost response has the id of the WorkOS session.
    Exception {
        applies: |cell| {
            cell.failure == Failure::ResponseLost
                && cell.call.1.starts_with("authenticate.")
                && cell.call.1 != "authenticate.refresh_token"
        },
        leftover: "a WorkOS session without ours",
    },
    // The table cannot be written, and the browser must lose its cookie all the same.
    Exception {
        applies: |cell| {
            ["sign-out", "sign-out-everywhere"].contains(&cell.scenario.function.name)
                && cell.lasting != Lasting::Once
        },
        leftover: "a session without a holder",
    },
];

/// The cells of one scenario.
fn cells<'a>(scenario: Scenario, calls: &'a [Call]) -> Vec<Cell<'a>> {
    let mut seen: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    let mut cells = Vec::new();
    for call in calls {
        let nth = seen.entry((call.0, &call.1)).or_default();
        for failure in [Failure::Status500, Failure::Dropped, Failure::ResponseLost] {
            for lasting in [Lasting::Once, Lasting::Retries, Lasting::Request] {
                // Only the AWS SDK retries.
                if lasting != Lasting::Retries || call.0 == "DynamoDB" {
                    cells.push(Cell { scenario, call, nth: *nth, failure, lasting });
                }
            }
        }
        *nth += 1;
    }
    cells
}

impl Cell<'_> {
    fn fault(&self) -> Fault {
        let effect = match self.failure {
            Failure::Status500 => Effect::Response { status: 500, headers: [].into(), body: "{}".into() },
            Failure::Dropped => Effect::Drop,
            Failure::ResponseLost => Effect::LoseResponse,
        };
        let fault = Fault::new(&self.call.1, effect).skip(self.nth);
        match self.lasting {
            Lasting::Once => fault.times(1),
            Lasting::Retries => fault.times(1).with_retries(),
            Lasting::Request => fault,
        }
    }

    fn proxy<'s>(&self, stage: &'s Stage) -> &'s FaultProxy {
        let mut upstreams = stage.upstreams().into_iter();
        upstreams.find(|(name, _)| *name == self.call.0).expect("an upstream").1
    }
}

/// The reasons that tell a client to start over.
const FINAL: [&str; 2] = ["sign_in_interrupted", "sign_out_incomplete"];

/// One worker's product, and the sessions that its persons hold.
struct Bench {
    stage: Stage,
    held: BTreeSet<String>,
    /// The exceptions that cells have made use of.
    excepted: BTreeSet<usize>,
}

impl Bench {
    /// Starts the product and sends every request once: the first one of a process also connects and reads the key set.
    async fn open() -> Self {
        let mut bench = Self { stage: Stage::open().await, held: BTreeSet::new(), excepted: BTreeSet::new() };
        for scenario in scenarios() {
            scenario.prepare(&bench.stage).await.succeed().await;
        }
        bench.held.extend(bench.sessions().into_iter().map(|(key, _)| key));
        bench
    }

    /// Runs a cell. Returns what is wrong.
    async fn run(&mut self, cell: &Cell<'_>) -> Vec<String> {
        self.stage.app.reset_limits();
        let mut ready = cell.scenario.prepare(&self.stage).await;
        let known = self.workos_sessions(&ready);
        let proxy = cell.proxy(&self.stage);
        proxy.reset_calls();
        proxy.inject(cell.fault());
        let response = ready.send().await;
        proxy.clear_faults();
        if proxy.faulted() == 0 {
            return vec!["the endpoint does not make this call".to_owned()];
        }
        let mut wrong = Vec::new();
        if !response.status.is_success() {
            wrong.extend(follow(&mut ready, &response).await);
        }
        self.held.extend(ready.person.cookies.get("__Host-session").map(|token| session_key(token)));
        for leftover in self.left_behind(&ready, &known) {
            let excepts = |each: &Exception| (each.applies)(cell) && leftover.starts_with(each.leftover);
            match EXCEPTIONS.iter().position(excepts) {
                Some(index) => drop(self.excepted.insert(index)),
                None => wrong.push(leftover),
            }
        }
        // One cell's leftovers must not be found again after the next one.
        self.held.extend(self.sessions().into_iter().map(|(key, _)| key));
        drop(ready);
        if !response.status.is_success() && !is_retryable(&response) {
            let mut again = self.stage.ready(cell.scenario.function).await;
            again.succeed().await;
            self.held.extend(again.person.cookies.get("__Host-session").map(|token| session_key(token)));
        }
        wrong
    }

    /// The sessions in the table that end later than those of a switch, which can be read for 30 s more.
    fn sessions(&self) -> Vec<(String, Value)> {
        let live =
            |item: &Value| item["expires_at"]["N"].as_str().and_then(|at| at.parse().ok()) > Some(now() + 30);
        let items = self.stage.app.items_of("session#").into_iter().filter(live);
        items.map(|item| (item["pk"]["S"].as_str().unwrap_or_default().to_owned(), item)).collect()
    }

    /// The live WorkOS sessions of everybody whom this request could sign in.
    fn workos_sessions(&self, ready: &Ready<'_>) -> BTreeSet<String> {
        let workos = self.stage.app.workos();
        let developer = workos.user_id("admin@cazzi.com");
        let users = [Some(ready.person.user_id.clone()), developer].into_iter().flatten();
        users.flat_map(|user| workos.sessions(&user)).collect()
    }

    /// What is left behind.
    fn left_behind(&self, ready: &Ready<'_>, known: &BTreeSet<String>) -> Vec<String> {
        let mut left = Vec::new();
        let sessions = self.sessions();
        for (key, _) in sessions.iter().filter(|(key, _)| !self.held.contains(key)) {
            left.push(format!("a session without a holder: {key}"));
        }
        let ours: BTreeSet<_> =
            sessions.iter().filter_map(|(_, item)| item["workos_session_id"]["S"].as_str()).collect();
        for id in self.workos_sessions(ready).difference(known).filter(|id| !ours.contains(id.as_str())) {
            left.push(format!("a WorkOS session without ours: {id}"));
        }
        let app = &self.stage.app;
        let live = self.workos_sessions(ready);
        let endings = app.items_of("ending#").into_iter().flat_map(|item| strings(&item["sessions"]["SS"]));
        for ending in endings.filter(|text| text.split(' ').nth(1).is_some_and(|id| live.contains(id))) {
            left.push(format!("a WorkOS session that is still to be revoked: {ending}"));
        }
        let records: BTreeSet<_> =
            app.items_of("recording#").iter().filter_map(|item| text(item, "egress_id")).collect();
        for egress in app.livekit().egresses() {
            let is_running =
                matches!(egress.status(), EgressStatus::EgressStarting | EgressStatus::EgressActive);
            if is_running && !records.contains(&egress.egress_id) {
                left.push(format!("an egress without a record: {}", egress.egress_id));
            }
        }
        let noted: BTreeSet<_> =
            app.items_of("enrolling#").iter().filter_map(|item| text(item, "factor_id")).collect();
        let factors = app.workos().factors(&ready.person.user_id).into_iter();
        for (factor, _) in factors.filter(|(factor, verified)| !verified && !noted.contains(factor)) {
            left.push(format!("an unverified factor that nothing notes: {factor}"));
        }
        for item in app.items_of("pending#") {
            let until = item["expires_at"]["N"].as_str().and_then(|at| at.parse::<u64>().ok());
            if until.is_none_or(|until| until > now() + 600) {
                left.push(format!("a pending sign-in beyond its time: {}", item["pk"]["S"]));
            }
        }
        let claims: BTreeSet<_> =
            app.items_of("room#").iter().filter_map(|item| text(item, "start_token")).collect();
        let slots = app.items_of("recordings-of#").into_iter().flat_map(|item| strings(&item["slots"]["SS"]));
        for slot in slots.filter(|slot| !slot.split(' ').next().is_some_and(|token| claims.contains(token))) {
            left.push(format!("a slot without a recording: {slot}"));
        }
        for (item, lease) in app.items().iter().flat_map(|item| {
            ["lease_until", "refresh_lease"]
                .into_iter()
                .filter_map(move |name| Some((item, item[name]["N"].as_str()?)))
        }) {
            if lease.parse::<u64>().is_ok_and(|until| until > now() + 10) {
                left.push(format!("a claim beyond its lease: {}", item["pk"]["S"]));
            }
        }
        left
    }
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|each| each.as_str().map(str::to_owned)).collect()
}

fn text(item: &Value, name: &str) -> Option<String> {
    item[name]["S"].as_str().map(str::to_owned)
}

fn reason(response: &Answer) -> Option<Reason> {
    Reason::named(response.body["reason"].as_str()?)
}

fn is_retryable(response: &Answer) -> bool {
    reason(response).is_some_and(Reason::retryable)
}

/// Whether the response tells that the failed request had taken effect: the room is being recorded, under this id.
fn is_done(response: &Answer) -> bool {
    response.body["reason"] == "already_recording" && response.body["egressId"].is_string()
}

/// Does what the error tells the client: sends the request again, or starts over. Returns what is wrong.
async fn follow(ready: &mut Ready<'_>, failed: &Answer) -> Option<String> {
    let told = format!("{} {}", failed.status, failed.body["reason"]);
    if !is_retryable(failed) {
        let is_final = FINAL.map(Reason::named).contains(&reason(failed));
        return (!is_final).then(|| format!("{told} is not the truth"));
    }
    let started = Instant::now();
    loop {
        let response = ready.send().await;
        if response.status.is_success() || is_done(&response) {
            return None;
        }
        let wait = response.header("retry-after").and_then(|seconds| seconds.parse().ok());
        let wait = Duration::from_secs(wait.unwrap_or(1));
        if !is_retryable(&response) || started.elapsed() + wait > PATIENCE {
            return Some(format!("{told}, then {} {}", response.status, response.body["reason"]));
        }
        tokio::time::sleep(wait).await;
    }
}

// With one thread, the upstreams of all workers would wait whenever one worker looks through its table.
#[tokio::test(flavor = "multi_thread")]
async fn every_single_failure_loses_nothing_or_tells_the_truth() {
    let survey = survey().await;
    let cells: Vec<_> = survey.iter().flat_map(|(scenario, calls)| cells(*scenario, calls)).collect();
    let count = cells.len();
    let queue = Mutex::new(cells);
    let next = || queue.lock().unwrap().pop();
    let results = join_all((0..WORKERS).map(|_| async {
        let mut bench = Bench::open().await;
        let mut wrong = Vec::new();
        while let Some(cell) = next() {
            wrong.extend(bench.run(&cell).await.into_iter().map(|what| format!("{cell}: {what}")));
        }
        (wrong, bench.excepted)
    }))
    .await;
    let (wrong, excepted): (Vec<_>, Vec<_>) = results.into_iter().unzip();
    let (wrong, excepted) = (wrong.concat(), excepted.into_iter().flatten().collect::<BTreeSet<_>>());
    assert!(wrong.is_empty(), "{} of {count} cells do not hold:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(excepted.len(), EXCEPTIONS.len(), "an exception is not needed any more");
}

/// The upstream calls of each scenario on a warm process.
async fn survey() -> Vec<(Scenario, Vec<Call>)> {
    let stage = Stage::open().await;
    let mut survey = Vec::new();
    for scenario in scenarios() {
        scenario.prepare(&stage).await.succeed().await;
        survey.push((scenario, stage.calls(scenario.prepare(&stage).await).await));
    }
    survey
}
