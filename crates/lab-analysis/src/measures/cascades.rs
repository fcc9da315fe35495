//! What the storm's cascades came to: how deep, how large, how long, and the worst of them.

use lab_model::Bounded;

use crate::{
    findings::{CascadeTree, Cascades, Findings, WhyShown},
    measure::{Closing, Measure, Measured},
    measures::latency::{Times, Whole},
    participants::timeline::Timeline,
    pass::{
        cascade::{Cascade, Kept},
        facts::{ClosedCascade, Scope},
    },
};

/// What the storm's cascades came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    unfinished: u64,
    /// Completed ones that began while a client was dead.
    after_death: u64,
    depth: Whole,
    size: Whole,
    duration: Times,
    /// Decisions in cascades whose root completed, and how many roots those are.
    decisions_of_completed: u64,
    completed_roots: u64,
    largest: Option<Kept>,
    deepest: Option<Kept>,
    longest: Option<Kept>,
}

impl Tally {
    /// Folds a closed cascade of the storm into the counts. `lived` says that all clients did when it began.
    fn add(&mut self, cascade: &Cascade, lived: bool, timeline: &Timeline) {
        if cascade.root_completed && lived {
            self.completed_roots.raise(1);
            self.decisions_of_completed.raise(cascade.decisions);
        }
        let duration = timeline.took(cascade.began, cascade.last);
        if cascade.cut || !cascade.root_completed {
            self.unfinished.raise(1);
        } else if !lived {
            self.after_death.raise(1);
        } else {
            self.depth.record(cascade.depth);
            self.size.record(cascade.decisions);
            self.duration.record(duration);
        }
        if cascade.decisions == 0 {
            return;
        }
        let beats = |kept: &Option<Kept>, value: fn(&Kept) -> u64, mine: u64| {
            kept.as_ref().is_none_or(|kept| mine > value(kept))
        };
        if beats(&self.largest, |kept| kept.size, cascade.decisions) {
            self.largest = Some(Kept::of(cascade, duration));
        }
        if beats(&self.deepest, |kept| kept.depth, cascade.depth) {
            self.deepest = Some(Kept::of(cascade, duration));
        }
        if beats(&self.longest, |kept| kept.duration, duration) {
            self.longest = Some(Kept::of(cascade, duration));
        }
    }
}

impl Tally {
    fn section(&self, closing: &Closing<'_>) -> Cascades {
        let none = WhyShown::default();
        let candidates = [
            (WhyShown { largest: true, ..none }, &self.largest),
            (WhyShown { deepest: true, ..none }, &self.deepest),
            (WhyShown { longest: true, ..none }, &self.longest),
        ];
        // One cascade is often several of these; it is shown once.
        let mut kept: Vec<(WhyShown, &Kept)> = Vec::new();
        for (why, candidate) in candidates {
            let Some(candidate) = candidate else { continue };
            match kept.iter_mut().find(|(_, other)| other.serial == candidate.serial) {
                Some((reasons, _)) => *reasons = reasons.and(why),
                None => kept.push((why, candidate)),
            }
        }
        Cascades {
            count: self.duration.count(),
            unfinished: self.unfinished,
            after_death: self.after_death,
            depth: self.depth.summary(),
            size: self.size.summary(),
            duration_ns: self.duration.summary(),
            worst: kept.into_iter().map(|(why, kept)| closing.show.tree(why, kept)).collect(),
            flame: closing.show.flame.frames(|client| closing.client(client)),
        }
    }
}

impl Measure for Tally {
    fn of(_: &Scope<'_>) -> Self {
        Tally::default()
    }

    fn cascade_closed(&mut self, closed: &ClosedCascade<'_>, scope: &Scope<'_>) {
        if closed.cascade.in_storm() {
            let lived = scope.timeline.deaths().all_lived(closed.cascade.began);
            self.add(closed.cascade, lived, scope.timeline);
        }
    }

    fn finish(&self, closing: &Closing<'_>, findings: &mut Findings) {
        let roots = self.completed_roots;
        findings.cascades = self.section(closing);
        findings.amplification = (roots > 0).then(|| self.decisions_of_completed as f64 / roots as f64);
    }

    fn metric(findings: &Findings, parts: &[&str]) -> Option<Measured> {
        let cascades = &findings.cascades;
        Some(match parts {
            ["amplification"] => Measured::Number(findings.amplification?),
            ["cascade", "depth"] => Measured::Count(most(cascades, |tree| tree.depth, cascades.depth.max)),
            ["cascade", "size"] => Measured::Count(most(cascades, |tree| tree.size, cascades.size.max)),
            _ => return None,
        })
    }
}

/// The largest over all cascades: completed ones, and the worst that did not complete.
fn most(cascades: &Cascades, value: fn(&CascadeTree) -> u64, completed: u64) -> u64 {
    cascades.worst.iter().map(value).fold(completed, u64::max)
}
