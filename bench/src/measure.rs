//! Every program, one beside the other: starts, first requests, warm requests, CPU time, memory, sizes, calls, rounds.
//!
//! Programs take turns, start by start and batch by batch, so that whatever else the machine does hits all of them.

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

/// Warm requests that each program serves in its turn.
const BATCH: usize = 100;

/// Requests before the first batch: connections, key sets and caches are there then, and a just-in-time compiler has
/// seen the code.
const WARM_UP: usize = 20;

/// By how much each upstream call is held up to count the rounds: far above what a request takes by itself.
const ROUND: Duration = Duration::from_millis(150);

/// What is gathered about one program.
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
    let events = Events::new(bed.cloud())?;
    let mut all: HashMap<String, Series> = HashMap::new();

    say(&format!("Starts: {} of each of {} programs", figures.counts.spawns, bed.subjects().len()));
    for turn in 0..figures.counts.spawns {
        for subject in in_turn(bed.subjects(), turn) {
            start(bed, &events, subject, all.entry(subject.name.clone()).or_default()).await?;
        }
    }
    say(&format!("Warm requests: {} to each", figures.counts.warm));
    for subject in bed.subjects() {
        warm_up(bed, &events, subject).await?;
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
            Kind::Floor => _ = figures.floor_with_event_of.insert(subject.function.clone(), program),
            Kind::GetItem => (figures.get_item, figures.get_item_read_us) = (program, read),
            Kind::Function => _ = figures.functions.insert(subject.function.clone(), program),
            Kind::Peer => _ = figures.peer.insert(subject.function.clone(), program),
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

/// The programs in another order each time: a program may leave work behind for a moment, and nobody shall always come
/// after the same one.
fn in_turn(subjects: &[Subject], turn: usize) -> Vec<&Subject> {
    let mut order: Vec<_> = subjects.iter().collect();
    order.sort_by_cached_key(|subject| {
        let mut hasher = DefaultHasher::new();
        (turn, &subject.name).hash(&mut hasher);
        hasher.finish()
    });
    order
}

async fn prepare(events: &Events<'_>, subject: &Subject, count: usize) -> Outcome<Vec<Bytes>> {
    let mut prepared = Vec::with_capacity(count);
    for _ in 0..count {
        prepared.push(events.next(&subject.function).await?);
    }
    Ok(prepared)
}

/// Serves the requests that do not count.
async fn warm_up(bed: &Bed, events: &Events<'_>, subject: &Subject) -> Outcome<()> {
    for event in prepare(events, subject, WARM_UP).await? {
        bed.invoke(subject, event).await?;
    }
    Ok(())
}

/// A cold start with its first request.
async fn start(bed: &Bed, events: &Events<'_>, subject: &Subject, series: &mut Series) -> Outcome<()> {
    let event = events.next(&subject.function).await?;
    bed.runtime(subject)?.kill(&subject.name).await?;
    let report = bed.invoke(subject, event).await?.report;
    let init = report.init.ok_or("the process was warm")?;
    series.start_ms.push(init.as_secs_f64() * 1e3);
    series.first_ms.push(report.duration.as_secs_f64() * 1e3);
    // A fresh process of Node.js goes on compiling for a while, beside whoever comes next.
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
    // Where a process happens to lie in memory is worth up to a tenth of a short request: each batch has a process of its
    // own. A just-in-time compiler keeps the process whose code it has seen.
    if subject.kind != Kind::Peer {
        bed.runtime(subject)?.kill(&subject.name).await?;
        warm_up(bed, events, subject).await?;
    }
    let prepared = prepare(events, subject, count).await?;
    let process = bed.process(subject)?;
    let before = process::cpu_nanoseconds(process)?;
    for event in prepared {
        let invocation = bed.invoke(subject, event).await?;
        series.warm_us.push(invocation.report.duration.as_secs_f64() * 1e6);
        if subject.kind == Kind::GetItem {
            let answer: Value = serde_json::from_slice(&invocation.payload)?;
            series.read_us.push(answer["nanoseconds"].as_f64().unwrap_or_default() / 1e3);
        }
    }
    series.cpu_ns += process::cpu_nanoseconds(process)?.saturating_sub(before);
    series.peak_memory_kib = series.peak_memory_kib.max(process::peak_memory_kib(process)?);
    if bed.process(subject)? != process {
        return Err(format!("{} did not stay warm", subject.name).into());
    }
    Ok(())
}

/// The upstream calls of one warm request, and how many of them follow one another: each call is held up by the same
/// time, so the request is held up by that time for every round.
async fn count_calls(bed: &Bed, events: &Events<'_>, subject: &Subject, series: &mut Series) -> Outcome<()> {
    let undisturbed = bed.invoke(subject, events.next(&subject.function).await?).await?.report.duration;
    let event = events.next(&subject.function).await?;
    let proxies = bed.proxies()?;
    for proxy in proxies {
        proxy.reset_calls();
        proxy.inject(Fault::new("*", Effect::Serve).delay(ROUND));
    }
    let outcome = bed.invoke(subject, event).await;
    for proxy in proxies {
        proxy.clear_faults();
        series.calls.extend(proxy.calls());
    }
    series.calls.sort();
    let held_up = outcome?.report.duration.saturating_sub(undisturbed);
    series.rounds = (held_up.as_secs_f64() / ROUND.as_secs_f64()).round() as u32;
    Ok(())
}
