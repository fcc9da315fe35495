//! One run from a lab to its summary, and many of them.

use lab_model::{Approval, Lab, PhaseKind};
use serde::{Deserialize, Serialize};

use crate::{
    Counting, Cut, Cycle, Histogram, NotifyTally, Options, Sink, Traces, records::tally::Tally, run::run,
};

/// How a simulated run ended up. Unlike an analysis of traces, the simulator sees every queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Everything ended.
    Stable,
    /// Everything ended, but the workload fell further behind its plan in every quarter of the storm.
    Saturated,
    /// Clients' answers to events that clients had caused still caused new ones when the drain was over.
    Divergent,
    /// Clients waited for each other in a circle.
    Deadlocked,
    /// None of these could be told.
    Unknown,
}

impl Outcome {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Stable => "stable",
            Outcome::Saturated => "saturated",
            Outcome::Divergent => "divergent",
            Outcome::Deadlocked => "deadlocked",
            Outcome::Unknown => "unknown",
        }
    }
}

/// What one phase was like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhaseSummary {
    /// Which.
    pub phase: PhaseKind,
    /// How long it lasted, in nanoseconds.
    pub span: u64,
    /// Decisions read in it.
    pub decisions: u64,
    /// The workload's operations that ended in it, by how long they took from their (planned) start.
    pub root_latency: Histogram,
}

/// What the simulator itself can say of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The seed it ran with.
    pub seed: u64,
    /// How it ended up.
    pub outcome: Outcome,
    /// Clients that waited for each other in a circle, when it was first seen.
    pub cycle: Option<Cycle>,
    /// Decisions read.
    pub decisions: u64,
    /// The workload's operations, begun.
    pub roots_begun: u64,
    /// The phases, in order.
    pub phases: Vec<PhaseSummary>,
    /// In storm and drain: `seen[i][j]` decisions of client i about operations of client j; the last column
    /// is the workload.
    pub seen: Vec<Vec<u64>>,
    /// `driven[i][j]`: questions to client i that client j caused while it decided on the workload's events.
    pub driven: Vec<Vec<u64>>,
    /// `fed_back[i][j]`: the same while it decided on events that clients had caused.
    pub fed_back: Vec<Vec<u64>>,
    /// What each client was told of, and what not.
    pub told: Vec<NotifyTally>,
    /// From read to answer, over all clients.
    pub decision_latency: Histogram,
    /// Answers by how they came about, in the order of [`Approval::ALL`].
    pub by_approval: [u64; 8],
    /// Answers after the deadline.
    pub late_answers: u64,
    /// Clients killed for a deadline.
    pub kills: u32,
    /// Questions that a full queue let through.
    pub dropped: u64,
    /// The most decisions that were pending at once.
    pub pending_max: u64,
    /// Decisions and operations still under way at the end.
    pub in_flight: u64,
    /// How long the run took, in nanoseconds of virtual time.
    pub ended_at: u64,
    /// Why it was ended early, if it was.
    pub cut: Option<Cut>,
}

impl Summary {
    /// The summary of one phase, if it took place.
    #[must_use]
    pub fn phase(&self, kind: PhaseKind) -> Option<&PhaseSummary> {
        self.phases.iter().find(|phase| phase.phase == kind)
    }

    /// Answers that came about this way.
    #[must_use]
    pub fn approvals(&self, approval: Approval) -> u64 {
        self.by_approval[usize::from(approval.code()) - 1]
    }

    /// Decisions that missed their deadline: answered late, or never because the client was killed for it.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.late_answers + u64::from(self.kills)
    }
}

/// Runs a lab in virtual time and hands its records to `sink`.
pub fn simulate(lab: &Lab, options: &Options, sink: &mut impl Sink) -> Summary {
    let tally = run(lab, options, sink);
    summary(lab, options, tally)
}

fn summary(lab: &Lab, options: &Options, tally: Tally) -> Summary {
    let clients = lab.clients.len();
    let rows = |table: &[u64], columns: usize| -> Vec<Vec<u64>> {
        table.chunks(columns.max(1)).map(<[u64]>::to_vec).collect()
    };
    let outcome = outcome(&tally);
    let mut latency = tally.latency.map(Some);
    let phases = lab
        .phases
        .iter()
        .map(|phase| {
            let place = phase.kind.place();
            PhaseSummary {
                phase: phase.kind,
                span: tally.phase_spans[place],
                decisions: tally.phase_decisions[place],
                root_latency: latency[place].take().unwrap_or_default(),
            }
        })
        .collect();
    Summary {
        seed: options.seed,
        outcome,
        cycle: tally.cycle,
        decisions: tally.decisions,
        roots_begun: tally.roots_begun,
        phases,
        seen: rows(&tally.seen, clients + 1),
        driven: rows(&tally.driven, clients),
        fed_back: rows(&tally.fed_back, clients),
        told: tally.told,
        decision_latency: tally.decision_latency,
        by_approval: tally.by_approval,
        late_answers: tally.late_answers,
        kills: tally.kills,
        dropped: tally.dropped,
        pending_max: tally.pending_max,
        in_flight: tally.in_flight,
        ended_at: tally.ended_at,
        cut: tally.cut,
    }
}

/// A workload that ends the storm this far behind its plan has not kept up: 10 ms.
const LATE_MIN: u64 = 10_000_000;

fn outcome(tally: &Tally) -> Outcome {
    if tally.cycle.is_some() {
        return Outcome::Deadlocked;
    }
    if tally.cut.is_some() || tally.roots_begun == 0 {
        return Outcome::Unknown;
    }
    if tally.in_flight > 0 {
        return if tally.feeds_itself_late { Outcome::Divergent } else { Outcome::Unknown };
    }
    let [first, second, third, fourth] = tally.late;
    if first < second && second < third && third < fourth && fourth >= LATE_MIN {
        return Outcome::Saturated;
    }
    Outcome::Stable
}

/// The first run that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The seed that replays it.
    pub seed: u64,
    /// What it was like.
    pub summary: Summary,
}

/// Runs a lab with one seed after the other until `find` says yes. `options.seed` is not used.
pub fn search(
    lab: &Lab,
    options: &Options,
    seeds: impl IntoIterator<Item = u64>,
    mut find: impl FnMut(&Summary) -> bool,
) -> Option<Hit> {
    seeds.into_iter().find_map(|seed| {
        let summary = simulate(lab, &Options { seed, ..*options }, &mut Counting::default());
        find(&summary).then_some(Hit { seed, summary })
    })
}

/// Two runs that should have been the same were not: a bug of the simulator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("two runs with one seed differ in the trace of {process}, at byte {byte}")]
pub struct Difference {
    /// Whose trace.
    pub process: String,
    /// Where they first differ.
    pub byte: usize,
}

/// Runs a lab twice and compares the traces byte for byte.
///
/// # Errors
/// The first [`Difference`].
pub fn check_determinism(lab: &Lab, options: &Options) -> Result<Summary, Difference> {
    let run = || {
        let mut traces = Traces::new(lab.safety.trace_bytes_max);
        let summary = simulate(lab, options, &mut traces);
        (summary, traces.into_files())
    };
    let ((summary, first), (_, second)) = (run(), run());
    for (one, other) in first.iter().zip(&second) {
        if one != other {
            let same = one.bytes.iter().zip(&other.bytes).take_while(|(a, b)| a == b).count();
            return Err(Difference { process: one.name.clone(), byte: same });
        }
    }
    Ok(summary)
}
