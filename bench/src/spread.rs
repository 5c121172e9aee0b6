//! Medians and percentiles of a series.

use serde::{Deserialize, Serialize};

/// A series of measurements, summarized in their unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
}

impl Spread {
    /// Nearest-rank percentiles; all zero for an empty series.
    pub(crate) fn of(mut series: Vec<f64>) -> Self {
        series.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let rank = (share * series.len() as f64).ceil() as usize;
            series.get(rank.saturating_sub(1)).copied().unwrap_or_default()
        };
        Self { median: at(0.5), p90: at(0.9), p99: at(0.99) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_members_of_the_series() {
        let spread = Spread::of((1..=100).rev().map(f64::from).collect());
        assert_eq!(spread, Spread { median: 50.0, p90: 90.0, p99: 99.0 });
        assert_eq!(Spread::of(vec![7.0]), Spread { median: 7.0, p90: 7.0, p99: 7.0 });
        assert_eq!(Spread::of(Vec::new()), Spread::default());
    }
}
