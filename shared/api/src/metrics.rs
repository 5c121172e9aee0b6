//! Metrics in CloudWatch Embedded Metric Format: log lines that CloudWatch turns into metrics, without a network call.
//! Source: "Specification: Embedded metric format", Amazon CloudWatch User Guide.

use serde::Serialize;
use serde::ser::SerializeMap;

use crate::logs::Members;
use crate::{clock, logs};

/// The namespace of all metrics.
pub const NAMESPACE: &str = "AuthenticationApi";

/// Adds one to the metric `name`, e.g. `SignIn` with the dimensions `Method` and `Outcome`.
pub fn count(name: &str, dimensions: &[(&str, &str)]) {
    emit(name, "Count", 1, dimensions);
}

/// Records a duration of `millis` milliseconds as the metric `name`.
pub fn latency(name: &str, millis: u64, dimensions: &[(&str, &str)]) {
    emit(name, "Milliseconds", millis, dimensions);
}

fn emit(name: &str, unit: &str, value: u64, dimensions: &[(&str, &str)]) {
    logs::write_line(&Line { name, unit, value, dimensions });
}

/// A metric as a log line.
struct Line<'a> {
    name: &'a str,
    unit: &'a str,
    value: u64,
    dimensions: &'a [(&'a str, &'a str)],
}

impl Members for Line<'_> {
    fn write<M: SerializeMap>(&self, line: &mut M) -> Result<(), M::Error> {
        for (key, value) in self.dimensions {
            line.serialize_entry(key, value)?;
        }
        line.serialize_entry(self.name, &self.value)?;
        let dimensions = [self.dimensions.iter().map(|(key, _)| *key).collect()];
        let metrics = [Metric { name: self.name, unit: self.unit }];
        let directive = Directive { namespace: NAMESPACE, dimensions, metrics };
        line.serialize_entry(
            "_aws",
            &Embedded { timestamp: clock::now_millis(), cloud_watch_metrics: [directive] },
        )
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Embedded<'a> {
    timestamp: u64,
    cloud_watch_metrics: [Directive<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive<'a> {
    namespace: &'static str,
    dimensions: [Vec<&'a str>; 1],
    metrics: [Metric<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metric<'a> {
    name: &'a str,
    unit: &'a str,
}
