//! A machine is recognised from the traces it leaves: here a simulated one with other costs.
#![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]

mod common;

use common::KERNELS;
use lab_model::{ExecProgram, ExecStorm, ExecTree, Lab, LoadKind, PhaseKind, Rate, Span, Workload};
use lab_sim::{
    Calibration, Costs, Evidence, Kernel, Measured, Options, Traces, calibrate, measure, simulate,
};
use lab_testing::labs::{self, exec_storm, lab, open_storm, scanner};
use lab_trace::Trace;

fn measured(lab: &Lab, kernel: Kernel, costs: Costs) -> Measured {
    let mut traces = Traces::default();
    simulate(lab, &Options { costs, ..Options::new(lab, kernel) }, &mut traces);
    let files = traces.into_files();
    let traces: Vec<Trace<'_>> = files.iter().map(|file| Trace::parse(&file.bytes).unwrap()).collect();
    measure(&traces)
}

fn fitted(lab: &Lab, kernel: Kernel, measured: &Measured) -> Calibration {
    let evidence = Evidence { lab: lab.clone(), measured: measured.clone() };
    calibrate(&[evidence], kernel, Costs::default())
}

fn whole_lab() -> Lab {
    let mut lab = lab(3, &scanner(), 300);
    lab.phases.baseline = Span::from_secs(1);
    lab.phases.control = Span::from_secs(1);
    lab
}

/// Twice as slow to open, three times as slow to ask, on one core.
fn other_machine() -> Costs {
    let costs = Costs::default();
    Costs {
        cores: 1,
        open_entry: 2 * costs.open_entry,
        open_exit: 2 * costs.open_exit,
        context_switch: 3 * costs.context_switch,
        wake_up: 3 * costs.wake_up,
        idle_exit: 3 * costs.idle_exit,
        ask: 3 * costs.ask,
        read_call: 3 * costs.read_call,
        read_event: 3 * costs.read_event,
        decide: 3 * costs.decide,
        answer_call: 3 * costs.answer_call,
        answer_event: 3 * costs.answer_event,
        release: 3 * costs.release,
        herd: 3 * costs.herd,
        read_content: 5_000,
        hand_over: 19_000,
        reopen: 30_000,
        worker_answer: 5_000,
        ..costs
    }
}

#[test]
fn another_machine_is_recognised_and_its_storm_predicted() {
    for kernel in KERNELS {
        let lab = whole_lab();
        let real = measured(&lab, kernel, other_machine());
        assert_eq!(real.cores, Some(1));
        let fit = fitted(&lab, kernel, &real);
        assert!(fit.scale_permille.abs_diff(3000) < 150, "{kernel:?} {fit:?}");
        assert!((fit.control_ratio.unwrap() - 1.0).abs() < 0.05, "{fit:?}");
        assert!(fit.costs.read_content.abs_diff(5_000) < 500, "{fit:?}");
        // On one processor they can hardly be told apart, but what they come to is found.
        let worker = |costs: Costs| costs.hand_over + costs.reopen + costs.worker_answer;
        let (found, planted) = (worker(fit.costs), worker(other_machine()));
        assert!(found.abs_diff(planted) * 20 < planted, "{fit:?}");
        assert!((fit.storm_ratio.unwrap() - 1.0).abs() < 0.05, "{fit:?}");
        let predicted = measured(&lab, kernel, fit.costs).storm_open.unwrap();
        let found = real.storm_open.unwrap();
        assert!(predicted.p50.abs_diff(found.p50) * 10 < found.p50, "{predicted:?} {found:?}");
    }
}

/// What one lab cannot show, others do: long absences, long sleeps, a tree's program.
#[test]
fn what_is_cold_and_how_long_programs_take_comes_from_labs_that_show_it() {
    let phases = |lab: &mut Lab| {
        lab.phases.baseline = Span::from_secs(1);
        lab.phases.control = Span::from_secs(1);
    };
    let mut many = lab(24, &lab_model::Preset::Noop.behavior(), 300);
    many.workload = vec![open_storm(1, Rate::Max, Some(300))];
    let mut paced = lab(2, &scanner(), 300);
    let short = Workload {
        workers: 1,
        rate: Rate::PerSecond(50),
        operations_max: Some(50),
        ..Workload::of(LoadKind::ExecStorm(ExecStorm { program: ExecProgram::Static }))
    };
    paced.workload = vec![open_storm(1, Rate::PerSecond(200), Some(200)), short];
    let mut programs = lab(1, &scanner(), 100);
    programs.workload = vec![exec_storm(ExecProgram::Static, 50)];
    let mut trees = lab(1, &scanner(), 100);
    let tree = LoadKind::ExecTree(ExecTree { fanout: 3, depth: 1 });
    trees.workload = vec![Workload { operations_max: Some(20), ..Workload::of(tree) }];
    let machine = Costs {
        sleep_exit: 30_000,
        cold: 20_000,
        cold_half: 500_000,
        exec_tree: 800_000,
        exec_cold: 150_000,
        ..Costs::default()
    };
    let mut labs = [paced, many, programs, trees, whole_lab()];
    labs.iter_mut().for_each(phases);
    let mut evidence = labs.map(|lab| Evidence { measured: measured(&lab, Kernel::Fanotify, machine), lab });
    // On a real machine many clients gather on the opener's processor, so the quickest readings wake none.
    let crowd = evidence[4].measured.clone();
    let after = |costs: Costs, away: u64| costs.cold * away / (away + costs.cold_half);
    evidence[1].measured = Measured {
        control_open: Some(300_000),
        control_nearby: crowd.control_nearby.map(|nearby| nearby + after(machine, 300_000)),
        ..crowd
    };
    let fit = calibrate(&evidence, Kernel::Fanotify, Costs::default()).costs;
    let near = |found: u64, planted: u64| found.abs_diff(planted) * 6 < planted;
    assert!(near(fit.sleep_exit, machine.sleep_exit), "{fit:?}");
    assert!(near(fit.exec_tree, machine.exec_tree), "{fit:?}");
    assert!(near(fit.exec_cold, machine.exec_cold), "{fit:?}");
    // Two points make the curve; what it says between them counts, not where it ends.
    for away in [1_000_000, 5_000_000] {
        assert!(near(after(fit, away), after(machine, away)), "{away}: {fit:?}");
    }
    // The order in which the runs are named is no matter.
    let [paced, many, programs, trees, crowd] = evidence;
    let other = calibrate(&[crowd, trees, many, paced, programs], Kernel::Fanotify, Costs::default());
    assert_eq!(other.costs, fit);
}

/// Calibrated on one lab, another one is predicted on the same machine.
#[test]
fn what_one_lab_teaches_holds_for_another() {
    let lab = whole_lab();
    let real = measured(&lab, Kernel::Fanotify, other_machine());
    let fit = fitted(&lab, Kernel::Fanotify, &real).costs;
    let mut other = self::lab(5, &lab_model::Preset::Pathological.behavior(), 200);
    other.phases.control = Span::from_millis(100);
    let found = measured(&other, Kernel::Fanotify, other_machine()).storm_open.unwrap();
    let predicted = measured(&other, Kernel::Fanotify, fit).storm_open.unwrap();
    assert!(predicted.p50.abs_diff(found.p50) * 10 < found.p50, "{predicted:?} {found:?}");
}

#[test]
fn a_storm_that_does_not_end_is_not_fitted() {
    let endless = lab(2, &labs::peer_scanner(2, lab_model::When::After), 50);
    let real = Measured { storm_open: Some(lab_sim::Spread { p50: 1, p99: 1 }), ..Measured::default() };
    assert_eq!(fitted(&endless, Kernel::Fanotify, &real).storm_ratio, None);
}

#[test]
fn execs_are_scaled_too() {
    let mut lab = whole_lab();
    lab.workload = vec![exec_storm(ExecProgram::Static, 50), exec_storm(ExecProgram::Dynamic, 50)];
    let slow = Costs { exec_entry: 900_000, exec_dynamic: 400_000, ..Costs::default() };
    let real = measured(&lab, Kernel::Fanotify, slow);
    let fit = fitted(&lab, Kernel::Fanotify, &real).costs;
    let (found, expected) = (fit.exec_entry + fit.exec_exit, 900_000 + 210_000);
    assert!(found.abs_diff(expected) * 20 < expected, "{found}");
    assert!(fit.exec_dynamic.abs_diff(400_000) < 20_000, "{fit:?}");
}

#[test]
fn without_measurements_nothing_changes() {
    let fit = fitted(&whole_lab(), Kernel::Fanotify, &Measured::default());
    assert_eq!((fit.costs, fit.control_ratio, fit.storm_ratio), (Costs::default(), None, None));
    assert_eq!(measure(&[]), Measured::default());
    let lab = whole_lab();
    let summary = simulate(&lab, &Options::new(&lab, Kernel::Fanotify), &mut Traces::default());
    let same = measured(&lab, Kernel::Fanotify, Costs::default());
    let storm = summary.phase(PhaseKind::Storm).and_then(|phase| phase.root_latency.at(500));
    assert_eq!(same.storm_open.map(|spread| spread.p50), storm);
}

/// How long an idle processor takes to wake shows in how widely the control phase spreads, and a storm that was
/// never looked at has it too.
#[test]
fn a_machine_that_wakes_unevenly_is_recognised() {
    let lab = whole_lab();
    let uneven = Costs { idle_exit: 2_000, idle_tail: 14_000, ..Costs::default() };
    let real = measured(&lab, Kernel::Fanotify, uneven);
    let fit = fitted(&lab, Kernel::Fanotify, &real);
    assert!(fit.costs.idle_tail.abs_diff(14_000) < 4_000, "{fit:?}");
    let found = measured(&lab, Kernel::Fanotify, fit.costs);
    let near = |found: u64, real: u64| found.abs_diff(real) * 8 < real;
    assert!(near(found.control_open.unwrap(), real.control_open.unwrap()), "{found:?} {real:?}");
    assert!(near(found.control_open_p90.unwrap(), real.control_open_p90.unwrap()), "{found:?} {real:?}");
    assert!(near(found.storm_open.unwrap().p50, real.storm_open.unwrap().p50), "{found:?} {real:?}");
    assert!(near(found.storm_open.unwrap().p99, real.storm_open.unwrap().p99), "{found:?} {real:?}");
}
