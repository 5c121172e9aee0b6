//! The models, each checked in every state that it can reach.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::unreachable,
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    reason = "a mistake in a model fails its test"
)]

mod recording;
mod session;

use std::hash::Hash;
use std::time::Instant;

use stateright::{Checker as _, Model};

/// A function's deadline, in seconds.
const DEADLINE: u64 = 8;

/// The next of `moments` after `now`. Time does not pass the deadline of a running request; `started_at` has the start of
/// each.
fn next_moment(
    now: u64,
    moments: impl Iterator<Item = u64>,
    started_at: impl Iterator<Item = u64> + Clone,
) -> Option<u64> {
    let deadlines = started_at.map(|started_at| started_at + DEADLINE);
    let next = moments.chain(deadlines.clone()).filter(|moment| *moment > now).min()?;
    deadlines.into_iter().all(|deadline| next <= deadline).then_some(next)
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It took effect, and was answered.
    Answered,
    /// It took effect, and the answer was lost.
    AnswerLost,
    /// It did not reach the other side.
    Dropped,
    /// It took effect, and the caller died.
    Died,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Answered, Self::AnswerLost, Self::Dropped, Self::Died];

    fn is_fault(self) -> bool {
        self != Self::Answered
    }
}

/// Explores a model completely. Fails with a shortest trace to a state in which an `always` property is violated, or
/// if no state satisfies a `sometimes` property.
fn check<M>(name: &str, model: M)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + std::fmt::Debug + Hash + PartialEq + Send + Sync,
    M::Action: Clone + std::fmt::Debug + PartialEq,
{
    let started = Instant::now();
    let checker = model.checker().spawn_bfs().join();
    println!("{name}: {} states, {:.1?}", checker.unique_state_count(), started.elapsed());
    checker.assert_properties();
}
