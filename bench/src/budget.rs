//! Budgets: those of `bench/budgets.json`, and the rounds that each function declares.
//!
//! Times are ratios to other times of the same run, so the budgets hold on any machine. Sizes and memory are absolute.

use std::fmt::Write as _;
use std::path::Path;

use api::Access;
use serde::Deserialize;

use crate::Outcome;
use crate::figures::{Figures, Program};

/// The budgets of `bench/budgets.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Budgets {
    /// Budgets of functions.
    programs: Vec<Budget>,
    /// The upstream calls of a warm authorization.
    authorizer_calls: Vec<String>,
    /// Warm authorization beyond the floor, in bare reads.
    authorizer_reads: f64,
    /// Warm authorization in the fullest table, in times of the emptiest.
    fullest_table: f64,
    /// Refreshes of a storm.
    storm_refreshes: usize,
    /// Share of single responses whose time tells whether the address is known.
    guessed: f64,
}

/// A budget of some functions.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Budget {
    measure: Measure,
    /// Names of functions; `*` for all of them, `peer` for those that have a peer.
    of: Vec<String>,
    #[serde(flatten)]
    bound: Bound,
    /// The goal, if it is out of reach and the budget is wider: `docs/performance.md` has the reason.
    goal: Option<f64>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Measure {
    Start,
    First,
    Warm,
    Cpu,
    Memory,
    Zip,
}

/// A limit.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Bound {
    /// At most so many times the floor's, with the same event if that is measured.
    TimesFloor(f64),
    /// At most the peer's divided by this.
    TimesLessThanPeer(f64),
    /// At most so many MiB (memory) or MB (zip).
    AtMost(f64),
}

impl Measure {
    fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::First => "first request",
            Self::Warm => "warm request",
            Self::Cpu => "warm CPU",
            Self::Memory => "memory",
            Self::Zip => "zip",
        }
    }

    fn of(self, program: &Program) -> f64 {
        match self {
            Self::Start => program.start_ms.median,
            Self::First => program.first_ms.median,
            Self::Warm => program.warm_us.median,
            Self::Cpu => program.cpu_us,
            Self::Memory => program.peak_memory_kib as f64 / 1024.0,
            Self::Zip => program.zip_bytes as f64 / 1e6,
        }
    }
}

/// A measurement and its budget.
#[derive(Debug)]
pub(crate) struct Verdict {
    what: String,
    measured: f64,
    /// Whether the bound is a minimum, not a maximum.
    is_minimum: bool,
    bound: f64,
    goal: f64,
}

impl Verdict {
    pub(crate) fn is_met(&self) -> bool {
        self.meets(self.bound)
    }

    fn meets(&self, bound: f64) -> bool {
        if self.is_minimum { self.measured >= bound } else { self.measured <= bound }
    }
}

impl Budgets {
    pub(crate) fn read(root: &Path) -> Outcome<Self> {
        Ok(serde_json::from_str(&std::fs::read_to_string(root.join("bench/budgets.json"))?)?)
    }

    /// Compares the figures with all budgets.
    pub(crate) fn check(&self, figures: &Figures) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        let at_most = |what: String, measured: f64, bound: f64| Verdict {
            what,
            measured,
            is_minimum: false,
            bound,
            goal: bound,
        };
        for budget in &self.programs {
            for (name, program) in &figures.functions {
                let peer = figures.peer.get(name);
                let covers = |each: &String| each == "*" || each == name || each == "peer" && peer.is_some();
                if budget.of.iter().any(covers) {
                    let floor = figures.floor_with_event_of.get(name).unwrap_or(&figures.floor);
                    verdicts.extend(budget.check(name, program, floor, peer));
                }
            }
        }
        for (name, program) in &figures.functions {
            // Nobody waits for a schedule, which declares none.
            let function = catalog::function(name).filter(|each| each.route.access != Access::Scheduled);
            let bound = function.map(|function| function.route.rounds as f64);
            let rounds = f64::from(program.rounds);
            verdicts.extend(bound.map(|bound| at_most(format!("{name}: rounds"), rounds, bound)));
        }
        if let Some(authorizer) = figures.functions.get("authorizer") {
            let unexpected =
                authorizer.calls.iter().filter(|call| !self.authorizer_calls.contains(call)).count();
            let calls = authorizer.calls.len().max(self.authorizer_calls.len() + unexpected);
            let bound = self.authorizer_calls.len();
            let what = format!("authorizer: calls other than {}", self.authorizer_calls.join(", "));
            verdicts.push(at_most(what, (calls - bound) as f64, 0.0));
            let read = figures.get_item_read_us.median;
            let beyond = authorizer.warm_us.median - figures.floor.warm_us.median;
            let what = "authorizer: bare reads beyond the floor".to_owned();
            verdicts.push(at_most(what, beyond / read, self.authorizer_reads));
        }
        if let [emptiest, .., fullest] = figures.sessions.as_slice() {
            let what = format!("authorizer: {} sessions over {}", fullest.sessions, emptiest.sessions);
            let ratio = fullest.authorize_us.median / emptiest.authorize_us.median;
            verdicts.push(at_most(what, ratio, self.fullest_table));
        }
        if let Some(storm) = figures.storm {
            let what = format!("refreshes of {} requests at once", storm.requests);
            verdicts.push(at_most(what, storm.refreshes as f64, self.storm_refreshes as f64));
            verdicts.push(at_most("failures among them".to_owned(), storm.failures as f64, 0.0));
        }
        for each in &figures.throughput {
            let what = format!("{} with {} at a time: failures", each.target, each.concurrency);
            verdicts.push(at_most(what, each.failures as f64, 0.0));
        }
        for each in &figures.guesses {
            let what = format!("{}: known or unknown guessed", each.function);
            verdicts.push(if each.has_floor {
                at_most(what, each.right, self.guessed)
            } else {
                // Otherwise the measurement could not tell at all.
                let what = format!("{what} without the floor");
                Verdict { what, measured: each.right, is_minimum: true, bound: 0.9, goal: 0.9 }
            });
        }
        verdicts
    }
}

impl Budget {
    fn check(
        &self,
        name: &str,
        program: &Program,
        floor: &Program,
        peer: Option<&Program>,
    ) -> Option<Verdict> {
        let measure = self.measure;
        let value = measure.of(program);
        let (measured, bound, is_minimum, unit) = match self.bound {
            Bound::TimesFloor(bound) => (value / measure.of(floor), bound, false, "over the floor"),
            Bound::TimesLessThanPeer(bound) => {
                (measure.of(peer?) / value, bound, true, "of the peer over ours")
            }
            Bound::AtMost(bound) => {
                (value, bound, false, if matches!(measure, Measure::Zip) { "in MB" } else { "in MiB" })
            }
        };
        Some(Verdict {
            what: format!("{name}: {} {unit}", measure.name()),
            measured,
            is_minimum,
            bound,
            goal: self.goal.unwrap_or(bound),
        })
    }
}

/// The exceeded budgets, the missed goals, and how many of both are met.
pub(crate) fn render(verdicts: &[Verdict]) -> String {
    let mut text = String::new();
    for verdict in verdicts {
        let Verdict { what, measured, bound, goal, is_minimum } = verdict;
        let word = if *is_minimum { "at least" } else { "at most" };
        // Writing to a string cannot fail.
        let _ = if !verdict.is_met() {
            writeln!(text, "EXCEEDED  {what}: {measured:.2}, {word} {bound:.2}")
        } else if !verdict.meets(*goal) {
            writeln!(text, "MISSED    {what}: {measured:.2}, {word} {bound:.2}; goal {goal:.2}")
        } else {
            Ok(())
        };
    }
    let met = verdicts.iter().filter(|verdict| verdict.is_met()).count();
    let goals = verdicts.iter().filter(|verdict| verdict.meets(verdict.goal)).count();
    let _ = write!(text, "Budgets: {met} of {} met, {goals} goals met.", verdicts.len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Counts;
    use crate::machine::Machine;
    use crate::spread::Spread;

    fn starting_in(milliseconds: f64) -> Program {
        let start_ms = Spread { median: milliseconds, ..Spread::default() };
        Program { start_ms, zip_bytes: 1_200_000, ..Program::default() }
    }

    fn exceeded(budgets: &str) -> Vec<String> {
        let budgets = format!(
            r#"{{ "programs": {budgets}, "authorizerCalls": [], "authorizerReads": 1, "fullestTable": 1,
                  "stormRefreshes": 1, "guessed": 1 }}"#
        );
        let budgets: Budgets = serde_json::from_str(&budgets).unwrap();
        let mut figures = Figures::new(Machine::default(), Counts::QUICK);
        figures.floor = starting_in(1.0);
        figures.functions.insert("sign-in".to_owned(), starting_in(2.0));
        figures.functions.insert("sign-out".to_owned(), starting_in(1.0));
        figures.peer.insert("sign-in".to_owned(), starting_in(90.0));
        let verdicts = budgets.check(&figures);
        verdicts.into_iter().filter(|verdict| !verdict.is_met()).map(|verdict| verdict.what).collect()
    }

    #[test]
    fn a_ratio_to_the_floor_is_an_upper_bound() {
        let budget =
            |bound: f64| format!(r#"[{{ "measure": "start", "of": ["*"], "timesFloor": {bound} }}]"#);
        assert_eq!(exceeded(&budget(1.5)), ["sign-in: start over the floor"]);
        assert!(exceeded(&budget(2.0)).is_empty());
    }

    #[test]
    fn a_ratio_to_the_peer_is_a_lower_bound_for_functions_with_a_peer() {
        let budget = |bound: f64| {
            format!(r#"[{{ "measure": "start", "of": ["peer"], "timesLessThanPeer": {bound} }}]"#)
        };
        assert_eq!(exceeded(&budget(50.0)), ["sign-in: start of the peer over ours"]);
        assert!(exceeded(&budget(45.0)).is_empty());
    }

    #[test]
    fn a_function_keeps_to_the_rounds_that_it_declares() {
        let budgets: Budgets = serde_json::from_str(include_str!("../budgets.json")).unwrap();
        let mut figures = Figures::new(Machine::default(), Counts::QUICK);
        let declared = catalog::function("sign-out").unwrap().route.rounds as u32;
        for (rounds, is_met) in [(declared, true), (declared + 1, false)] {
            figures.functions.insert("sign-out".to_owned(), Program { rounds, ..Program::default() });
            let verdicts = budgets.check(&figures);
            let verdict = verdicts.iter().find(|verdict| verdict.what == "sign-out: rounds").unwrap();
            assert_eq!(verdict.is_met(), is_met, "{rounds}");
        }
    }

    #[test]
    fn a_size_is_an_absolute_upper_bound() {
        let budget = r#"[{ "measure": "zip", "of": ["sign-out"], "atMost": 1.1 }]"#;
        assert_eq!(exceeded(budget), ["sign-out: zip in MB"]);
    }
}
