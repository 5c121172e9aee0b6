//! Renders the figures as the tables of `docs/performance.md`, and writes these and the chart.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::Outcome;
use crate::chart;
use crate::figures::{Figures, Program};

const BEGIN: &str = "<!-- figures: written by `make bench` -->";
const END: &str = "<!-- end of figures -->";

/// Replaces the tables between the markers of `docs/performance.md` and writes `docs/performance.svg`.
pub(crate) fn write(root: &Path, figures: &Figures) -> Outcome<()> {
    let document = root.join("docs/performance.md");
    let text = fs::read_to_string(&document)?;
    let (before, rest) = text.split_once(BEGIN).ok_or("docs/performance.md has no marker for the figures")?;
    let (_, after) =
        rest.split_once(END).ok_or("docs/performance.md has no marker for the end of the figures")?;
    fs::write(&document, format!("{before}{BEGIN}\n\n{}\n{END}{after}", tables(figures)))?;
    Ok(fs::write(root.join("docs/performance.svg"), chart::draw(figures))?)
}

/// All tables in Markdown.
pub(crate) fn tables(figures: &Figures) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = render(figures, &mut text);
    text
}

fn render(figures: &Figures, text: &mut String) -> std::fmt::Result {
    let (machine, counts) = (&figures.machine, figures.counts);
    writeln!(
        text,
        "Commit `{}`, {}; {}, {} cores; {}.\n{}, Node.js {}; {} starts and {} warm requests per program.\n",
        machine.commit,
        machine.date,
        machine.cpu,
        machine.cores,
        machine.kernel,
        machine.rustc,
        machine.node.trim_start_matches('v'),
        counts.spawns,
        counts.warm,
    )?;

    writeln!(
        text,
        "| | start, ms | p90 | first request, ms | warm request, µs | p99 | CPU, µs | memory, MiB | binary, MB | zip, MB | rounds | calls |"
    )?;
    writeln!(text, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|")?;
    row(text, "**the floor**", &figures.floor)?;
    for (function, program) in &figures.floor_with_event_of {
        row(text, &format!("the floor with {function}'s event"), program)?;
    }
    row(text, "a bare `GetItem`", &figures.get_item)?;
    for (name, program) in &figures.functions {
        row(text, name, program)?;
    }
    writeln!(
        text,
        "\nOf the bare `GetItem`, the read itself takes {:.0} µs.\n",
        figures.get_item_read_us.median
    )?;

    if !figures.peer.is_empty() {
        writeln!(text, "The same work in Node.js, and its multiple of the function's figure:\n")?;
        writeln!(
            text,
            "| | start, ms | | first request, ms | | warm request, µs | | CPU, µs | | memory, MiB | | zip, MB |"
        )?;
        writeln!(text, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")?;
        for (name, peer) in &figures.peer {
            let Some(ours) = figures.functions.get(name) else { continue };
            let times = |theirs: f64, ours: f64| format!("**{:.0}×**", theirs / ours);
            writeln!(
                text,
                "| {name} | {:.0} | {} | {:.1} | {} | {:.0} | {:.1}× | {:.0} | {:.1}× | {:.0} | {:.1}× | {:.2} |",
                peer.start_ms.median,
                times(peer.start_ms.median, ours.start_ms.median),
                peer.first_ms.median,
                times(peer.first_ms.median, ours.first_ms.median),
                peer.warm_us.median,
                peer.warm_us.median / ours.warm_us.median,
                peer.cpu_us,
                peer.cpu_us / ours.cpu_us,
                mebibytes(peer),
                peer.peak_memory_kib as f64 / ours.peak_memory_kib as f64,
                megabytes(peer.zip_bytes),
            )?;
        }
        writeln!(text)?;
    }

    writeln!(
        text,
        "| concurrent requests | authorizer, requests/s | median, ms | p99 | room-auth through the gateway, requests/s | median, ms | p99 |"
    )?;
    writeln!(text, "|--:|--:|--:|--:|--:|--:|--:|")?;
    for pair in figures.throughput.chunks(2) {
        let Some(first) = pair.first() else { continue };
        write!(text, "| {} |", first.concurrency)?;
        for each in pair {
            let latency = each.latency_ms;
            write!(text, " {:.0} | {:.1} | {:.1} |", each.per_second, latency.median, latency.p99)?;
        }
        writeln!(text)?;
    }

    writeln!(text, "\n| sessions in the table | authorization, µs | p99 |\n|--:|--:|--:|")?;
    for each in &figures.sessions {
        let spread = each.authorize_us;
        writeln!(text, "| {} | {:.0} | {:.0} |", each.sessions, spread.median, spread.p99)?;
    }
    if let Some(storm) = figures.storm {
        writeln!(
            text,
            "\n{} concurrent requests with an access token that is about to expire: {} refresh, {} failures, {:.0} ms \
             in all.",
            storm.requests, storm.refreshes, storm.failures, storm.milliseconds
        )?;
    }
    writeln!(text, "\n| known or unknown, mail call of 60 ms | known, ms | unknown, ms | guessed |")?;
    writeln!(text, "|---|--:|--:|--:|")?;
    for each in &figures.guesses {
        writeln!(
            text,
            "| {}, {} | {:.0} | {:.0} | {:.0}% |",
            each.function,
            if each.has_floor { "default floor" } else { "no floor" },
            each.known_ms.median,
            each.unknown_ms.median,
            each.right * 100.0
        )?;
    }
    Ok(())
}

fn row(text: &mut String, name: &str, program: &Program) -> std::fmt::Result {
    writeln!(
        text,
        "| {name} | {:.2} | {:.2} | {:.2} | {:.0} | {:.0} | {:.0} | {:.1} | {:.2} | {:.2} | {} | {} |",
        program.start_ms.median,
        program.start_ms.p90,
        program.first_ms.median,
        program.warm_us.median,
        program.warm_us.p99,
        program.cpu_us,
        mebibytes(program),
        megabytes(program.binary_bytes),
        megabytes(program.zip_bytes),
        program.rounds,
        calls(&program.calls),
    )
}

/// Sorted calls, equal ones with their count.
fn calls(calls: &[String]) -> String {
    let groups = calls.chunk_by(|one, other| one == other);
    let named = groups.filter_map(|group| {
        let name = group.first()?;
        Some(if group.len() == 1 { name.clone() } else { format!("{} × {name}", group.len()) })
    });
    named.collect::<Vec<_>>().join(", ")
}

fn mebibytes(program: &Program) -> f64 {
    program.peak_memory_kib as f64 / 1024.0
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_calls_are_counted() {
        let made = ["GetItem", "UpdateItem", "UpdateItem"].map(str::to_owned);
        assert_eq!(calls(&made), "GetItem, 2 × UpdateItem");
    }
}
