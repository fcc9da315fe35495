//! One mitigation at a time, then the best ones together: what each is worth.

use lab_model::{Behavior, Cache, Concurrency, Lab, Mute, ReactTo, Via, When};

use crate::{Counting, Options, Range, Trial, Trials, simulate, studies::trials::badness};

/// A change that every client of a lab could make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mitigation {
    /// Answers first and reacts afterwards.
    AnswerFirst,
    /// Reads through the descriptor it was handed instead of opening the file again. Not on Endpoint Security,
    /// which hands none over.
    ReadThroughDescriptor,
    /// Answers other clients' events at once.
    PeerCheck,
    /// Mutes the clients about whose operations it is asked.
    PeerMute,
    /// Mutes its own helpers.
    HelperMute,
    /// Lets the kernel keep its answers.
    Cache,
    /// Works on four times as many decisions at once.
    MoreConcurrency,
    /// Answers at 80 % of the deadline, finished or not.
    AutoAnswer,
}

impl Mitigation {
    /// All of them, in the order of reports.
    pub const ALL: [Mitigation; 8] = [
        Mitigation::AnswerFirst,
        Mitigation::ReadThroughDescriptor,
        Mitigation::PeerCheck,
        Mitigation::PeerMute,
        Mitigation::HelperMute,
        Mitigation::Cache,
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
            Mitigation::PeerMute => "mute set",
            Mitigation::HelperMute => "helper mute",
            Mitigation::Cache => "cache",
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
            Mitigation::PeerMute => {
                "whatever the muted clients do, for whomever they do it; a new client is not in the list"
            }
            Mitigation::HelperMute => "whatever a helper is made to do, by whomever",
            Mitigation::Cache => {
                "who opens a file that was allowed once, and what for, until it is written to"
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

    /// The same with the mutes that go with the lab.
    fn apply_with(self, lab: &Lab, mutes: &[Mute]) -> Lab {
        let mut lab = self.apply(lab);
        if self == Mitigation::PeerMute {
            for (client, mute) in lab.clients.iter_mut().zip(mutes) {
                client.behavior.mute = mute.clone();
            }
        }
        lab
    }

    fn change(self, behavior: &mut Behavior) {
        match self {
            Mitigation::AnswerFirst => {
                // A client without a reaction has nothing to put off.
                for (_, reaction) in behavior.reactions.iter_mut() {
                    if !reaction.is_none() {
                        reaction.when = When::After;
                    }
                }
            }
            Mitigation::ReadThroughDescriptor => {
                for reaction in behavior.all_reactions_mut() {
                    if std::mem::take(&mut reaction.reopen) {
                        reaction.via = Via::Descriptor;
                    }
                }
            }
            Mitigation::PeerCheck => {
                behavior.react_to = match behavior.react_to {
                    ReactTo::Peers | ReactTo::Workload => ReactTo::Workload,
                    ReactTo::All | ReactTo::Own => ReactTo::Own,
                };
            }
            // Whom to mute depends on the lab.
            Mitigation::PeerMute => {}
            Mitigation::HelperMute => behavior.mute.helpers |= behavior.helpers.is_some(),
            Mitigation::Cache => behavior.cache = Cache::On,
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
    let (mutes, muted) = mute_set(lab, options, seeds);
    let with = |with: &[Mitigation]| {
        with.iter().fold(lab.clone(), |lab, mitigation| mitigation.apply_with(&lab, &mutes))
    };
    let there = |mitigation: &Mitigation| {
        let descriptor = *mitigation == Mitigation::ReadThroughDescriptor;
        (!descriptor || options.kernel.hands_descriptors_over()) && with(&[*mitigation]) != *lab
    };
    let useful: Vec<Mitigation> = Mitigation::ALL.into_iter().filter(there).collect();
    let rungs = |above: &[Mitigation]| {
        let left = useful.iter().filter(|mitigation| !above.contains(mitigation));
        let steps: Vec<_> = left.map(|mitigation| [above, &[*mitigation]].concat()).collect();
        let labs: Vec<Lab> = steps.iter().map(|step| with(step)).collect();
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
    Ladder { base, mutes, muted, alone, climb }
}

/// Whom each client could mute, from one run of the lab as it is, and what that takes away.
fn mute_set(lab: &Lab, options: &Options, seeds: &[u64]) -> (Vec<Mute>, Vec<(u64, u64)>) {
    let seed = seeds.first().copied().unwrap_or(lab.seed);
    let seen = simulate(lab, &Options { seed, ..*options }, &mut Counting::default()).seen;
    let of_client = |(place, client): (usize, &lab_model::Client)| {
        let row: &[u64] = seen.get(place).map_or(&[], Vec::as_slice);
        let mut peers: Vec<(u64, usize)> =
            (0..lab.clients.len()).filter(|&peer| peer != place).map(|peer| (row[peer], peer)).collect();
        peers.retain(|(asked, _)| *asked > 0);
        peers.sort_by_key(|(asked, peer)| (std::cmp::Reverse(*asked), *peer));
        let mut mute = client.behavior.mute.clone();
        mute.helpers |= client.behavior.helpers.is_some();
        for (_, peer) in &peers {
            let name = lab.clients[*peer].id.to_string();
            if !mute.processes.contains(&name) {
                mute.processes.push(name);
            }
        }
        (mute, (row.iter().sum(), peers.iter().map(|(asked, _)| asked).sum()))
    };
    lab.clients.iter().enumerate().map(of_client).unzip()
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
