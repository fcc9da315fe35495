//! `freeze` for real: whom the freezer of control groups stops goes on afterwards, whoever owes an answer past the
//! deadline is killed all the same, and no group stays behind however the lab ends.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests look for what the labs that they run have left"
)]

mod rig;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use lab_analysis::findings::{ApprovalWay, FaultMark, Findings, ProcessEnd, Word};
use lab_model::{Approval, PlannedKind, Span};
use lab_testing::found::{lasted_ns, storm, the_fault};
use libtest_mimic::Arguments;
use nix::sys::signal::Signal;
use rig::{Finished, LAB, Live, Rig, Running, live, send, sums_add_up, wait_until};

/// How long a lab may take to freeze somebody, and the kernel to end it; a first run builds client and driver.
const WITHIN: Span = Span::from_secs(300);

fn main() -> ExitCode {
    let lacks = freezer().err();
    let live = |name, body: fn()| Live { lacks: lacks.clone(), ..live(name, body) };
    let tests: Vec<Live> = vec![
        live("everything_stands_still_and_goes_on", everything),
        live("a_frozen_client_is_killed_at_its_deadline", past_the_deadline),
        live("kill_9_of_the_controller_leaves_no_group", controller_killed),
        live("down_takes_away_what_kill_9_of_the_launcher_leaves", launcher_killed),
        live("without_a_freezer_nothing_is_started", none_here),
    ];
    rig::main(Arguments::from_args(), tests)
}

/// Where cgroup v2 is mounted; why nothing can be frozen here, if nothing can.
fn freezer() -> Result<PathBuf, String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let of_second =
        |line: &str| line.contains(" - cgroup2 ").then(|| line.split(' ').nth(4).map(PathBuf::from));
    let mount = mounts.lines().find_map(of_second).flatten().ok_or("no cgroup v2 is mounted")?;
    let group = mount.join(format!("lab-tests-{}", std::process::id()));
    fs::create_dir(&group).map_err(|error| format!("no control group can be made: {error}"))?;
    let freezes = group.join("cgroup.freeze").exists();
    fs::remove_dir(&group).map_err(|error| format!("no control group can be removed: {error}"))?;
    if freezes { Ok(mount) } else { Err("this kernel has no freezer in cgroup v2".to_owned()) }
}

/// The groups of a launcher's lab, anywhere below a group.
fn groups(of: &Path, launcher: u32) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in fs::read_dir(of).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir()) {
        if folder.file_name().to_string_lossy().starts_with(&format!("eslab-freezer-{launcher}-")) {
            found.push(folder.path());
        } else {
            found.extend(groups(&folder.path(), launcher));
        }
    }
    found
}

/// Two clients that answer at once, and an open loop of so many opens at 500 a second.
fn lab(operations: u64, fault: &str) -> String {
    format!(
        "deadline: 1s\ndefaults:\n  behavior: {{ preset: noop }}\nclients:\n  - {{ id: alpha }}\n  - {{ id: bravo }}\n\
         phases: {{ baseline: 0s, control: 0s, storm: 20s, drain: 2s }}\n\
         workload:\n  - open_storm: {{ workers: 1, files: 10, rate: 500, operations_max: {operations} }}\n\
         faults:\n  - freeze: {fault}\n"
    )
}

fn run(name: &str, body: &str) -> Findings {
    let rig = Rig::new(&format!("freezer-{name}"));
    rig.lab(name, body);
    let lab = Running::start(&rig, name);
    let launcher = lab.launcher();
    let finished = lab.finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(groups(&freezer().unwrap(), launcher), Vec::<PathBuf>::new());
    assert_eq!(rig.remains(), Vec::<String>::new(), "nothing is left of {name}");
    let report = finished.report();
    sums_add_up(&report);
    report
}

/// The one fault of that kind, and how long it lasted in milliseconds.
fn freeze(report: &Findings) -> (&FaultMark, u64) {
    let found = the_fault(report, PlannedKind::Freeze);
    (found, lasted_ns(found) / 1_000_000)
}

fn everything() {
    let report = run("all", &lab(700, "{ at: 300ms, for: 500ms }"));
    let (_, lasted) = freeze(&report);
    assert!(lasted >= 490, "{lasted} ms");
    for client in &report.clients {
        assert_eq!(client.lives[0].end, ProcessEnd::Clean);
        assert_eq!(
            client.approvals.asked[&Word::Known(ApprovalWay::By(Approval::Rule))],
            700,
            "all was answered"
        );
    }
    assert!(storm(&report).op_latency_ns.max >= 200_000_000, "planned opens came late");
    assert_eq!(report.totals.unexplained, 0);
}

fn past_the_deadline() {
    let expect = "expect: [clients.bravo.deadline.misses == 1]\n";
    let report = run("deadline", &(lab(900, "{ on: bravo, at: 300ms, for: 10s }") + expect));
    assert_eq!(report.clients[0].lives[0].end, ProcessEnd::Clean);
    assert_eq!(report.clients[1].lives[0].end, ProcessEnd::DeadlineKill);
    let (fault, lasted) = freeze(&report);
    assert_eq!(fault.actor, "bravo");
    assert!((1000..10_000).contains(&lasted), "it is over with its target: {lasted} ms");
    assert_eq!(
        report.clients[0].approvals.asked[&Word::Known(ApprovalWay::By(Approval::Rule))],
        900,
        "the other goes on"
    );
}

/// A lab in which everything stands still, and its group.
fn frozen(rig: &Rig) -> (Running, PathBuf) {
    rig.lab("frozen", &lab(5000, "{ at: 300ms, for: 15s }"));
    let lab = Running::start(rig, "frozen");
    let mount = freezer().unwrap();
    let is_frozen = |group: &PathBuf| {
        fs::read_to_string(group.join("0/cgroup.events")).is_ok_and(|events| events.contains("frozen 1"))
    };
    let group = || groups(&mount, lab.launcher()).into_iter().find(is_frozen);
    assert!(wait_until(WITHIN, || lab.has_ended() || group().is_some()), "the lab freezes");
    let group = group().unwrap_or_else(|| panic!("the lab freezes: {}", lab.stderr()));
    (lab, group)
}

fn controller_killed() {
    let rig = Rig::new("freezer-controller");
    let (lab, group) = frozen(&rig);
    send(lab.controller(), Signal::SIGKILL);
    let finished = lab.finish();
    assert_eq!(finished.code, Some(70), "{}", finished.stderr);
    assert!(!group.exists(), "the launcher takes {} away", group.display());
    assert_eq!(rig.remains(), Vec::<String>::new());
}

fn launcher_killed() {
    let rig = Rig::new("freezer-launcher");
    let (lab, group) = frozen(&rig);
    // One lab's groups are not taken away while it is up.
    let down = rig.run(&["down"]);
    assert!(group.exists() && down.stdout.is_empty(), "{down:?}");
    send(lab.launcher(), Signal::SIGKILL);
    assert_eq!(lab.finish().code, None);
    assert!(wait_until(WITHIN, || rig.remains().is_empty()), "{:?}", rig.remains());
    assert!(group.exists(), "nobody was there to take it away");
    let down = rig.run(&["down"]);
    assert_eq!(down.code, Some(0), "{}", down.stderr);
    assert!(
        down.stdout.contains(&format!("removed the control group {}\n", group.display())),
        "{}",
        down.stdout
    );
    assert!(!group.exists());
    let again = rig.run(&["down"]);
    assert_eq!((again.code, again.stdout.as_str()), (Some(0), "nothing was left behind\n"));
}

/// In a mount namespace of its own, from which cgroup v2 is gone.
fn none_here() {
    let rig = Rig::new("freezer-none");
    rig.lab("none", &lab(10, "{ at: 1s, for: 1s }"));
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", "umount -l \"$0\" && exec \"$@\""])
        .arg(freezer().unwrap())
        .arg(LAB)
        .arg("--configs")
        .arg(rig.configs())
        .arg("--runs")
        .arg(rig.runs())
        .args(["up", "none"])
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let finished = Finished::of(&output);
    assert_eq!(finished.code, Some(69), "{}", finished.stderr);
    assert!(
        finished.stderr.contains("which this machine cannot: no cgroup v2 is mounted"),
        "{}",
        finished.stderr
    );
    assert!(!rig.runs().join("none").exists(), "nothing was written");
}
