//! What would mend a lab: each mitigation by itself, and pairs of them where none is enough, tried on a short part of it.

use lab_model::{Lab, Phases, Span};

use crate::{
    Counting, Options, Outcome, Range, Rung, Trials, change, simulate,
    studies::{
        mitigations::{Mended, Mitigation},
        trials::badness,
    },
};

/// The shortest storm that is tried, in nanoseconds.
const STORM_NS_MIN: u64 = 50_000_000;
/// A storm is cut so that a run makes about this many decisions.
const DECISIONS: u64 = 15_000;
/// And begins about this many operations of the workload: those that nobody is asked about take time, too.
const OPERATIONS: u64 = 15_000;
/// A figure that falls by less than this share in any pair of runs is the same figure.
const BETTER_BY: f64 = 0.05;

/// What mitigations do to a lab.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// The storm that was tried; the lab's own, or the beginning of it.
    pub storm: Span,
    /// The lab as it is.
    pub base: Trials,
    /// What helps, the best first, each with the lab that it makes of the whole one.
    pub helps: Vec<(Rung, Lab)>,
    /// What was tried and does not.
    pub idle: Vec<Rung>,
}

/// Tries mitigations on a lab that is simulated. Never one that it has already, and none that its kernel has not. As in
/// [`ladder`](crate::ladder), every lab runs once for each of `seeds`, by way of `run_all`.
///
/// The best is what ends best and misses least; of several that are alike in this, first those without a blind spot, then
/// the one with the shortest tail.
#[must_use]
pub fn advice(
    lab: &Lab,
    options: &Options,
    seeds: &[u64],
    run_all: &dyn Fn(&[Lab]) -> Vec<Trials>,
) -> Advice {
    let seed = seeds.first().copied().unwrap_or(lab.seed);
    let tried = beginning(lab, options, seed);
    let mended = Mended::of(&tried, options, seed);
    let useful = mended.useful();
    let run = |all: Vec<Vec<Mitigation>>| -> Vec<Rung> {
        let labs: Vec<Lab> = all.iter().map(|with| mended.with(with)).collect();
        all.into_iter().zip(run_all(&labs)).map(|(with, trials)| Rung { with, trials }).collect()
    };
    let base = run_all(std::slice::from_ref(&tried)).pop().unwrap_or_default();
    let mut rungs = run(useful.iter().map(|mitigation| vec![*mitigation]).collect());
    let is_enough = |rung: &Rung| helps(&base, &rung.trials) && Rank::of(rung).is_good();
    if !Rank::of_trials(&base).is_good() && !rungs.iter().any(is_enough) {
        rungs.extend(run(pairs(&useful)));
    }
    let (mut helping, idle): (Vec<Rung>, Vec<Rung>) =
        rungs.into_iter().partition(|rung| helps(&base, &rung.trials));
    helping.sort_by(|one, other| Rank::of(one).compare(&Rank::of(other)));
    // The same mutes in the whole lab, which may be longer than what was tried.
    let whole = |with: &[Mitigation]| {
        with.iter().fold(lab.clone(), |lab, mitigation| mitigation.apply_with(&lab, &mended.mutes))
    };
    let helps = helping.into_iter().map(|rung| (whole(&rung.with), rung)).map(|(lab, rung)| (rung, lab));
    Advice { storm: tried.phases.storm, base, helps: helps.collect(), idle }
}

fn pairs(all: &[Mitigation]) -> Vec<Vec<Mitigation>> {
    let pair = |(place, one): (usize, &Mitigation)| -> Vec<Vec<Mitigation>> {
        all[place + 1..].iter().map(|other| vec![*one, *other]).collect()
    };
    all.iter().enumerate().flat_map(pair).collect()
}

/// The lab with no more of its storm than shows what it does: baseline and control say nothing about mitigations. A storm in
/// which something is planned stays long enough for that.
fn beginning(lab: &Lab, options: &Options, seed: u64) -> Lab {
    let mut lab = lab.clone();
    lab.phases.baseline = Span::default();
    lab.phases.control = Span::default();
    lab.expect.clear();
    let whole = lab.phases.storm.nanos();
    let least = STORM_NS_MIN.min(whole);
    let probe = Lab { phases: Phases { storm: Span::from_nanos(least), ..lab.phases }, ..lab.clone() };
    let seen = simulate(&probe, &Options { seed, ..*options }, &mut Counting::default());
    let decisions: u64 = seen.seen.iter().flatten().sum();
    let room = (DECISIONS / decisions.max(1)).min(OPERATIONS / seen.roots_begun.max(1)).max(1);
    let ends = lab
        .faults
        .iter()
        .map(|fault| fault.at.nanos().saturating_add(fault.action.span().unwrap_or_default().nanos()));
    let planned = ends.max().unwrap_or(0);
    let storm = least.saturating_mul(room).max(planned.saturating_add(least)).min(whole);
    lab.phases.storm = Span::from_nanos(storm);
    lab
}

/// True when runs with a mitigation end better, miss less, or are faster or cheaper in every pair, and nothing is worse.
fn helps(base: &Trials, with: &Trials) -> bool {
    let (before, after) = (Rank::of_trials(base), Rank::of_trials(with));
    if after.outcome != before.outcome {
        return after.outcome < before.outcome && after.has_ended_well() && after.missed <= before.missed;
    }
    if after.missed != before.missed {
        return after.missed < before.missed;
    }
    let tail = change(base, with, |run| run.open_p99_ns);
    let decisions = change(base, with, |run| run.amplification);
    let falls = |range: Option<Range>| range.is_some_and(|range| range.high < -BETTER_BY);
    let rises = |range: Option<Range>| range.is_some_and(|range| range.low > BETTER_BY);
    (falls(tail) || falls(decisions)) && !rises(tail) && !rises(decisions)
}

/// How good a lab is with some mitigations; less is better, and what comes first weighs more.
struct Rank {
    outcome: u32,
    missed: f64,
    blind: usize,
    p99: f64,
}

impl Rank {
    fn of_trials(trials: &Trials) -> Rank {
        Rank {
            outcome: trials.worst().map_or(u32::MAX, badness),
            missed: trials.missed.map_or(f64::INFINITY, |range| range.high),
            blind: 0,
            p99: trials.open_p99.map_or(f64::INFINITY, |range| range.median),
        }
    }

    fn of(rung: &Rung) -> Rank {
        let blind = rung.with.iter().filter(|mitigation| mitigation.has_blind_spot()).count();
        Rank { blind, ..Rank::of_trials(&rung.trials) }
    }

    fn has_ended_well(&self) -> bool {
        self.outcome <= badness(Outcome::Saturated)
    }

    fn is_good(&self) -> bool {
        self.has_ended_well() && self.missed == 0.0
    }

    fn compare(&self, other: &Rank) -> std::cmp::Ordering {
        self.outcome
            .cmp(&other.outcome)
            .then(self.missed.total_cmp(&other.missed))
            .then(self.blind.cmp(&other.blind))
            .then(self.p99.total_cmp(&other.p99))
    }
}
