//! Labs whose processes are killed, stopped and interrupted in mid-storm: the machine stays usable, what was
//! committed is read back, nothing is left, and the next lab runs at once.
//!
//! `cargo test -p lab --test death -- --kills 20` kills each kind of process twenty times; by default it is
//! three. `--kill-seed N` chooses other moments.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests read the reports of the labs that they run and disturb"
)]

mod rig;

use std::{fs, path::Path, process::ExitCode};

use lab_analysis::findings::{FaultMarkKind, Findings, Outcome, ProcessEnd, RunWord};
use lab_model::{PhaseKind, Span, mix};
use lab_testing::found::storm;
use lab_trace::{Board, Counter, Damage, Entry, Record, RecordPart, StoredTrace, Trace};
use libtest_mimic::Arguments;
use nix::sys::signal::Signal;
use rig::{
    Finished, Live, Rig, Running, host_opens_are_free, live, scanners, send, send_to_group, sums_add_up,
    wait_until,
};

/// Kills of each kind without `--kills`.
const KILLS: u64 = 3;
/// A storm that would go on for long, so that only its disturbance ends it.
const LONG: &str = "phases: { baseline: 50ms, control: 50ms, storm: 60s, drain: 2s }\n\
                    workload:\n  - open_storm: { workers: 2, files: 50 }\n";
/// A storm that goes on for a moment after its disturbance.
const SHORT: &str = "phases: { baseline: 50ms, control: 50ms, storm: 3s, drain: 2s }\n\
                     workload:\n  - open_storm: { workers: 2, files: 50 }\n";
/// A storm of scanners that goes on well beyond the last of [`MOMENTS`], however slow the machine, and ends by itself.
const COUNTED: &str = "phases: { baseline: 50ms, control: 50ms, storm: 60s, drain: 2s }\n\
                       workload:\n  - open_storm: { workers: 2, files: 50, operations_max: 6000 }\n";
/// What is left after the end must be gone within this time: the kernel ends a namespace on its own.
const GONE_WITHIN: Span = Span::from_secs(10);
/// The operations of the storm among which the moment of a kill is drawn.
const MOMENTS: u64 = 2000;

/// Which process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Client,
    Driver,
    Controller,
    Launcher,
}

fn main() -> ExitCode {
    let (arguments, kills, seed) = arguments();
    let kill = move |name, victim| live(name, move || kill_often(victim, kills, seed));
    let tests: Vec<Live> = vec![
        kill("kill_9_of_a_client", Victim::Client),
        kill("kill_9_of_the_driver", Victim::Driver),
        kill("kill_9_of_the_controller", Victim::Controller),
        kill("kill_9_of_the_launcher", Victim::Launcher),
        live("a_driver_that_dies_before_the_storm", driver_dies_early),
        live("an_interrupt_ends_the_run_in_order", || interrupted("sigint", Signal::SIGINT, send)),
        live("a_terminate_ends_the_run_in_order", || interrupted("sigterm", Signal::SIGTERM, send)),
        live("a_hangup_ends_the_run_in_order", || interrupted("sighup", Signal::SIGHUP, send)),
        live("ctrl_c_on_a_terminal_ends_the_run_in_order", || {
            interrupted("ctrl-c", Signal::SIGINT, send_to_group)
        }),
        live("an_interrupt_in_every_stage", move || interrupted_early(kills, seed)),
        live("a_stopped_scanner_is_killed_at_the_deadline", move || stopped("scanner", kills, seed)),
        live("a_stopped_noop_is_killed_at_the_deadline", move || stopped("noop", kills, seed)),
        live("a_client_that_aborts", aborts),
        live("kill_9_of_a_helper", move || worker_killed(true, kills, seed)),
        live("kill_9_of_a_daemon", move || worker_killed(false, kills, seed)),
        live("kill_9_of_a_client_with_helpers", move || client_with_helpers_killed(kills, seed)),
        live("down_finds_a_lab_without_its_marker", down_without_marker),
    ];
    rig::main_beside(3, arguments, tests)
}

/// The harness's arguments, and this program's own.
fn arguments() -> (Arguments, u64, u64) {
    let (mut kills, mut seed, mut rest) = (KILLS, 42, Vec::new());
    let mut given = std::env::args();
    while let Some(argument) = given.next() {
        let number =
            |text: Option<String>| text.and_then(|text| text.parse().ok()).expect("a number follows");
        match argument.as_str() {
            "--kills" => kills = number(given.next()),
            "--kill-seed" => seed = number(given.next()),
            _ => rest.push(argument),
        }
    }
    (Arguments::from_iter(rest), kills, seed)
}

/// A moment of the storm, drawn from a seed.
fn moment(seed: u64, round: u64) -> u64 {
    mix(seed.wrapping_add(round.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15))) % MOMENTS
}

fn kill_often(victim: Victim, kills: u64, seed: u64) {
    let rig = Rig::new(&format!("kill-{victim:?}").to_lowercase());
    let storm = if victim == Victim::Client { COUNTED } else { LONG };
    rig.lab("doomed", &(scanners(3) + storm));
    let calm = "phases: { baseline: 50ms, control: 50ms, storm: 20s, drain: 5s }\n\
                workload:\n  - open_storm: { workers: 2, files: 50, operations_max: 200 }\n";
    rig.lab("calm", &(scanners(3) + calm));
    for round in 0..kills {
        let at = moment(seed, round);
        eprintln!("{victim:?}, kill {} of {kills}, after {at} operations of the storm", round + 1);
        let mut lab = Running::start(&rig, "doomed");
        let folder = lab.reaches(PhaseKind::Storm, at);
        let pid = match victim {
            Victim::Client => lab.process(&format!("client-0{}.app", round % 3 + 1)),
            Victim::Driver => lab.process("lab-driver"),
            Victim::Controller => lab.controller(),
            Victim::Launcher => lab.launcher(),
        };
        send(pid, Signal::SIGKILL);
        let finished = lab.finish();
        host_opens_are_free(&rig.root);
        ended_as(victim, &rig, &finished);
        nothing_remains(&rig);
        let report = read_back(&rig, &folder);
        reported_as(victim, &report);
        let again = rig.report("calm");
        assert_eq!(again.storm.decisions, 12 * 200, "the next lab runs at once");
    }
}

/// The launcher's words and exit code, and what `lab down` finds.
fn ended_as(victim: Victim, rig: &Rig, finished: &Finished) {
    match victim {
        Victim::Client => {
            finished.failed_for("ends.unplanned == 0");
            assert!(finished.stderr.contains("ended: signal 9"), "{}", finished.stderr);
        }
        Victim::Driver => {
            assert_eq!(finished.code, Some(70), "{}", finished.stderr);
            assert!(finished.stderr.contains("the driver ended in the storm"), "{}", finished.stderr);
        }
        Victim::Controller => {
            assert_eq!(finished.code, Some(70), "{}", finished.stderr);
            assert!(finished.stderr.contains("the controller was ended by SIGKILL"), "{}", finished.stderr);
        }
        Victim::Launcher => {
            assert_eq!(finished.code, None, "{}", finished.stderr);
            assert!(wait_until(GONE_WITHIN, || rig.remains().is_empty()), "{:?}", rig.remains());
            let down = rig.run(&["down"]);
            assert_eq!(down.code, Some(0), "{}", down.stderr);
            for removed in ["bundles", "arena", "active.json"] {
                assert!(down.stdout.contains(removed), "{removed} was removed: {}", down.stdout);
            }
        }
    }
    let down = rig.run(&["down"]);
    assert_eq!((down.code, down.stdout.as_str()), (Some(0), "nothing was left behind\n"), "{}", down.stderr);
}

fn nothing_remains(rig: &Rig) {
    assert!(wait_until(GONE_WITHIN, || rig.remains().is_empty()), "{:?}", rig.remains());
}

/// Reads every trace of a run, compares it with what the process counted on its board, and makes the report.
fn read_back(rig: &Rig, folder: &Path) -> Findings {
    let mut traces: Vec<_> =
        fs::read_dir(folder.join("traces")).unwrap().map(|entry| entry.unwrap().path()).collect();
    traces.sort();
    assert!(traces.len() == 5, "three clients, the driver and the controller: {traces:?}");
    for path in &traces {
        let file = StoredTrace::open(path).unwrap();
        let trace = Trace::of(&file).unwrap();
        assert!(trace.metadata_whole && !trace.tail().is_cut(), "{}", path.display());
        assert_eq!(trace.lost, 0, "{}", path.display());
        let (mut decisions, mut answers, mut operations) = (0, 0, 0);
        for entry in trace.entries() {
            match entry {
                Entry::Record { record: Record::Decision(decision), .. } => {
                    decisions += 1;
                    assert!(!matches!(decision.end, RecordPart::Damaged), "{}", path.display());
                    answers += u64::from(matches!(decision.end, RecordPart::Present(_)));
                }
                Entry::Record { record: Record::Operation(operation), .. } => {
                    operations += u64::from(matches!(operation.end, RecordPart::Present(_)));
                }
                Entry::Record { .. } | Entry::Damaged { damage: Damage::Uncommitted, .. } => {}
                Entry::Damaged { index, damage } => panic!("{}: {damage:?} at {index}", path.display()),
            }
        }
        let board = Board::attach(path).unwrap();
        let counted = |counter| board.get(counter);
        // The board counts after the record is committed, so what it counts must be there.
        assert!(decisions >= counted(Counter::Events), "{}", path.display());
        assert!(answers >= counted(Counter::Answers) + counted(Counter::Fallbacks), "{}", path.display());
        assert!(operations >= counted(Counter::OperationsEnded), "{}", path.display());
    }
    let finished = rig.run(&["report", folder.to_str().unwrap(), "--json"]);
    assert!(matches!(finished.code, Some(0..=2)), "{}", finished.stderr);
    let report = finished.report();
    sums_add_up(&report);
    assert_eq!(report.totals.lost, 0);
    report
}

/// How the report tells what happened.
fn reported_as(victim: Victim, report: &Findings) {
    let ends: Vec<_> = report.clients.iter().map(|client| client.end.clone()).collect();
    let killed = ends.iter().filter(|end| **end == ProcessEnd::Signal(9)).count();
    assert!(report.storm.decisions > 0);
    match victim {
        Victim::Client => {
            assert_eq!(killed, 1, "{ends:?}");
            assert_eq!(ends.iter().filter(|end| **end == ProcessEnd::Clean).count(), 2, "{ends:?}");
        }
        Victim::Driver => assert_eq!(ends, [ProcessEnd::Clean; 3]),
        Victim::Controller | Victim::Launcher => assert_eq!(ends, [ProcessEnd::Unknown; 3]),
    }
    if victim != Victim::Client {
        assert_ne!(report.outcome, Outcome::Deadlocked, "{}", report.outcome_rule);
        assert_ne!(report.outcome, Outcome::Divergent, "{}", report.outcome_rule);
    }
}

fn driver_dies_early() {
    for (phase, name) in [(PhaseKind::Baseline, "baseline"), (PhaseKind::Control, "control")] {
        let rig = Rig::new(&format!("driver-{name}"));
        let load = "phases: { baseline: 30s, control: 30s, storm: 1s }\n\
                    safety: { baseline_operations_max: 100000000 }\n\
                    workload:\n  - open_storm: { workers: 1, files: 5, rate: 200 }\n";
        let load = if phase == PhaseKind::Control {
            load.replace("baseline: 30s", "baseline: 50ms")
        } else {
            load.to_owned()
        };
        rig.lab("early", &(scanners(2) + &load));
        let mut lab = Running::start(&rig, "early");
        let folder = lab.reaches(phase, 20);
        send(lab.process("lab-driver"), Signal::SIGKILL);
        let finished = lab.finish();
        assert_eq!(finished.code, Some(70), "{}", finished.stderr);
        assert!(finished.stderr.contains(&format!("the driver ended in the {name}")), "{}", finished.stderr);
        nothing_remains(&rig);
        let report = finished.report();
        assert_eq!(report.outcome, Outcome::Unknown, "there was no storm: {}", report.outcome_rule);
        assert!(folder.join("report.json").is_file());
    }
}

fn interrupted(name: &str, signal: Signal, send: fn(u32, Signal)) {
    let rig = Rig::new(name);
    rig.lab("cut-short", &(scanners(3) + LONG));
    let mut lab = Running::start(&rig, "cut-short");
    let folder = lab.reaches(PhaseKind::Storm, 300);
    send(lab.launcher(), signal);
    let finished = lab.finish();
    assert_eq!(finished.code, Some(130), "{}", finished.stderr);
    nothing_remains(&rig);
    let report = finished.report();
    sums_add_up(&report);
    assert_eq!(report.totals.unexplained, 0);
    assert_eq!(report.storm.decisions, 12 * report.storm.root_ops);
    assert!(report.storm.root_ops >= 300);
    assert!(report.faults.iter().any(|fault| fault.kind == FaultMarkKind::Interrupted));
    assert_eq!(report.state.word, RunWord::Interrupted, "{:?}", report.state.reasons);
    assert_eq!(rig.run(&["report"]).code, Some(2), "what was interrupted is not good");
    assert!(folder.join("report.html").is_file());
    assert_eq!(rig.run(&["down"]).stdout, "nothing was left behind\n");
}

/// Interrupts at moments from the launcher's start on: whatever it is doing, it ends within seconds.
fn interrupted_early(kills: u64, seed: u64) {
    let rig = Rig::new("interrupted-early");
    rig.lab("cut-short", &(scanners(3) + LONG));
    for round in 0..kills * 3 {
        let lab = Running::start(&rig, "cut-short");
        std::thread::sleep(std::time::Duration::from_millis(moment(seed, round)));
        send(lab.launcher(), Signal::SIGINT);
        let finished = lab.finish();
        // Before the lab's own handler is there, the signal ends the launcher as it ends any program.
        assert!(matches!(finished.code, Some(130) | None), "{:?}: {}", finished.code, finished.stderr);
        nothing_remains(&rig);
        assert_eq!(rig.run(&["down"]).stdout, "nothing was left behind\n");
    }
}

fn stopped(behavior: &str, kills: u64, seed: u64) {
    let rig = Rig::new(&format!("stopped-{behavior}"));
    // Where nobody but the stopped client may be late, a busy machine must not make another late.
    let (deadline, load) = if behavior == "noop" { ("2s", SHORT) } else { ("500ms", COUNTED) };
    rig.lab(
        "stopped",
        &format!("deadline: {deadline}\nclients: {{ count: 3, behavior: {behavior} }}\n{load}"),
    );
    for round in 0..kills {
        let mut lab = Running::start(&rig, "stopped");
        let folder = lab.reaches(PhaseKind::Storm, moment(seed, round));
        send(lab.process("client-02.app"), Signal::SIGSTOP);
        let finished = lab.finish();
        finished.failed_for("deadline.misses == 0");
        assert!(finished.stderr.contains("client-02 missed its deadline"), "{}", finished.stderr);
        nothing_remains(&rig);
        let report = read_back(&rig, &folder);
        assert_eq!(report.clients[1].end, ProcessEnd::DeadlineKill, "{:?}", report.faults);
        let kills = &report.faults;
        if behavior == "noop" {
            assert_eq!(kills.len(), 1, "only the client that stood still: {kills:?}");
        }
        // Scanners that wait in an open for the one that stands still miss their own deadlines with it.
        assert!(kills.iter().all(|fault| fault.kind == FaultMarkKind::DeadlineKill), "{kills:?}");
        let its_own = kills.iter().find(|fault| fault.actor == "client-02").unwrap();
        // The storm went on without it: all operations had waited for it, and ended once it was killed. (Where all
        // clients have died the storm ends then, for the workload alone shows nothing more.)
        let killed = its_own.at_ns;
        assert!(killed > storm(&report).began_ns);
        let buckets = &report.series.root_ops;
        let after = usize::try_from(killed / report.series.bucket_ns).unwrap();
        assert!(buckets[after..].iter().sum::<u64>() > 0, "the run goes on");
    }
}

/// What a panic in a client is to everyone else: its profile aborts.
fn aborts() {
    let rig = Rig::new("aborts");
    rig.lab("panicky", &(scanners(3) + SHORT));
    let mut lab = Running::start(&rig, "panicky");
    let folder = lab.reaches(PhaseKind::Storm, 200);
    send(lab.process("client-03.app"), Signal::SIGABRT);
    let finished = lab.finish();
    finished.failed_for("ends.unplanned == 0");
    assert!(finished.stderr.contains("client-03 ended: signal 6"), "{}", finished.stderr);
    nothing_remains(&rig);
    let report = read_back(&rig, &folder);
    assert_eq!(report.clients[2].end, ProcessEnd::Signal(6));
}

/// Three clients that each ask a helper about opens and wait, and a daemon about execs.
fn asking(load: &str) -> String {
    let behavior = "{ concurrency: 4, mute: { helpers: true, processes: [client-01/helpers, client-02/helpers, \
                    client-03/helpers, indexer] }, helpers: { count: 2 }, daemons: [{ ask: indexer }] }";
    format!("daemons: [{{ id: indexer, workers: 2 }}]\nclients: {{ count: 3, behavior: {behavior} }}\n{load}")
}

/// The run goes on without the worker that died, is in order to its end, and leaves nothing.
fn worker_killed(helper: bool, kills: u64, seed: u64) {
    let rig = Rig::new(if helper { "killed-helper" } else { "killed-daemon" });
    rig.lab("asking", &asking(COUNTED));
    for round in 0..kills {
        let mut lab = Running::start(&rig, "asking");
        lab.reaches(PhaseKind::Storm, moment(seed, round) / 4);
        let victim = if helper {
            lab.child_of(lab.process("client-02.app"), "Helpers/lab-worker")
        } else {
            lab.process("bundles/lab-worker")
        };
        send(victim, Signal::SIGKILL);
        let finished = lab.finish();
        finished.failed_for("ends.unplanned == 0");
        let words = if helper { "client-02.helper-" } else { "indexer ended: signal 9" };
        assert_eq!(finished.stderr.matches(words).count(), 1, "said once: {}", finished.stderr);
        nothing_remains(&rig);
        let report = finished.report();
        sums_add_up(&report);
        let ends: Vec<_> = report.clients.iter().map(|client| client.end.clone()).collect();
        assert_eq!(ends, [ProcessEnd::Clean; 3], "no client dies of it");
        assert_eq!(report.totals.lost, 0);
        assert_eq!(rig.run(&["down"]).stdout, "nothing was left behind\n");
    }
}

/// A client's helpers end with it.
fn client_with_helpers_killed(kills: u64, seed: u64) {
    let rig = Rig::new("killed-with-helpers");
    rig.lab("asking", &asking(COUNTED));
    for round in 0..kills {
        let mut lab = Running::start(&rig, "asking");
        lab.reaches(PhaseKind::Storm, moment(seed, round) / 4);
        let client = lab.process("client-02.app");
        let helper = lab.child_of(client, "Helpers/lab-worker");
        send(client, Signal::SIGKILL);
        let gone = || !Path::new(&format!("/proc/{helper}/exe")).exists();
        assert!(wait_until(GONE_WITHIN, gone), "the helper ends with its client");
        let finished = lab.finish();
        finished.failed_for("ends.unplanned == 0");
        nothing_remains(&rig);
        let report = finished.report();
        sums_add_up(&report);
        assert_eq!(report.clients[1].end, ProcessEnd::Signal(9));
    }
}

fn down_without_marker() {
    let rig = Rig::new("no-marker");
    rig.lab("doomed", &(scanners(2) + LONG));
    let mut lab = Running::start(&rig, "doomed");
    let folder = lab.reaches(PhaseKind::Storm, 100);
    fs::remove_file(folder.join("active.json")).unwrap();
    let down = rig.run(&["down"]);
    assert_eq!(down.code, Some(64), "its launcher lives: {}", down.stderr);
    assert!(down.stderr.contains("is up and was left alone"), "{}", down.stderr);
    send(lab.launcher(), Signal::SIGKILL);
    let finished = lab.finish();
    assert_eq!(finished.code, None, "{}", finished.stderr);
    nothing_remains(&rig);
    let down = rig.run(&["down"]);
    assert_eq!(down.code, Some(0), "{}", down.stderr);
    assert!(down.stdout.contains("bundles"), "{}", down.stdout);
    assert_eq!(rig.run(&["down"]).stdout, "nothing was left behind\n");
    read_back_two(&folder);
}

/// Every trace of a run that was taken down reads whole.
fn read_back_two(folder: &Path) {
    for entry in fs::read_dir(folder.join("traces")).unwrap() {
        let file = StoredTrace::open(&entry.unwrap().path()).unwrap();
        let trace = Trace::of(&file).unwrap();
        assert!(trace.entries().all(|entry| !matches!(entry, Entry::Damaged { damage: Damage::Check, .. })));
    }
}
