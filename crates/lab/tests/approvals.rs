//! Labs that run for real: operations that clients were not asked about are counted from the other side.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests read the reports of the labs that they run and write to their arenas"
)]

mod rig;

use std::{collections::BTreeMap, fs, io::Write, path::Path, process::ExitCode};

use lab_analysis::findings::{ApprovalWay, Findings, ProcessEnd, Word};
use lab_model::{Approval, PhaseKind};
use lab_testing::found::approved;
use libtest_mimic::Arguments;
use nix::sys::signal::Signal;
use rig::{Live, Rig, Running, live, send, sums_add_up};

const CACHING: &str = "defaults:\n  behavior: { concurrency: 4, cache: on, \
                       on_open: { read: true, via: descriptor } }\nclients: { count: 2 }\n";

fn main() -> ExitCode {
    let tests: Vec<Live> = vec![
        live("a_hundred_opens_of_one_file_are_one_question", kept),
        live("after_a_write_it_is_asked_again", asked_again),
        live("a_killed_client_approves_by_being_dead", dead),
        live("a_missing_subscription_and_a_muted_folder", hidden_by_settings),
    ];
    rig::main_beside(2, Arguments::from_args(), tests)
}

fn storm(rate: &str, operations: u64) -> String {
    format!(
        "phases: {{ baseline: 0s, control: 0s, storm: 20s, drain: 1s }}\n\
         workload:\n  - open_storm: {{ workers: 1, files: 1, rate: {rate}, operations_max: {operations} }}\n"
    )
}

/// The approvals of each client after it was asked.
fn asked(report: &Findings) -> Vec<Vec<(ApprovalWay, u64)>> {
    report.clients.iter().map(|client| counts(&client.approvals.asked)).collect()
}

/// The approvals of each client without its being asked.
fn hidden(report: &Findings) -> Vec<Vec<(ApprovalWay, u64)>> {
    report.clients.iter().map(|client| counts(&client.approvals.hidden)).collect()
}

fn counts(ways: &BTreeMap<Word<ApprovalWay>, u64>) -> Vec<(ApprovalWay, u64)> {
    ways.iter().map(|(way, count)| (*way.known().expect("a known way"), *count)).collect()
}

fn kept() {
    let rig = Rig::new("approvals-kept");
    rig.lab("kept", &(CACHING.to_owned() + &storm("max", 100)));
    let report = rig.report("kept");
    sums_add_up(&report);
    assert_eq!(asked(&report), [[(ApprovalWay::By(Approval::Rule), 1)]; 2]);
    assert_eq!(hidden(&report), [[(ApprovalWay::By(Approval::CacheHit), 99)]; 2]);
    assert_eq!(report.approvals.unknown, 0);
}

/// The driver is stopped while the file is written to, so that no open falls between the write and the close: an
/// answer about a file that somebody has open for writing is not kept.
fn asked_again() {
    let rig = Rig::new("approvals-written");
    rig.lab("written", &(CACHING.to_owned() + &storm("200", 400)));
    let mut lab = Running::start(&rig, "written");
    let folder = lab.reaches(PhaseKind::Storm, 50);
    let driver = lab.process("lab-driver");
    send(driver, Signal::SIGSTOP);
    let arena = format!("/proc/{}/root{}", lab.controller(), folder.join("arena").display());
    write_to_the_only_file(Path::new(&arena));
    send(driver, Signal::SIGCONT);
    let finished = lab.finish();
    assert!(matches!(finished.code, Some(0..=2)), "{}", finished.stderr);
    let report = finished.report();
    sums_add_up(&report);
    // The write's own open was about a file whose answer was kept, so nobody was asked about that one.
    assert_eq!(asked(&report), [[(ApprovalWay::By(Approval::Rule), 2)]; 2]);
    assert_eq!(hidden(&report), [[(ApprovalWay::By(Approval::CacheHit), 398)]; 2]);
    assert_eq!(report.approvals.unknown, 0);
}

fn write_to_the_only_file(arena: &Path) {
    let only = |folder: &Path| fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let mut path = only(arena);
    while path.is_dir() {
        path = only(&path);
    }
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"x").unwrap();
}

fn dead() {
    let rig = Rig::new("approvals-dead");
    let noop = "defaults:\n  behavior: { preset: noop }\nclients: { count: 2 }\n";
    rig.lab("dead", &(noop.to_owned() + &storm("500", 1500)));
    let mut lab = Running::start(&rig, "dead");
    lab.reaches(PhaseKind::Storm, 200);
    send(lab.process("client-01.app"), Signal::SIGKILL);
    let finished = lab.finish();
    assert!(matches!(finished.code, Some(0..=2)), "{}", finished.stderr);
    let report = finished.report();
    sums_add_up(&report);
    assert_eq!(report.clients[0].end, ProcessEnd::Signal(9));
    assert_eq!(report.clients[1].approvals.asked[&Word::Known(ApprovalWay::By(Approval::Rule))], 1500);
    let decided = report.clients[0].approvals.asked.get(&Approval::Rule.into()).copied().unwrap_or(0);
    let dead = approved(&report, 0, Approval::DeadClient);
    assert_eq!(decided + dead, 1500, "all of the rest was approved by its death");
    assert!(decided >= 200 && dead > 500, "{decided} decided, {dead} dead");
}

fn hidden_by_settings() {
    let rig = Rig::new("approvals-hidden");
    rig.lab(
        "hidden",
        "clients:\n  - { id: alpha, behavior: { preset: noop, subscribe: exec } }\n  \
         - { id: bravo, behavior: { preset: noop, mute: { paths: [quiet] } } }\n\
         phases: { baseline: 0s, control: 0s, storm: 20s, drain: 1s }\nworkload:\n  \
         - open_storm: { workers: 1, files: 10, directory: quiet, operations_max: 300 }\n  \
         - open_storm: { workers: 1, files: 10, directory: loud, operations_max: 200 }\n",
    );
    let report = rig.report("hidden");
    sums_add_up(&report);
    assert_eq!(asked(&report), [vec![], vec![(ApprovalWay::By(Approval::Rule), 200)]]);
    assert_eq!(
        hidden(&report),
        [[(ApprovalWay::NotSubscribed, 500)], [(ApprovalWay::By(Approval::Mute), 300)]]
    );
    assert_eq!(report.approvals.unknown, 0);
}
