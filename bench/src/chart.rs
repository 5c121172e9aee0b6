//! The chart of the README: start, memory and CPU of each function next to its Node.js peer.

use std::fmt::Write as _;

use crate::figures::{Figures, Program};

const WIDTH: f64 = 840.0;
const LABELS: f64 = 150.0;
const PANEL: f64 = 210.0;
const GAP: f64 = 20.0;
const TOP: f64 = 64.0;
const ROW: f64 = 40.0;
const BAR: f64 = 12.0;
/// Space for the figure after a bar.
const FIGURE: f64 = 62.0;

/// A panel: title, unit, and the figure that it shows.
type Panel = (&'static str, &'static str, fn(&Program) -> f64);

const PANELS: [Panel; 3] = [
    ("Start", "ms", |program| program.start_ms.median),
    ("Peak memory", "MiB", |program| program.peak_memory_kib as f64 / 1024.0),
    ("CPU per warm request", "µs", |program| program.cpu_us),
];

/// Colors follow the reader's light or dark scheme.
const STYLE: &str = "\
text{font:13px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#1f2328}\
.title{font-weight:600}.quiet{fill:#59636e;font-size:12px}.axis{stroke:#d1d9e0}\
.ours{fill:#c2410c}.peer{fill:#8b949e}\
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.quiet{fill:#9198a1}.axis{stroke:#3d444d}\
.ours{fill:#fb923c}.peer{fill:#6e7681}}";

/// Draws the functions that have a peer.
pub(crate) fn draw(figures: &Figures) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = render(figures, &mut text);
    text
}

fn render(figures: &Figures, svg: &mut String) -> std::fmt::Result {
    let pairs: Vec<_> = figures
        .functions
        .iter()
        .filter_map(|(name, ours)| Some((name, ours, figures.peer.get(name)?)))
        .collect();
    let height = TOP + ROW * pairs.len() as f64 + 34.0;
    writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-labelledby=\"title description\">\n\
         <title id=\"title\">Start, peak memory and CPU time of the functions and of the same work in Node.js</title>"
    )?;
    write!(svg, "<desc id=\"description\">")?;
    for (name, ours, peer) in &pairs {
        write!(svg, "{name}:")?;
        for (title, unit, of) in PANELS {
            write!(svg, " {title} {} {unit}, Node.js {} {unit}.", figure(of(ours)), figure(of(peer)))?;
        }
        write!(svg, " ")?;
    }
    writeln!(svg, "</desc>\n<style>{STYLE}</style>")?;

    writeln!(
        svg,
        "<rect class=\"ours\" x=\"0\" y=\"6\" width=\"12\" height=\"12\" rx=\"2\"/><text x=\"18\" y=\"16\">this project</text>"
    )?;
    let node = figures.machine.node.trim_start_matches('v').split('.').next().unwrap_or_default();
    writeln!(
        svg,
        "<rect class=\"peer\" x=\"118\" y=\"6\" width=\"12\" height=\"12\" rx=\"2\"/><text x=\"136\" y=\"16\">the same in Node.js {node}, with the official SDKs</text>"
    )?;

    for (index, (name, _, _)) in pairs.iter().enumerate() {
        let y = TOP + ROW * index as f64 + ROW / 2.0 + 2.0;
        writeln!(svg, "<text x=\"0\" y=\"{y}\">{name}</text>")?;
    }
    for (column, (title, unit, of)) in PANELS.into_iter().enumerate() {
        let x = LABELS + column as f64 * (PANEL + GAP);
        let largest =
            pairs.iter().map(|(_, ours, peer)| of(ours).max(of(peer))).fold(f64::MIN_POSITIVE, f64::max);
        let width = |value: f64| (value / largest * (PANEL - FIGURE)).max(1.5);
        writeln!(
            svg,
            "<text class=\"title\" x=\"{x}\" y=\"{}\">{title}<tspan class=\"quiet\" dx=\"6\">{unit}</tspan></text>",
            TOP - 14.0
        )?;
        let bottom = TOP + ROW * pairs.len() as f64;
        writeln!(svg, "<line class=\"axis\" x1=\"{x}\" y1=\"{TOP}\" x2=\"{x}\" y2=\"{bottom}\"/>")?;
        for (index, (_, ours, peer)) in pairs.iter().enumerate() {
            let y = TOP + ROW * index as f64 + 6.0;
            for (class, value, y) in [("ours", of(ours), y), ("peer", of(peer), y + BAR + 2.0)] {
                let width = width(value);
                writeln!(
                    svg,
                    "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\"/>\
                     <text class=\"quiet\" x=\"{:.1}\" y=\"{}\">{}</text>",
                    x + width + 5.0,
                    y + 10.0,
                    figure(value),
                )?;
            }
        }
    }
    writeln!(
        svg,
        "<text class=\"quiet\" x=\"0\" y=\"{}\">Medians on one machine in one run: {}, {} cores. Less is better.</text>\n</svg>",
        height - 8.0,
        escape(&figures.machine.cpu),
        figures.machine.cores,
    )
}

/// A figure as a short label.
fn figure(value: f64) -> String {
    match value {
        0.0..10.0 => format!("{value:.1}"),
        10_000.0.. => format!("{:.0} {:03.0}", (value / 1000.0).floor(), value % 1000.0),
        _ => format!("{value:.0}"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!([1.44, 31.6, 970.2, 12_004.0].map(figure), ["1.4", "32", "970", "12 004"]);
    }
}
