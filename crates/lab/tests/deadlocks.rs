//! Labs that stand still for real: who waits for whom, that it is told from slowness while it happens, that the
//! deadline ends it in time, and what removes it.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests read the reports and traces of the labs that they run"
)]

mod rig;

use std::{fs, path::Path, process::ExitCode};

use lab_analysis::findings::{CycleEnd, Findings, Outcome, WaitCycle};
use lab_trace::{Entry, Fault, FaultKind, Record, Trace};
use libtest_mimic::Arguments;
use rig::{Finished, Live, Rig, live, sums_add_up};

/// A deadline that leaves a loaded machine some time within its tenth.
const DEADLINE_NS: u64 = 2_000_000_000;

fn main() -> ExitCode {
    let mut tests: Vec<Live> = vec![
        live("reading_through_the_events_own_descriptor_removes_the_deadlock", removed),
        live("slowness_is_never_called_a_deadlock", slow),
        live("a_circle_through_a_daemon_names_it", through_a_daemon),
        live("a_circle_through_another_clients_helper_names_it", through_a_helper),
        live("a_client_that_works_on_less_while_a_fault_lasts_is_judged_by_that", lowered),
        live("a_client_that_waits_for_its_own_helper_is_a_circle_of_one", alone),
    ];
    for (name, workers) in [
        ("a_pair_with_1_worker_each_deadlocks", 1),
        ("a_pair_with_4_workers_each_deadlocks", 4),
        ("a_pair_with_32_workers_each_deadlocks", 32),
    ] {
        tests.push(live(name, move || pair(workers)));
    }
    rig::main(Arguments::from_args(), tests)
}

/// No baseline and no control, and a storm that outlasts the deadline.
const STORM: &str = "deadline: 2s\nphases: { baseline: 0s, control: 0s, storm: 3s, drain: 1s }\n\
                     workload:\n  - open_storm: { workers: 2, files: 50 }\n";

fn run(name: &str, body: &str) -> (Rig, Finished, Findings) {
    let rig = Rig::new(&format!("deadlocks-{name}"));
    rig.lab(name, &format!("{body}{STORM}"));
    let finished = rig.run(&["up", name, "--json"]);
    assert_eq!(rig.remains(), Vec::<String>::new(), "nothing is left of {name}");
    let report = finished.report();
    sums_add_up(&report);
    (rig, finished, report)
}

/// Two clients that open the target before they answer and react to all but themselves.
fn pair_of(workers: u16, on_open: &str) -> String {
    format!(
        "defaults: {{ behavior: {{ concurrency: {workers}, react_to: peers, on_open: {on_open} }} }}\n\
         clients: [{{ id: alpha }}, {{ id: bravo }}]\n"
    )
}

fn pair(workers: u16) {
    let name = format!("pair-{workers}");
    let (rig, finished, report) = run(&name, &pair_of(workers, "{ reopen: true, read: true, when: before }"));
    let cycle = deadlocked(&report);
    assert_eq!(members(cycle), ["alpha", "bravo"]);
    assert_eq!(cycle.ended_by, CycleEnd::DeadlineKill);
    ended_in_time(&rig.latest(&name));
    let said = said(&finished);
    assert_eq!(said.len(), 1, "{}", finished.stderr);
    assert!(
        said[0].contains("alpha waits for bravo") && said[0].contains("bravo waits for alpha"),
        "{}",
        said[0]
    );
}

fn removed() {
    let (_, finished, report) = run("fixed", &pair_of(1, "{ read: true, via: descriptor, when: before }"));
    assert_eq!(report.outcome, Outcome::Stable, "{}", report.outcome_rule);
    assert_eq!(report.wait_cycles, []);
    assert_eq!(report.faults, []);
    assert!(report.storm.root_ops > 100, "it goes on");
    assert_eq!(said(&finished), Vec::<&str>::new(), "{}", finished.stderr);
}

/// alpha's open of every file waits for bravo, and bravo sleeps over each answer: as close to a deadlock as a lab can
/// come that is none.
fn slow() {
    let clients = "clients:\n  - { id: alpha, behavior: { concurrency: 1, react_to: workload, \
                   on_open: { reopen: true, when: before } } }\n  \
                   - { id: bravo, behavior: { concurrency: 1, react_to: all, delay: 700ms } }\n";
    let (_, finished, report) = run("slow", clients);
    assert_eq!(report.wait_cycles, []);
    assert_ne!(report.outcome, Outcome::Deadlocked);
    assert_eq!(said(&finished), Vec::<&str>::new(), "{}", finished.stderr);
    let slow = finished.stderr.lines().filter(|line| line.contains("slow: bravo has not answered for "));
    // Once a phase, and the storm's last answer may still be kept in the drain.
    assert!((1..=2).contains(&slow.count()), "{}", finished.stderr);
}

/// alpha waits for the daemon, whose open bravo opens again, about which alpha is asked.
fn through_a_daemon() {
    let clients = "daemons: [{ id: indexer }]\ndefaults: { behavior: { concurrency: 1, react_to: all } }\n\
                   clients:\n  \
                   - { id: alpha, behavior: { mute: { processes: [indexer] }, daemons: [{ ask: indexer, wait: true }] } }\n  \
                   - { id: bravo, behavior: { on_open: { reopen: true, when: before } } }\n";
    let (rig, finished, report) = run("daemon", clients);
    let cycle = deadlocked(&report);
    assert_eq!(members(cycle), ["alpha", "bravo"]);
    assert_eq!(cycle.through, ["indexer"]);
    let told = report.findings.iter().any(|finding| finding.text.contains(", through indexer, from "));
    assert!(told, "{:?}", report.findings);
    assert!(evidence(cycle).contains("indexer, which works for alpha, has been in its open"), "{cycle:?}");
    ended_in_time(&rig.latest("daemon"));
    let said = said(&finished);
    assert_eq!(said.len(), 1, "{}", finished.stderr);
    assert!(said[0].contains("alpha waits for bravo through indexer"), "{}", said[0]);
    assert!(said[0].contains("bravo waits for alpha"), "{}", said[0]);
}

/// alpha's open waits for bravo, and bravo for its helper, about whose open alpha is asked.
fn through_a_helper() {
    let clients = "defaults: { behavior: { concurrency: 1, react_to: all } }\nclients:\n  \
                   - { id: alpha, behavior: { on_open: { reopen: true, when: before } } }\n  \
                   - { id: bravo, behavior: { mute: { helpers: true }, helpers: { count: 1, wait: true } } }\n";
    let (rig, finished, report) = run("helper", clients);
    let cycle = deadlocked(&report);
    assert_eq!(members(cycle), ["alpha", "bravo"]);
    assert_eq!(cycle.through, ["bravo.helper-1"]);
    assert!(
        evidence(cycle).contains("bravo.helper-1, which works for bravo, has been in its open"),
        "{cycle:?}"
    );
    ended_in_time(&rig.latest("helper"));
    let said = said(&finished);
    assert_eq!(said.len(), 1, "{}", finished.stderr);
    assert!(said[0].contains("bravo waits for alpha through its helper"), "{}", said[0]);
    assert!(said[0].contains("alpha waits for bravo"), "{}", said[0]);
}

fn alone() {
    let clients = "clients: [{ id: alpha, behavior: { concurrency: 4, react_to: all, \
                   helpers: { count: 2, wait: true } } }]\n";
    let (rig, finished, report) = run("alone", clients);
    assert_eq!(members(deadlocked(&report)), ["alpha"]);
    ended_in_time(&rig.latest("alone"));
    let said = said(&finished);
    assert_eq!(said.len(), 1, "{}", finished.stderr);
    assert!(said[0].contains("alpha waits for itself through its helper"), "{}", said[0]);
}

/// Two clients with four workers and nothing to do, until a fault leaves them one each and has them open what they are
/// asked about: one looked at a time stands, which with four workers would be no deadlock.
fn lowered() {
    let clients = "clients:\n  - { id: alpha, behavior: { concurrency: 4 } }\n  \
                   - { id: bravo, behavior: { concurrency: 4 } }\n\
                   faults:\n  - behave: { on: alpha, at: 200ms, set: { concurrency: 1, react_to: peers, \
                   on_open: { reopen: true, when: before } } }\n  \
                   - behave: { on: bravo, at: 200ms, set: { concurrency: 1, react_to: peers, \
                   on_open: { reopen: true, when: before } } }\n";
    let (_, finished, _) = run("lowered", clients);
    let said = said(&finished);
    assert_eq!(said.len(), 1, "{}", finished.stderr);
    assert!(said[0].contains("alpha waits for bravo") && said[0].contains("bravo waits for alpha"));
}

/// The lines that were written when a deadlock was seen.
fn said(finished: &Finished) -> Vec<&str> {
    finished.stderr.lines().filter(|line| line.contains("deadlock: ")).collect()
}

/// The first circle of a lab that deadlocked.
fn deadlocked(report: &Findings) -> &WaitCycle {
    assert_eq!(report.outcome, Outcome::Deadlocked, "{}", report.outcome_rule);
    assert_eq!(report.totals.lost, 0);
    assert_eq!(report.totals.unexplained, 0);
    &report.wait_cycles[0]
}

fn members(cycle: &WaitCycle) -> Vec<&str> {
    let mut members: Vec<&str> = cycle.members.iter().map(String::as_str).collect();
    members.sort_unstable();
    members.dedup();
    members
}

fn evidence(cycle: &WaitCycle) -> String {
    cycle.evidence.join("\n")
}

/// Every deadline kill of a run came when the deadline of its decision was over, and no later than a tenth after.
fn ended_in_time(folder: &Path) {
    let files: Vec<Vec<u8>> = fs::read_dir(folder.join("traces"))
        .unwrap()
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    let traces: Vec<Trace<'_>> = files.iter().map(|bytes| Trace::parse(bytes).unwrap()).collect();
    let kill = |entry| match entry {
        Entry::Record { record: Record::Fault(fault), .. } if fault.kind == FaultKind::DeadlineKill => {
            Some(fault)
        }
        _ => None,
    };
    let kills: Vec<Fault> = traces.iter().flat_map(Trace::entries).filter_map(kill).collect();
    assert!(!kills.is_empty(), "the deadline ended it");
    for kill in kills {
        let client = traces.iter().find(|trace| trace.header.actor == kill.actor).unwrap();
        let Some(Entry::Record { record: Record::Decision(decision), .. }) = client.entry(kill.detail) else {
            panic!("{kill:?} names the overdue decision");
        };
        let waited = kill.at.since(decision.begin.read);
        assert!(
            (DEADLINE_NS..=DEADLINE_NS + DEADLINE_NS / 10).contains(&waited),
            "killed {waited} ns after the read"
        );
    }
}
