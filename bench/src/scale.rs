//! Many requests at once, many sessions in the table, and many requests whose access token has run out.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join_all, try_join_all};
use local::Cloud;
use serde_json::{Value, json};

use crate::bed::{dynamodb, hosted, start_cloud, workos};
use crate::events::{Events, authorizer_event, cookie, http, new_token, session_item};
use crate::figures::{Counts, Figures, Sessions, Storm, Throughput};
use crate::spread::Spread;
use crate::{Outcome, say};

const CONCURRENCY: [usize; 4] = [1, 8, 32, 128];
const STORM: usize = 100;
/// How many different sessions of a table are asked for.
const SAMPLE: usize = 1000;

/// Measures on a cloud of its own.
pub(crate) async fn run(root: &Path, binaries: &Path, figures: &mut Figures) -> Outcome<()> {
    let (cloud, _) = start_cloud(root, binaries).await?;
    for concurrency in CONCURRENCY {
        say(&format!("Throughput: {concurrency} at a time"));
        for target in ["authorizer", "room-auth"] {
            figures.throughput.push(throughput(&cloud, target, concurrency, figures.counts).await?);
        }
    }
    say("Refresh storm");
    figures.storm = Some(storm(&cloud).await?);
    cloud.stop().await;
    figures.sessions = sessions(root, binaries, figures.counts).await?;
    Ok(())
}

/// Keeps `concurrency` requests under way: to the authorizer straight, to room-auth through the gateway and so through
/// the authorizer as well.
async fn throughput(cloud: &Cloud, target: &str, concurrency: usize, counts: Counts) -> Outcome<Throughput> {
    let (token, _) = Events::new(cloud)?.session()?;
    let http = http()?;
    let url = format!("{}/api/v1/livekit/room-auth", cloud.url());
    let event = authorizer_event(1, &token);
    let ask = async || -> Outcome<bool> {
        if target == "authorizer" {
            let answer = hosted(cloud)?.invoke("authorizer", event.clone()).await?;
            let answer: Value = serde_json::from_slice(&answer.payload)?;
            return Ok(answer["isAuthorized"] == true);
        }
        let body = json!({ "username": "Jane Doe", "roomId": "room123" });
        let request = http.post(&url).header("cookie", format!("__Host-session={token}")).json(&body);
        let answer = request.send().await?;
        let success = answer.status().is_success();
        answer.bytes().await?;
        Ok(success)
    };
    // As many processes as will be needed, and each has its connections.
    for _ in 0..3 {
        try_join_all((0..concurrency).map(|_| ask())).await?;
    }
    let failures = AtomicUsize::new(0);
    let (began, length) = (Instant::now(), Duration::from_millis(counts.throughput_ms));
    let workers = (0..concurrency).map(|_| async {
        let mut latencies = Vec::new();
        while began.elapsed() < length {
            let asked = Instant::now();
            if !matches!(ask().await, Ok(true)) {
                failures.fetch_add(1, Ordering::Relaxed);
            }
            latencies.push(asked.elapsed().as_secs_f64() * 1e3);
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

/// Many requests at once with one session whose access token is about to run out.
async fn storm(cloud: &Cloud) -> Outcome<Storm> {
    let workos = workos(cloud)?;
    let events = Events::new(cloud)?;
    workos.set_access_token_lifetime(Duration::from_secs(20));
    let answer =
        hosted(cloud)?.invoke("finalize-magic-auth", events.next("finalize-magic-auth").await?).await?;
    workos.set_access_token_lifetime(Duration::from_secs(300));
    let cookie = cookie(&serde_json::from_slice(&answer.payload)?, "__Host-session")?;

    let http = http()?;
    let url = format!("{}/api/v1/livekit/room-auth", cloud.url());
    workos.proxy().reset_calls();
    let began = Instant::now();
    let answers = join_all((0..STORM).map(|_| {
        let body = json!({ "username": "Jane Doe", "roomId": "room123" });
        http.post(&url).header("cookie", &cookie).json(&body).send()
    }))
    .await;
    let milliseconds = began.elapsed().as_secs_f64() * 1e3;
    let succeeded = answers.iter().flatten().filter(|answer| answer.status().is_success()).count();
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
        let (cloud, _) = start_cloud(root, binaries).await?;
        let tokens = fill(&cloud, sessions)?;
        tables.push((sessions, cloud, tokens, Vec::new()));
    }
    let batch = 100;
    for turn in 0..counts.warm.div_ceil(batch) + 1 {
        for (_, cloud, tokens, series) in &mut tables {
            for (number, token) in tokens.iter().cycle().skip(turn * batch).take(batch).enumerate() {
                let answer = hosted(cloud)?.invoke("authorizer", authorizer_event(number, token)).await?;
                // The first turn is the warm-up.
                if turn > 0 {
                    series.push(answer.report.duration.as_secs_f64() * 1e6);
                }
            }
        }
    }
    let mut measured = Vec::new();
    for (sessions, cloud, _, series) in tables {
        cloud.stop().await;
        measured.push(Sessions { sessions, authorize_us: Spread::of(series) });
    }
    Ok(measured)
}

/// Puts sessions into the table; the tokens of some of them, from all over it.
fn fill(cloud: &Cloud, sessions: usize) -> Outcome<Vec<String>> {
    let table = cloud.table().ok_or("no table")?;
    let database = dynamodb(cloud)?;
    let every = (sessions / SAMPLE).max(1);
    let mut tokens = Vec::new();
    for number in 0..sessions {
        let (token, key) = new_token()?;
        database.put(table, &session_item(&key, &format!("user_{}", number / 3)))?;
        if number.is_multiple_of(every) {
            tokens.push(token);
        }
    }
    Ok(tokens)
}
