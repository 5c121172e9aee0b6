//! Measures all programs side by side: starts, first requests, warm requests, CPU time, memory, sizes, calls and rounds.
//!
//! Programs take turns, start by start and batch by batch, so that other work on the machine affects all of them.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use bytes::Bytes;
use local_proxy::{Effect, Fault};
use serde_json::Value;

use crate::bed::{Bed, FLOOR, Kind, Subject};
use crate::events::Events;
use crate::figures::{Figures, Program};
use crate::spread::Spread;
use crate::{Outcome, process, say, size};

/// Warm requests per program and turn.
const BATCH: usize = 100;

/// Requests to a new process that are not measured: they open connections, fill caches and let a just-in-time compiler
/// see the code.
const WARM_UP: usize = 20;

/// The delay of each upstream call while rounds are counted: far more than a request takes by itself.
const ROUND: Duration = Duration::from_millis(150);

/// The measurements of one program.
#[derive(Default)]
struct Series {
    start_ms: Vec<f64>,
    first_ms: Vec<f64>,
    warm_us: Vec<f64>,
    cpu_ns: u64,
    read_us: Vec<f64>,
    peak_memory_kib: u64,
    calls: Vec<String>,
    rounds: u32,
}

/// Measures all programs of the bed.
pub(crate) async fn run(bed: &Bed, figures: &mut Figures) -> Outcome<()> {
    let events = Events::new(bed.cloud());
    let mut all: HashMap<String, Series> = HashMap::new();

    say(&format!("Starts: {} of each of {} programs", figures.counts.spawns, bed.subjects().len()));
    for turn in 0..figures.counts.spawns {
        for subject in in_turn(bed.subjects(), turn) {
            start(bed, &events, subject, all.entry(subject.name.clone()).or_default()).await?;
        }
    }
    say(&format!("Warm requests: {} to each", figures.counts.warm));
    for subject in bed.subjects() {
        count_calls(bed, &events, subject, all.entry(subject.name.clone()).or_default()).await?;
    }
    for turn in 0..figures.counts.warm.div_ceil(BATCH) {
        let batch = (figures.counts.warm - turn * BATCH).min(BATCH);
        for subject in in_turn(bed.subjects(), turn) {
            warm(bed, &events, subject, batch, all.entry(subject.name.clone()).or_default()).await?;
        }
    }
    for subject in bed.subjects() {
        let mut series = all.remove(&subject.name).unwrap_or_default();
        let read = Spread::of(std::mem::take(&mut series.read_us));
        let program = program(subject, series, figures.counts.warm)?;
        match subject.kind {
            Kind::Floor if subject.name == FLOOR => figures.floor = program,
            Kind::Floor => _ = figures.floor_with_event_of.insert(subject.function.name.to_owned(), program),
            Kind::GetItem => (figures.get_item, figures.get_item_read_us) = (program, read),
            Kind::Function => _ = figures.functions.insert(subject.function.name.to_owned(), program),
            Kind::Peer => _ = figures.peer.insert(subject.function.name.to_owned(), program),
        }
    }
    Ok(())
}

fn program(subject: &Subject, series: Series, requests: usize) -> Outcome<Program> {
    let (binary_bytes, zip_bytes) = size::of(&subject.program)?;
    Ok(Program {
        start_ms: Spread::of(series.start_ms),
        first_ms: Spread::of(series.first_ms),
        warm_us: Spread::of(series.warm_us),
        cpu_us: series.cpu_ns as f64 / 1000.0 / requests.max(1) as f64,
        peak_memory_kib: series.peak_memory_kib,
        binary_bytes,
        zip_bytes,
        calls: series.calls,
        rounds: series.rounds,
    })
}

/// The programs in a different order each turn: a program may leave work behind for a moment, and no program should
/// always run after the same one.
fn in_turn(subjects: &[Subject], turn: usize) -> Vec<&Subject> {
    let mut order: Vec<_> = subjects.iter().collect();
    order.sort_by_cached_key(|subject| {
        let mut hasher = DefaultHasher::new();
        (turn, &subject.name).hash(&mut hasher);
        hasher.finish()
    });
    order
}

/// Prepares events for the next requests to a program. Those before have been used.
async fn prepare(events: &Events<'_>, subject: &Subject, count: usize) -> Outcome<Vec<Bytes>> {
    events.forget_people()?;
    let mut prepared = Vec::with_capacity(count);
    for _ in 0..count {
        prepared.push(match subject.kind {
            Kind::GetItem => events.session_key().await?,
            Kind::Function | Kind::Floor | Kind::Peer => events.next(subject.function).await?,
        });
    }
    Ok(prepared)
}

/// A cold start with its first request.
async fn start(bed: &Bed, events: &Events<'_>, subject: &Subject, series: &mut Series) -> Outcome<()> {
    let prepared = prepare(events, subject, 1).await?;
    bed.runtime(subject)?.kill(&subject.name).await?;
    for event in prepared {
        let report = bed.invoke(subject, event).await?.report;
        let init = report.init.ok_or("the process was warm")?;
        series.start_ms.push(init.as_secs_f64() * 1e3);
        series.first_ms.push(report.duration.as_secs_f64() * 1e3);
    }
    // A new process of Node.js goes on compiling for a while, during the turn of the next program.
    bed.runtime(subject)?.kill(&subject.name).await?;
    Ok(())
}

/// A batch of warm requests, one after the other.
async fn warm(
    bed: &Bed,
    events: &Events<'_>,
    subject: &Subject,
    count: usize,
    series: &mut Series,
) -> Outcome<()> {
    let mut prepared = prepare(events, subject, WARM_UP + count).await?;
    // The memory layout of a process changes short requests by up to a tenth, so each batch has a new process. A peer
    // keeps the process whose code the compiler has seen.
    if subject.kind != Kind::Peer {
        bed.runtime(subject)?.kill(&subject.name).await?;
    }
    for event in prepared.drain(..WARM_UP) {
        bed.invoke(subject, event).await?;
    }
    let process = bed.process(subject)?;
    let before = process::cpu_nanoseconds(process)?;
    for event in prepared {
        let invocation = bed.invoke(subject, event).await?;
        series.warm_us.push(invocation.report.duration.as_secs_f64() * 1e6);
        if subject.kind == Kind::GetItem {
            let response: Value = serde_json::from_slice(&invocation.payload)?;
            series.read_us.push(response["nanoseconds"].as_f64().unwrap_or_default() / 1e3);
        }
    }
    series.cpu_ns += process::cpu_nanoseconds(process)?.saturating_sub(before);
    series.peak_memory_kib = series.peak_memory_kib.max(process::peak_memory_kib(process)?);
    if bed.process(subject)? != process {
        return Err(format!("{} did not stay warm", subject.name).into());
    }
    Ok(())
}

/// The upstream calls of one warm request, and how many of them follow one another: each call is delayed by the same
/// time, so each round delays the request by that time.
async fn count_calls(bed: &Bed, events: &Events<'_>, subject: &Subject, series: &mut Series) -> Outcome<()> {
    let mut prepared = prepare(events, subject, WARM_UP + 1).await?;
    let last = prepared.pop().ok_or("no event")?;
    let mut undelayed = Duration::ZERO;
    for event in prepared {
        undelayed = bed.invoke(subject, event).await?.report.duration;
    }
    let proxies = bed.proxies()?;
    for proxy in proxies {
        proxy.reset_calls();
        proxy.inject(Fault::new("*", Effect::Serve).delay(ROUND));
    }
    let outcome = bed.invoke(subject, last).await;
    for proxy in proxies {
        proxy.clear_faults();
        series.calls.extend(proxy.calls());
    }
    series.calls.sort();
    let delay = outcome?.report.duration.saturating_sub(undelayed);
    series.rounds = (delay.as_secs_f64() / ROUND.as_secs_f64()).round() as u32;
    Ok(())
}
