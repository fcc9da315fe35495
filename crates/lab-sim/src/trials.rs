//! The same lab with several seeds: figures with the spread that chance gives them.

use std::collections::BTreeMap;

use lab_model::{Lab, PhaseKind};

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
    fn of(mut values: Vec<f64>) -> Option<Range> {
        values.sort_by(f64::total_cmp);
        let median = *values.get(values.len().checked_sub(1)? / 2)?;
        Some(Range { low: *values.first()?, median, high: *values.last()? })
    }
}

/// What several runs of one lab showed.
#[derive(Clone, Debug, PartialEq)]
pub struct Trials {
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
}

impl Trials {
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
    let summaries: Vec<Summary> = seeds.iter().map(run).collect();
    let mut outcomes = BTreeMap::new();
    for summary in &summaries {
        *outcomes.entry(summary.outcome).or_default() += 1;
    }
    let range =
        |figure: &dyn Fn(&Summary) -> Option<f64>| Range::of(summaries.iter().filter_map(figure).collect());
    let storm = |summary: &Summary, permille| {
        let phase = summary.phase(PhaseKind::Storm)?;
        phase.root_latency.at(permille).map(|nanoseconds| nanoseconds as f64)
    };
    Trials {
        outcomes,
        amplification: range(&amplification),
        open_p50: range(&|summary| storm(summary, 500)),
        open_p99: range(&|summary| storm(summary, 990)),
        missed: range(&|summary| Some(summary.missed() as f64)),
        in_flight: range(&|summary| Some(summary.in_flight as f64)),
    }
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
