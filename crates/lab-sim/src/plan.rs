//! What a lab will do, before anything is touched: who sees whose events, and what that adds up to.
//!
//! What is exact is computed, not simulated: an operation of one client sets off a whole number of operations
//! at each client that sees it and reacts to it. If these reactions cannot come back to where they began, every
//! cascade ends and its size is a sum; if they can, no cascade ends by itself. Only which way it goes wrong,
//! and how close to the deadline, is rehearsed.

use std::collections::BTreeSet;

use lab_client_core::{Admission, Outcome as Done, PlannedTarget, Policy, Question, Step};
use lab_model::{
    Actor, Cache, EventKind, ExecProgram, FaultAction, Lab, OperationKind, PhaseKind, PlannedFault, Span,
    SubjectClass, Ticks, Timebase, Verdict, Workload,
};
use lab_workload::Action;

use crate::{
    Costs, Counting, Files, Kernel, Options, Outcome, Summary,
    operation::{Linkage, Pass, passes},
    simulate,
};

/// The rehearsal's storm and drain last no longer than this, but for what planned faults need.
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
    /// What each client makes for one operation of the workload, of the kind for which it makes most; `None`
    /// when it is never asked.
    pub on_workload: Vec<Option<u64>>,
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
    let reactions = Reactions::of(lab);
    let sees = sees(lab, kernel);
    let reacts = reacts(&reactions, &sees);
    let makes = reactions.with_programs(lab, kernel, &reacts);
    let mut circle: Vec<usize> = circle(&makes).iter().map(|maker| maker % lab.clients.len()).collect();
    circle.dedup();
    let loop_gain = if circle.is_empty() { 0.0 } else { spectral_radius(&makes) };
    let files = Files::new(&lab.workload);
    let root = |(place, load): (usize, &Workload)| {
        let (kind, linkage, action) = match load {
            Workload::OpenStorm(_) | Workload::FileMix(_) | Workload::OpenList(_) => {
                (OperationKind::Open, Linkage::Static, Action::Open { file: 0 })
            }
            Workload::ExecStorm(storm) => {
                (OperationKind::Exec, Linkage::of(storm.program), Action::Exec(storm.program))
            }
            Workload::ExecTree(_) => (OperationKind::Exec, Linkage::Static, Action::Tree),
            Workload::Run(_) => (OperationKind::Exec, Linkage::Static, Action::Run),
        };
        let passes = passes(kernel, kind, linkage);
        let questions = (passes.len() * lab.clients.len()) as u64;
        let cascade = Cascade { lab, sees: &sees, reacts: &reacts, reactions: &reactions };
        let size = if varies(lab, load, &reactions) {
            Size::Varies
        } else if !circle.is_empty() {
            Size::Endless
        } else {
            let file = files.of(place, action);
            let size = |pass: &Pass| {
                let target = pass.program.map_or(file, |program| files.program(program));
                cascade.size(pass.event, &|client| muted(lab, client, &files, target))
            };
            let sum = passes.iter().try_fold(0_u64, |sum, pass| sum.checked_add(size(pass)?));
            sum.map_or(Size::Endless, Size::Exact)
        };
        RootPlan { kind, questions, size }
    };
    let roots = lab.workload.iter().enumerate().map(root).collect();
    let on_workload = on_workload(lab, kernel, &reactions);
    Plan {
        kernel,
        sees,
        reacts,
        on_workload,
        circle,
        loop_gain,
        roots,
        rehearsal: rehearse(lab, kernel, costs),
    }
}

/// Whose opens each is asked about. What a program does that a client runs, everybody is asked about.
fn sees(lab: &Lab, kernel: Kernel) -> Vec<Vec<bool>> {
    let own = kernel == Kernel::Fanotify;
    let clients = 0..lab.clients.len();
    let opens = |i: usize| lab.clients[i].behavior.subscribe.contains(EventKind::AuthOpen);
    clients.clone().map(|i| clients.clone().map(|j| opens(i) && (own || i != j)).collect()).collect()
}

/// What each client opens when it is asked, as its own policy has it.
struct Reactions {
    policies: Vec<Policy>,
    /// There are files to open beside the one in question.
    others: bool,
}

/// What one question sets off.
#[derive(Clone, Copy, Default)]
struct SetOff {
    /// Opens of the file in question.
    same: u64,
    /// Opens of other files.
    others: u64,
    /// The program that is run, if any.
    spawn: Option<ExecProgram>,
}

impl SetOff {
    const fn opens(self) -> u64 {
        self.same + self.others
    }

    const fn operations(self) -> u64 {
        self.opens() + self.spawn.is_some() as u64
    }
}

impl Reactions {
    fn of(lab: &Lab) -> Reactions {
        let names: Vec<(&str, Actor)> =
            lab.clients.iter().zip(1..).map(|(client, actor)| (client.id.as_str(), Actor(actor))).collect();
        let policy = |client: &lab_model::Client| {
            let policy = Policy::new(client.behavior.clone(), lab.deadline, Timebase::NANOSECONDS);
            policy.among(names.iter().copied())
        };
        let others = lab.workload.iter().any(|load| load.files() > 0);
        Reactions { policies: lab.clients.iter().map(policy).collect(), others }
    }

    /// What client i makes for such an event of client j; of the workload without a j.
    fn to(&self, i: usize, j: Option<usize>, event: EventKind) -> SetOff {
        self.to_subject(
            i,
            event,
            match j {
                None => (SubjectClass::Workload, Actor::UNKNOWN),
                Some(j) if i == j => (SubjectClass::Own, number(j)),
                Some(j) => (SubjectClass::Peer, number(j)),
            },
        )
    }

    fn to_subject(&self, i: usize, event: EventKind, (class, actor): (SubjectClass, Actor)) -> SetOff {
        let question = Question { read: Ticks(1), event, class, actor, deadline: None };
        let mut task = match self.policies[i].admit(&question, 0) {
            Admission::Answer { .. } => return SetOff::default(),
            Admission::AnswerThenWork { task, .. } | Admission::Work { task, .. } => task,
        };
        let (mut found, mut last) = (SetOff::default(), Done::Begin);
        loop {
            let step = task.step(last);
            last = Done::Finished;
            match step {
                Step::Judge => last = Done::Judged(Verdict::Allow),
                Step::Operate(plan) => match plan.target {
                    PlannedTarget::Same => found.same += 1,
                    PlannedTarget::Other(_) => found.others += u64::from(self.others),
                    PlannedTarget::Program(program) => found.spawn = Some(program),
                },
                Step::Done => return found,
                _ => {}
            }
        }
    }

    /// What each makes for each of the others': opens as in `reacts`, and, where clients run programs, these as
    /// makers of their own behind all clients.
    fn with_programs(&self, lab: &Lab, kernel: Kernel, reacts: &[Vec<u64>]) -> Vec<Vec<u64>> {
        let clients = lab.clients.len();
        if !lab.clients.iter().any(|client| client.behavior.spawns()) {
            return reacts.to_vec();
        }
        let mut makes = vec![vec![0; 2 * clients]; 2 * clients];
        for (i, client) in lab.clients.iter().enumerate() {
            for (j, maker) in lab.clients.iter().enumerate() {
                let on_open = self.to(i, Some(j), EventKind::AuthOpen);
                let spawned = u64::from(reacts[i][j] > 0 && on_open.spawn.is_some());
                (makes[i][j], makes[clients + i][j]) = (reacts[i][j] - spawned, spawned);
                let whose = if i == j {
                    (SubjectClass::OwnHelper, number(j))
                } else {
                    (SubjectClass::Workload, Actor::UNKNOWN)
                };
                // The one of its programs that raises more questions stands for both.
                let programs = [maker.behavior.on_open.spawn, maker.behavior.on_exec.spawn];
                let rounds = programs.into_iter().flatten().map(Linkage::of);
                let rounds = rounds.map(|linkage| passes(kernel, OperationKind::Exec, linkage));
                let rounds = rounds.max_by_key(|rounds| rounds.len()).unwrap_or_default();
                for pass in rounds.iter().filter(|pass| client.behavior.subscribe.contains(pass.event)) {
                    let found = self.to_subject(i, pass.event, whose);
                    makes[i][clients + j] += found.opens();
                    makes[clients + i][clients + j] += u64::from(found.spawn.is_some());
                }
            }
        }
        makes
    }
}

fn number(client: usize) -> Actor {
    Actor(u16::try_from(client + 1).unwrap_or(u16::MAX))
}

fn reacts(reactions: &Reactions, sees: &[Vec<bool>]) -> Vec<Vec<u64>> {
    let operations = |i: usize, j: usize| reactions.to(i, Some(j), EventKind::AuthOpen).operations();
    let row = |(i, seen): (usize, &Vec<bool>)| {
        seen.iter().enumerate().map(|(j, &sees)| if sees { operations(i, j) } else { 0 }).collect()
    };
    sees.iter().enumerate().map(row).collect()
}

/// True when the size of a cascade of this load depends on the file or on what came before.
fn varies(lab: &Lab, load: &Workload, reactions: &Reactions) -> bool {
    let kept_or_denied =
        |client: &lab_model::Client| client.behavior.cache == Cache::On || !client.behavior.deny.is_empty();
    if lab.faults.iter().any(|fault| changes_sizes(lab, fault)) {
        return true;
    }
    // What a program of a client's sets off depends on which program it is and who may tell whose it is.
    if lab.clients.iter().any(|client| kept_or_denied(client) || client.behavior.spawns()) {
        return true;
    }
    let paths = || lab.clients.iter().flat_map(|client| &client.behavior.mute.paths);
    let directory = match load {
        Workload::OpenStorm(storm) => &storm.directory,
        Workload::FileMix(mix) => &mix.directory,
        Workload::OpenList(list) => &list.directory,
        Workload::ExecStorm(_) | Workload::ExecTree(_) | Workload::Run(_) => {
            return paths().next().is_some() && reactions.others(lab);
        }
    };
    let inside =
        |path: &&String| path.strip_prefix(directory.as_str()).is_some_and(|rest| rest.starts_with('/'));
    paths().any(|path| inside(&path)) || (paths().next().is_some() && reactions.others(lab))
}

impl Reactions {
    /// True when any client opens other files than the one in question.
    fn others(&self, lab: &Lab) -> bool {
        let events = [EventKind::AuthOpen, EventKind::AuthExec];
        let opens = |i: usize| events.iter().any(|&event| self.to(i, None, event).others > 0);
        (0..lab.clients.len()).any(opens)
    }
}

fn on_workload(lab: &Lab, kernel: Kernel, reactions: &Reactions) -> Vec<Option<u64>> {
    let events: BTreeSet<EventKind> = lab
        .workload
        .iter()
        .flat_map(|load| match load {
            Workload::OpenStorm(_) | Workload::FileMix(_) | Workload::OpenList(_) => {
                passes(kernel, OperationKind::Open, Linkage::Static)
            }
            Workload::ExecStorm(storm) => passes(kernel, OperationKind::Exec, Linkage::of(storm.program)),
            Workload::ExecTree(_) | Workload::Run(_) => passes(kernel, OperationKind::Exec, Linkage::Static),
        })
        .map(|pass| pass.event)
        .collect();
    let most = |(i, client): (usize, &lab_model::Client)| {
        let asked = events.iter().filter(|&&event| client.behavior.subscribe.contains(event));
        asked.map(|&event| reactions.to(i, None, event).operations()).max()
    };
    lab.clients.iter().enumerate().map(most).collect()
}

fn muted(lab: &Lab, client: usize, files: &Files, file: u32) -> bool {
    lab.clients[client].behavior.mute.paths.iter().any(|path| files.lies_in(file, path))
}

/// How the cascade below one question grows.
struct Cascade<'a> {
    lab: &'a Lab,
    sees: &'a [Vec<bool>],
    reacts: &'a [Vec<u64>],
    reactions: &'a Reactions,
}

impl Cascade<'_> {
    /// The decisions below one question about a file that these clients have muted; every cascade is known to
    /// end. `None` when a number cannot say it.
    fn size(&self, event: EventKind, muted: &dyn Fn(usize) -> bool) -> Option<u64> {
        let clients = 0..self.lab.clients.len();
        let hears: Vec<bool> = clients.clone().map(|client| !muted(client)).collect();
        let asked = |i: usize| hears[i] && self.lab.clients[i].behavior.subscribe.contains(event);
        let seen_by = |j: usize| clients.clone().filter(|&i| hears[i] && self.sees[i][j]).count() as u64;
        let mut decisions = clients.clone().filter(|&i| asked(i)).count() as u64;
        // What each client opens because of the root operation, then because of that, and so on.
        let first = |i| if asked(i) { self.reactions.to(i, None, event).operations() } else { 0 };
        let mut opened: Vec<u64> = clients.clone().map(first).collect();
        // A way without a circle has no more steps than there are clients.
        for _ in 0..=clients.len() {
            for (j, &operations) in opened.iter().enumerate() {
                decisions = decisions.checked_add(operations.checked_mul(seen_by(j))?)?;
            }
            let product = |i: usize| {
                let row = if hears[i] { self.reacts[i].as_slice() } else { &[] };
                row.iter().zip(&opened).try_fold(0_u64, |sum, (each, operations)| {
                    sum.checked_add(each.checked_mul(*operations)?)
                })
            };
            opened = clients.clone().map(product).collect::<Option<_>>()?;
        }
        debug_assert!(opened.iter().all(|&operations| operations == 0), "the cascade has ended");
        Some(decisions)
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

/// True for a fault that changes how many decisions a root operation leads to.
fn changes_sizes(lab: &Lab, fault: &PlannedFault) -> bool {
    match &fault.action {
        FaultAction::Stall { span } => *span >= lab.deadline,
        FaultAction::Slow { .. } | FaultAction::CpuLoad { .. } => false,
        FaultAction::Kill
        | FaultAction::Restart { .. }
        | FaultAction::Deny { .. }
        | FaultAction::Behave { .. }
        | FaultAction::Descriptors { .. } => true,
    }
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
        amplification: crate::trials::amplification(&summary),
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
