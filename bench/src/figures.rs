//! The figures of a run, as stored in `bench/results/latest.json`. Earlier ones are in the history of that file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::guess::Guess;
use crate::machine::Machine;
use crate::spread::Spread;

/// How much is measured.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Counts {
    /// Starts per program.
    pub(crate) spawns: usize,
    /// Warm requests per program.
    pub(crate) warm: usize,
    /// Sessions in the fullest table.
    pub(crate) sessions: usize,
    /// Length of each throughput measurement, in milliseconds.
    pub(crate) throughput_ms: u64,
    /// Known and unknown addresses, of each so many.
    pub(crate) guesses: usize,
}

impl Counts {
    pub(crate) const FULL: Self =
        Self { spawns: 40, warm: 1000, sessions: 1_000_000, throughput_ms: 4000, guesses: 400 };
    pub(crate) const QUICK: Self =
        Self { spawns: 5, warm: 60, sessions: 10_000, throughput_ms: 500, guesses: 8 };
}

/// The figures of one program.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Program {
    /// From the start of the process to its first request for work, in milliseconds.
    pub(crate) start_ms: Spread,
    /// The first request, in milliseconds.
    pub(crate) first_ms: Spread,
    /// A warm request, in microseconds.
    pub(crate) warm_us: Spread,
    /// CPU time of the process for a warm request, in microseconds.
    pub(crate) cpu_us: f64,
    /// Peak memory after the warm requests, in KiB.
    pub(crate) peak_memory_kib: u64,
    /// Size of the binary or bundle.
    pub(crate) binary_bytes: u64,
    /// Its size after deflate.
    pub(crate) zip_bytes: u64,
    /// The upstream calls of a warm request.
    pub(crate) calls: Vec<String>,
    /// How many of them follow one another.
    pub(crate) rounds: u32,
}

/// Throughput with so many requests under way.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Throughput {
    pub(crate) target: String,
    pub(crate) concurrency: usize,
    pub(crate) per_second: f64,
    /// Latency in milliseconds.
    pub(crate) latency_ms: Spread,
    pub(crate) failures: usize,
}

/// Warm authorizations with so many sessions in the table.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Sessions {
    pub(crate) sessions: usize,
    /// Latency in microseconds.
    pub(crate) authorize_us: Spread,
}

/// Concurrent requests with one session whose access token is about to expire.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Storm {
    pub(crate) requests: usize,
    pub(crate) refreshes: usize,
    pub(crate) failures: usize,
    /// Time to the last response, in milliseconds.
    pub(crate) milliseconds: f64,
}

/// The figures of a run.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Figures {
    pub(crate) machine: Machine,
    pub(crate) counts: Counts,
    /// The `lambda_http` hello world, with an event without a body.
    pub(crate) floor: Program,
    /// The same with the events of other functions, by name.
    pub(crate) floor_with_event_of: BTreeMap<String, Program>,
    /// The bare read.
    pub(crate) get_item: Program,
    /// The read alone, in microseconds.
    pub(crate) get_item_read_us: Spread,
    /// The product's functions, by name.
    pub(crate) functions: BTreeMap<String, Program>,
    /// The functions of the Node.js peer, by the name of ours.
    pub(crate) peer: BTreeMap<String, Program>,
    pub(crate) throughput: Vec<Throughput>,
    pub(crate) sessions: Vec<Sessions>,
    pub(crate) storm: Option<Storm>,
    /// Known or unknown, by the time of a response.
    pub(crate) guesses: Vec<Guess>,
}

impl Figures {
    pub(crate) fn new(machine: Machine, counts: Counts) -> Self {
        Self {
            machine,
            counts,
            floor: Program::default(),
            floor_with_event_of: BTreeMap::new(),
            get_item: Program::default(),
            get_item_read_us: Spread::default(),
            functions: BTreeMap::new(),
            peer: BTreeMap::new(),
            throughput: Vec::new(),
            sessions: Vec::new(),
            storm: None,
            guesses: Vec::new(),
        }
    }

    /// The file of the latest figures.
    pub(crate) fn latest(root: &Path) -> PathBuf {
        root.join("bench/results/latest.json")
    }

    pub(crate) fn write(&self, file: &Path) -> Outcome<()> {
        Ok(fs::write(file, serde_json::to_string_pretty(self)? + "\n")?)
    }

    pub(crate) fn read(file: &Path) -> Outcome<Self> {
        Ok(serde_json::from_str(&fs::read_to_string(file)?)?)
    }
}
