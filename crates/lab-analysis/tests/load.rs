//! What the workload does beside opens and execs of its own: processes of commands, trees of programs, and what it had
//! planned and never began.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;

use lab_analysis::findings::{Findings, PlannedOps};
use lab_model::{ExecTree, Lab, LoadKind, OperationKind, PhaseKind, Ticks, Workload};
use lab_testing::sums::sums_hold;
use lab_testing::synthetic::{Builder, Op, lab};
use lab_trace::{Loss, LossKind, RecordId};

fn builder(name: &str, lab: Lab) -> Builder {
    Builder::new(Path::new(env!("CARGO_TARGET_TMPDIR")), name, lab)
}

fn analyse(builder: Builder) -> Findings {
    let findings = builder.finish().analyse();
    sums_hold(&findings);
    findings
}

#[test]
fn a_process_that_lives_long_is_no_slow_open() {
    let mut builder = builder("load-lifetimes", lab(1));
    let driver = builder.driver();
    for turn in 0..10 {
        builder.operation(driver, Op::root(1000 + 100 * turn, 1050 + 100 * turn, 900));
    }
    let process = Op { kind: OperationKind::Process, inode: 0, ..Op::root(1000, 90_000, 901) };
    builder.operation(driver, process);
    builder.operation(driver, Op { tid: 902, end: None, ..process });
    builder.operation(driver, Op { tid: 903, error: 2, end: Some(1001), ..process });
    builder.phase(PhaseKind::Storm, 500, 100_000);
    let findings = analyse(builder);
    let storm = &findings.phases[0];
    assert_eq!((storm.root_ops, storm.root_ops_unfinished, storm.op_latency_ns.max), (10, 0, 50));
    let processes = storm.processes.as_ref().unwrap();
    assert_eq!((processes.ended, processes.unfinished, processes.not_started), (2, 1, 1));
    assert_eq!(processes.lifetime_ns.max, 89_000);
    assert_eq!((findings.storm.root_ops, storm.planned), (13, None));
}

#[test]
fn planned_operations_that_never_began_are_told_with_the_reason() {
    let mut builder = builder("load-planned", lab(1));
    let driver = builder.driver();
    for turn in 0..4 {
        let at = 1000 + 100 * turn;
        builder.operation(driver, Op { planned: Some(at - 7), ..Op::root(at, at + 50, 900) });
    }
    let late = Loss { at: Ticks(9000), kind: LossKind::NotBegunLate, count: 60 };
    builder.writers[driver].loss(&late);
    builder.writers[driver].loss(&Loss { at: Ticks(9100), kind: LossKind::NotBegunHalted, count: 36 });
    builder.phase(PhaseKind::Control, 200, 900);
    builder.phase(PhaseKind::Storm, 950, 10_000);
    let findings = analyse(builder);
    let told = findings.phases.iter().find(|phase| phase.kind == lab_model::PhaseKind::Storm).unwrap();
    let planned = PlannedOps { planned: 100, begun: 4, not_begun_late: 60, not_begun_halted: 36 };
    assert_eq!(told.planned, Some(planned));
    assert_eq!(findings.phases[0].planned, None, "nothing was planned for control");
    assert_eq!(findings.totals.lost, 0, "what never was cannot be lost");
    assert_eq!(told.op_latency_ns.max, 57, "from the planned start");
}

fn grove() -> Lab {
    let tree = Workload::of(LoadKind::ExecTree(ExecTree { fanout: 2, depth: 2 }));
    Lab { workload: vec![tree], ..lab(1) }
}

/// A process of a tree, whose thread has its process's number.
fn program(builder: &mut Builder, tid: u32, (at, end): (u64, u64), parent: Option<RecordId>) -> RecordId {
    let driver = builder.driver();
    let root = Op::root(at, end, tid.into());
    builder.operation(driver, Op { kind: OperationKind::Exec, pid: tid, inode: 5, parent, ..root })
}

#[test]
fn a_tree_has_levels_and_a_critical_path() {
    let mut builder = builder("load-trees", grove());
    // A quick tree, and one whose second branch holds it up: 1000 to 1900, 1300 to 1800, 1400 to 1700.
    let quick = program(&mut builder, 10, (600, 700), None);
    program(&mut builder, 11, (610, 650), Some(quick));
    let root = program(&mut builder, 20, (1000, 1900), None);
    program(&mut builder, 21, (1100, 1200), Some(root));
    let slow = program(&mut builder, 22, (1300, 1800), Some(root));
    program(&mut builder, 23, (1350, 1390), Some(slow));
    program(&mut builder, 24, (1400, 1700), Some(slow));
    // A lone exec is no tree, and a process whose parent is not recorded is in none.
    program(&mut builder, 30, (2000, 2900), None);
    program(&mut builder, 31, (2100, 2200), Some(RecordId(4711)));
    builder.phase(PhaseKind::Storm, 500, 5000);
    let trees = analyse(builder).trees.unwrap();
    assert_eq!((trees.trees, trees.execs, trees.detached, trees.unfinished), (2, 7, 1, 0));
    let levels: Vec<(u32, u64, u64)> =
        trees.levels.iter().map(|level| (level.level, level.execs, level.lasted_ns.max)).collect();
    assert_eq!(levels, [(1, 2, 900), (2, 3, 500), (3, 2, 300)]);
    let path: Vec<(u32, u32, u64, u64)> =
        trees.slowest.iter().map(|step| (step.level, step.pid, step.before_ns, step.after_ns)).collect();
    assert_eq!(path, [(1, 20, 300, 100), (2, 22, 100, 100), (3, 24, 300, 0)]);
}

#[test]
fn a_tree_that_is_cut_off_is_unfinished() {
    let mut builder = builder("load-tree-cut", grove());
    let driver = builder.driver();
    let root = Op { kind: OperationKind::Exec, pid: 20, end: None, ..Op::root(1000, 0, 20) };
    let root = builder.operation(driver, root);
    let child = Op { parent: Some(root), tid: 21, pid: 21, ..Op::root(1100, 0, 21) };
    builder.operation(driver, Op { kind: OperationKind::Exec, end: None, ..child });
    builder.ended(driver, 3000, 9);
    builder.phase(PhaseKind::Storm, 500, 5000);
    let trees = analyse(builder).trees.unwrap();
    assert_eq!((trees.trees, trees.unfinished, trees.lasted_ns.count), (1, 1, 0));
    assert!(trees.slowest.is_empty());
    assert_eq!(trees.levels.iter().map(|level| level.unfinished).collect::<Vec<_>>(), [1, 1]);
}
