//! One mitigation at a time, then the best ones together: what each is worth.

use lab_model::{Lab, Mute};

use crate::{
    Options, Range, Trial, Trials,
    studies::{
        mitigations::{Mended, Mitigation},
        trials::badness,
    },
};

/// A lab with some mitigations, and what it showed.
#[derive(Clone, Debug, PartialEq)]
pub struct Rung {
    /// The mitigations.
    pub with: Vec<Mitigation>,
    /// What the runs showed.
    pub trials: Trials,
}

/// What mitigations are worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Ladder {
    /// The lab as it is.
    pub base: Trials,
    /// For each client what it could mute: the clients about whose operations it was asked, the busiest first,
    /// and its own helpers. Mutes that it has already stay.
    pub mutes: Vec<Mute>,
    /// For each client its decisions, and those of them that the mutes would answer without a look.
    pub muted: Vec<(u64, u64)>,
    /// Each mitigation by itself; those that change nothing in this lab are left out.
    pub alone: Vec<Rung>,
    /// One more at a time, the one that helps most first, as long as any helps.
    pub climb: Vec<Rung>,
}

/// Runs a lab with each mitigation and then with the best together. `options.seed` is not used: every rung
/// runs once for each of `seeds`. `run_all` runs several labs, side by side if it likes, and gives back what each
/// showed: [`trials`](crate::trials) of each, with the same options and seeds.
#[must_use]
pub fn ladder(
    lab: &Lab,
    options: &Options,
    seeds: &[u64],
    run_all: &dyn Fn(&[Lab]) -> Vec<Trials>,
) -> Ladder {
    let mended = Mended::of(lab, options, seeds.first().copied().unwrap_or(lab.seed));
    let useful = mended.useful();
    let rungs = |above: &[Mitigation]| {
        let left = useful.iter().filter(|mitigation| !above.contains(mitigation));
        let steps: Vec<_> = left.map(|mitigation| [above, &[*mitigation]].concat()).collect();
        let labs: Vec<Lab> = steps.iter().map(|step| mended.with(step)).collect();
        steps.into_iter().zip(run_all(&labs)).map(|(with, trials)| Rung { with, trials }).collect()
    };
    let base = run_all(std::slice::from_ref(lab)).pop().unwrap_or_default();
    let alone: Vec<Rung> = rungs(&[]);
    let mut climb: Vec<Rung> = Vec::new();
    let mut next = alone.clone();
    while let Some(best) =
        next.into_iter().min_by(|one, other| score(&one.trials).compare(&score(&other.trials)))
    {
        let reached = climb.last().map_or(&base, |rung| &rung.trials);
        if !score(&best.trials).beats(&score(reached)) {
            break;
        }
        next = rungs(&best.with);
        climb.push(best);
    }
    let Mended { mutes, muted, .. } = mended;
    Ladder { base, mutes, muted, alone, climb }
}

/// The change of a figure against the lab as it is, as a share, from pairs of runs with the same seed.
#[must_use]
pub fn change(base: &Trials, with: &Trials, figure: fn(&Trial) -> Option<f64>) -> Option<Range> {
    let pair = |run: &Trial| {
        let before = base.runs.iter().find(|other| other.seed == run.seed).and_then(figure)?;
        (before > 0.0).then_some(figure(run)? / before - 1.0)
    };
    Range::of(with.runs.iter().filter_map(pair).collect())
}

/// How a lab is doing; less is better, and what comes first weighs more.
struct Score {
    outcome: u32,
    missed: f64,
    p99: f64,
}

/// A tail that is shorter by less than this share is the same tail.
const BETTER_BY: f64 = 0.05;

fn score(trials: &Trials) -> Score {
    Score {
        outcome: trials.worst().map_or(u32::MAX, badness),
        missed: trials.missed.map_or(f64::INFINITY, |range| range.median),
        p99: trials.open_p99.map_or(f64::INFINITY, |range| range.median),
    }
}

impl Score {
    fn compare(&self, other: &Score) -> std::cmp::Ordering {
        self.outcome
            .cmp(&other.outcome)
            .then(self.missed.total_cmp(&other.missed))
            .then(self.p99.total_cmp(&other.p99))
    }

    /// Better by more than chance would have it.
    fn beats(&self, other: &Score) -> bool {
        if (self.outcome, self.missed) != (other.outcome, other.missed) {
            return self.compare(other).is_lt();
        }
        self.p99 < other.p99 * (1.0 - BETTER_BY)
    }
}
