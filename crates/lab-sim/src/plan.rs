//! What a lab will do, before anything is touched: who sees whose events, and what that adds up to.
//!
//! What is exact is computed, not simulated: an operation of one client sets off a whole number of operations
//! at each client that sees it and reacts to it. If these reactions cannot come back to where they began, every
//! cascade ends and its size is a sum; if they can, no cascade ends by itself. Only which way it goes wrong,
//! and how close to the deadline, is rehearsed.

use lab_model::{Behavior, ExecProgram, Lab, OperationKind, PhaseKind, Reaction, Span, Workload};

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
    /// `reacts[i][j]`: and makes operations of its own because of them, so many for each.
    pub reacts: Vec<Vec<u64>>,
    /// Clients that set each other off in a circle, by their place; empty when every cascade ends.
    pub circle: Vec<usize>,
    /// The factor by which operations of clients multiply from one level of a cascade to the next: the spectral
    /// radius of `reacts`. 0 when every cascade ends; never between 0 and 1.
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
    let reacts = reacts(lab, &sees);
    let circle = circle(&reacts);
    let loop_gain = if circle.is_empty() { 0.0 } else { spectral_radius(&reacts) };
    let roots = lab
        .workload
        .iter()
        .map(|load| {
            let (kind, linkage) = match load {
                Workload::OpenStorm(_) => (OperationKind::Open, Linkage::Static),
                Workload::ExecStorm(storm) => (OperationKind::Exec, linkage(storm.program)),
            };
            let passes = passes(kernel, kind, linkage);
            let decisions = if circle.is_empty() { cascade(lab, &sees, &reacts, passes) } else { None };
            RootPlan { kind, questions: passes.len() as u64, decisions }
        })
        .collect();
    Plan { kernel, sees, reacts, circle, loop_gain, roots, rehearsal: rehearse(lab, kernel, costs) }
}

const fn linkage(program: ExecProgram) -> Linkage {
    match program {
        ExecProgram::Static => Linkage::Static,
        ExecProgram::Dynamic => Linkage::Dynamic,
    }
}

fn sees(clients: usize, kernel: Kernel) -> Vec<Vec<bool>> {
    let own = kernel == Kernel::Fanotify;
    (0..clients).map(|i| (0..clients).map(|j| own || i != j).collect()).collect()
}

/// Whether there are files to open beside the one in question.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    Some,
    None,
}

fn others(lab: &Lab) -> Others {
    let opens = |load: &Workload| matches!(load, Workload::OpenStorm(storm) if storm.files > 0);
    if lab.workload.iter().any(opens) { Others::Some } else { Others::None }
}

const fn operations(reaction: &Reaction, others: Others) -> u64 {
    match others {
        Others::Some => reaction.operations(),
        Others::None => reaction.reopen as u64,
    }
}

fn reacts_to_clients(behavior: &Behavior, own: Whose, others: Others) -> u64 {
    let reacts = behavior.reacts_to(match own {
        Whose::Own => lab_model::SubjectClass::Own,
        Whose::Peers => lab_model::SubjectClass::Peer,
    });
    // Clients open and never execute.
    if reacts { operations(&behavior.on_open, others) } else { 0 }
}

#[derive(Clone, Copy)]
enum Whose {
    Own,
    Peers,
}

fn reacts(lab: &Lab, sees: &[Vec<bool>]) -> Vec<Vec<u64>> {
    let others = others(lab);
    let row = |(i, seen): (usize, &Vec<bool>)| {
        let behavior = &lab.clients[i].behavior;
        let operations = |(j, &sees): (usize, &bool)| {
            let whose = if i == j { Whose::Own } else { Whose::Peers };
            if sees { reacts_to_clients(behavior, whose, others) } else { 0 }
        };
        seen.iter().enumerate().map(operations).collect()
    };
    sees.iter().enumerate().map(row).collect()
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
fn cascade(lab: &Lab, sees: &[Vec<bool>], reacts: &[Vec<u64>], passes: &[Pass]) -> Option<u64> {
    let clients = lab.clients.len();
    let seen_by = |j: usize| sees.iter().filter(|row| row[j]).count() as u64;
    let others = others(lab);
    let mut decisions = passes.len() as u64 * clients as u64;
    // What each client opens because of the root operation, then because of that, and so on.
    let mut opened: Vec<u64> = lab
        .clients
        .iter()
        .map(|client| passes.iter().map(|pass| operations(&on_root(&client.behavior, *pass), others)).sum())
        .collect();
    // A way without a circle has no more steps than there are clients.
    for _ in 0..=clients {
        for (j, &operations) in opened.iter().enumerate() {
            decisions = decisions.checked_add(operations.checked_mul(seen_by(j))?)?;
        }
        let product = |row: &Vec<u64>| {
            row.iter()
                .zip(&opened)
                .try_fold(0_u64, |sum, (each, operations)| sum.checked_add(each.checked_mul(*operations)?))
        };
        opened = reacts.iter().map(product).collect::<Option<_>>()?;
    }
    debug_assert!(opened.iter().all(|&operations| operations == 0), "the cascade has ended");
    Some(decisions)
}

/// Every client reacts to the workload, whomever else it reacts to.
const fn on_root(behavior: &Behavior, pass: Pass) -> Reaction {
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
