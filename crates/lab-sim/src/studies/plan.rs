//! What a lab will do, before anything is touched: who sees whose events, and what that adds up to.
//!
//! What is exact is computed, not simulated: an operation of one client sets off a whole number of operations
//! at each client that sees it and reacts to it. If these reactions cannot come back to where they began, every
//! cascade ends and its size is a sum; if they can, no cascade ends by itself. Only which way it goes wrong,
//! and how close to the deadline, is rehearsed.

use std::collections::BTreeSet;

use lab_model::{
    Cache, EventKind, ExecProgram, Lab, LoadKind, NotifyEvent, OperationKind, PhaseKind, PlannedFault, Span,
    Workload,
};
use lab_workload::Action;

use crate::{
    Costs, Counting, Files, Kernel, Options, Outcome, Summary,
    kernel::operation::{Linkage, Pass, passes},
    simulate,
    studies::originators::{Originator, Originators},
};

/// The rehearsal's storm and drain last no longer than this, but for what planned faults need.
const REHEARSAL: Span = Span::from_secs(1);

/// What a lab will do.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Whose rules.
    pub kernel: Kernel,
    /// Who makes opens beside the workload: the clients in their order, then those clients' helpers (`ID/helpers`)
    /// that have any, then the daemons.
    pub originators: Vec<String>,
    /// `sees[i][m]`: client i is asked about opens of originator m.
    pub sees: Vec<Vec<bool>>,
    /// `hears[i][m]`: client i is told of opens of originator m after the fact.
    pub hears: Vec<Vec<bool>>,
    /// `reacts[i][m]`: and makes operations because of them, its helpers' and daemons' included, so many for each.
    pub reacts: Vec<Vec<u64>>,
    /// Clients act on what they are told, and the kernel merges what lies unread of one thread and one file: sizes are
    /// upper bounds then, which a prompt observer reaches.
    pub merges: bool,
    /// How each client learns of the workload's operations, and what it makes for one, of the kind for which it makes
    /// most.
    pub on_workload: Vec<OnWorkload>,
    /// Originators that set each other off in a circle; a client stands for the programs it runs. Empty when every cascade
    /// ends.
    pub circle: Vec<String>,
    /// The factor by which operations of clients and their workers multiply from one level of a cascade to the next: the spectral
    /// radius of what each makes for each of the others'. 0 when every cascade ends; never between 0 and 1.
    pub loop_gain: f64,
    /// The workload's loads, in order.
    pub roots: Vec<RootPlan>,
    /// A short run of the lab.
    pub rehearsal: Rehearsal,
}

/// What the workload is to one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OnWorkload {
    /// It is asked about some of its operations.
    pub asked: bool,
    /// It is told of some after the fact.
    pub told: bool,
    /// What it makes for one.
    pub operations: u64,
}

/// What one operation of a load leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootPlan {
    /// What it does.
    pub kind: OperationKind,
    /// Questions about the operation itself, over all clients, as long as nothing is hidden or denied.
    pub questions: u64,
    /// Decisions in its whole cascade, over all clients.
    pub size: Size,
}

/// The size of a cascade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// So many decisions, every time.
    Exact(u64),
    /// It ends, but what is hidden, kept, denied or disturbed makes it depend on the file and on what came before:
    /// the rehearsal tells what it is on average.
    Varies,
    /// It does not end by itself, or is larger than a number can say.
    Endless,
}

/// What a short simulated run showed.
#[derive(Clone, Debug, PartialEq)]
pub struct Rehearsal {
    /// How it ended up.
    pub outcome: Outcome,
    /// Decisions for each root operation, on average.
    pub amplification: Option<f64>,
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
    let originators = Originators::of(lab, kernel);
    let makes = originators.makes();
    let around = circle(&makes);
    let loop_gain = if around.is_empty() { 0.0 } else { spectral_radius(&makes) };
    let mut names: Vec<String> = around.iter().map(|&place| in_a_circle(&originators, place)).collect();
    names.dedup();
    let files = Files::new(&lab.workload);
    let root = |(place, load): (usize, &Workload)| {
        let (kind, linkage, action) = match &load.kind {
            LoadKind::OpenStorm(_) | LoadKind::FileMix(_) | LoadKind::OpenList(_) => {
                (OperationKind::Open, Linkage::Static, Action::Open { file: 0 })
            }
            LoadKind::ExecStorm(storm) => {
                (OperationKind::Exec, Linkage::of(storm.program), Action::Exec(storm.program))
            }
            LoadKind::ExecTree(_) => (OperationKind::Exec, Linkage::Static, Action::Tree),
            LoadKind::Run(_) => (OperationKind::Exec, Linkage::Static, Action::Run),
        };
        let passes = passes(kernel, kind, linkage);
        let asked = |pass: &Pass| {
            let subscribed = |client: &&lab_model::Client| client.behavior.subscribe.contains(pass.event);
            lab.clients.iter().filter(subscribed).count() as u64
        };
        let questions = passes.iter().map(asked).sum();
        let cascade = Cascade { lab, originators: &originators };
        let size = if varies(lab, load, &originators) {
            Size::Varies
        } else if !around.is_empty() {
            Size::Endless
        } else {
            let file = files.of(place, action);
            let target = |pass: &Pass| pass.program.map_or(file, |program| files.program(program));
            let muted = |client, pass: &Pass| muted(lab, client, &files, target(pass));
            let size = |pass: &Pass| cascade.size(pass.event, &|client| muted(client, pass));
            let sum = passes.iter().try_fold(0_u64, |sum, pass| sum.checked_add(size(pass)?));
            let told = cascade.on_notices(passes, &muted);
            sum.and_then(|sum| sum.checked_add(told?)).map_or(Size::Endless, Size::Exact)
        };
        RootPlan { kind, questions, size }
    };
    let roots = lab.workload.iter().enumerate().map(root).collect();
    let on_workload = on_workload(lab, kernel, &originators);
    let openers: Vec<usize> =
        (0..originators.list.len()).filter(|&place| opens(&originators, place)).collect();
    let row = |client: usize, cell: &dyn Fn(usize, usize) -> u64| -> Vec<u64> {
        openers.iter().map(|&originator| cell(client, originator)).collect()
    };
    let clients = 0..lab.clients.len();
    let sees =
        |client: usize| openers.iter().map(|&originator| originators.sees(client, originator)).collect();
    let hears =
        |client: usize| openers.iter().map(|&originator| originators.hears(client, originator)).collect();
    let reacts =
        |client: usize| row(client, &|client, originator| originators.because_of(client, originator).total());
    Plan {
        kernel,
        originators: openers.iter().map(|&place| originators.name(place)).collect(),
        sees: clients.clone().map(sees).collect(),
        hears: clients.clone().map(hears).collect(),
        merges: kernel.merges_notices() && clients.clone().any(|client| originators.acts(client)),
        reacts: clients.map(reacts).collect(),
        on_workload,
        circle: names,
        loop_gain,
        roots,
        rehearsal: rehearse(lab, kernel, costs),
    }
}

/// True for an originator of opens.
fn opens(originators: &Originators<'_>, place: usize) -> bool {
    !matches!(originators.list[place], Originator::Programs(_) | Originator::Strangers)
}

/// What an originator is called in a circle: a client that sets itself off by its own programs does so itself.
fn in_a_circle(originators: &Originators<'_>, place: usize) -> String {
    match originators.list[place] {
        Originator::Programs(client) => originators.name(client),
        _ => originators.name(place),
    }
}

/// True when the size of a cascade of this load depends on the file or on what came before.
fn varies(lab: &Lab, load: &Workload, originators: &Originators<'_>) -> bool {
    let kept_or_denied =
        |client: &lab_model::Client| client.behavior.cache == Cache::On || !client.behavior.deny.is_empty();
    if lab.faults.iter().any(|fault| fault.action.changes_counts(lab.deadline)) {
        return true;
    }
    // A script is opened twice by one thread.
    let script = matches!(&load.kind, LoadKind::ExecStorm(storm) if storm.program == ExecProgram::Script);
    let uncertain = |client| originators.merges(client) || (script && originators.acts(client));
    if (0..lab.clients.len()).any(uncertain) {
        return true;
    }
    // What a program of a client's sets off depends on which program it is and who may tell whose it is.
    if originators.run_programs() || lab.clients.iter().any(kept_or_denied) {
        return true;
    }
    let paths = || lab.clients.iter().flat_map(|client| &client.behavior.mute.paths);
    let Some(directory) = load.directory() else {
        return paths().next().is_some() && originators.open_others();
    };
    let inside = |path: &&String| path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'));
    paths().any(|path| inside(&path)) || (paths().next().is_some() && originators.open_others())
}

fn on_workload(lab: &Lab, kernel: Kernel, originators: &Originators<'_>) -> Vec<OnWorkload> {
    let rounds: Vec<&[Pass]> = lab
        .workload
        .iter()
        .map(|load| match &load.kind {
            LoadKind::OpenStorm(_) | LoadKind::FileMix(_) | LoadKind::OpenList(_) => {
                passes(kernel, OperationKind::Open, Linkage::Static)
            }
            LoadKind::ExecStorm(storm) => passes(kernel, OperationKind::Exec, Linkage::of(storm.program)),
            LoadKind::ExecTree(_) | LoadKind::Run(_) => passes(kernel, OperationKind::Exec, Linkage::Static),
        })
        .collect();
    let events: BTreeSet<EventKind> =
        rounds.iter().flat_map(|passes| passes.iter()).map(|pass| pass.event).collect();
    let most = |(i, client): (usize, &lab_model::Client)| {
        let asked = events.iter().filter(|&&event| client.behavior.subscribe.contains(event));
        let asked: Option<u64> = asked.map(|&event| originators.on_workload(i, event).total()).max();
        let told =
            rounds.iter().map(|passes| originators.notices(i, passes)).filter(|notices| notices.total() > 0);
        let told: Option<u64> =
            told.map(|notices| originators.on_notice_of_workload(i, notices).total()).max();
        // Both about one operation: what the one sets off comes on top of the other.
        let operations = asked.unwrap_or(0) + told.unwrap_or(0);
        // Of what only some opens of a mix do it is told, too.
        let mixed = lab.workload.iter().any(|load| matches!(load.kind, LoadKind::FileMix(_)));
        let of_some = [NotifyEvent::Write, NotifyEvent::Create, NotifyEvent::Unlink];
        let of_some = mixed && of_some.into_iter().any(|event| client.behavior.notify.contains(event));
        OnWorkload { asked: asked.is_some(), told: told.is_some() || of_some, operations }
    };
    lab.clients.iter().enumerate().map(most).collect()
}

fn muted(lab: &Lab, client: usize, files: &Files, file: u32) -> bool {
    lab.clients[client].behavior.mute.paths.iter().any(|path| files.lies_in(file, path))
}

/// How the cascade below one question grows.
struct Cascade<'a> {
    lab: &'a Lab,
    originators: &'a Originators<'a>,
}

impl Cascade<'_> {
    /// The decisions below one question about a file that these clients have muted; every cascade is known to
    /// end, and nobody runs programs. `None` when a number cannot say it.
    fn size(&self, event: EventKind, muted: &dyn Fn(usize) -> bool) -> Option<u64> {
        let originators = self.originators;
        let hear: Vec<usize> = (0..self.lab.clients.len()).filter(|&client| !muted(client)).collect();
        let asked =
            hear.iter().filter(|&&client| self.lab.clients[client].behavior.subscribe.contains(event));
        let decisions = asked.clone().count() as u64;
        // What each makes because of the root operation, then because of that, and so on.
        let none = vec![0; originators.list.len()];
        let first = asked.map(|&client| (originators.on_workload(client, event).operations, 1));
        decisions.checked_add(self.below(sum(none, first)?, &hear)?)
    }

    /// The decisions below what clients make when they are told of an operation with these passes.
    fn on_notices(&self, passes: &[Pass], muted: &dyn Fn(usize, &Pass) -> bool) -> Option<u64> {
        let (originators, clients) = (self.originators, 0..self.lab.clients.len());
        let mut decisions = 0_u64;
        for (place, pass) in passes.iter().enumerate() {
            let hear: Vec<usize> = clients.clone().filter(|&client| !muted(client, pass)).collect();
            let times = |client| originators.notices_of(client, passes, place);
            let made = hear
                .iter()
                .map(|&client| (originators.on_notice_of_workload(client, times(client)).operations, 1));
            let made = sum(vec![0; originators.list.len()], made)?;
            decisions = decisions.checked_add(self.below(made, &hear)?)?;
        }
        Some(decisions)
    }

    /// The decisions in a cascade that begins with these operations, by originator, on a file that these clients hear of.
    fn below(&self, mut made: Vec<u64>, hear: &[usize]) -> Option<u64> {
        let originators = self.originators;
        let (none, mut decisions) = (vec![0; originators.list.len()], 0_u64);
        // A way without a circle has no more steps than there are originators.
        for _ in 0..=originators.list.len() {
            let mut next = none.clone();
            for (originator, &operations) in
                made.iter().enumerate().filter(|(_, operations)| **operations > 0)
            {
                let seen = hear.iter().filter(|&&client| originators.sees(client, originator));
                decisions = decisions.checked_add(operations.checked_mul(seen.clone().count() as u64)?)?;
                let set_off =
                    |&client: &usize| (originators.because_of(client, originator).operations, operations);
                next = sum(next, hear.iter().map(set_off))?;
            }
            made = next;
        }
        debug_assert!(made.iter().all(|&operations| operations == 0), "the cascade has ended");
        Some(decisions)
    }
}

/// Adds up rows, each so many times; `None` when a number cannot say it.
fn sum(start: Vec<u64>, rows: impl Iterator<Item = (Vec<u64>, u64)>) -> Option<Vec<u64>> {
    let mut total = start;
    for (row, times) in rows {
        for (sum, each) in total.iter_mut().zip(row) {
            *sum = sum.checked_add(each.checked_mul(times)?)?;
        }
    }
    Some(total)
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

/// How long into the storm its planned faults are felt: to the end of the last one, and for a deadline longer, in
/// which it may cost a client.
fn disturbed_for(lab: &Lab) -> Span {
    let end = |fault: &PlannedFault| {
        let span = fault.action.span().unwrap_or_default();
        fault.at.nanos().saturating_add(span.nanos())
    };
    let last = lab.faults.iter().map(end).max();
    let beyond = lab.deadline.nanos().saturating_add(REHEARSAL.nanos());
    last.map_or(Span::default(), |last| Span::from_nanos(last.saturating_add(beyond)))
}

fn rehearse(lab: &Lab, kernel: Kernel, costs: Costs) -> Rehearsal {
    let mut short = lab.clone();
    short.phases.baseline = Span::default();
    short.phases.control = Span::default();
    short.phases.storm = lab.phases.storm.min(REHEARSAL.max(disturbed_for(lab)));
    short.phases.drain = REHEARSAL;
    let options = Options { costs, ..Options::new(&short, kernel) };
    let summary = simulate(&short, &options, &mut Counting::default());
    let storm = summary.phase(PhaseKind::Storm).map(|phase| &phase.root_latency);
    let deadline = lab.deadline.nanos().max(1) as f64;
    let headroom = |slowest: u64| (1.0 - slowest as f64 / deadline).max(0.0);
    Rehearsal {
        outcome: summary.outcome,
        amplification: crate::studies::trials::amplification(&summary),
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
