//! Concurrent requests, a table full of sessions, and concurrent requests whose access token is about to expire.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join_all, try_join_all};
use local::Cloud;
use serde_json::{Value, json};
use session::SessionToken;

use crate::bed::{AUTHORIZER, MailFloor, dynamodb, hosted, start_cloud, workos};
use crate::events::{Events, client, function, with_session};
use crate::figures::{Counts, Figures, Sessions, Storm, Throughput};
use crate::spread::Spread;
use crate::{Outcome, say};

const CONCURRENCY: [usize; 4] = [1, 8, 32, 128];
const STORM: usize = 100;
/// Sessions of a table that are authorized.
const SAMPLE: usize = 1000;
/// A protected endpoint that makes no upstream call.
const PROTECTED: &str = "room-auth";

/// Measures on a cloud of its own.
pub(crate) async fn run(root: &Path, binaries: &Path, figures: &mut Figures) -> Outcome<()> {
    let (cloud, _) = start_cloud(root, binaries, MailFloor::Off).await?;
    for concurrency in CONCURRENCY {
        say(&format!("Throughput: {concurrency} at a time"));
        for target in [AUTHORIZER, PROTECTED] {
            figures.throughput.push(throughput(&cloud, target, concurrency, figures.counts).await?);
        }
    }
    say("Refresh storm");
    figures.storm = Some(storm(&cloud).await?);
    cloud.stop().await;
    figures.sessions = sessions(root, binaries, figures.counts).await?;
    Ok(())
}

/// Keeps `concurrency` requests under way: to the authorizer directly, or through the gateway and the authorizer.
async fn throughput(cloud: &Cloud, target: &str, concurrency: usize, counts: Counts) -> Outcome<Throughput> {
    let events = Events::new(cloud);
    let event = events.next(function(AUTHORIZER)?).await?;
    let outgoing = events.outgoing(function(PROTECTED)?).await?;
    let http = client(None)?;
    let send = async || -> Outcome<bool> {
        if target == AUTHORIZER {
            let invocation = hosted(cloud)?.invoke(AUTHORIZER, event.clone()).await?;
            let response: Value = serde_json::from_slice(&invocation.payload)?;
            return Ok(response["context"]["verdict"] == "signed_in");
        }
        let response = outgoing.request(&http, cloud.url())?.send().await?;
        let success = response.status().is_success();
        response.bytes().await?;
        Ok(success)
    };
    // Starts as many processes as are needed and opens their connections.
    for _ in 0..3 {
        try_join_all((0..concurrency).map(|_| send())).await?;
    }
    let failures = AtomicUsize::new(0);
    let (began, length) = (Instant::now(), Duration::from_millis(counts.throughput_ms));
    let workers = (0..concurrency).map(|_| async {
        let mut latencies = Vec::new();
        while began.elapsed() < length {
            let sent = Instant::now();
            if !matches!(send().await, Ok(true)) {
                failures.fetch_add(1, Ordering::Relaxed);
            }
            latencies.push(sent.elapsed().as_secs_f64() * 1e3);
        }
        latencies
    });
    let latencies = join_all(workers).await.concat();
    let seconds = began.elapsed().as_secs_f64();
    Ok(Throughput {
        target: target.to_owned(),
        concurrency,
        per_second: latencies.len() as f64 / seconds,
        latency_ms: Spread::of(latencies),
        failures: failures.into_inner(),
    })
}

/// Concurrent requests with one session whose access token is about to expire.
async fn storm(cloud: &Cloud) -> Outcome<Storm> {
    let workos = workos(cloud)?;
    workos.set_access_token_lifetime(Duration::from_secs(20));
    let outgoing = Events::new(cloud).outgoing(function(PROTECTED)?).await?;
    workos.set_access_token_lifetime(Duration::from_secs(300));

    let http = client(None)?;
    workos.proxy().reset_calls();
    let began = Instant::now();
    let requests = (0..STORM)
        .map(async |_| outgoing.request(&http, cloud.url())?.send().await.map_err(crate::Error::from));
    let responses = join_all(requests).await;
    let milliseconds = began.elapsed().as_secs_f64() * 1e3;
    let succeeded = responses.iter().flatten().filter(|response| response.status().is_success()).count();
    Ok(Storm {
        requests: STORM,
        refreshes: workos.proxy().count("authenticate.refresh_token"),
        failures: STORM - succeeded,
        milliseconds,
    })
}

/// A warm authorization with few and with many sessions in the table. The tables take turns, batch by batch.
async fn sessions(root: &Path, binaries: &Path, counts: Counts) -> Outcome<Vec<Sessions>> {
    let mut tables = Vec::new();
    for sessions in [10, 10_000, 1_000_000].into_iter().filter(|each| *each <= counts.sessions) {
        say(&format!("Sessions: filling a table with {sessions}"));
        let (cloud, _) = start_cloud(root, binaries, MailFloor::Off).await?;
        // Nothing is refreshed, however long the rest takes.
        workos(&cloud)?.set_access_token_lifetime(Duration::from_secs(86_400));
        let event = Events::new(&cloud).next(function(AUTHORIZER)?).await?;
        let tokens = fill(&cloud, sessions)?;
        tables.push((sessions, cloud, event, tokens, Vec::new()));
    }
    let batch = 100;
    for turn in 0..counts.warm.div_ceil(batch) + 1 {
        for (_, cloud, event, tokens, series) in &mut tables {
            for token in tokens.iter().cycle().skip(turn * batch).take(batch) {
                let invocation = hosted(cloud)?.invoke(AUTHORIZER, with_session(event, token)?).await?;
                // The first turn is the warm-up.
                if turn > 0 {
                    series.push(invocation.report.duration.as_secs_f64() * 1e6);
                }
            }
        }
    }
    let mut measured = Vec::new();
    for (sessions, cloud, _, _, series) in tables {
        cloud.stop().await;
        measured.push(Sessions { sessions, authorize_us: Spread::of(series) });
    }
    Ok(measured)
}

/// Copies the session in the table under new tokens, for three sessions per user; returns a sample of the tokens.
fn fill(cloud: &Cloud, sessions: usize) -> Outcome<Vec<String>> {
    let table = cloud.table().ok_or("no table")?;
    let database = dynamodb(cloud)?;
    let is_session = |item: &Value| item["pk"]["S"].as_str().is_some_and(|key| key.starts_with("session#"));
    let mut item = database.scan(table)?.into_iter().find(is_session).ok_or("no session")?;
    let every = (sessions / SAMPLE).max(1);
    let mut tokens = Vec::new();
    for number in 0..sessions {
        let token = SessionToken::generate().map_err(|error| error.cause())?;
        item["pk"] = json!({ "S": token.key().pk() });
        item["user_id"] = json!({ "S": format!("user_{}", number / 3) });
        database.put(table, &item)?;
        if number.is_multiple_of(every) {
            tokens.push(token.reveal());
        }
    }
    Ok(tokens)
}
