//! Loads beyond opening and running: files that are written to and created, trees of processes, planned rates.
#![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]

mod common;

use std::collections::BTreeSet;

use common::KERNELS;
use lab_analysis::findings::Findings;
use lab_model::{
    AuthEvent, Behavior, Cache, Concurrency, ExecTree, Lab, LoadKind, PhaseKind, Rate, Reaction, Span, Via,
    Workload,
};
use lab_sim::{Costs, Kernel, Options, Outcome, Size, Summary, check_determinism, plan};
use lab_testing::{
    labs::{self, lab, mix, scanner},
    simulated::analysed,
};
use lab_workload::{Action, PhaseLimits, schedules};

fn run(lab: &Lab, kernel: Kernel) -> (Summary, Findings) {
    let (summary, findings) = analysed(lab, kernel);
    assert_eq!(findings.totals.unexplained, 0, "{kernel:?}");
    assert_eq!(findings.totals.decisions, summary.decisions);
    check_determinism(lab, &Options::new(lab, kernel)).unwrap();
    (summary, findings)
}

/// The operations of a load of one worker.
fn actions(lab: &Lab) -> Vec<Action> {
    let limits = PhaseLimits { phase: PhaseKind::Storm, span: lab.phases.storm, operations_max: None };
    let mut schedules = schedules(&lab.workload, lab.seed, &limits);
    schedules.remove(0).map(|planned| planned.action).collect()
}

/// The questions that are put to a client that has every answer kept: an open whose file nothing is kept about, and
/// nothing is kept about a file from when it is opened for writing to when it has been written to.
fn asked_with_a_cache(actions: &[Action]) -> u64 {
    let (mut kept, mut asked) = (BTreeSet::new(), 0);
    for action in actions {
        match action {
            Action::Open { file } => asked += u64::from(kept.insert(*file)),
            Action::Write { file } => asked += u64::from(!kept.remove(file)),
            _ => asked += 1,
        }
    }
    asked
}

#[test]
fn a_kept_answer_is_asked_for_again_after_a_write() {
    let reading = Reaction { read: true, via: Via::Descriptor, ..Reaction::none() };
    for kernel in KERNELS {
        for (read, write, create) in [(1, 1, 1), (20, 1, 0), (0, 1, 0), (1, 0, 1), (0, 0, 1), (1, 0, 0)] {
            let mut lab = lab(3, &Behavior::noop(), 1);
            lab.clients[1].behavior.cache = Cache::On;
            lab.clients[2].behavior = Behavior {
                cache: Cache::On,
                concurrency: Concurrency::new(4),
                ..Behavior::noop().reacting(AuthEvent::Open, reading)
            };
            lab.workload = vec![mix(read, write, create)];
            let actions = actions(&lab);
            let kept = asked_with_a_cache(&actions);
            let (summary, findings) = run(&lab, kernel);
            let asked: Vec<u64> = summary.seen.iter().map(|row| row.iter().sum()).collect();
            assert_eq!(asked, [300, kept, kept], "{kernel:?} {read} {write} {create}");
            assert_eq!(findings.approvals.unknown, 0);
            assert_eq!(plan(&lab, kernel, Costs::default()).roots[0].size, Size::Varies);
        }
    }
    // The law says something: most reads are answered by what was kept, and no write is.
    let mut lab = lab(1, &Behavior::noop(), 1);
    lab.workload = vec![mix(20, 1, 0)];
    let few = asked_with_a_cache(&actions(&lab));
    lab.workload = vec![mix(1, 1, 0)];
    assert!((9..60).contains(&few) && few + 50 < asked_with_a_cache(&actions(&lab)));
}

fn tree(workers: u16, fanout: u32, depth: u32, trees: u64) -> Workload {
    Workload {
        workers,
        rate: Rate::Max,
        operations_max: Some(trees),
        ..Workload::of(LoadKind::ExecTree(ExecTree { fanout, depth }))
    }
}

#[test]
fn a_tree_is_as_many_execs_each_with_the_cascade_of_one() {
    for (kernel, each) in [(Kernel::Fanotify, 12), (Kernel::EndpointSecurity, 4)] {
        for (workers, fanout, depth, trees) in [(2, 3, 2, 10), (1, 1, 8, 3), (3, 5, 1, 7), (2, 4, 0, 9)] {
            let mut lab = lab(2, &scanner(), 1);
            lab.workload = vec![tree(workers, fanout, depth, trees)];
            let execs = (0..=depth).map(|level| u64::from(fanout).pow(level)).sum::<u64>();
            let (summary, findings) = run(&lab, kernel);
            assert_eq!((summary.outcome, summary.in_flight), (Outcome::Stable, 0));
            assert_eq!(summary.roots_begun, trees * execs, "{kernel:?} {fanout}^{depth}");
            assert_eq!(findings.storm.root_ops, trees * execs);
            assert_eq!(summary.decisions, trees * execs * each, "{kernel:?}: {each} an exec");
            assert_eq!(findings.amplification, Some(each as f64), "{kernel:?}");
            let root = plan(&lab, kernel, Costs::default()).roots[0];
            assert_eq!(root.size, Size::Exact(each), "{kernel:?}");
        }
    }
}

#[test]
fn a_denied_program_has_no_children() {
    for kernel in KERNELS {
        let mut lab = lab(2, &Behavior::noop(), 1);
        lab.clients[0].behavior.deny = vec![lab_model::DenyRule {
            path: None,
            process: None,
            signature: None,
            on: lab_model::AuthEvents::ALL,
        }];
        lab.workload = vec![tree(1, 3, 2, 10)];
        let (summary, findings) = run(&lab, kernel);
        assert_eq!((summary.roots_begun, summary.in_flight), (10, 0), "{kernel:?}: only the roots");
        assert_eq!(findings.storm.root_ops, 10);
    }
}

#[test]
fn bursts_and_ramps_are_followed_to_the_operation() {
    for kernel in KERNELS {
        let burst = Rate::Burst { operations: 40, every: Span::from_millis(100) };
        for rate in [burst, Rate::Ramp { from: 100, to: 3000 }] {
            let mut lab = lab(2, &scanner(), 1);
            lab.phases.storm = Span::from_secs(1);
            lab.workload = vec![labs::open_storm(3, rate, None)];
            let limits =
                PhaseLimits { phase: PhaseKind::Storm, span: lab.phases.storm, operations_max: None };
            let planned: usize =
                schedules(&lab.workload, lab.seed, &limits).into_iter().map(Iterator::count).sum();
            let (summary, findings) = run(&lab, kernel);
            assert!(planned > 300);
            assert_eq!((summary.roots_begun, findings.storm.root_ops), (planned as u64, planned as u64));
        }
    }
}
