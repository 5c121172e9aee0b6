//! Metrics in CloudWatch Embedded Metric Format: a log line that CloudWatch turns into metrics, at no cost of a call.
//! Source: "Specification: Embedded metric format", Amazon CloudWatch User Guide.

use serde_json::{Map, Value, json};

use crate::{clock, logs};

/// The namespace of all metrics.
pub const NAMESPACE: &str = "AuthenticationApi";

/// Counts one `name`, told apart by `dimensions`, e.g. `SignIn` by `method` and `outcome`.
pub fn count(name: &str, dimensions: &[(&str, &str)]) {
    emit(name, "Count", 1, dimensions);
}

/// Records how long `name` took, in milliseconds.
pub fn latency(name: &str, millis: u64, dimensions: &[(&str, &str)]) {
    emit(name, "Milliseconds", millis, dimensions);
}

fn emit(name: &str, unit: &str, value: u64, dimensions: &[(&str, &str)]) {
    let keys: Vec<_> = dimensions.iter().map(|(key, _)| *key).collect();
    let mut line: Map<String, Value> =
        dimensions.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
    line.insert(name.to_owned(), value.into());
    line.insert(
        "_aws".to_owned(),
        json!({
            "Timestamp": clock::now_millis(),
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [keys],
                "Metrics": [{ "Name": name, "Unit": unit }],
            }],
        }),
    );
    logs::add_ids(&mut line);
    logs::write_line(line);
}
