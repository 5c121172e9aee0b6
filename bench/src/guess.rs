//! Whether the time of a response tells if an address has an account.

use std::path::Path;
use std::time::Duration;

use catalog::Function;
use futures_util::future::try_join_all;
use local::Cloud;
use local_proxy::{Effect, Fault};
use serde::{Deserialize, Serialize};

use crate::bed::{MailFloor, hosted, start_cloud, workos};
use crate::events::{Events, function, with_field};
use crate::spread::Spread;
use crate::{Outcome, say};

/// The endpoints whose response must not tell.
const FUNCTIONS: [&str; 2] = ["sign-in", "resend-magic-auth"];
/// The time of WorkOS' mail call, which only a known address costs.
const MAIL_CALL: Duration = Duration::from_millis(60);
/// Requests at a time: each takes as long as the floor.
const LANES: usize = 4;

/// How well a stranger guesses from single requests.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Guess {
    pub(crate) function: String,
    /// Whether the floor was on.
    pub(crate) has_floor: bool,
    /// Requests of each kind.
    pub(crate) samples: usize,
    /// The share of right guesses; a coin has 0.5.
    pub(crate) right: f64,
    /// Times in milliseconds.
    pub(crate) known_ms: Spread,
    pub(crate) unknown_ms: Spread,
}

/// Measures with the floor and without it: without it, the measurement must tell.
pub(crate) async fn run(root: &Path, binaries: &Path, samples: usize) -> Outcome<Vec<Guess>> {
    let mut guesses = Vec::new();
    for floor in [MailFloor::Default, MailFloor::Off] {
        let (cloud, _) = start_cloud(root, binaries, floor).await?;
        workos(&cloud)?.proxy().inject(Fault::new("magic_auth.create", Effect::Serve).delay(MAIL_CALL));
        for name in FUNCTIONS {
            say(&format!("Known or unknown: {samples} of each to {name}"));
            guesses.push(measure(&cloud, function(name)?, floor == MailFloor::Default, samples).await?);
        }
        cloud.stop().await;
    }
    Ok(guesses)
}

async fn measure(
    cloud: &Cloud,
    function: &'static Function,
    has_floor: bool,
    samples: usize,
) -> Outcome<Guess> {
    let events = Events::new(cloud);
    let lanes = (0..LANES).map(|lane| {
        let events = &events;
        async move {
            let (mut known, mut unknown) = (Vec::new(), Vec::new());
            // The first one starts the process.
            for sample in 0..=samples.div_ceil(LANES) {
                let event = events.next(function).await?;
                let stranger = format!("stranger-{has_floor}-{lane}-{sample}@example.com");
                for (event, times) in [
                    (event, &mut known),
                    (with_field(&events.next(function).await?, "/email", &stranger)?, &mut unknown),
                ] {
                    let report = hosted(cloud)?.invoke(function.name, event).await?.report;
                    if sample > 0 {
                        times.push(report.duration.as_secs_f64() * 1e3);
                    }
                }
            }
            Ok::<_, crate::Error>((known, unknown))
        }
    });
    let (known, unknown): (Vec<_>, Vec<_>) = try_join_all(lanes).await?.into_iter().unzip();
    let (known, unknown) = (known.concat(), unknown.concat());
    Ok(Guess {
        function: function.name.to_owned(),
        has_floor,
        samples: known.len(),
        right: right(&known, &unknown),
        known_ms: Spread::of(known),
        unknown_ms: Spread::of(unknown),
    })
}

/// The share of right guesses of somebody who learns from every other sample which time separates the two kinds best, and
/// guesses the rest by it.
fn right(known: &[f64], unknown: &[f64]) -> f64 {
    let every_other =
        |series: &[f64], first| series.iter().copied().skip(first).step_by(2).collect::<Vec<_>>();
    let learned = [every_other(known, 0), every_other(unknown, 0)];
    let guessed = [every_other(known, 1), every_other(unknown, 1)];
    let share = |[known, unknown]: &[Vec<f64>; 2], threshold: f64| {
        let slow = known.iter().filter(|time| **time > threshold).count();
        let fast = unknown.iter().filter(|time| **time <= threshold).count();
        (slow + fast) as f64 / (known.len() + unknown.len()).max(1) as f64
    };
    // A threshold may also be used the other way round.
    let skill = |threshold: f64| (share(&learned, threshold) - 0.5).abs();
    let thresholds = learned.iter().flatten().copied();
    let Some(best) = thresholds.max_by(|one, other| skill(*one).total_cmp(&skill(*other))) else {
        return 0.5;
    };
    let right = share(&guessed, best);
    if share(&learned, best) < 0.5 { 1.0 - right } else { right }
}

#[cfg(test)]
mod tests {
    use super::right;

    fn around(middle: f64) -> Vec<f64> {
        (0..200).map(|number| middle + f64::from(number * 7919 % 200) / 10.0).collect()
    }

    #[test]
    fn times_that_differ_are_guessed_and_equal_ones_are_not() {
        assert!(right(&around(100.0), &around(10.0)) > 0.98);
        assert!(right(&around(10.0), &around(100.0)) > 0.98);
        assert!((right(&around(10.0), &around(10.0)) - 0.5).abs() < 0.05);
    }
}
