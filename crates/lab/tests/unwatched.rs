//! A lab whose controller stands still for a while: nobody watches then, no deadline is kept, and the report says so.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests read the reports of the labs that they run"
)]

mod rig;

use std::{fs, process::ExitCode};

use lab_analysis::findings::{Findings, Outcome, RunWord, Unwatched};
use lab_model::{PhaseKind, Span};
use lab_testing::found::storm;
use libtest_mimic::Arguments;
use nix::sys::signal::Signal;
use rig::{Finished, Live, Rig, Running, live, sums_add_up, wait_until};

/// How long the controller is stopped.
const STOPPED: Span = Span::from_secs(3);

fn main() -> ExitCode {
    let tests: Vec<Live> = vec![
        live("a_controller_that_was_stopped_says_that_nobody_watched", controller_stopped),
        live("who_is_late_while_nobody_watches_is_known_to_be", late),
        live("a_lab_that_was_stopped_whole_says_so", all_stopped),
    ];
    rig::main(Arguments::from_args(), tests)
}

fn lab(behavior: &str, deadline: &str) -> String {
    format!(
        "deadline: {deadline}\ndefaults:\n  behavior: {behavior}\nclients: {{ count: 2 }}\n\
         phases: {{ baseline: 0s, control: 0s, storm: 2s, drain: 1s }}\n\
         workload:\n  - open_storm: {{ workers: 2, files: 50, rate: 500 }}\n\
         expect:\n  - deadline.misses == 0\n"
    )
}

/// The processes below the controller.
fn below(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let children = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("children")).unwrap());
    children
        .flat_map(|pids| pids.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>())
        .collect()
}

/// Runs a lab, stops these processes in its storm, and lets them go on.
fn run_stopped(rig: &Rig, operations: u64, whom: impl Fn(&Running) -> Vec<u32>) -> (Finished, Findings) {
    let mut running = Running::start(rig, "quick");
    running.reaches(PhaseKind::Storm, operations);
    let stopped = whom(&running);
    stopped.iter().for_each(|&pid| rig::send(pid, Signal::SIGSTOP));
    assert!(!wait_until(STOPPED, || false), "that is how long they stand still");
    stopped.iter().for_each(|&pid| rig::send(pid, Signal::SIGCONT));
    let finished = running.finish();
    let report = finished.report();
    sums_add_up(&report);
    assert!(gap(&report).longest_ns >= 2_900_000_000, "{:?}", report.unwatched);
    assert_eq!(gap(&report).gaps[0].phases[0], PhaseKind::Storm);
    assert!(report.outcome_rule.contains("Nobody watched the clients for 3."));
    assert!(report.findings[0].text.contains("Nobody watched the clients for 3."));
    assert!(finished.stderr.contains("nobody watched the clients for 3."), "{}", finished.stderr);
    let said = rig.run(&["report", "quick"]);
    assert!(said.stdout.lines().next().unwrap().contains("nobody watched for 3."), "{}", said.stdout);
    assert_eq!(rig.remains(), Vec::<String>::new());
    (finished, report)
}

fn gap(report: &Findings) -> &Unwatched {
    report.unwatched.as_ref().unwrap()
}

fn controller_stopped() {
    let rig = Rig::new("unwatched");
    rig.lab("quick", &lab("noop", "1s"));
    let (finished, report) = run_stopped(&rig, 200, |running| vec![running.controller()]);
    // The driver went on by itself, and its last operation ended the phase.
    let storm = storm(&report);
    let seconds = storm.seconds;
    assert!(
        (1.9..2.9).contains(&seconds),
        "two seconds as planned, not when the controller looked: {storm:?}"
    );
    assert_eq!(report.stood_still, None, "only the controller did");
    assert_eq!(gap(&report).doubtful, 0, "what noop clients answer is never late");
    assert_eq!((finished.code, report.outcome), (Some(0), Outcome::Stable), "{}", finished.stderr);
}

/// Every answer takes longer than the deadline: under watch both clients are killed for their first.
fn late() {
    let rig = Rig::new("unwatched-late");
    let behavior = "{ preset: noop, delay: 2500ms }";
    rig.lab("quick", &lab(behavior, "2s"));
    let (finished, report) = run_stopped(&rig, 0, |running| vec![running.controller()]);
    assert!(gap(&report).late > 0, "{:?}", report.unwatched);
    assert_eq!(report.expectations[0].held, Some(false), "the traces show it");
    assert_ne!(report.outcome, Outcome::Stable);
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
}

fn all_stopped() {
    let rig = Rig::new("unwatched-all");
    // Stopped for one and a half times as long as that.
    rig.lab("quick", &lab("noop", "2s"));
    let whole = |running: &Running| {
        let controller = running.controller();
        std::iter::once(controller).chain(below(controller)).collect()
    };
    let (finished, report) = run_stopped(&rig, 200, whole);
    let still = report.stood_still.as_ref().unwrap();
    assert!(still.longest_ns >= 2_900_000_000 && still.gaps[0].phases[0] == PhaseKind::Storm, "{still:?}");
    assert_eq!(report.state.word, RunWord::Disturbed, "{:?}", report.state.reasons);
    assert!(
        report.state.reasons.iter().any(|reason| reason.text.starts_with("The whole lab stood still from "))
    );
    // Whether an event was being read or answered just then is chance; nobody is judged by it.
    assert_eq!((gap(&report).late, gap(&report).doubtful), (0, 0), "{still:?}");
    let rule = &report.outcome_rule;
    assert_eq!((report.expectations[0].held, finished.code), (Some(true), Some(0)), "{rule}");
    assert!(report.outcome_rule.contains("The whole lab stood still from "), "{}", report.outcome_rule);
}
