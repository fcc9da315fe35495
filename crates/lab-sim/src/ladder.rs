//! One mitigation at a time, then the best ones together: what each is worth.

use lab_model::{Behavior, Concurrency, Lab, ReactTo, When};

use crate::{
    Options, Trials,
    trials::{badness, trials},
};

/// A change that every client of a lab could make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mitigation {
    /// Answers first and reacts afterwards.
    AnswerFirst,
    /// Uses the file it was handed instead of opening it again.
    ReadThroughDescriptor,
    /// Answers other clients' events at once.
    PeerCheck,
    /// Works on four times as many decisions at once.
    MoreConcurrency,
    /// Answers at 80 % of the deadline, finished or not.
    AutoAnswer,
}

impl Mitigation {
    /// All of them, in the order of reports.
    pub const ALL: [Mitigation; 5] = [
        Mitigation::AnswerFirst,
        Mitigation::ReadThroughDescriptor,
        Mitigation::PeerCheck,
        Mitigation::MoreConcurrency,
        Mitigation::AutoAnswer,
    ];

    /// The change in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Mitigation::AnswerFirst => "answer first",
            Mitigation::ReadThroughDescriptor => "read through the descriptor",
            Mitigation::PeerCheck => "peer check",
            Mitigation::MoreConcurrency => "more concurrency",
            Mitigation::AutoAnswer => "auto-answer",
        }
    }

    /// What it blinds a client to.
    #[must_use]
    pub const fn blind_spot(self) -> &'static str {
        match self {
            Mitigation::AnswerFirst => {
                "a file is used before it was looked at; nothing can be denied on what is found"
            }
            Mitigation::ReadThroughDescriptor => {
                "none: the same content is read, and no other client sees it being read"
            }
            Mitigation::PeerCheck => {
                "whatever a client does on behalf of somebody else, or once it is taken over"
            }
            Mitigation::MoreConcurrency => "none; costs threads",
            Mitigation::AutoAnswer => "whatever takes longer than the budget is allowed unseen",
        }
    }

    /// The lab with this change in every client.
    #[must_use]
    pub fn apply(self, lab: &Lab) -> Lab {
        let mut lab = lab.clone();
        for client in &mut lab.clients {
            self.change(&mut client.behavior);
        }
        lab
    }

    fn change(self, behavior: &mut Behavior) {
        match self {
            Mitigation::AnswerFirst => {
                // A client without a reaction has nothing to put off.
                for reaction in [&mut behavior.on_open, &mut behavior.on_exec] {
                    if !reaction.is_none() {
                        reaction.when = When::After;
                    }
                }
            }
            Mitigation::ReadThroughDescriptor => {
                behavior.on_open.reopen = false;
                behavior.on_exec.reopen = false;
            }
            Mitigation::PeerCheck => {
                behavior.react_to = match behavior.react_to {
                    ReactTo::Peers | ReactTo::Workload => ReactTo::Workload,
                    ReactTo::All | ReactTo::Own => ReactTo::Own,
                };
            }
            Mitigation::MoreConcurrency => {
                behavior.concurrency = Concurrency::new(behavior.concurrency.get().saturating_mul(4));
            }
            Mitigation::AutoAnswer => {
                behavior.answer_by_percent = Some(behavior.answer_by_percent.map_or(80, |at| at.min(80)));
            }
        }
    }
}

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
    /// Each mitigation by itself; those that change nothing in this lab are left out.
    pub alone: Vec<Rung>,
    /// One more at a time, the one that helps most first, as long as any helps.
    pub climb: Vec<Rung>,
}

/// Runs a lab with each mitigation and then with the best together. `options.seed` is not used: every rung
/// runs once for each of `seeds`.
#[must_use]
pub fn ladder(lab: &Lab, options: &Options, seeds: &[u64]) -> Ladder {
    let run = |with: &[Mitigation]| {
        let changed = with.iter().fold(lab.clone(), |lab, mitigation| mitigation.apply(&lab));
        Rung { with: with.to_vec(), trials: trials(&changed, options, seeds) }
    };
    let useful: Vec<Mitigation> =
        Mitigation::ALL.into_iter().filter(|mitigation| mitigation.apply(lab) != *lab).collect();
    let base = trials(lab, options, seeds);
    let alone: Vec<Rung> = useful.iter().map(|mitigation| run(&[*mitigation])).collect();
    let mut climb: Vec<Rung> = Vec::new();
    loop {
        let (with, reached) = match climb.last() {
            Some(rung) => (rung.with.clone(), &rung.trials),
            None => (Vec::new(), &base),
        };
        let left = useful.iter().filter(|mitigation| !with.contains(mitigation));
        let rungs = left.map(|mitigation| run(&[with.as_slice(), &[*mitigation]].concat()));
        let best = rungs.min_by(|one, other| score(&one.trials).compare(&score(&other.trials)));
        match best {
            Some(best) if score(&best.trials).beats(&score(reached)) => climb.push(best),
            _ => break,
        }
    }
    Ladder { base, alone, climb }
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
