//! What a lab will do, before anything is touched: who sees whose events, and what that adds up to.
//!
//! What is exact is computed, not simulated: an operation of one client sets off a whole number of operations
//! at each client that sees it and reacts to it. If these reactions cannot come back to where they began, every
//! cascade ends and its size is a sum; if they can, no cascade ends by itself. Only which way it goes wrong,
//! and how close to the deadline, is rehearsed.

use lab_model::{
    Behavior, ExecProgram, Lab, OperationKind, PhaseKind, Reaction, Span, SubjectClass, Workload,
};

use crate::{
    Costs, Counting, Kernel, Options, Outcome, Summary,
    operation::{Linkage, Pass, passes},
    simulate,
};

/// The rehearsal's storm and drain last no longer than this.
const REHEARSAL: Span = Span::from_secs(1);

/// What a lab will do.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Whose rules.
    pub kernel: Kernel,
    /// `sees[i][j]`: client i is asked about operations of client j.
    pub sees: Vec<Vec<bool>>,
    /// `reacts[i][j]`: and makes operations of its own because of them, so many for each open.
    pub reacts: Vec<Vec<u64>>,
    /// Clients that set each other off in a circle, by their place; empty when every cascade ends.
    pub circle: Vec<usize>,
    /// The factor by which operations of clients multiply from one level of a cascade to the next: the spectral
    /// radius of what each makes for each of the others'. 0 when every cascade ends; never between 0 and 1.
    pub loop_gain: f64,
    /// The workload's loads, in order.
    pub roots: Vec<RootPlan>,
    /// A short run of the lab.
    pub rehearsal: Rehearsal,
}

/// What one operation of a load leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootPlan {
    /// What it does.
    pub kind: OperationKind,
    /// Questions to each client about the operation itself.
    pub questions: u64,
    /// Decisions in its whole cascade, over all clients; `None` when it does not end by itself or is larger
    /// than a number can say.
    pub decisions: Option<u64>,
}

/// What a short simulated run showed.
#[derive(Clone, Debug, PartialEq)]
pub struct Rehearsal {
    /// How it ended up.
    pub outcome: Outcome,
    /// Median time of a root operation in its storm, in nanoseconds.
    pub open_p50: Option<u64>,
    /// 99 % of the root operations took at most this.
    pub open_p99: Option<u64>,
    /// The share of the deadline that the slowest decision left, 0 to 1; `None` without any answer.
    pub headroom_min: Option<f64>,
    /// Everything else.
    pub summary: Summary,
}

/// Says what a lab will do on this kernel.
#[must_use]
pub fn plan(lab: &Lab, kernel: Kernel, costs: Costs) -> Plan {
    let sees = sees(lab.clients.len(), kernel);
    let web = Web::of(lab, kernel, &sees);
    let mut circle: Vec<usize> =
        circle(&web.makes).into_iter().map(|maker| maker / web.kinds.len()).collect();
    circle.dedup();
    if circle.len() > 1 && circle.first() == circle.last() {
        circle.pop();
    }
    let loop_gain = if circle.is_empty() { 0.0 } else { spectral_radius(&web.makes) };
    let roots = lab
        .workload
        .iter()
        .map(|load| {
            let (kind, linkage) = match load {
                Workload::OpenStorm(_) => (OperationKind::Open, Linkage::Static),
                Workload::ExecStorm(storm) => (OperationKind::Exec, Linkage::of(storm.program)),
            };
            let passes = passes(kernel, kind, linkage);
            let decisions = if circle.is_empty() { cascade(lab, &web, passes) } else { None };
            RootPlan { kind, questions: passes.len() as u64, decisions }
        })
        .collect();
    let reacts = web.reacts_to_opens(lab.clients.len());
    Plan { kernel, sees, reacts, circle, loop_gain, roots, rehearsal: rehearse(lab, kernel, costs) }
}

fn sees(clients: usize, kernel: Kernel) -> Vec<Vec<bool>> {
    let own = kernel == Kernel::Fanotify;
    (0..clients).map(|i| (0..clients).map(|j| own || i != j).collect()).collect()
}

/// What a client makes: an open, or the exec of a program.
type Kind = Option<ExecProgram>;

/// Who makes how many operations of which kind because of one of another's.
///
/// A *maker* is a client with a kind: its place is that of the client times the number of kinds, plus the kind's.
struct Web {
    kinds: Vec<Kind>,
    /// `makes[a][b]`: operations of maker a because of one of maker b.
    makes: Vec<Vec<u64>>,
    /// For each maker, the decisions about one operation of its.
    asked: Vec<u64>,
    has_others: bool,
}

impl Web {
    fn of(lab: &Lab, kernel: Kernel, sees: &[Vec<bool>]) -> Web {
        let mut kinds: Vec<Kind> = vec![None];
        for behavior in lab.clients.iter().map(|client| &client.behavior) {
            kinds.extend([behavior.on_open.spawn, behavior.on_exec.spawn].into_iter().flatten().map(Some));
        }
        kinds.sort_unstable();
        kinds.dedup();
        let opens = |load: &Workload| matches!(load, Workload::OpenStorm(storm) if storm.files > 0);
        let has_others = lab.workload.iter().any(opens);
        let makers = lab.clients.len() * kinds.len();
        let mut web = Web { makes: vec![vec![0; makers]; makers], asked: vec![0; makers], kinds, has_others };
        for b in 0..makers {
            let (j, kind) = web.maker(b);
            let passes = passes_of(kernel, kind);
            for (i, client) in lab.clients.iter().enumerate() {
                // What a program of a client's does is asked about as what any other process does.
                if kind.is_none() && !sees[i][j] {
                    continue;
                }
                web.asked[b] += passes.len() as u64;
                let class = match (kind, i == j) {
                    (None, true) => SubjectClass::Own,
                    (None, false) => SubjectClass::Peer,
                    (Some(_), true) => SubjectClass::OwnHelper,
                    (Some(_), false) => SubjectClass::Workload,
                };
                let muted = class == SubjectClass::OwnHelper && client.behavior.mute.helpers;
                if client.behavior.reacts_to(class) && !muted {
                    for (a, made) in web.made(i, &client.behavior, passes) {
                        web.makes[a][b] += made;
                    }
                }
            }
        }
        web
    }

    /// The client and the kind of a maker.
    fn maker(&self, place: usize) -> (usize, Kind) {
        (place / self.kinds.len(), self.kinds[place % self.kinds.len()])
    }

    /// What a client makes when one operation with these passes sets it off: makers and numbers.
    fn made(&self, client: usize, behavior: &Behavior, passes: &[Pass]) -> Vec<(usize, u64)> {
        let number = |kind: &Kind| {
            let each = passes.iter().map(|pass| {
                let reaction = reaction(behavior, *pass);
                match kind {
                    None if self.has_others => reaction.opens(),
                    None => u64::from(reaction.reopen),
                    Some(program) => u64::from(reaction.spawn == Some(*program)),
                }
            });
            each.sum()
        };
        let first = client * self.kinds.len();
        self.kinds.iter().enumerate().map(|(nth, kind)| (first + nth, number(kind))).collect()
    }

    /// `[i][j]`: operations of client i, opens and execs, for each open of client j.
    fn reacts_to_opens(&self, clients: usize) -> Vec<Vec<u64>> {
        let kinds = self.kinds.len();
        let sum = |i: usize, j: usize| (0..kinds).map(|kind| self.makes[i * kinds + kind][j * kinds]).sum();
        (0..clients).map(|i| (0..clients).map(|j| sum(i, j)).collect()).collect()
    }
}

fn passes_of(kernel: Kernel, kind: Kind) -> &'static [Pass] {
    match kind {
        None => passes(kernel, OperationKind::Open, Linkage::Static),
        Some(program) => passes(kernel, OperationKind::Exec, Linkage::of(program)),
    }
}

/// A circle in the graph in which j leads to i when i reacts to j; the first one by place.
fn circle(reacts: &[Vec<u64>]) -> Vec<usize> {
    let next = |from: usize| (0..reacts.len()).filter(move |&to| reacts[to][from] > 0);
    for start in 0..reacts.len() {
        // The shortest way back to the start, breadth first.
        let mut came_from = vec![None; reacts.len()];
        let mut frontier = vec![start];
        while let Some(place) = (!frontier.is_empty()).then(|| frontier.remove(0)) {
            for to in next(place) {
                if to == start {
                    let mut way = vec![place];
                    while let Some(before) = came_from[way[way.len() - 1]] {
                        way.push(before);
                    }
                    way.reverse();
                    return way;
                }
                if came_from[to].is_none() {
                    came_from[to] = Some(place);
                    frontier.push(to);
                }
            }
        }
    }
    Vec::new()
}

/// The spectral radius of a matrix of whole numbers that has a circle, by power iteration on `1 + matrix`:
/// its largest eigenvalue is one more and stands alone, so that the iteration converges.
fn spectral_radius(matrix: &[Vec<u64>]) -> f64 {
    const ROUNDS: usize = 1000;
    let mut vector = vec![1.0_f64; matrix.len()];
    let mut radius = 0.0;
    for _ in 0..ROUNDS {
        let product = |(i, row): (usize, &Vec<u64>)| {
            row.iter().zip(&vector).map(|(&factor, x)| factor as f64 * x).sum::<f64>() + vector[i]
        };
        let next: Vec<f64> = matrix.iter().enumerate().map(product).collect();
        let largest = next.iter().copied().fold(0.0, f64::max);
        vector = next.iter().map(|x| x / largest).collect();
        radius = largest;
    }
    radius - 1.0
}

/// The decisions in the cascade of one root operation; every cascade is known to end.
fn cascade(lab: &Lab, web: &Web, passes: &[Pass]) -> Option<u64> {
    let mut decisions = passes.len() as u64 * lab.clients.len() as u64;
    // What each maker makes because of the root operation, then because of that, and so on. Every client reacts to
    // the workload, whomever else it reacts to.
    let mut made = vec![0_u64; web.asked.len()];
    for (i, client) in lab.clients.iter().enumerate() {
        for (maker, operations) in web.made(i, &client.behavior, passes) {
            made[maker] = operations;
        }
    }
    // A way without a circle has no more steps than there are makers.
    for _ in 0..=made.len() {
        for (asked, operations) in web.asked.iter().zip(&made) {
            decisions = decisions.checked_add(operations.checked_mul(*asked)?)?;
        }
        let product = |row: &Vec<u64>| {
            row.iter()
                .zip(&made)
                .try_fold(0_u64, |sum, (each, operations)| sum.checked_add(each.checked_mul(*operations)?))
        };
        made = web.makes.iter().map(product).collect::<Option<_>>()?;
    }
    debug_assert!(made.iter().all(|&operations| operations == 0), "the cascade has ended");
    Some(decisions)
}

const fn reaction(behavior: &Behavior, pass: Pass) -> Reaction {
    match pass.event {
        lab_model::EventKind::AuthExec => behavior.on_exec,
        _ => behavior.on_open,
    }
}

fn rehearse(lab: &Lab, kernel: Kernel, costs: Costs) -> Rehearsal {
    let mut short = lab.clone();
    short.phases.baseline = Span::default();
    short.phases.control = Span::default();
    short.phases.storm = lab.phases.storm.min(REHEARSAL);
    short.phases.drain = REHEARSAL;
    let options = Options { costs, ..Options::new(&short, kernel) };
    let summary = simulate(&short, &options, &mut Counting::default());
    let storm = summary.phase(PhaseKind::Storm).map(|phase| &phase.root_latency);
    let deadline = lab.deadline.nanos().max(1) as f64;
    let headroom = |slowest: u64| (1.0 - slowest as f64 / deadline).max(0.0);
    Rehearsal {
        outcome: summary.outcome,
        open_p50: storm.and_then(|latency| latency.at(500)),
        open_p99: storm.and_then(|latency| latency.at(990)),
        headroom_min: if summary.kills > 0 {
            Some(0.0)
        } else {
            summary.decision_latency.max().map(headroom)
        },
        summary,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_found_and_measured() {
        assert!(circle(&[vec![0, 0], vec![0, 0]]).is_empty());
        assert!(circle(&[vec![0, 3], vec![0, 0]]).is_empty());
        assert_eq!(circle(&[vec![0, 1], vec![1, 0]]), [0, 1]);
        assert_eq!(circle(&[vec![0, 0, 0], vec![0, 0, 1], vec![0, 1, 0]]), [1, 2]);
        assert_eq!(circle(&[vec![2]]), [0]);
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        near(spectral_radius(&[vec![0, 1], vec![1, 0]]), 1.0);
        near(spectral_radius(&[vec![1, 1], vec![1, 1]]), 2.0);
        near(spectral_radius(&[vec![0, 4], vec![1, 0]]), 2.0);
        near(spectral_radius(&[vec![0, 2, 2], vec![2, 0, 2], vec![2, 2, 0]]), 4.0);
    }
}
