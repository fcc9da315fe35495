//! The same lab with several seeds: figures with the spread that chance gives them.

use std::collections::BTreeMap;

use lab_model::{Lab, PhaseKind};
use serde::{Deserialize, Serialize};

use crate::{Counting, Options, Outcome, Summary, simulate};

/// A figure over several runs: the lowest, the median and the highest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The lowest.
    pub low: f64,
    /// The median; of an even number of runs the lower one in the middle.
    pub median: f64,
    /// The highest.
    pub high: f64,
}

impl Range {
    /// The range of some values; `None` without any.
    #[must_use]
    pub fn of(mut values: Vec<f64>) -> Option<Range> {
        values.sort_by(f64::total_cmp);
        let median = *values.get(values.len().checked_sub(1)? / 2)?;
        Some(Range { low: *values.first()?, median, high: *values.last()? })
    }
}

/// What one run of a lab showed, on whatever kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// Its seed.
    pub seed: u64,
    /// How it ended up.
    pub outcome: Outcome,
    /// Decisions for each root operation, in storm and drain.
    pub amplification: Option<f64>,
    /// Median time of a root operation that ended in the storm, in nanoseconds.
    pub open_p50_ns: Option<f64>,
    /// What 99 % of them took at most.
    pub open_p99_ns: Option<f64>,
    /// Decisions that missed their deadline.
    pub missed: f64,
    /// Decisions still under way at the end.
    pub in_flight: Option<f64>,
    /// How often an event of a client comes back to clients: events that clients caused by answering events of
    /// clients, over those events. `None` where nothing tells.
    pub gain: Option<f64>,
}

impl Trial {
    /// What a simulated run showed.
    #[must_use]
    pub fn of(summary: &Summary) -> Trial {
        let storm = |permille| {
            let phase = summary.phase(PhaseKind::Storm)?;
            phase.root_latency.at(permille).map(|nanoseconds| nanoseconds as f64)
        };
        Trial {
            seed: summary.seed,
            outcome: summary.outcome,
            amplification: amplification(summary),
            open_p50_ns: storm(500),
            open_p99_ns: storm(990),
            missed: summary.missed() as f64,
            in_flight: Some(summary.in_flight as f64),
            gain: gain(summary),
        }
    }
}

/// What several runs of one lab showed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trials {
    /// The runs.
    pub runs: Vec<Trial>,
    /// How many runs ended up how.
    pub outcomes: BTreeMap<Outcome, u32>,
    /// Decisions for each root operation, in storm and drain.
    pub amplification: Option<Range>,
    /// Median time of a root operation that ended in the storm, in nanoseconds.
    pub open_p50: Option<Range>,
    /// What 99 % of them took at most.
    pub open_p99: Option<Range>,
    /// Decisions that missed their deadline, in each run.
    pub missed: Option<Range>,
    /// Decisions still under way at the end of each run.
    pub in_flight: Option<Range>,
    /// How often an event of a client comes back to clients.
    pub gain: Option<Range>,
}

impl Trials {
    /// Sums runs of one lab up.
    #[must_use]
    pub fn of(runs: Vec<Trial>) -> Trials {
        let mut outcomes = BTreeMap::new();
        for run in &runs {
            *outcomes.entry(run.outcome).or_default() += 1;
        }
        let range = |figure: fn(&Trial) -> Option<f64>| Range::of(runs.iter().filter_map(figure).collect());
        let (amplification, gain) = (range(|run| run.amplification), range(|run| run.gain));
        let (open_p50, open_p99) = (range(|run| run.open_p50_ns), range(|run| run.open_p99_ns));
        let (missed, in_flight) = (range(|run| Some(run.missed)), range(|run| run.in_flight));
        Trials { runs, outcomes, amplification, open_p50, open_p99, missed, in_flight, gain }
    }

    /// The worst way in which any run ended up; `None` without a run.
    #[must_use]
    pub fn worst(&self) -> Option<Outcome> {
        self.outcomes.keys().copied().max_by_key(|outcome| badness(*outcome))
    }
}

/// How bad an outcome is: an unknown one is worse than a slow one and better than one that is known to be bad.
pub(crate) const fn badness(outcome: Outcome) -> u32 {
    match outcome {
        Outcome::Stable => 0,
        Outcome::Saturated => 1,
        Outcome::Unknown => 2,
        Outcome::Divergent => 3,
        Outcome::Deadlocked => 4,
    }
}

/// Runs a lab once for each seed. `options.seed` is not used.
#[must_use]
pub fn trials(lab: &Lab, options: &Options, seeds: &[u64]) -> Trials {
    let run = |&seed: &u64| simulate(lab, &Options { seed, ..*options }, &mut Counting::default());
    Trials::of(seeds.iter().map(|seed| Trial::of(&run(seed))).collect())
}

/// Questions fed back over decisions on what clients had done.
fn gain(summary: &Summary) -> Option<f64> {
    let fed: u64 = summary.fed_back.iter().flatten().sum();
    let from_clients: u64 =
        summary.seen.iter().map(|row| row.iter().sum::<u64>() - row.last().copied().unwrap_or(0)).sum();
    (from_clients > 0).then(|| fed as f64 / from_clients as f64)
}

pub(crate) fn amplification(summary: &Summary) -> Option<f64> {
    let ended = |kind| summary.phase(kind).map_or(0, |phase| phase.root_latency.count());
    let roots = ended(PhaseKind::Storm) + ended(PhaseKind::Drain);
    let decisions: u64 = summary.seen.iter().flatten().sum();
    (roots > 0).then(|| decisions as f64 / roots as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_sorted() {
        assert_eq!(Range::of(vec![3.0, 1.0, 2.0]), Some(Range { low: 1.0, median: 2.0, high: 3.0 }));
        assert_eq!(Range::of(vec![2.0, 1.0]), Some(Range { low: 1.0, median: 1.0, high: 2.0 }));
        assert_eq!(Range::of(Vec::new()), None);
    }
}
